//! Events → requests of the Table API.

use serde_json::{Map, Value};
use syncline_mapping::FieldMap;
use syncline_sdk::{Event, Item, Method, Operation, Outbound, Reason, Replay, escape_path_segment};

/// The steps of a conversation. Each leads only to later ones of this list, or ends it.
pub(crate) mod step {
    pub(crate) const UPDATE_REMEMBERED: &str = "update_remembered";
    pub(crate) const DELETE_REMEMBERED: &str = "delete_remembered";
    pub(crate) const LOOK_UP: &str = "look_up";
    pub(crate) const CREATE: &str = "create";
    pub(crate) const UPDATE: &str = "update";
    pub(crate) const DELETE: &str = "delete";
    pub(crate) const NOTHING: &str = "nothing";
}

/// The query of a look-up travels in the URL, which should stay short of 2 kB.
const KEY_BYTES: usize = 255;

/// Where the entities of one type go: a proven [`EntityConfig`](crate::EntityConfig).
#[derive(Debug)]
pub(crate) struct Mapping {
    path: String,
    pub(crate) key: String,
    fields: FieldMap,
    /// What a delete sets, where it deletes nothing.
    deactivation: Option<Map<String, Value>>,
}

impl Mapping {
    /// `table` and `key` are names that the configuration has checked.
    pub(crate) fn new(table: &str, key: &str, fields: FieldMap, deactivation: Option<Map<String, Value>>) -> Self {
        let table = escape_path_segment(table).unwrap_or_default();
        Self { path: format!("/api/now/table/{table}"), key: key.to_owned(), fields, deactivation }
    }

    /// Whether every request that this event may cause can be written.
    pub(crate) fn accepts(&self, event: &Event, body_bytes: usize) -> Result<(), Reason> {
        check_key(event.external_key())?;
        if event.operation() == Operation::Delete {
            return Ok(());
        }
        let mut record = self.record(event)?;
        record.insert(self.key.clone(), event.external_key().into());
        if Value::Object(record).to_string().len() > body_bytes {
            return Err(Reason::new("too_large", format!("the record is larger than {body_bytes} bytes of JSON")));
        }
        Ok(())
    }

    /// The first request: straight to a record whose id is known for sure, else a look-up. With
    /// nothing to write the look-up alone tells all.
    pub(crate) fn begin(&self, item: &Item<'_>) -> Outbound {
        let known = item.remembered.remote_id.filter(|id| !item.remembered.in_doubt && is_sys_id(id));
        match (known, item.event.operation()) {
            (Some(id), Operation::Delete) => self.remove(step::DELETE_REMEMBERED, step::UPDATE_REMEMBERED, id),
            (Some(id), _) => match self.record(item.event) {
                Ok(record) if !record.is_empty() => self.update(step::UPDATE_REMEMBERED, id, record),
                _ => self.look_up(item.event),
            },
            (None, _) => self.look_up(item.event),
        }
    }

    /// Asks for the record with the event's key, and for a second one, which must not exist.
    pub(crate) fn look_up(&self, event: &Event) -> Outbound {
        let query = format!("{}={}", self.key, event.external_key().replace('^', "^^"));
        request(step::LOOK_UP, Method::Get, self.path.clone(), Replay::Safe)
            .query("sysparm_query", &query)
            .query("sysparm_fields", &format!("sys_id,{}", self.key))
            .query("sysparm_limit", "2")
            .query("sysparm_exclude_reference_link", "true")
    }

    /// A second POST makes a second record: ServiceNow has no idempotency key.
    pub(crate) fn create(&self, event: &Event, mut record: Map<String, Value>) -> Outbound {
        record.insert(self.key.clone(), event.external_key().into());
        let created = request(step::CREATE, Method::Post, self.path.clone(), Replay::Unsafe);
        self.echoed(created).json(&Value::Object(record))
    }

    pub(crate) fn update(&self, step: &'static str, sys_id: &str, record: Map<String, Value>) -> Outbound {
        let updated = request(step, Method::Patch, self.record_path(sys_id), Replay::Safe);
        self.echoed(updated).json(&Value::Object(record))
    }

    /// What a delete event does to its record, and as which step.
    pub(crate) fn remove(&self, delete: &'static str, update: &'static str, sys_id: &str) -> Outbound {
        match &self.deactivation {
            None => request(delete, Method::Delete, self.record_path(sys_id), Replay::Safe),
            Some(columns) => self.update(update, sys_id, columns.clone()),
        }
    }

    /// The columns that this event sets, without the key, as ServiceNow takes them: text only.
    pub(crate) fn record(&self, event: &Event) -> Result<Map<String, Value>, Reason> {
        let mut record = Map::new();
        for (field, value) in self.fields.apply(event, &[])?.fields {
            if field == "sys_id" {
                return Err(unmappable(&field, "is assigned by ServiceNow; leave it out with rules under `fields`"));
            }
            let text = column_text(&field, value)?;
            if field != self.key {
                record.insert(field, Value::String(text));
            } else if text != event.external_key() {
                return Err(unmappable(&field, "is the key column, and the payload has another value than the entity"));
            }
        }
        Ok(record)
    }

    /// Whether `sent` addresses that record.
    pub(crate) fn addresses(&self, sent: &Outbound, sys_id: &str) -> bool {
        let path = sent.target.split('?').next().unwrap_or_default();
        path == self.record_path(sys_id)
    }

    /// The caller has checked `sys_id` with [`is_path_safe`] or [`is_sys_id`].
    fn record_path(&self, sys_id: &str) -> String {
        format!("{}/{}", self.path, escape_path_segment(sys_id).unwrap_or_default())
    }

    /// Asks a write to answer with what proves it and what tells our own change from another's.
    fn echoed(&self, write: Outbound) -> Outbound {
        write
            .query("sysparm_fields", &format!("sys_id,{},sys_mod_count,sys_updated_on", self.key))
            .query("sysparm_exclude_reference_link", "true")
    }
}

/// A read without effect. Only events that were accepted are sent, so this keeps `begin` total.
pub(crate) fn nothing() -> Outbound {
    request(step::NOTHING, Method::Get, "/api/now/table".into(), Replay::Safe)
}

/// Ids that ServiceNow gives out: 32 hexadecimal digits.
pub(crate) fn is_sys_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Imported records can have ids of another form.
pub(crate) fn is_path_safe(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn request(step: &'static str, method: Method, path: String, replay: Replay) -> Outbound {
    Outbound::new(step, method, path, replay).header("accept", "application/json")
}

/// ServiceNow holds text; its own JSON writes numbers and booleans as strings too. Null clears.
fn column_text(field: &str, value: Value) -> Result<String, Reason> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::String(text) if text.contains('\0') => Ok(text.replace('\0', "")),
        Value::String(text) => Ok(text),
        Value::Array(_) | Value::Object(_) => {
            Err(unmappable(field, "holds a list or an object; point at one value inside it with a rule under `fields`"))
        }
    }
}

fn unmappable(field: &str, why: &str) -> Reason {
    Reason::new("unmappable_field", format!("the field `{field}` {why}"))
}

/// Refuses keys that an encoded query would not take literally, or that ServiceNow would store
/// differently: a look-up that misses its record would create a second one.
fn check_key(key: &str) -> Result<(), Reason> {
    let refuse = |what: &str| {
        Err(Reason::new("unusable_key", format!("the entity's id cannot be looked up in ServiceNow: it {what}")))
    };
    if key.is_empty() {
        return refuse("is empty, which would match every record without a key");
    }
    if key.len() > KEY_BYTES {
        return refuse("is longer than 255 bytes");
    }
    if key.chars().any(char::is_control) {
        return refuse("has a control character, such as a line break or NUL");
    }
    if key.trim() != key {
        return refuse("begins or ends with white space, which ServiceNow does not keep");
    }
    if key.starts_with(['=', '!', '<', '>']) {
        return refuse("begins with an operator of encoded queries");
    }
    if key.eq_ignore_ascii_case("null") {
        return refuse("is `NULL`, which matches every record without a key");
    }
    if key.to_ascii_lowercase().contains("javascript:") {
        return refuse("contains `javascript:`, which ServiceNow would run");
    }
    Ok(())
}

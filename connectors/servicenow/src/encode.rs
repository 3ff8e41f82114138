//! Events → requests of the Table API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syncline_mapping::{FieldMap, Unknown};
use syncline_sdk::{Event, Item, Method, Outbound, Reason, Reference, Replay, escape_path_segment};

use crate::echo::{Input, JOURNALS};
use crate::import::StagingTable;
use crate::keys::{check_key, is_sys_id};
use crate::policy::{Aim, OnDifference, Policies, Removal};
use crate::table::{self, Table, is_name};

/// The steps of a conversation. Each leads only to later ones of this list, or ends it.
pub(crate) mod step {
    pub(crate) const LOOK_UP_PARENT: &str = "look_up_parent";
    pub(crate) const UPDATE_REMEMBERED: &str = "update_remembered";
    pub(crate) const DELETE_REMEMBERED: &str = "delete_remembered";
    pub(crate) const LOOK_UP: &str = "look_up";
    pub(crate) const CREATE: &str = "create";
    pub(crate) const UPDATE: &str = "update";
    pub(crate) const DELETE: &str = "delete";
    pub(crate) const NOTHING: &str = "nothing";
    pub(crate) const IMPORT: &str = "import";
    /// Several of the others, in one request.
    pub(crate) const BATCH: &str = "batch";

    pub(crate) const ALL: [&str; 10] =
        [LOOK_UP_PARENT, UPDATE_REMEMBERED, DELETE_REMEMBERED, LOOK_UP, CREATE, UPDATE, DELETE, NOTHING, IMPORT, BATCH];
}

/// A longer list of columns is left out, as it travels in the URL: then the whole record comes back.
const COLUMNS_BYTES: usize = 1500;

/// Where the entities of one type go: a proven [`EntityConfig`](crate::EntityConfig).
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) table: Table,
    /// The column with the entity's id.
    pub(crate) key: String,
    pub(crate) fields: FieldMap,
    pub(crate) policies: Policies,
    /// How ServiceNow reads the values of a write.
    pub(crate) input: Input,
    /// Columns that don't come back as they were sent.
    pub(crate) write_only: Vec<String>,
    /// Where the entities are that fields refer to, by their types.
    pub(crate) parents: BTreeMap<String, Parent>,
    /// Where records are created and updated by way of a staging table.
    pub(crate) import: Option<StagingTable>,
}

/// Where the entities of a type are that fields refer to.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) table: String,
    pub(crate) key: String,
}

/// The ids of the entities that a record refers to, in the order of [`Mapping::references`].
pub(crate) type Ids = Vec<Option<String>>;

impl Mapping {
    /// Whether every request that this event may cause can be written.
    pub(crate) fn accepts(&self, event: &Event, body_bytes: usize) -> Result<(), Reason> {
        if self.aim(event) == Aim::Nothing {
            return Ok(());
        }
        check_key(event.external_key(), "the entity")?;
        self.table.of(event)?;
        if self.aim(event) == Aim::Remove {
            return Ok(());
        }
        for Reference { kind, id } in self.references(event) {
            check_key(&id, &format!("the `{kind}` that it refers to"))?;
        }
        let mut record = self.draft(event, &[], |_| "x".repeat(LONGEST_ID))?;
        if let Some(staging) = &self.import {
            staging.import(event, &record)?;
        }
        record.insert(self.key.clone(), event.external_key().into());
        if Value::Object(record).to_string().len() > body_bytes {
            return Err(Reason::new("too_large", format!("the record is larger than {body_bytes} bytes of JSON")));
        }
        Ok(())
    }

    pub(crate) fn aim(&self, event: &Event) -> Aim {
        self.policies.aim(event.operation())
    }

    /// The entities that the event's record refers to.
    pub(crate) fn references(&self, event: &Event) -> Vec<Reference> {
        match self.aim(event) {
            Aim::Nothing | Aim::Remove => Vec::new(),
            Aim::Upsert | Aim::CreateOnly | Aim::UpdateOnly(_) => self.fields.references(event),
        }
    }

    /// The first request.
    pub(crate) fn begin(&self, item: &Item<'_>) -> Outbound {
        if self.table.of(item.event).is_err() {
            return nothing();
        }
        match (self.aim(item.event), remembered(item)) {
            (Aim::Nothing, _) => nothing(),
            (Aim::Remove, Some(id)) => self.remove(item.event, step::DELETE_REMEMBERED, step::UPDATE_REMEMBERED, id),
            (Aim::Remove, None) => self.look_up(item.event, &Ids::new()),
            (Aim::Upsert | Aim::CreateOnly | Aim::UpdateOnly(_), _) => self.proceed(item, &self.ids(item, None)),
        }
    }

    /// What is known of the entities that the record refers to: by the request that was replied to, where it
    /// is later than the first, else by what the engine remembers.
    pub(crate) fn ids(&self, item: &Item<'_>, sent: Option<&Outbound>) -> Ids {
        let memo = sent.and_then(|sent| sent.memo.as_deref());
        if let Some(ids) = memo.and_then(|memo| serde_json::from_slice(memo).ok()) {
            return ids;
        }
        let known = |index: usize| item.remembered.references.get(index)?.as_deref().filter(|id| is_sys_id(id));
        (0..self.references(item.event).len()).map(|index| known(index).map(str::to_owned)).collect()
    }

    /// The next request of a write: for the first entity that the record refers to and that isn't known,
    /// then straight to a record whose id is known for sure, else a look-up. With nothing to write the
    /// look-up alone tells all.
    pub(crate) fn proceed(&self, item: &Item<'_>, ids: &Ids) -> Outbound {
        if let Some(reference) = self.first_unknown(item.event, ids)
            && let Some(parent) = self.parents.get(&reference.kind)
        {
            let path = table::path(&parent.table);
            return keep(ids, find(step::LOOK_UP_PARENT, path, &parent.key, &reference.id));
        }
        let record = self.record(item.event, ids);
        if let (Some(staging), Ok(record)) = (&self.import, &record) {
            return staging.import(item.event, record).unwrap_or_else(|_| nothing());
        }
        match (remembered(item), record) {
            (Some(id), Ok(record)) if !record.is_empty() && self.aim(item.event) != Aim::CreateOnly => {
                keep(ids, self.update(item.event, step::UPDATE_REMEMBERED, id, record))
            }
            _ => self.look_up(item.event, ids),
        }
    }

    pub(crate) fn first_unknown(&self, event: &Event, ids: &Ids) -> Option<Reference> {
        let references = self.references(event).into_iter().enumerate();
        let mut unknown = references.filter(|(index, _)| ids.get(*index).is_none_or(Option::is_none));
        unknown.next().map(|(_, reference)| reference)
    }

    /// Asks for the record with the event's key, and for a second one, which must not exist.
    pub(crate) fn look_up(&self, event: &Event, ids: &Ids) -> Outbound {
        keep(ids, find(step::LOOK_UP, self.path(event), &self.key, event.external_key()))
    }

    /// A second POST makes a second record: ServiceNow has no idempotency key.
    pub(crate) fn create(&self, event: &Event, mut record: Map<String, Value>) -> Outbound {
        let created = self.write(step::CREATE, Method::Post, self.path(event), Replay::Unsafe, &record);
        record.insert(self.key.clone(), event.external_key().into());
        created.json(&Value::Object(record))
    }

    pub(crate) fn update(
        &self,
        event: &Event,
        step: &'static str,
        sys_id: &str,
        record: Map<String, Value>,
    ) -> Outbound {
        let path = self.record_path(event, sys_id);
        self.write(step, Method::Patch, path, Replay::Safe, &record).json(&Value::Object(record))
    }

    /// What a delete event does to its record, and as which step.
    pub(crate) fn remove(&self, event: &Event, delete: &'static str, update: &'static str, sys_id: &str) -> Outbound {
        match &self.policies.removal {
            Removal::Set(columns) => self.update(event, update, sys_id, columns.clone()),
            Removal::Delete | Removal::Ignore => {
                request(delete, Method::Delete, self.record_path(event, sys_id), Replay::Safe)
            }
        }
    }

    /// The columns that this event sets, without the key, as ServiceNow takes them: text only.
    pub(crate) fn record(&self, event: &Event, ids: &Ids) -> Result<Map<String, Value>, Reason> {
        if let Some(reference) = self.first_unknown(event, ids) {
            return Err(parent_missing(&reference));
        }
        self.draft(event, ids, |_| String::new())
    }

    /// The same, with something in place of ids that aren't known.
    pub(crate) fn draft(
        &self,
        event: &Event,
        ids: &[Option<String>],
        stand_in: impl Fn(&Unknown) -> String,
    ) -> Result<Map<String, Value>, Reason> {
        let mapped = self.fields.apply(event, ids)?;
        let unknown = mapped.unknown.iter().map(|unknown| (unknown.field.clone(), stand_in(unknown).into()));
        let mut record = Map::new();
        for (field, value) in mapped.fields.into_iter().chain(unknown) {
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
    pub(crate) fn addresses(&self, event: &Event, sent: &Outbound, sys_id: &str) -> bool {
        let path = sent.target.split('?').next().unwrap_or_default();
        path == self.record_path(event, sys_id)
    }

    /// Whether `write` is to one of this mapping's tables.
    pub(crate) fn writes_to(&self, write: &Outbound) -> bool {
        let path = write.target.split('?').next().unwrap_or_default();
        let is_below = |name: &String| {
            path.strip_prefix(&table::path(name)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.table.names().iter().any(is_below)
    }

    /// Whether a column can't be compared with what was sent.
    pub(crate) fn is_write_only(&self, column: &str) -> bool {
        column == self.key || JOURNALS.contains(&column) || self.write_only.iter().any(|other| other == column)
    }

    /// Only events that were accepted are sent, so that there is a table.
    fn path(&self, event: &Event) -> String {
        table::path(self.table.of(event).unwrap_or_default())
    }

    /// The caller has checked `sys_id`: it is one segment of a path.
    fn record_path(&self, event: &Event, sys_id: &str) -> String {
        format!("{}/{}", self.path(event), escape_path_segment(sys_id).unwrap_or_default())
    }

    /// A write, whose answer has what proves it, what tells our own change from another's, and the columns
    /// that were sent.
    fn write(
        &self,
        step: &'static str,
        method: Method,
        path: String,
        replay: Replay,
        record: &Map<String, Value>,
    ) -> Outbound {
        let mut columns = format!("sys_id,{},sys_mod_count,sys_updated_on", self.key);
        if self.policies.on_difference != OnDifference::Ignore {
            for column in record.keys().filter(|column| is_name(column) && !self.is_write_only(column)) {
                columns.push(',');
                columns.push_str(column);
            }
        }
        let write = with_columns(request(step, method, path, replay), &columns);
        let write = write.query("sysparm_exclude_reference_link", "true");
        match self.input {
            Input::Stored => write,
            Input::Displayed => write.query("sysparm_input_display_value", "true"),
        }
    }
}

/// The longest id that a record can have, for the size of a request.
const LONGEST_ID: usize = 64;

/// The id of the item's record, where nothing speaks against it.
fn remembered<'i>(item: &Item<'i>) -> Option<&'i str> {
    item.remembered.remote_id.filter(|id| !item.remembered.in_doubt && is_sys_id(id))
}

/// Keeps what is known of the entities that the record refers to.
pub(crate) fn keep(ids: &Ids, outbound: Outbound) -> Outbound {
    if ids.is_empty() { outbound } else { outbound.memo(json!(ids).to_string()) }
}

/// Asks for the record with that key, and for a second one.
fn find(step: &'static str, path: String, column: &str, key: &str) -> Outbound {
    request(step, Method::Get, path, Replay::Safe)
        .query("sysparm_query", &format!("{column}={}", key.replace('^', "^^")))
        .query("sysparm_fields", &format!("sys_id,{column}"))
        .query("sysparm_limit", "2")
        .query("sysparm_exclude_reference_link", "true")
}

/// A read without effect. Only events that were accepted and are not ignored are sent, so this keeps `begin`
/// total.
pub(crate) fn nothing() -> Outbound {
    request(step::NOTHING, Method::Get, "/api/now/table".into(), Replay::Safe)
}

pub(crate) fn request(step: &'static str, method: Method, path: String, replay: Replay) -> Outbound {
    Outbound::new(step, method, path, replay).header("accept", "application/json")
}

/// Asks for these columns, or for all where the list would be too long.
pub(crate) fn with_columns(request: Outbound, columns: &str) -> Outbound {
    if columns.len() <= COLUMNS_BYTES { request.query("sysparm_fields", columns) } else { request }
}

/// That an entity isn't there yet.
pub(crate) fn parent_missing(reference: &Reference) -> Reason {
    let Reference { kind, .. } = reference;
    Reason::new("parent_missing", format!("the record refers to a `{kind}` that is not in ServiceNow yet"))
}

/// ServiceNow holds text; its own JSON writes numbers and booleans as strings too. Null clears.
fn column_text(field: &str, value: Value) -> Result<String, Reason> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::String(text) if text.contains('\0') => Ok(text.replace('\0', "")),
        Value::String(text) => Ok(text),
        Value::Array(_) | Value::Object(_) => Err(unmappable(
            field,
            "holds a list or an object; point at one value inside it, or write it as text (`as = \"json\"`), with a \
             rule under `fields`",
        )),
    }
}

pub(crate) fn unmappable(field: &str, why: &str) -> Reason {
    Reason::new("unmappable_field", format!("the field `{field}` {why}"))
}

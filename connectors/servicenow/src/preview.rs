//! For people: the record that an event is written as, the writes that it may lead to, and what a write
//! would change.

use serde_json::Value;
use syncline_mapping::Unknown;
use syncline_sdk::{Difference, Event, Method, Outbound, Preview, PreviewField, Reason, Replay, Reply};

use crate::echo::{self, Input};
use crate::encode::{self, Mapping, step};
use crate::failure;
use crate::keys::is_path_safe;
use crate::model::{Row, result};
use crate::policy::{Aim, Removal};
use crate::table::is_name;

/// Stands for an id that only ServiceNow knows.
const SOME_RECORD: &str = "{sys_id}";

/// How an update that people ask for with display values is addressed.
const DISPLAYED: &str = "sysparm_input_display_value=true";

pub(crate) fn preview(mapping: &Mapping, event: &Event) -> Option<Preview> {
    let field = |name: &str, from: String, value: &Value| PreviewField {
        name: name.to_owned(),
        from,
        // An empty text is how ServiceNow empties a column.
        value: if value == "" { Value::Null } else { value.clone() },
    };
    let mut target = mapping.table.of(event).ok()?.to_owned();
    let mut key_column = &mapping.key;
    if let (Some(staging), Aim::Upsert) = (&mapping.import, mapping.aim(event)) {
        (target, key_column) = (format!("{} (import set for {target})", staging.name), &staging.key);
    }
    let fields = match (mapping.aim(event), &mapping.policies.removal) {
        (Aim::Remove, Removal::Set(columns)) => {
            columns.iter().map(|(name, value)| field(name, "on_delete.set".to_owned(), value)).collect()
        }
        (Aim::Nothing | Aim::Remove, _) => Vec::new(),
        (Aim::Upsert | Aim::CreateOnly | Aim::UpdateOnly(_), _) => {
            let from = if event.entity().id.is_some() { "entity.id" } else { "idempotency_key" };
            let key = field(key_column, from.to_owned(), &event.external_key().into());
            let record = mapping.draft(event, &[], stand_in).ok()?;
            let columns = record.iter().map(|(name, value)| field(name, mapping.fields.describe(name), value));
            std::iter::once(key).chain(columns).collect()
        }
    };
    Some(Preview { target, fields })
}

/// Which of them is sent depends on whether there is a record.
pub(crate) fn possible_writes(mapping: &Mapping, event: &Event) -> Vec<Outbound> {
    let (aim, record) = (mapping.aim(event), mapping.draft(event, &[], stand_in));
    let mut writes = Vec::new();
    if let (Some(staging), Aim::Upsert, Ok(record)) = (&mapping.import, aim, &record) {
        return staging.import(event, record).into_iter().collect();
    }
    if let (Aim::Upsert | Aim::CreateOnly, Ok(record)) = (aim, &record) {
        writes.push(mapping.create(event, record.clone()));
    }
    if let (Aim::Upsert | Aim::UpdateOnly(_), Ok(record)) = (aim, &record)
        && !record.is_empty()
    {
        writes.push(mapping.update(event, step::UPDATE, SOME_RECORD, record.clone()));
    }
    if aim == Aim::Remove {
        writes.push(mapping.remove(event, step::DELETE, step::UPDATE, SOME_RECORD));
    }
    for write in &mut writes {
        // It isn't a request that is sent, and people should be able to read it.
        write.target = write.target.replacen("/%7Bsys_id%7D", "/{sys_id}", 1);
    }
    writes
}

fn stand_in(Unknown { reference, .. }: &Unknown) -> String {
    format!("{{sys_id of {} {}}}", reference.kind, reference.id)
}

/// The columns that an update sets, as ServiceNow takes them; all, where the record would be deleted.
pub(crate) fn read_before(write: &Outbound) -> Option<Outbound> {
    let (path, query) = write.target.split_once('?').unwrap_or((&write.target, ""));
    let addressed = path.rsplit_once('/').is_some_and(|(_, id)| is_path_safe(id));
    if !addressed || !matches!(write.method, Method::Patch | Method::Delete) {
        return None;
    }
    let mut read = encode::request("read_before", Method::Get, path.to_owned(), Replay::Safe);
    if write.method == Method::Patch {
        let columns: Vec<_> = echo::written(write).into_iter().map(|(name, _)| name).collect();
        let columns: Vec<_> = columns.iter().map(String::as_str).filter(|name| is_name(name)).collect();
        read = encode::with_columns(read, &columns.join(","));
    }
    if query.contains(DISPLAYED) {
        read = read.query("sysparm_display_value", "true");
    }
    Some(read.query("sysparm_exclude_reference_link", "true"))
}

/// `is_write_only` says which columns can't be compared.
pub(crate) fn differences(
    write: &Outbound,
    before: Option<&Reply>,
    is_write_only: impl Fn(&str) -> bool,
) -> Result<Vec<Difference>, Reason> {
    let row: Option<Row> = match before {
        Some(reply) => Some(result(reply, 200).ok_or_else(|| unreadable(write, reply))?),
        None => None,
    };
    if write.method == Method::Delete {
        let held = row.iter().flat_map(|row| row.columns().filter_map(|name| Some((name, row.stored(name)?))));
        // What ServiceNow itself keeps of a record is no one's loss.
        let held = held.filter(|(name, stored)| !stored.is_empty() && !name.starts_with("sys_"));
        return Ok(held
            .map(|(name, stored)| Difference { field: name.to_owned(), before: Some(stored.into()), after: None })
            .collect());
    }
    let mut differences = Vec::new();
    for (column, after) in echo::written(write) {
        let stored = row.as_ref().filter(|_| !is_write_only(&column)).and_then(|row| row.stored(&column));
        let sent = after.as_str().unwrap_or_default();
        if stored.as_ref().is_none_or(|stored| !echo::is_same(sent, stored, Input::Stored)) {
            let before = stored.map(Value::from);
            differences.push(Difference { field: column, before, after: Some(after) });
        }
    }
    Ok(differences)
}

fn unreadable(write: &Outbound, reply: &Reply) -> Reason {
    // Of a read, whatever the write is.
    let asked = read_before(write).unwrap_or_else(encode::nothing);
    failure::reason(failure::failed(&asked, reply))
}

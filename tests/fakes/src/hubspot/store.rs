//! The records of an account, what is unique among them, and what search knows of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value};

use super::record::{Record, Version};
use super::refusal::Refusal;
use super::schema::ObjectType;
use super::time;
use super::values::{Invalid, normalise};
use super::webhooks::Event;

/// Ids of every type begin here, so that records of different types have the same ids.
const FIRST_ID: u64 = 1001;

/// Who writes.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) source_type: &'static str,
    pub(super) source_id: String,
    /// In milliseconds since 1970.
    pub(super) now: u64,
    /// Whether the account's validation rules hold.
    pub(super) rules_hold: bool,
    /// Whether `errors` repeats what the text says.
    pub(super) newer_errors: bool,
}

/// From, to, and the type of the association: types by name.
pub(super) type Link = (String, u64, String, u64, u64);

/// One object type with its records.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) definition: ObjectType,
    pub(super) records: BTreeMap<u64, Record>,
    unique: HashMap<(String, String), u64>,
    /// Merged ids, and what became of them.
    merged: HashMap<u64, u64>,
    /// What search knows.
    pub(super) indexed: BTreeMap<u64, Record>,
    next: u64,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) tables: Vec<Table>,
    pub(super) links: BTreeSet<Link>,
    /// What search will know: when, of which table, and which record.
    pending: VecDeque<(u64, usize, u64)>,
    pub(super) lag: u64,
    pub(super) index_held: bool,
    /// Type, property and value that 2026-09 refuses.
    pub(super) forbidden: Vec<(String, String, String)>,
    /// What was there before the changes of a batch that may be refused as a whole.
    undo: Option<Vec<(usize, u64, Option<Record>)>>,
    /// What webhooks have not told yet, and how much of it there was before such a batch.
    pub(super) events: Vec<Event>,
    told: usize,
}

impl Store {
    pub(super) fn new(types: Vec<ObjectType>) -> Self {
        let table = |definition| {
            let (records, unique, merged, indexed) = Default::default();
            Table { definition, records, unique, merged, indexed, next: FIRST_ID }
        };
        let (links, pending, forbidden, events) = Default::default();
        let tables = types.into_iter().map(table).collect();
        Self { tables, links, pending, lag: 0, index_held: false, forbidden, undo: None, events, told: 0 }
    }

    /// The table's place, by its name or its id.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.definition.name == name || table.definition.type_id == name)
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(self.place(name)?)
    }

    /// A live record by its own id, or by a merged one's where `follow`.
    pub(super) fn by_id(&self, at: usize, id: &str, follow: bool) -> Option<&Record> {
        let table = self.tables.get(at)?;
        let mut id: u64 = id.parse().ok()?;
        while let Some(next) = table.merged.get(&id).filter(|_| follow) {
            id = *next;
        }
        table.records.get(&id).filter(|record| record.archived_at.is_none())
    }

    /// A live record by a unique property.
    pub(super) fn by_value(&self, at: usize, property: &str, value: &str) -> Option<&Record> {
        let table = self.tables.get(at)?;
        let definition = table.definition.find(property)?;
        let value = normalise(definition, &value.into(), "").ok()?;
        table.records.get(table.unique.get(&(property.to_owned(), value))?)
    }

    /// Begins changes that can be undone.
    pub(super) fn begin(&mut self) {
        self.undo = Some(Vec::new());
        self.told = self.events.len();
    }

    /// Keeps the changes.
    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    /// Undoes the changes since `begin`. Ids stay used.
    pub(super) fn undo(&mut self) {
        for (at, id, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            self.replace(at, id, before);
        }
        self.events.truncate(self.told);
        let tables = &self.tables;
        let lives = |(name, id): (&String, u64)| {
            tables.iter().any(|table| table.definition.name == *name && table.records.contains_key(&id))
        };
        self.links.retain(|link| lives((&link.0, link.1)));
        self.pending.retain(|(_, at, id)| self.tables.get(*at).is_some_and(|table| table.records.contains_key(id)));
    }

    /// Creates a record.
    pub(super) fn create(
        &mut self,
        at: usize,
        values: &Map<String, Value>,
        writer: &Writer,
    ) -> Result<Record, Refusal> {
        let Some(table) = self.tables.get_mut(at) else { return Err(Refusal::unknown_type("")) };
        let has = |name: &String| values.get(name).is_some_and(|value| !value.is_null() && value != "");
        if let Some(group) = table.definition.minimum.iter().find(|group| !group.iter().any(has)) {
            let names = group.join(", ");
            return Err(Refusal::validation(format!(
                "Error creating {}. At least one of these is required: {names}",
                table.definition.singular.to_uppercase()
            )));
        }
        let id = table.next;
        let mut properties = BTreeMap::from([("hs_object_id".to_owned(), id.to_string())]);
        let source = [("", writer.source_type), ("_id", &writer.source_id), ("_label", writer.source_type)];
        properties.extend(source.map(|(end, value)| (format!("hs_object_source{end}"), value.to_owned())));
        properties.insert(table.definition.created().into(), time::iso(writer.now));
        let (created_at, updated_at, history) = (writer.now, writer.now, BTreeMap::new());
        let record = Record { id, properties, created_at, updated_at, archived_at: None, history };
        let record = self.written(at, record, values, writer)?;
        if let Some(table) = self.tables.get_mut(at) {
            table.next += 1;
        }
        self.tell(at, id, "creation", None, writer);
        self.tell_values(at, &record, values, writer);
        Ok(self.put(at, record, writer.now))
    }

    /// Updates a live record.
    pub(super) fn update(
        &mut self,
        at: usize,
        id: u64,
        values: &Map<String, Value>,
        writer: &Writer,
    ) -> Result<Record, Refusal> {
        let found = self.tables.get(at).and_then(|table| table.records.get(&id)).cloned();
        let record = found.ok_or_else(|| Refusal::missing("", &[id.to_string()]))?;
        let record = self.written(at, record, values, writer)?;
        self.tell_values(at, &record, values, writer);
        Ok(self.put(at, record, writer.now))
    }

    /// Archives a live record, or ends it for good.
    pub(super) fn archive(&mut self, at: usize, id: u64, now: u64, for_good: bool) -> Option<Record> {
        let mut record = self.tables.get(at)?.records.get(&id).filter(|record| record.archived_at.is_none())?.clone();
        record.archived_at = Some(now);
        if for_good {
            self.remember(at, id);
            self.replace(at, id, None);
            self.later(at, id, now);
            return Some(record);
        }
        Some(self.put(at, record, now))
    }

    /// Merges two live records into a new one, to which the ids of both lead.
    pub(super) fn merge(&mut self, at: usize, primary: u64, other: u64, writer: &Writer) -> Option<Record> {
        let both = [primary, other].map(|id| self.archive(at, id, writer.now, true));
        let [Some(primary), Some(other)] = both else { return None };
        let table = self.tables.get_mut(at)?;
        let mut record = Record { id: table.next, archived_at: None, updated_at: writer.now, ..primary.clone() };
        table.next += 1;
        table.merged.extend([(primary.id, record.id), (other.id, record.id)]);
        for (name, value) in &other.properties {
            record.properties.entry(name.clone()).or_insert_with(|| value.clone());
        }
        record.properties.insert("hs_object_id".into(), record.id());
        record.properties.insert(table.definition.modified().into(), time::iso(writer.now));
        let record = self.put(at, record, writer.now);
        self.tell(at, record.id, "merge", None, writer);
        if let Some(event) = self.events.last_mut() {
            event.merged = vec![primary.id, other.id];
        }
        Some(record)
    }

    /// Puts an event where webhooks find it.
    pub(super) fn tell(
        &mut self,
        at: usize,
        id: u64,
        kind: &'static str,
        property: Option<(String, String)>,
        writer: &Writer,
    ) {
        let source = (writer.source_type, writer.source_id.clone());
        self.events.push(Event { at, id, kind, property, merged: Vec::new(), source, now: writer.now });
    }

    fn tell_values(&mut self, at: usize, record: &Record, values: &Map<String, Value>, writer: &Writer) {
        for name in values.keys() {
            let property = Some((name.clone(), record.value(name).to_owned()));
            self.tell(at, record.id, "propertyChange", property, writer);
        }
    }

    /// The record with these values, if all of them are good.
    fn written(
        &self,
        at: usize,
        mut record: Record,
        values: &Map<String, Value>,
        writer: &Writer,
    ) -> Result<Record, Refusal> {
        let Some(table) = self.tables.get(at) else { return Err(Refusal::unknown_type("")) };
        let definition = &table.definition;
        let (mut invalid, mut conflict) = (Vec::new(), None);
        for (name, value) in values {
            let Some(property) = definition.find(name) else {
                let message = format!("Property \"{name}\" does not exist");
                invalid.push(Invalid { code: "PROPERTY_DOESNT_EXIST", message, property: name.clone() });
                continue;
            };
            let value = match normalise(property, value, record.value(name)) {
                Ok(value) => value,
                Err(one) => {
                    invalid.push(one);
                    continue;
                }
            };
            if writer.rules_hold && self.forbidden.contains(&(definition.name.clone(), name.clone(), value.clone())) {
                let message = format!("{value} breaks a validation rule of the account");
                invalid.push(Invalid { code: "VALIDATION_RULE", message, property: name.clone() });
                continue;
            }
            let holder = table.unique.get(&(name.clone(), value.clone())).filter(|holder| **holder != record.id);
            match holder {
                Some(holder) if name == "email" => conflict = Some(holder.to_string()),
                Some(holder) => {
                    let message = format!("A {} with {name} {value} already exists: {holder}", definition.singular);
                    invalid.push(Invalid { code: "CONFLICTING_UNIQUE_VALUE", message, property: name.clone() });
                }
                None => {}
            }
            let version = Version {
                value: value.clone(),
                timestamp: writer.now,
                source_type: writer.source_type.into(),
                source_id: writer.source_id.clone(),
            };
            record.history.entry(name.clone()).or_default().insert(0, version);
            if value.is_empty() {
                record.properties.remove(name);
            } else {
                record.properties.insert(name.clone(), value);
            }
        }
        if !invalid.is_empty() {
            return Err(Refusal::values(&invalid, writer.newer_errors));
        }
        if let Some(id) = conflict {
            return Err(Refusal::exists(&definition.singular, Some(&id)));
        }
        record.updated_at = writer.now;
        record.properties.insert(definition.modified().into(), time::iso(writer.now));
        Ok(record)
    }

    fn put(&mut self, at: usize, record: Record, now: u64) -> Record {
        self.remember(at, record.id);
        self.replace(at, record.id, Some(record.clone()));
        self.later(at, record.id, now);
        record
    }

    fn remember(&mut self, at: usize, id: u64) {
        if let Some(undo) = &mut self.undo {
            let before = self.tables.get(at).and_then(|table| table.records.get(&id)).cloned();
            undo.push((at, id, before));
        }
    }

    /// Keeps the table of unique values in step.
    fn replace(&mut self, at: usize, id: u64, record: Option<Record>) {
        let Some(table) = self.tables.get_mut(at) else { return };
        let unique: Vec<&str> =
            table.definition.properties.iter().filter(|one| one.unique).map(|one| one.name.as_str()).collect();
        let held = |record: &Record| -> Vec<(String, String)> {
            let values =
                unique.iter().filter_map(|name| Some(((*name).to_owned(), record.properties.get(*name)?.clone())));
            values.filter(|_| record.archived_at.is_none()).collect()
        };
        let before = table.records.remove(&id).as_ref().map(held).unwrap_or_default();
        for value in before {
            table.unique.remove(&value);
        }
        if let Some(record) = record {
            let now = held(&record);
            table.unique.extend(now.into_iter().map(|value| (value, id)));
            table.records.insert(id, record);
        }
    }

    fn later(&mut self, at: usize, id: u64, now: u64) {
        self.pending.push_back((now.saturating_add(self.lag), at, id));
    }

    /// Lets search know what is due.
    pub(super) fn index(&mut self, now: u64) {
        while let Some((due, at, id)) = self.pending.front().copied() {
            if self.index_held || due > now {
                return;
            }
            self.pending.pop_front();
            let Some(table) = self.tables.get_mut(at) else { continue };
            match table.records.get(&id).filter(|record| record.archived_at.is_none()) {
                Some(record) => drop(table.indexed.insert(id, record.clone())),
                None => drop(table.indexed.remove(&id)),
            }
        }
    }
}

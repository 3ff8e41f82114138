//! The records, found by id and by what their external ids and unique fields hold. Nothing is judged here.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::ids;
use super::schema::{Field, Object};

/// One record: every field's value, by the field's own name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Record {
    pub(super) values: Map<String, Value>,
}

/// A write that happened.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) kind: super::EffectKind,
    pub(super) object: String,
    pub(super) key: Option<String>,
    pub(super) record: Record,
}

/// All records of all objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    objects: Vec<Object>,
    tables: BTreeMap<String, Table>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    given: u64,
    rows: Vec<Record>,
    /// By the 15 characters.
    ids: HashMap<String, usize>,
    /// By field and folded value: deleted ones and those that hold it no longer are among them.
    values: HashMap<(String, String), Vec<usize>>,
}

impl Record {
    /// The 18 characters.
    pub fn id(&self) -> &str {
        self.text("Id")
    }

    /// A field's value, null where it has none. The name is the field's own, in its case.
    pub fn value(&self, field: &str) -> &Value {
        self.values.get(field).unwrap_or(&Value::Null)
    }

    /// A field's text, empty where it holds none.
    pub fn text(&self, field: &str) -> &str {
        self.value(field).as_str().unwrap_or_default()
    }

    /// Whether it lies in the recycle bin.
    pub fn is_deleted(&self) -> bool {
        self.value("IsDeleted") == true
    }
}

impl Store {
    pub(super) fn new(objects: Vec<Object>) -> Self {
        Self { objects, tables: BTreeMap::new() }
    }

    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn object(&self, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.name.eq_ignore_ascii_case(name))
    }

    /// The id that an object's next record will have.
    pub(super) fn next_id(&mut self, object: &Object) -> String {
        let table = self.tables.entry(object.name.clone()).or_default();
        table.given += 1;
        ids::record_id(&object.prefix, table.given)
    }

    /// The record of an id, deleted ones included.
    pub(super) fn get(&self, object: &str, id: &str) -> Option<&Record> {
        let table = self.tables.get(object)?;
        table.rows.get(*table.ids.get(&ids::short(id)?)?)
    }

    /// The object whose prefix an id has.
    pub(super) fn object_of(&self, id: &str) -> Option<&Object> {
        self.objects.iter().find(|object| id.starts_with(&object.prefix))
    }

    /// The live records that hold a value, in the order of creation.
    pub(super) fn holding(&self, object: &Object, field: &Field, value: &str) -> Vec<&Record> {
        let wanted = field.fold(value);
        let Some(table) = self.tables.get(&object.name) else { return Vec::new() };
        let rows = table.values.get(&(field.name.clone(), wanted.clone())).into_iter().flatten();
        rows.filter_map(|at| table.rows.get(*at))
            .filter(|record| {
                !record.is_deleted()
                    && text_of(record.value(&field.name)).is_some_and(|text| field.fold(&text) == wanted)
            })
            .collect()
    }

    /// Puts a record in, or in the place of the one of the same id.
    pub(super) fn put(&mut self, object: &Object, record: Record) {
        let Some(id) = ids::short(record.id()) else { return };
        let table = self.tables.entry(object.name.clone()).or_default();
        let at = *table.ids.entry(id).or_insert(table.rows.len());
        for field in object.fields.iter().filter(|field| field.external_id || field.unique) {
            if let Some(text) = text_of(record.value(&field.name)) {
                let rows = table.values.entry((field.name.clone(), field.fold(&text))).or_default();
                if !rows.contains(&at) {
                    rows.push(at);
                }
            }
        }
        match table.rows.get_mut(at) {
            Some(row) => *row = record,
            None => table.rows.push(record),
        }
    }

    /// All records of an object in the order of creation, deleted ones included.
    pub(super) fn all(&self, object: &str) -> &[Record] {
        self.tables.get(object).map_or(&[], |table| &table.rows)
    }

    /// The record's value in the object's key field.
    pub(super) fn key_of(&self, object: &str, record: &Record) -> Option<String> {
        text_of(record.value(&self.object(object)?.key()?.name))
    }
}

/// A value as text; nothing for null.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

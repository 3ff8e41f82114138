//! One record's write, from what the caller asks to the stored record. What it meets first decides the error.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::EffectKind;
use super::error::ApiError;
use super::ids;
use super::schema::{Field, Kind, Object};
use super::store::{Change, Record, Store, text_of};
use super::values::{accept, check_type};

/// What is to become of a record.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    Create,
    Update(String),
    Upsert { field: String, value: String, update_only: bool },
    Delete(String),
}

/// What a writer brings along.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) user: String,
    /// The time in the vendor's form.
    pub(super) now: String,
    pub(super) allow_duplicates: bool,
    /// The transaction, as the locks know it.
    pub(super) transaction: u64,
}

/// Who holds which record: by the 15 characters, the transaction, and whether it is about to create the record.
pub(super) type Locks = HashMap<String, (u64, bool)>;

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Refusal {
    Error(ApiError),
    /// Several records hold the external id: their ids.
    Several(Vec<String>),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// Refuses a body that the JSON parser would refuse as a whole.
pub(super) fn check_types(object: &Object, body: &Map<String, Value>) -> Result<(), ApiError> {
    let known = body.iter().filter_map(|(name, value)| Some((object.find(name)?, value)));
    known.into_iter().try_for_each(|(field, value)| check_type(field, value))
}

/// Carries one write out, in full or not at all.
pub(super) fn write(
    store: &mut Store,
    locks: &mut Locks,
    object: &Object,
    intent: &Intent,
    body: &Map<String, Value>,
    writer: &Writer,
) -> Result<Change, Refusal> {
    let (target, key) = target(store, locks, object, intent, writer)?;
    if let Intent::Delete(_) = intent {
        let record = target.ok_or_else(ApiError::not_found)?;
        lock(locks, &[record.id().to_owned()], writer)?;
        return Ok(delete(store, object, record, writer));
    }
    let mut values = accepted(store, object, body, target.is_some())?;
    values.extend(key);
    refuse_missing(object, &values, target.is_some())?;
    if let Some((field, refused, message)) = &object.validation
        && values.get(field).and_then(text_of).is_some_and(|value| value == *refused)
    {
        return Err(ApiError::new(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", message).fields(&[]).into());
    }
    refuse_duplicates(store, object, &values, target.as_ref(), writer)?;
    let mut held: Vec<String> = target.iter().map(|record| record.id().to_owned()).collect();
    held.extend(parents(object, &values));
    lock(locks, &held, writer)?;
    Ok(save(store, locks, object, target, values, writer))
}

type Key = Option<(String, Value)>;

/// The record that is there already, and what an upsert's path adds to the body.
fn target(
    store: &Store,
    locks: &Locks,
    object: &Object,
    intent: &Intent,
    writer: &Writer,
) -> Result<(Option<Record>, Key), Refusal> {
    match intent {
        Intent::Create => Ok((None, None)),
        Intent::Update(id) | Intent::Delete(id) => Ok((Some(by_id(store, object, id)?.clone()), None)),
        Intent::Upsert { field, value, update_only } => {
            let known = object.find(field).filter(|field| field.external_id && !field.hidden);
            let field = known.ok_or_else(|| ApiError::no_such_key(field))?;
            let found = store.holding(object, field, value);
            match found.as_slice() {
                [] if *update_only => Err(ApiError::not_found().into()),
                [] => Ok((None, Some((field.name.clone(), Value::String(value.clone()))))),
                [one] if is_foreign_creation(locks, one, writer) => {
                    // Not committed yet: this transaction does not see it, and its own create meets the index.
                    Err(ApiError::duplicate_value(&field.name, one.id()).into())
                }
                [one] => Ok((Some((*one).clone()), None)),
                several => Err(Refusal::Several(several.iter().map(|record| record.id().to_owned()).collect())),
            }
        }
    }
}

/// The live record of an id.
pub(super) fn by_id<'s>(store: &'s Store, object: &Object, id: &str) -> Result<&'s Record, ApiError> {
    if ids::short(id).is_none() {
        return Err(ApiError::not_found()
            .message("Provided external ID field does not exist or is not accessible: ".to_owned() + id));
    }
    let record = store.get(&object.name, id).ok_or_else(ApiError::not_found)?;
    if record.is_deleted() { Err(ApiError::documented("ENTITY_IS_DELETED").fields(&[])) } else { Ok(record) }
}

/// Whether another transaction, still open, is creating the record.
pub(super) fn is_foreign_creation(locks: &Locks, record: &Record, writer: &Writer) -> bool {
    ids::short(record.id())
        .and_then(|id| locks.get(&id))
        .is_some_and(|(by, creates)| *creates && *by != writer.transaction)
}

/// The body's values by the fields' own names, parents resolved.
fn accepted(
    store: &Store,
    object: &Object,
    body: &Map<String, Value>,
    exists: bool,
) -> Result<Map<String, Value>, ApiError> {
    let mut values = Map::new();
    let mut refused = Vec::new();
    for (name, value) in body.iter().filter(|(name, _)| *name != "attributes") {
        if let (Some((field, to)), Value::Object(parent)) = (object.relation(name), value) {
            values.insert(field.name.clone(), parent_of(store, to, parent)?);
            continue;
        }
        let field = object.find(name).filter(|field| !field.hidden);
        let field = field.ok_or_else(|| ApiError::no_column(name, &object.name))?;
        let fixed = matches!(field.kind, Kind::Reference { reparentable: false, .. });
        if !field.writable || (fixed && exists) {
            refused.push(field.name.clone());
            continue;
        }
        let value = accept(field, value)?;
        values.insert(field.name.clone(), reference(store, field, value)?);
    }
    if refused.is_empty() { Ok(values) } else { Err(ApiError::not_writable(&refused)) }
}

/// The 18 characters of a parent that is there.
fn reference(store: &Store, field: &Field, value: Value) -> Result<Value, ApiError> {
    let (Kind::Reference { to, .. }, Value::String(id)) = (&field.kind, &value) else { return Ok(value) };
    if ids::short(id).is_none() {
        let message = format!("{}: id value of incorrect type: {id}", field.label());
        return Err(ApiError::new(400, "MALFORMED_ID", message).fields(&[&field.name]));
    }
    match store.get(to, id) {
        Some(parent) if parent.is_deleted() => Err(ApiError::documented("ENTITY_IS_DELETED").fields(&[])),
        Some(parent) => Ok(parent.id().into()),
        None => Err(ApiError::documented("INVALID_CROSS_REFERENCE_KEY").fields(&[&field.name])),
    }
}

/// The parent that a body names by an external id.
fn parent_of(store: &Store, to: &str, named: &Map<String, Value>) -> Result<Value, ApiError> {
    let given = named.iter().find(|(name, _)| *name != "attributes");
    let given = given.and_then(|(name, value)| Some((name, text_of(value)?)));
    let (name, value) = given.ok_or_else(|| ApiError::documented("INVALID_CROSS_REFERENCE_KEY").fields(&[]))?;
    let object = store.object(to).ok_or_else(|| ApiError::documented("INVALID_TYPE"))?;
    let field = object.find(name).filter(|field| field.external_id);
    let field = field.ok_or_else(|| ApiError::no_column(name, to))?;
    match store.holding(object, field, &value).as_slice() {
        [one] => Ok(one.id().into()),
        [] => {
            let message = format!("Foreign key external ID: {value} not found for field {} in entity {to}", field.name);
            Err(ApiError::new(400, "INVALID_FIELD", message).fields(&[]))
        }
        _ => Err(ApiError::new(
            400,
            "DUPLICATE_EXTERNAL_ID",
            format!("{}: more than one record found: {value}", field.name),
        )),
    }
}

fn refuse_missing(object: &Object, values: &Map<String, Value>, exists: bool) -> Result<(), ApiError> {
    let required = object.fields.iter().filter(|field| field.required);
    let missing = |field: &&Field| values.get(&field.name).map_or(!exists, Value::is_null);
    let names: Vec<&str> = required.filter(missing).map(|field| field.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", names.join(", "));
    Err(ApiError::new(400, "REQUIRED_FIELD_MISSING", message).fields(&names))
}

fn refuse_duplicates(
    store: &Store,
    object: &Object,
    values: &Map<String, Value>,
    target: Option<&Record>,
    writer: &Writer,
) -> Result<(), ApiError> {
    let own = target.map(Record::id);
    for field in object.fields.iter().filter(|field| field.unique) {
        let Some(value) = values.get(&field.name).and_then(text_of) else { continue };
        if let Some(other) = store.holding(object, field, &value).iter().find(|other| Some(other.id()) != own) {
            return Err(ApiError::duplicate_value(&field.name, other.id()));
        }
    }
    let Some((rule, field)) = object.duplicate_rule.as_ref().filter(|_| own.is_none() && !writer.allow_duplicates)
    else {
        return Ok(());
    };
    let Some(value) = values.get(field).filter(|value| !value.is_null()) else { return Ok(()) };
    let alike = store.all(&object.name).iter().filter(|other| !other.is_deleted() && other.value(field) == value);
    let ids: Vec<&str> = alike.map(Record::id).collect();
    if ids.is_empty() { Ok(()) } else { Err(ApiError::duplicates_detected(rule, &object.name, &ids, true)) }
}

/// The parents that the write locks.
fn parents(object: &Object, values: &Map<String, Value>) -> impl Iterator<Item = String> {
    let locking = object.fields.iter().filter(|field| matches!(field.kind, Kind::Reference { locks: true, .. }));
    locking.filter_map(|field| values.get(&field.name).and_then(text_of))
}

/// Takes all the locks, or none.
fn lock(locks: &mut Locks, ids: &[String], writer: &Writer) -> Result<(), ApiError> {
    let foreign =
        |id: &&String| ids::short(id).and_then(|id| locks.get(&id)).is_some_and(|(by, _)| *by != writer.transaction);
    let held: Vec<String> = ids.iter().filter(foreign).cloned().collect();
    if !held.is_empty() {
        return Err(ApiError::locked(&held));
    }
    for id in ids.iter().filter_map(|id| ids::short(id)) {
        locks.entry(id).or_insert((writer.transaction, false));
    }
    Ok(())
}

fn save(
    store: &mut Store,
    locks: &mut Locks,
    object: &Object,
    target: Option<Record>,
    values: Map<String, Value>,
    writer: &Writer,
) -> Change {
    let kind = if target.is_some() { EffectKind::Updated } else { EffectKind::Created };
    let mut record = target.unwrap_or_else(|| blank(store, locks, object, writer));
    record.values.extend(values);
    touch(&mut record, writer);
    store.put(object, record.clone());
    Change { kind, object: object.name.clone(), key: store.key_of(&object.name, &record), record }
}

fn blank(store: &mut Store, locks: &mut Locks, object: &Object, writer: &Writer) -> Record {
    let mut values = Map::new();
    for field in &object.fields {
        let empty = if field.kind == Kind::Boolean { Value::Bool(false) } else { Value::Null };
        values.insert(field.name.clone(), empty);
    }
    let id = store.next_id(object);
    if let Some(id) = ids::short(&id) {
        locks.insert(id, (writer.transaction, true));
    }
    values.insert("Id".into(), id.into());
    values.insert("CreatedDate".into(), writer.now.clone().into());
    values.insert("CreatedById".into(), writer.user.clone().into());
    Record { values }
}

fn delete(store: &mut Store, object: &Object, mut record: Record, writer: &Writer) -> Change {
    record.values.insert("IsDeleted".into(), true.into());
    touch(&mut record, writer);
    store.put(object, record.clone());
    let key = store.key_of(&object.name, &record);
    Change { kind: EffectKind::Deleted, object: object.name.clone(), key, record }
}

fn touch(record: &mut Record, writer: &Writer) {
    record.values.insert("LastModifiedDate".into(), writer.now.clone().into());
    record.values.insert("SystemModstamp".into(), writer.now.clone().into());
    record.values.insert("LastModifiedById".into(), writer.user.clone().into());
}

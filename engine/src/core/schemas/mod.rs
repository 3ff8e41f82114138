//! What a payload has to look like, by entity type and schema version.
//!
//! Here is what becomes of an event; `compile` makes validators of documents, and `version` compares
//! versions. Where schemas come from is somebody else's business: nothing is read or fetched here.

mod compile;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;
use syncline_sdk::{Event, Operation, Reason};

use super::explain::{self, explain};
pub(crate) use compile::validator;
pub use version::SchemaVersion;

/// One JSON Schema (draft 2020-12) for the payloads of an entity type.
#[derive(Debug, Clone, PartialEq)]
pub struct PayloadSchema {
    entity: String,
    version: Option<SchemaVersion>,
    name: String,
    schema: Value,
}

impl PayloadSchema {
    /// A schema for payloads of `entity` under `version`, which is what events give as
    /// `metadata.schema_version`; `None` is for events that give none. Its name is
    /// `<entity>.v<version>.json` or `<entity>.json`.
    pub fn new(entity: impl Into<String>, version: Option<SchemaVersion>, schema: Value) -> Self {
        let entity = entity.into();
        let name = match &version {
            Some(version) => format!("{entity}.v{version}.json"),
            None => format!("{entity}.json"),
        };
        Self { entity, version, name, schema }
    }

    /// Another name: a path with `/`, which errors name, and by which other schemas refer to it,
    /// relative to their own.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// What becomes of an event whose schema version isn't known, or that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownSchema {
    /// It is dead-lettered as `unknown_schema`.
    #[default]
    Reject,
    /// The newest schema of its entity type applies: see [`SchemaVersion`].
    Newest,
    /// It isn't checked.
    None,
}

/// Compiled schemas for payloads. Entity types without any aren't checked, and deletes never are.
/// Cheap to clone.
#[derive(Clone, Default)]
pub struct PayloadSchemas {
    /// The newest of a type comes last: nothing, then texts, then integers.
    types: Arc<BTreeMap<String, BTreeMap<Option<SchemaVersion>, Validator>>>,
    unknown: UnknownSchema,
}

impl fmt::Debug for PayloadSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadSchemas")
            .field("known", &self.known().collect::<Vec<_>>())
            .field("unknown", &self.unknown)
            .finish()
    }
}

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{schema}: {message}")]
pub struct SchemaError {
    /// The schema's name.
    pub schema: String,
    /// What is wrong, with the JSON pointer to it.
    pub message: String,
}

/// Why schemas can't be used: everything that is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SchemaErrors(pub Vec<SchemaError>);

/// What the JSON of an event takes in memory at the most for all of its failures to be listed.
/// Failures take many times what they are about, and there can be one for each value.
const LISTED_WEIGHT: usize = 1 << 20;

impl PayloadSchemas {
    /// Compiles schemas. `$ref` leads to places within a document, or to another one of `schemas`, by
    /// its `$id` or its name; nothing is ever fetched or read.
    ///
    /// # Errors
    /// [`SchemaErrors`] for documents that are no JSON Schema, for references that lead to none of
    /// them, and for two schemas for the same version.
    pub fn compile(
        schemas: impl IntoIterator<Item = PayloadSchema>,
        unknown: UnknownSchema,
    ) -> Result<Self, SchemaErrors> {
        let schemas: Vec<_> = schemas.into_iter().collect();
        let validators = compile::compile(&schemas).map_err(SchemaErrors)?;
        let mut types = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (schema, validator) in schemas.into_iter().zip(validators) {
            types.entry(schema.entity).or_default().insert(schema.version, validator);
        }
        Ok(Self { types: Arc::new(types), unknown })
    }

    /// The entity types and versions that are known, in their order.
    pub fn known(&self) -> impl Iterator<Item = (&str, Option<&SchemaVersion>)> {
        self.types
            .iter()
            .flat_map(|(entity, versions)| versions.keys().map(move |version| (entity.as_str(), version.as_ref())))
    }

    /// Holds an event's payload against the schema that applies. `weight` is what the event takes in
    /// memory.
    ///
    /// Called once for a record, whatever number of destinations it goes to.
    pub(super) fn check(&self, event: &Event, weight: usize) -> Result<(), Reason> {
        let Some(versions) = self.types.get(&event.entity().kind) else { return Ok(()) };
        // What is deleted needs no fields, and mostly has none.
        if event.operation() == Operation::Delete {
            return Ok(());
        }
        let named = event.metadata().get("schema_version").filter(|version| !version.is_null());
        let known = match named.map(SchemaVersion::of) {
            None => versions.get(&None),
            Some(Some(version)) => versions.get(&Some(version)),
            Some(None) => None,
        };
        let validator = match (known, self.unknown) {
            (Some(validator), _) => validator,
            (None, UnknownSchema::None) => return Ok(()),
            (None, UnknownSchema::Reject) => return Err(unknown(event, named, versions.keys())),
            (None, UnknownSchema::Newest) => match versions.last_key_value() {
                Some((_, newest)) => newest,
                None => return Ok(()),
            },
        };
        let payload = event.payload_value();
        if validator.is_valid(payload) {
            return Ok(());
        }
        let text = if weight <= LISTED_WEIGHT {
            explain("/payload", validator.iter_errors(payload))
        } else {
            let first = explain("/payload", validator.validate(payload).err());
            first.map(|first| format!("{first}; the event is too large to look for more"))
        };
        Err(Reason::new("invalid_payload", text.unwrap_or_default()))
    }
}

fn unknown<'v>(event: &Event, named: Option<&Value>, known: impl Iterator<Item = &'v Option<SchemaVersion>>) -> Reason {
    let entity = explain::name(&event.entity().kind);
    let what = match named.map(SchemaVersion::of) {
        Some(Some(version)) => format!("no schema for the version `{version}` of `{entity}`"),
        Some(None) => format!("the schema version of `{entity}` is neither text nor a number"),
        None => format!("the event names no schema version of `{entity}`"),
    };
    let known = known.map(|version| version.as_ref().map_or("none named".to_owned(), |version| format!("`{version}`")));
    let message = format!("at `/metadata/schema_version`: {what}; known are: {}", known.collect::<Vec<_>>().join(", "));
    Reason::new("unknown_schema", message)
}

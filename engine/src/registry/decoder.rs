//! A schema that is ready for use: from the data of a value to the JSON of an event.

use bytes::Bytes;
use jsonschema::Validator;
use serde_json::Value;
use syncline_sdk::Reason;

use super::avro::{self, Misfit};
use super::{RegisteredSchema, Rules, SchemaFormat};
use crate::core::{explain, shown, validator, weight};

/// Turns data that were written with one schema into JSON.
#[derive(Debug)]
pub(crate) enum Decoder {
    Avro(avro::Schema),
    /// The data are JSON already, and may have to fit.
    Json(Option<Box<Validator>>),
}

/// A larger text is no schema of an event.
const LARGEST: usize = 4 << 20;
/// What a JSON Schema is called that a registry has given.
const DOCUMENT: &str = "schema";
/// What a value may take in memory, parsed, for all of its failures to be listed.
const LISTED_WEIGHT: usize = 1 << 20;

impl Decoder {
    /// Makes a schema ready.
    ///
    /// # Errors
    /// Why records that name it are dead-lettered.
    pub(crate) fn new(id: u32, schema: &RegisteredSchema, rules: Rules) -> Result<Self, Reason> {
        let bad = |what: String| Reason::new("bad_schema", format!("the schema {id} can't be used: {what}"));
        if schema.size() > LARGEST {
            return Err(bad(format!("with its references it has more than {LARGEST} bytes")));
        }
        match &schema.format {
            SchemaFormat::Avro => {
                // One that is referred to by two names is defined once.
                let mut others: Vec<&str> = Vec::new();
                for reference in &schema.references {
                    if !others.contains(&reference.schema.as_str()) {
                        others.push(&reference.schema);
                    }
                }
                avro::Schema::parse(&schema.schema, others).map(Self::Avro).map_err(bad)
            }
            SchemaFormat::Json if !rules.validate => Ok(Self::Json(None)),
            SchemaFormat::Json => {
                let others = schema.references.iter().map(|other| (other.name.as_str(), other.schema.as_str()));
                let validator = validator(DOCUMENT, &schema.schema, others).map_err(bad)?;
                Ok(Self::Json(Some(Box::new(validator))))
            }
            SchemaFormat::Other(name) => {
                let message = format!("the schema {id} is of the type {}; AVRO and JSON can be read", shown(name, 64));
                Err(Reason::new("unsupported_schema", message))
            }
        }
    }

    /// The JSON of `data`. Avro's has at most about `most` bytes; JSON is as it is, and not held
    /// against its schema where it is larger than `most`, as it will be refused for that.
    ///
    /// # Errors
    /// Why the record is dead-lettered. Values are never repeated.
    pub(crate) fn decode(&self, id: u32, data: &Bytes, most: usize) -> Result<Bytes, Reason> {
        match self {
            Self::Avro(schema) => match avro::decode(schema, data, most) {
                Ok(json) => Ok(Bytes::from(json)),
                Err(Misfit::TooLarge) => {
                    let message = format!("as JSON, the value has more than {most} bytes");
                    Err(Reason::new("event_too_large", message))
                }
                Err(misfit) => {
                    let message = format!("the data don't fit the schema {id}: {}", shown(&misfit.to_string(), 500));
                    Err(Reason::new("wire_data", message))
                }
            },
            Self::Json(Some(validator)) if data.len() <= most => fits(validator, id, data).map(|()| data.clone()),
            Self::Json(_) => Ok(data.clone()),
        }
    }
}

fn fits(validator: &Validator, id: u32, data: &Bytes) -> Result<(), Reason> {
    // What is no JSON is refused as that, and by whom that is always refused.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return Ok(()) };
    if validator.is_valid(&value) {
        return Ok(());
    }
    let failures = if weight(data) <= LISTED_WEIGHT {
        explain("", validator.iter_errors(&value))
    } else {
        explain("", validator.validate(&value).err())
    };
    let failures = failures.unwrap_or_default();
    Err(Reason::new("wire_data", format!("the data don't fit the schema {id}: {failures}")))
}

//! Avro schemas, read from their JSON into a flat list of types that refer to each other by number.
//!
//! As the specification (1.12) has it: what isn't known about a type is ignored, and so is a logical
//! type that doesn't fit what it annotates.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::core::shown;

/// The number of a type in its [`Schema`].
pub(super) type Id = usize;

/// A schema, with all types that it is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    kinds: Vec<Kind>,
    root: Id,
}

/// What a value of a type looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Record(Vec<(String, Id)>),
    Date,
    /// A time of day. Milliseconds are an `int`, the others a `long`.
    Time(Unit),
    Timestamp {
        unit: Unit,
        /// Whether it is the time of some place that isn't named.
        local: bool,
    },
    Decimal {
        scale: usize,
        /// `None` where each value has a length of its own.
        size: Option<usize>,
    },
    BigDecimal,
    /// Sixteen bytes. As text, it is text.
    Uuid,
    /// Months, days and milliseconds.
    Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// Larger scales have no use, and would make long texts of short values.
const LARGEST_SCALE: u64 = 1000;

impl Schema {
    /// Reads `schema`. What it refers to by name is defined in it or in one of `others`, each of which
    /// may refer to the ones before it.
    ///
    /// # Errors
    /// A sentence for people.
    pub(crate) fn parse<'s>(schema: &str, others: impl IntoIterator<Item = &'s str>) -> Result<Self, String> {
        let mut reader = Reader::default();
        for other in others {
            reader.read(&json(other)?, "")?;
        }
        let root = reader.read(&json(schema)?, "")?;
        let undefined = "a type is used and not defined".to_owned();
        let kinds = reader.kinds.into_iter().collect::<Option<_>>().ok_or(undefined)?;
        Ok(Self { kinds, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn kind(&self, id: Id) -> Option<&Kind> {
        self.kinds.get(id)
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("it is no JSON: see line {}, column {}", error.line(), error.column()))
}

#[derive(Default)]
struct Reader {
    /// `None` for a record whose fields are being read.
    kinds: Vec<Option<Kind>>,
    /// By full name.
    names: HashMap<String, Id>,
}

impl Reader {
    /// Reads a type. `space` is the namespace around it.
    fn read(&mut self, schema: &Value, space: &str) -> Result<Id, String> {
        match schema {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => {
                if branches.iter().any(Value::is_array) {
                    return Err("a union is directly within a union".to_owned());
                }
                let branches = branches.iter().map(|branch| self.read(branch, space)).collect::<Result<_, _>>()?;
                Ok(self.add(Kind::Union(branches)))
            }
            Value::Object(schema) => self.complex(schema, space),
            _ => Err("a type is neither text, list nor object".to_owned()),
        }
    }

    fn add(&mut self, kind: Kind) -> Id {
        self.kinds.push(Some(kind));
        self.kinds.len() - 1
    }

    fn named(&mut self, name: &str, space: &str) -> Result<Id, String> {
        if let Some(kind) = primitive(name) {
            return Ok(self.add(kind));
        }
        let full = full_name(name, space);
        let known = self.names.get(&full).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("the type `{}` is not defined", shown(&full, 200)))
    }

    fn complex(&mut self, schema: &Map<String, Value>, space: &str) -> Result<Id, String> {
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(inner) => return self.read(inner, space),
            None => return Err("a type has no `type`".to_owned()),
        };
        match kind {
            "record" | "error" => {
                let (id, space) = self.define(schema, space)?;
                let fields = self.fields(schema, &space)?;
                self.set(id, Kind::Record(fields));
                Ok(id)
            }
            "enum" => {
                let (id, _) = self.define(schema, space)?;
                let symbols = schema.get("symbols").and_then(Value::as_array).ok_or("an enum has no `symbols`")?;
                let symbols = symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned));
                let symbols = symbols.collect::<Option<_>>().ok_or("a symbol of an enum is no text")?;
                self.set(id, Kind::Enum(symbols));
                Ok(id)
            }
            "fixed" => {
                let (id, _) = self.define(schema, space)?;
                let size = schema.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let fixed = Kind::Fixed(size.ok_or("a fixed has no `size`")?);
                self.set(id, logical(fixed, schema));
                Ok(id)
            }
            "array" => {
                let items = schema.get("items").ok_or("an array has no `items`")?;
                let items = self.read(items, space)?;
                Ok(self.add(Kind::Array(items)))
            }
            "map" => {
                let values = schema.get("values").ok_or("a map has no `values`")?;
                let values = self.read(values, space)?;
                Ok(self.add(Kind::Map(values)))
            }
            name => match primitive(name) {
                Some(kind) => Ok(self.add(logical(kind, schema))),
                None => self.named(name, space),
            },
        }
    }

    fn fields(&mut self, schema: &Map<String, Value>, space: &str) -> Result<Vec<(String, Id)>, String> {
        let mut fields: Vec<(String, Id)> = Vec::new();
        for field in schema.get("fields").and_then(Value::as_array).ok_or("a record has no `fields`")? {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field has no `name`")?;
            let kind = field.get("type").ok_or_else(|| format!("the field `{}` has no `type`", shown(name, 200)))?;
            if fields.iter().any(|(known, _)| known == name) {
                return Err(format!("the field `{}` is there twice", shown(name, 200)));
            }
            fields.push((name.to_owned(), self.read(kind, space)?));
        }
        Ok(fields)
    }

    /// Gives a type its name, and tells the namespace within it. Its kind is still to come, as it may
    /// refer to itself.
    fn define(&mut self, schema: &Map<String, Value>, space: &str) -> Result<(Id, String), String> {
        let name = schema.get("name").and_then(Value::as_str).ok_or("a named type has no `name`")?;
        let space = schema.get("namespace").and_then(Value::as_str).unwrap_or(space);
        let full = full_name(name, space);
        let space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        self.kinds.push(None);
        let id = self.kinds.len() - 1;
        match self.names.insert(full.clone(), id) {
            Some(_) => Err(format!("the type `{}` is defined twice", shown(&full, 200))),
            None => Ok((id, space)),
        }
    }

    fn set(&mut self, id: Id, kind: Kind) {
        if let Some(slot) = self.kinds.get_mut(id) {
            *slot = Some(kind);
        }
    }
}

fn full_name(name: &str, space: &str) -> String {
    if space.is_empty() || name.contains('.') { name.to_owned() } else { format!("{space}.{name}") }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::Text,
        _ => return None,
    })
}

/// What a type's logical type makes of it, where that is known and fits.
fn logical(kind: Kind, schema: &Map<String, Value>) -> Kind {
    let timestamp = |unit, local| Kind::Timestamp { unit, local };
    match (schema.get("logicalType").and_then(Value::as_str).unwrap_or_default(), &kind) {
        ("date", Kind::Int) => Kind::Date,
        ("time-millis", Kind::Int) => Kind::Time(Unit::Millis),
        ("time-micros", Kind::Long) => Kind::Time(Unit::Micros),
        ("timestamp-millis", Kind::Long) => timestamp(Unit::Millis, false),
        ("timestamp-micros", Kind::Long) => timestamp(Unit::Micros, false),
        ("timestamp-nanos", Kind::Long) => timestamp(Unit::Nanos, false),
        ("local-timestamp-millis", Kind::Long) => timestamp(Unit::Millis, true),
        ("local-timestamp-micros", Kind::Long) => timestamp(Unit::Micros, true),
        ("local-timestamp-nanos", Kind::Long) => timestamp(Unit::Nanos, true),
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            let size = if let Kind::Fixed(size) = kind { Some(size) } else { None };
            let scale = schema.get("scale").map_or(Some(0), Value::as_u64).filter(|scale| *scale <= LARGEST_SCALE);
            let scale = scale.and_then(|scale| usize::try_from(scale).ok());
            scale.map_or(kind, |scale| Kind::Decimal { scale, size })
        }
        ("big-decimal", Kind::Bytes) => Kind::BigDecimal,
        ("uuid", Kind::Fixed(16)) => Kind::Uuid,
        ("duration", Kind::Fixed(12)) => Kind::Duration,
        _ => kind,
    }
}

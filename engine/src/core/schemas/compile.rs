//! From documents to validators. References are resolved among the documents, and nowhere else.

use std::collections::BTreeMap;
use std::error::Error;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ReferencingError, Registry, Retrieve, Uri, ValidationError, Validator, uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{PayloadSchema, SchemaError};
use crate::core::explain::{explain, shown};

/// What names of documents are relative to. No resolver anywhere knows the scheme.
const ROOT: &str = "syncline:///";

/// What a URI's path may hold as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The specification's own documents, which the validator brings along.
const STANDARD: [&str; 2] = ["https://json-schema.org/", "http://json-schema.org/"];

/// Keywords whose values are data, not schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Keywords whose values are schemas by name. A name says nothing: a field may be called `default`.
const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];

const REFERENCES: [&str; 2] = ["$ref", "$dynamicRef"];

/// One validator for each schema, in the same order.
pub(super) fn compile(schemas: &[PayloadSchema]) -> Result<Vec<Validator>, Vec<SchemaError>> {
    let mut errors = Vec::new();
    let documents = documents(schemas, &mut errors);
    same_version(schemas, &mut errors);
    let known = addresses(&documents, &mut errors);
    for document in &documents {
        document.check_dialect(&mut errors);
        document.check_references(&known, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let registry = registry(&documents).map_err(|error| vec![unresolved(&documents, None, &error)])?;
    let mut validators = Vec::with_capacity(documents.len());
    for document in &documents {
        let options = jsonschema::options().with_registry(&registry).with_retriever(Nowhere);
        match options.with_base_uri(document.address.as_str()).build(&document.schema.schema) {
            Ok(validator) => validators.push(validator),
            Err(error) => errors.push(unusable(&documents, document, error)),
        }
    }
    if errors.is_empty() { Ok(validators) } else { Err(errors) }
}

/// One validator for a JSON Schema that is given as text, under `name`. What it refers to is in `others`, by
/// the names that it uses: URIs, or paths relative to its `$id` or its name.
///
/// # Errors
/// A sentence for people.
pub(crate) fn validator<'s>(
    name: &'s str,
    schema: &'s str,
    others: impl IntoIterator<Item = (&'s str, &'s str)>,
) -> Result<Validator, String> {
    let parse = |name: &str, text: &str| {
        let said = |error: serde_json::Error| {
            format!("{} is no JSON: see line {}, column {}", shown(name, 200), error.line(), error.column())
        };
        serde_json::from_str::<Value>(text).map_err(said)
    };
    let schema = parse(name, schema)?;
    let id = schema.get("$id").and_then(Value::as_str).and_then(|id| uri::from_str(id.trim_end_matches('#')).ok());
    let mut documents = vec![PayloadSchema::new(name, None, schema).named(name)];
    for (name, text) in others {
        let absolute = id.as_ref().and_then(|id| uri::resolve_against(&id.borrow(), name).ok());
        let address = absolute.map_or_else(|| name.to_owned(), Uri::into_string);
        documents.push(PayloadSchema::new(address.as_str(), None, parse(name, text)?).named(address.as_str()));
    }
    let mut validators =
        compile(&documents).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    validators.drain(..).next().ok_or_else(|| "it has no validator".to_owned())
}

/// A schema, and where it is said to lie.
struct Document<'s> {
    schema: &'s PayloadSchema,
    address: Uri<String>,
}

fn documents<'s>(schemas: &'s [PayloadSchema], errors: &mut Vec<SchemaError>) -> Vec<Document<'s>> {
    let document = |schema: &'s PayloadSchema| match uri::from_str(&address(&schema.name)) {
        Ok(address) => Some(Document { schema, address }),
        Err(error) => {
            errors.push(refusal(schema, format!("the name can't be part of a URI: {error}")));
            None
        }
    };
    schemas.iter().filter_map(document).collect()
}

/// `./a/../b.json` → `syncline:///b.json`; a URI is as it is.
fn address(name: &str) -> String {
    if name.contains("://") || name.starts_with("urn:") {
        return name.to_owned();
    }
    let mut segments = Vec::new();
    for segment in name.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(utf8_percent_encode(segment, KEPT).to_string()),
        }
    }
    format!("{ROOT}{}", segments.join("/"))
}

fn same_version(schemas: &[PayloadSchema], errors: &mut Vec<SchemaError>) {
    let mut seen = BTreeMap::new();
    for schema in schemas {
        if let Some(first) = seen.insert((&schema.entity, &schema.version), schema) {
            let version =
                schema.version.as_ref().map_or("no version".to_owned(), |version| format!("version {version}"));
            let message = format!("is for {version} of `{}`, and so is {}", schema.entity, first.name);
            errors.push(refusal(schema, message));
        }
    }
}

/// Everything that references can lead to, by URI without fragment.
fn addresses<'s>(documents: &[Document<'s>], errors: &mut Vec<SchemaError>) -> BTreeMap<String, &'s PayloadSchema> {
    let mut known = BTreeMap::<_, &PayloadSchema>::new();
    for document in documents {
        let mut found = vec![document.address.clone()];
        document.walk(&mut |schema, base, _| {
            if schema.get("$id").is_some_and(Value::is_string) && !found.contains(base) {
                found.push(base.clone());
            }
        });
        for address in found {
            let address = without_fragment(address);
            if let Some(other) = known.get(&address) {
                let message = format!("has the same name or `$id` as {}: {address}", other.name);
                errors.push(refusal(document.schema, message));
            }
            known.insert(address, document.schema);
        }
    }
    known
}

fn without_fragment(mut uri: Uri<String>) -> String {
    uri.set_fragment(None);
    uri.into_string()
}

impl<'s> Document<'s> {
    fn check_dialect(&self, errors: &mut Vec<SchemaError>) {
        let Some(dialect) = self.schema.schema.get("$schema").and_then(Value::as_str) else { return };
        if !STANDARD.iter().any(|start| dialect.starts_with(start)) {
            let message = format!(
                "at `/$schema`: `{}` isn't known; leave it out, or write https://json-schema.org/draft/2020-12/schema",
                shown(dialect, 200)
            );
            errors.push(refusal(self.schema, message));
        }
    }

    /// Refuses what leads to none of the documents, before anyone could try to fetch it.
    fn check_references(&self, known: &BTreeMap<String, &PayloadSchema>, errors: &mut Vec<SchemaError>) {
        self.references(&mut |target, base, pointer| {
            let target = shown(target, 200);
            let message = match uri::resolve_against(&base.borrow(), &target).map(without_fragment) {
                Ok(uri) if known.contains_key(&uri) || STANDARD.iter().any(|start| uri.starts_with(start)) => return,
                Ok(_) => format!(
                    "at `{pointer}`: `{target}` is none of the schemas that are given, by `$id` or by name; nothing \
                     is ever fetched or read for a reference"
                ),
                Err(_) => format!("at `{pointer}`: `{target}` is no reference"),
            };
            errors.push(refusal(self.schema, message));
        });
    }

    /// Visits every reference: the text, the URI that it is relative to, and the pointer to it.
    fn references(&self, visit: &mut impl FnMut(&str, &Uri<String>, &str)) {
        self.walk(&mut |schema, base, pointer| {
            for keyword in REFERENCES {
                if let Some(target) = schema.get(keyword).and_then(Value::as_str) {
                    visit(target, base, &format!("{pointer}/{keyword}"));
                }
            }
        });
    }

    /// Visits every object that may be a schema: the URI that references in it are relative to, and
    /// the pointer to it.
    fn walk(&self, visit: &mut impl FnMut(&'s Map<String, Value>, &Uri<String>, &str)) {
        walk(&self.schema.schema, &self.address, "", visit);
    }
}

fn walk<'s>(
    value: &'s Value,
    base: &Uri<String>,
    pointer: &str,
    visit: &mut impl FnMut(&'s Map<String, Value>, &Uri<String>, &str),
) {
    match value {
        Value::Object(schema) => {
            let id = schema.get("$id").and_then(Value::as_str);
            let own = id.and_then(|id| uri::resolve_against(&base.borrow(), id.trim_end_matches('#')).ok());
            let base = own.as_ref().unwrap_or(base);
            visit(schema, base, pointer);
            for (key, value) in schema.iter().filter(|(key, _)| !DATA.contains(&key.as_str())) {
                let pointer = below(pointer, key);
                match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => {
                        for (name, value) in named {
                            walk(value, base, &below(&pointer, name), visit);
                        }
                    }
                    value => walk(value, base, &pointer, visit),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, base, &below(pointer, &index.to_string()), visit);
            }
        }
        _ => {}
    }
}

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn registry<'s>(documents: &[Document<'s>]) -> Result<Registry<'s>, ReferencingError> {
    let mut registry = Registry::new().retriever(Nowhere);
    for document in documents {
        registry = registry.add(document.address.as_str(), &document.schema.schema)?;
    }
    registry.prepare()
}

/// Finds nothing: a validator must not reach for the network or for files. The crate's own resolvers
/// for both are features that aren't compiled in; this holds even if another crate turns them on.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err(format!("{uri} is none of the schemas that are given, and nothing is ever fetched").into())
    }
}

fn refusal(schema: &PayloadSchema, message: String) -> SchemaError {
    SchemaError { schema: schema.name.clone(), message }
}

fn unusable(documents: &[Document<'_>], document: &Document<'_>, error: ValidationError<'_>) -> SchemaError {
    let message = match error.kind() {
        ValidationErrorKind::Referencing(error) => return unresolved(documents, Some(document), error),
        // About the schema, which is no secret.
        ValidationErrorKind::Custom { message, .. } => format!("at `{}`: {message}", error.schema_path().as_str()),
        _ => explain("", [error]).unwrap_or_default(),
    };
    refusal(document.schema, message)
}

/// A reference into a document that has no such place. The crate names the place, and not the
/// reference.
fn unresolved(documents: &[Document<'_>], within: Option<&Document<'_>>, error: &ReferencingError) -> SchemaError {
    let wanted = match error {
        ReferencingError::Unretrievable { uri, .. } => Some(uri),
        ReferencingError::PointerToNowhere { pointer }
        | ReferencingError::InvalidPercentEncoding { pointer, .. }
        | ReferencingError::InvalidArrayIndex { pointer, .. } => Some(pointer),
        ReferencingError::NoSuchAnchor { anchor } | ReferencingError::InvalidAnchor { anchor } => Some(anchor),
        _ => None,
    };
    let mut found = None;
    if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
        for document in within.into_iter().chain(documents) {
            document.references(&mut |target, _, pointer| {
                if found.is_none() && target.ends_with(wanted.as_str()) {
                    let message = format!("at `{pointer}`: `{}` leads nowhere", shown(target, 200));
                    found = Some(refusal(document.schema, message));
                }
            });
        }
    }
    found.unwrap_or_else(|| SchemaError {
        schema: within.map_or("the schemas".to_owned(), |document| document.schema.name.clone()),
        message: error.to_string(),
    })
}

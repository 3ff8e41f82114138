//! The vendor's error envelope, with its documented texts.

use serde_json::{Map, Value, json};

use super::reply::Reply;
use super::values::Invalid;

/// A refusal of a request, or of one input of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) category: Option<&'static str>,
    pub(super) message: String,
    /// Its `errors`.
    pub(super) details: Vec<Value>,
    /// Its `context`, and members that only this refusal has.
    pub(super) more: Map<String, Value>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, category: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        let (details, more, headers) = Default::default();
        Self { status, category: category.into(), message: message.into(), details, more, headers }
    }

    pub(super) fn context(mut self, name: &str, values: &[String]) -> Self {
        let context = self.more.entry("context").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(context) = context {
            context.insert(name.into(), json!(values));
        }
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As it stands in the `errors` of a batch.
    pub(super) fn entry(&self) -> Value {
        let mut body = Map::new();
        body.insert("status".into(), json!("error"));
        if let Some(category) = self.category {
            body.insert("category".into(), json!(category));
        }
        body.insert("message".into(), json!(self.message));
        if !self.details.is_empty() {
            body.insert("errors".into(), json!(self.details));
        }
        body.extend(self.more.clone());
        Value::Object(body)
    }

    /// As an answer.
    pub(super) fn reply(&self, correlation: u64) -> Reply {
        let mut body = self.entry();
        if let Value::Object(body) = &mut body {
            body.insert("correlationId".into(), json!(format!("00000000-0000-4000-8000-{correlation:012x}")));
        }
        let mut reply = Reply::json(self.status, &body);
        reply.headers.extend(self.headers.iter().cloned());
        reply
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    /// Values that are refused. The list inside the text is said again in `errors`, on newer answers.
    pub(super) fn values(invalid: &[Invalid], newer: bool) -> Self {
        let list = invalid
            .iter()
            .map(|one| json!({ "isValid": false, "message": one.message, "error": one.code, "name": one.property }));
        let list = Value::Array(list.collect());
        let mut refusal = Self::validation(format!("Property values were not valid: {list}"));
        if newer {
            let detail = |one: &Invalid| json!({ "message": one.message, "code": one.code, "context": { "propertyName": [one.property] } });
            refusal.details = invalid.iter().map(detail).collect();
        }
        refusal
    }

    /// A second record with one e-mail.
    pub(super) fn exists(singular: &str, id: Option<&str>) -> Self {
        let mut name = singular.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let known = id.map(|id| format!(". Existing ID: {id}")).unwrap_or_default();
        Self::new(409, "CONFLICT", format!("{name} already exists{known}"))
    }

    pub(super) fn missing(singular: &str, ids: &[String]) -> Self {
        let message = format!(
            "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
            singular.to_uppercase()
        );
        Self::new(404, "OBJECT_NOT_FOUND", message).context("ids", ids)
    }

    pub(super) fn not_unique(verb: &str, type_id: &str, property: &str) -> Self {
        Self::validation(format!("Unable to perform {verb} by non-unique {type_id} property {property}"))
    }

    pub(super) fn unknown_type(name: &str) -> Self {
        Self::new(400, None, format!("Unable to infer object type from: {name}"))
    }

    pub(super) fn unauthorised() -> Self {
        Self::new(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")
    }

    pub(super) fn expired() -> Self {
        Self::new(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call has expired.")
    }

    pub(super) fn scopes(scopes: &[String]) -> Self {
        let mut refusal =
            Self::new(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.");
        refusal.details = vec![json!({
            "message": "One or more of the following scopes are required.",
            "context": { "requiredGranularScopes": scopes },
        })];
        refusal.more.insert("links".into(), json!({ "scopes": "https://developers.hubspot.com/scopes" }));
        refusal
    }

    pub(super) fn locked() -> Self {
        Self::new(423, "LOCKED", "The record is locked. Try again in 2 seconds.")
    }

    pub(super) fn migrating(seconds: u64) -> Self {
        Self::new(477, None, "The account is being moved to another data center.")
            .header("retry-after", seconds.to_string())
    }

    pub(super) fn throttled(policy: &str) -> Self {
        let mut refusal = Self::new(429, None, format!("You have reached your {} limit.", policy.to_lowercase()));
        refusal.more.insert("errorType".into(), json!("RATE_LIMIT"));
        refusal.more.insert("policyName".into(), json!(policy));
        refusal
    }
}

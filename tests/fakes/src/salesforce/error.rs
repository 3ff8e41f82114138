//! Errors as data, with the documented texts, and their two shapes: of a request and of a row.

use serde_json::{Map, Value, json};

use super::schema::Field;
use crate::http::Reply;

/// One error. A request shows its code as `errorCode`, a row of a collection as `statusCode`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) fields: Option<Vec<String>>,
    pub(super) extra: Map<String, Value>,
}

impl ApiError {
    /// An error with this status, code and text.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), fields: None, extra: Map::new() }
    }

    /// The error of this code, with the documented status and text where there are any.
    pub fn documented(code: &str) -> Self {
        let (status, message) = documented(code);
        Self::new(status, code, message)
    }

    /// Names the fields that are to blame.
    #[must_use]
    pub fn fields(mut self, fields: &[&str]) -> Self {
        self.fields = Some(fields.iter().map(|field| (*field).to_owned()).collect());
        self
    }

    /// Another text.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// A duplicate rule's alert. The vendor spells its extra member `duplicateResut`.
    pub fn duplicates_detected(rule: &str, object: &str, ids: &[&str], allow_save: bool) -> Self {
        let found: Vec<_> =
            ids.iter().map(|id| json!({ "record": { "Id": id, "attributes": { "type": object } } })).collect();
        let result = json!({
            "allowSave": allow_save,
            "duplicateRule": rule,
            "duplicateRuleEntityType": object,
            "errorMessage": "Use one of these records?",
            "matchResults": [{ "entityType": object, "matchRecords": found, "success": true, "errors": [] }],
        });
        let mut error = Self::documented("DUPLICATES_DETECTED");
        error.extra.insert("duplicateResut".into(), result);
        error
    }

    pub(super) fn not_found() -> Self {
        Self::documented("NOT_FOUND")
    }

    pub(super) fn no_such_key(field: &str) -> Self {
        let message = format!("Provided external ID field does not exist or is not accessible: {field}");
        Self::not_found().message(message)
    }

    pub(super) fn no_column(field: &str, object: &str) -> Self {
        Self::new(400, "INVALID_FIELD", format!("No such column '{field}' on sobject of type {object}"))
    }

    pub(super) fn not_writable(fields: &[String]) -> Self {
        let names = fields.join(", ");
        let message = format!(
            "Unable to create/update fields: {names}. Please check the security settings of this field and verify that \
             it is read/write for your profile or permission set."
        );
        Self { fields: Some(fields.to_vec()), ..Self::new(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message) }
    }

    pub(super) fn duplicate_value(field: &str, id: &str) -> Self {
        let message = format!("duplicate value found: {field} duplicates value on record with id: {id}");
        Self::new(400, "DUPLICATE_VALUE", message).fields(&[])
    }

    pub(super) fn locked(ids: &[String]) -> Self {
        let which = if ids.len() == 1 { "this record".into() } else { format!("{} records", ids.len()) };
        let message = format!("unable to obtain exclusive access to {which}: {}", ids.join(","));
        Self::new(400, "UNABLE_TO_LOCK_ROW", message).fields(&[])
    }

    pub(super) fn too_long(field: &Field, value: &str) -> Self {
        let label = field.label();
        let most = field.max_length.unwrap_or_default();
        let message = format!("{label}: data value too large: {value} (max length={most})");
        Self::new(400, "STRING_TOO_LONG", message).fields(&[&field.name])
    }

    /// `[{"message":…,"errorCode":…,"fields":[…]}]`
    pub(super) fn reply(&self) -> Reply {
        Reply::json(self.status, &json!([self.shape("errorCode")]))
    }

    /// `{"statusCode":…,"message":…,"fields":[…]}`
    pub(super) fn row(&self) -> Value {
        let mut shape = self.shape("statusCode");
        if let Value::Object(shape) = &mut shape {
            shape.entry("fields").or_insert_with(|| json!([]));
        }
        shape
    }

    fn shape(&self, code: &str) -> Value {
        let mut shape = self.extra.clone();
        shape.insert("message".into(), self.message.clone().into());
        shape.insert(code.into(), self.code.clone().into());
        if let Some(fields) = &self.fields {
            shape.insert("fields".into(), json!(fields));
        }
        Value::Object(shape)
    }
}

/// Status and text of a code.
fn documented(code: &str) -> (u16, &'static str) {
    match code {
        "REQUIRED_FIELD_MISSING" => (400, "Required fields are missing: [Name]"),
        "STRING_TOO_LONG" => (400, "Name: data value too large: x (max length=80)"),
        "INVALID_EMAIL_ADDRESS" => (400, "Email: invalid email address: x"),
        "INVALID_CROSS_REFERENCE_KEY" => (400, "invalid cross reference id"),
        "DUPLICATES_DETECTED" => (400, "Use one of these records?"),
        "UNABLE_TO_LOCK_ROW" => {
            (400, "unable to obtain exclusive access to this record or 1 records: 001ak00000000000AAA")
        }
        "MALFORMED_ID" => (400, "malformed id"),
        "INVALID_TYPE" => (400, "sObject type is not supported."),
        "INVALID_QUERY_LOCATOR" => (400, "invalid query locator"),
        "QUERY_TIMEOUT" => (400, "Your query request was running for too long."),
        "JSON_PARSER_ERROR" => (400, "Unexpected character at [line:1, column:1]"),
        "INVALID_SESSION_ID" => (401, "Session expired or invalid"),
        "REQUEST_LIMIT_EXCEEDED" => (403, "TotalRequests Limit exceeded."),
        "TXN_SECURITY_METERING_ERROR" => (403, "Transaction security metering error"),
        "API_DISABLED_FOR_ORG" => (403, "The REST API is not enabled for this Organization."),
        "API_CURRENTLY_DISABLED" => (403, "API is currently disabled for this user"),
        "INSUFFICIENT_ACCESS_OR_READONLY" => (403, "insufficient access rights on object id"),
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => (403, "insufficient access rights on cross-reference id"),
        "NOT_FOUND" => (404, "The requested resource does not exist"),
        "ENTITY_IS_DELETED" => (404, "entity is deleted"),
        "METHOD_NOT_ALLOWED" => (405, "HTTP Method not allowed."),
        "UNSUPPORTED_API_VERSION" => (410, "The requested API version is no longer supported"),
        "URI_TOO_LONG" => (414, "URI too long"),
        "PRECONDITION_FAILED" => (412, "The record has been modified since"),
        "UNKNOWN_EXCEPTION" => {
            (500, "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-1 (1)")
        }
        "SERVER_UNAVAILABLE" => (503, "Server is too busy. Please try again later."),
        "ALL_OR_NONE_OPERATION_ROLLED_BACK" => {
            (400, "Record rolled back because not all records were valid and the request was using AllOrNone header")
        }
        _ => (400, "rejected"),
    }
}

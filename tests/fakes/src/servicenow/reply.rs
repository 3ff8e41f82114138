//! The vendor's error envelope with its documented texts.

use serde_json::{Value, json};

pub(super) use crate::http::{HTML, Reply};

impl Reply {
    /// The envelope that every documented error comes in. No detail is a JSON null.
    pub(super) fn error(status: u16, message: &str, detail: Option<&str>) -> Self {
        Self::json(status, &envelope(message, detail))
    }
}

/// `{"error":{"message":…,"detail":…},"status":"failure"}`
pub(super) fn envelope(message: &str, detail: Option<&str>) -> Value {
    json!({ "error": { "message": message, "detail": detail }, "status": "failure" })
}

pub(super) fn not_authenticated() -> Reply {
    Reply::error(401, "User Not Authenticated", Some("Required to provide Auth information"))
        .with("www-authenticate", "Basic realm=\"Service-now\"")
}

pub(super) fn unknown_path() -> Reply {
    Reply::error(400, "Requested URI does not represent any resource", None)
}

pub(super) fn invalid_table(table: &str) -> Reply {
    Reply::error(400, &format!("Invalid table {table}"), None)
}

pub(super) fn unreadable(detail: &str) -> Reply {
    Reply::error(400, "Exception while reading request", Some(detail))
}

pub(super) fn too_large(length: usize, limit: usize) -> Reply {
    let detail =
        format!("Rejected large REST payload with content-length = {length} bytes. Max allowed: {limit} bytes.");
    unreadable(&detail)
}

pub(super) fn no_record() -> Reply {
    Reply::error(404, "No Record found", Some("Record doesn't exist or ACL restricts the record retrieval"))
}

pub(super) fn operation_failed(status: u16, detail: &str) -> Reply {
    Reply::error(status, "Operation Failed", Some(detail))
}

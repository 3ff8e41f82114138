//! ServiceNow's JSON, as far as it is read. Whatever has another shape is no proof of anything.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use syncline_sdk::Reply;

use crate::keys::is_path_safe;

/// `{"result":…}` of a success, `{"error":{…},"status":"failure"}` of a failure, or both where a
/// time limit cut a success short.
#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    error: Option<Value>,
}

/// The `result` of a reply with exactly that status, where nothing speaks against it: the body is
/// JSON to its end, and has no `error`.
pub(crate) fn result<T: DeserializeOwned>(reply: &Reply, status: u16) -> Option<T> {
    let envelope = (reply.status == status).then(|| reply.json::<Envelope<T>>().ok())??;
    envelope.result.filter(|_| envelope.error.is_none())
}

/// The answer to a batch, which has no `result` around it.
pub(crate) fn batch_result<T: DeserializeOwned>(reply: &Reply) -> Option<T> {
    (reply.status == 200).then(|| reply.json().ok()).flatten()
}

/// A record's columns. ServiceNow leaves out those that do not exist or may not be read.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Row(Map<String, Value>);

impl Row {
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column).and_then(Value::as_str)
    }

    /// What the column holds, where it is there: a reference may come as an object with its `value`, and
    /// null is as empty as an empty text.
    pub(crate) fn stored(&self, column: &str) -> Option<Cow<'_, str>> {
        match self.0.get(column)? {
            Value::Null => Some("".into()),
            Value::String(text) => Some(text.into()),
            Value::Object(reference) => reference.get("value").and_then(Value::as_str).map(Cow::from),
            other => Some(other.to_string().into()),
        }
    }

    /// The names of the columns that are there.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The record's id, where it can be addressed with it.
    pub(crate) fn sys_id(&self) -> Option<&str> {
        self.text("sys_id").filter(|id| is_path_safe(id))
    }
}

/// ServiceNow's own error, which tells its failures from those of a proxy.
pub(crate) struct ApiError {
    message: String,
    detail: String,
}

impl ApiError {
    pub(crate) fn of(reply: &Reply) -> Option<Self> {
        let error = reply.json::<Envelope<Value>>().ok()?.error?;
        let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { message: text("message"), detail: text("detail") })
    }

    /// Whether the message or the detail has that fragment, in any case.
    pub(crate) fn says(&self, fragment: &str) -> bool {
        let fragment = fragment.to_ascii_lowercase();
        [&self.message, &self.detail].iter().any(|text| text.to_ascii_lowercase().contains(&fragment))
    }

    /// Both, for people.
    pub(crate) fn text(&self) -> String {
        match (self.message.as_str(), self.detail.as_str()) {
            ("", detail) => detail.to_owned(),
            (message, "") => message.to_owned(),
            (message, detail) => format!("{message}: {detail}"),
        }
    }
}

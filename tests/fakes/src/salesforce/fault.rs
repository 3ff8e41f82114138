//! How an answer can go wrong. When it does is said by a [`Rule`](super::Rule).

use std::time::Duration;

use serde_json::json;

use super::error::ApiError;
use crate::http::{HTML, Reply};

/// One way to misbehave. Before the commit, which is the default, the request is not carried out; after it
/// ([`Rule::after_commit`](super::Rule::after_commit)) it is carried out in full, and only its answer is lost or false.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// An error of the API: of the request, or with [`Rule::rows`](super::Rule::rows) of a row.
    Error(ApiError),
    /// A status with no body.
    Empty(u16),
    /// A status with an HTML page, as maintenance has.
    Html(u16),
    /// A status with this body.
    Text {
        /// The HTTP status.
        code: u16,
        /// The `Content-Type` header.
        content_type: String,
        /// The body.
        body: String,
    },
    /// A collection's true rows, with status 400 in the place of 200.
    RowsAs400,
    /// A body that ends before its announced length, with the connection.
    CutBody,
    /// A body of the announced length that stops being JSON.
    BrokenJson,
    /// A whole and true answer, whose body takes this long to arrive.
    SlowBody(Duration),
    /// A true answer, late. Before the commit the transaction stays open meanwhile: it holds its locks, nobody sees
    /// what it creates, and it ends **even when the client has left**.
    Delay(Duration),
    /// The same, until the rule is no longer in force.
    Held,
    /// No answer ever, on a connection that stays open until the client or the fake gives up.
    Hang,
    /// No answer: the connection is reset (RST).
    Reset,
    /// No answer: the connection is closed (FIN).
    Close,
}

/// How the request ends.
#[derive(Debug)]
pub(super) enum Outcome {
    Whole(Reply),
    Cut(Reply),
    Slow(Reply, Duration),
    Hang,
    Reset,
    Close,
}

impl Fault {
    /// The error of this code, with the documented status and text: `UNABLE_TO_LOCK_ROW`, `ENTITY_IS_DELETED`, ….
    pub fn error(code: &str) -> Self {
        Self::Error(ApiError::documented(code))
    }

    /// 403 `REQUEST_LIMIT_EXCEEDED`: the day's calls are used up.
    pub fn daily_limit() -> Self {
        Self::error("REQUEST_LIMIT_EXCEEDED")
    }

    /// 403 `REQUEST_LIMIT_EXCEEDED`: too many long calls at once.
    pub fn concurrent_limit() -> Self {
        let message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
        Self::Error(ApiError::documented("REQUEST_LIMIT_EXCEEDED").message(message))
    }

    /// 400 `DUPLICATE_VALUE`, as the loser of two parallel upserts meets it.
    pub fn upsert_race(field: &str) -> Self {
        Self::Error(ApiError::duplicate_value(field, "001ak00000zzzzzAAA"))
    }

    /// 401 `INVALID_SESSION_ID`.
    pub fn session_expired() -> Self {
        Self::error("INVALID_SESSION_ID")
    }

    /// Whether the request is carried out although the fault comes before the commit. A read has nothing to commit, so
    /// a spoiled answer to one is spoiled from the true answer.
    pub(super) fn carries_out(&self, write: bool) -> bool {
        match self {
            Self::Delay(_) | Self::Held | Self::SlowBody(_) | Self::RowsAs400 => true,
            Self::CutBody | Self::BrokenJson => !write,
            _ => false,
        }
    }

    pub(super) fn lingers(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Held)
    }

    /// The outcome. `reply` is the true one, where the request was carried out.
    pub(super) fn outcome(&self, reply: Option<Reply>) -> Outcome {
        let untrue = || Reply::json(200, &json!({ "id": "001ak00000zzzzzAAA", "success": true, "errors": [] }));
        let mut reply = reply.unwrap_or_else(untrue);
        Outcome::Whole(match self {
            Self::Error(error) => error.reply(),
            Self::Empty(code) => Reply::empty(*code),
            Self::Html(code) => Reply::text(*code, HTML, format!("<html><body><h1>{code}</h1></body></html>")),
            Self::Text { code, content_type, body } => Reply::text(*code, content_type, body.clone()),
            Self::RowsAs400 => {
                reply.status = 400;
                reply
            }
            Self::BrokenJson => {
                let half = reply.body.len() / 2;
                let spoiled = [&reply.body.slice(..half)[..], " ".repeat(reply.body.len() - half).as_bytes()].concat();
                reply.body = spoiled.into();
                reply
            }
            Self::Delay(_) | Self::Held => reply,
            Self::CutBody => return Outcome::Cut(reply),
            Self::SlowBody(over) => return Outcome::Slow(reply, *over),
            Self::Hang => return Outcome::Hang,
            Self::Reset => return Outcome::Reset,
            Self::Close => return Outcome::Close,
        })
    }
}

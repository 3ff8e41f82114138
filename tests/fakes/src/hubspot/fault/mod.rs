//! How an answer can go wrong. When it does is said by a [`Rule`].

mod rule;
mod rules;

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

pub use rule::Rule;
pub use rules::RuleId;
pub(super) use rules::{Fired, Rules, Seen};

use super::refusal::Refusal;
use super::reply::Reply;
use super::values::Invalid;

/// One way to misbehave. Before the commit, which is the default, the request or input is not carried out; after it
/// ([`Rule::after_commit`]) it is carried out in full, and only its answer is lost or false.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A status with the JSON envelope: the documented text where there is one. 401, 404, 423 and 477 are documented.
    Status(u16),
    /// A status with no body.
    Empty(u16),
    /// A status with a proxy's HTML page, as of 502, 503 and 504.
    Html(u16),
    /// A status with this content type and body.
    Text(u16, String, String),
    /// 401, because the token's time is over.
    Expired,
    /// 403 `MISSING_SCOPES`, which names these.
    MissingScopes(Vec<String>),
    /// 404 with the HTML page of a record that is not there.
    NotFoundPage,
    /// 409 `CONFLICT`, with `Existing ID: …` in the text or without.
    Conflict(Option<String>),
    /// 400 `VALIDATION_ERROR`: a value is refused, with this code and for this property.
    Invalid(&'static str, String),
    /// 423: the record is locked.
    Locked,
    /// 429, without `Retry-After`.
    RateLimit(Policy),
    /// 477: the account is being moved, come back after so many seconds.
    Migrating(u64),
    /// A success of the announced length whose JSON stops half-way.
    BrokenJson,
    /// A body that ends before its announced length, with the connection.
    CutBody,
    /// A whole and true answer, whose body takes this long to arrive.
    SlowBody(Duration),
    /// A true answer, late. Before the commit the wait comes first, and the write takes effect after it **even when
    /// the client has left**.
    Delay(Duration),
    /// A true answer, once the rule is no longer in force. Where the wait comes, and that the client may leave: as
    /// with `Delay`.
    Held,
    /// No answer ever, on a connection that stays open until the client or the fake gives up.
    Hang,
    /// No answer: the connection is reset (RST).
    Reset,
    /// No answer: the connection is closed (FIN).
    Close,
}

/// Which limit a 429 tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `TEN_SECONDLY_ROLLING`.
    TenSecondly,
    /// `SECONDLY`, of search.
    Secondly,
    /// `DAILY`.
    Daily,
}

impl Policy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TenSecondly => "TEN_SECONDLY_ROLLING",
            Self::Secondly => "SECONDLY",
            Self::Daily => "DAILY",
        }
    }
}

/// How a request ends.
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
    /// Whether the request is carried out although the fault comes before the commit. A read has nothing to commit, so
    /// a spoiled answer to one is spoiled from the true answer.
    pub(super) fn carries_out(&self, write: bool) -> bool {
        match self {
            Self::Delay(_) | Self::Held | Self::SlowBody(_) => true,
            Self::CutBody | Self::BrokenJson => !write,
            _ => false,
        }
    }

    pub(super) fn lingers(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Held)
    }

    /// What it says of one input, where it can.
    pub(super) fn refusal(&self, singular: &str) -> Option<Refusal> {
        Some(match self {
            Self::Status(code) => documented(*code, singular),
            Self::Expired => Refusal::expired(),
            Self::MissingScopes(scopes) => Refusal::scopes(scopes),
            Self::Conflict(id) => Refusal::exists(singular, id.as_deref()),
            Self::Invalid(code, property) => {
                let message = "the fake refuses it, as it was told to".into();
                Refusal::values(&[Invalid { code, message, property: property.clone() }], true)
            }
            Self::Locked => Refusal::locked(),
            Self::RateLimit(policy) => Refusal::throttled(policy.name()),
            Self::Migrating(seconds) => Refusal::migrating(*seconds),
            _ => return None,
        })
    }

    /// The outcome. `reply` is the true one, where the request was carried out.
    pub(super) fn outcome(&self, reply: Option<Reply>, singular: &str, sequence: u64) -> Outcome {
        if let Some(refusal) = self.refusal(singular) {
            return Outcome::Whole(refusal.reply(sequence));
        }
        let reply = || reply.unwrap_or_else(|| Reply::json(200, &json!({ "status": "COMPLETE", "results": [] })));
        Outcome::Whole(match self {
            Self::Empty(code) => Reply::empty(*code),
            Self::Html(code) => Reply::html(*code),
            Self::Text(code, content_type, body) => Reply::text(*code, content_type, body.clone()),
            Self::NotFoundPage => Reply::not_found(true),
            Self::BrokenJson => {
                let mut reply = reply();
                let length = reply.body.len();
                let start = reply.body.slice(..length / 2);
                // Spaces keep the announced length, so that only the JSON is broken.
                reply.body = Bytes::from([&start, " ".repeat(length - length / 2).as_bytes()].concat());
                reply
            }
            Self::CutBody => return Outcome::Cut(reply()),
            Self::SlowBody(over) => return Outcome::Slow(reply(), *over),
            Self::Hang => return Outcome::Hang,
            Self::Reset => return Outcome::Reset,
            Self::Close => return Outcome::Close,
            _ => reply(),
        })
    }
}

fn documented(code: u16, singular: &str) -> Refusal {
    match code {
        401 => Refusal::unauthorised(),
        404 => Refusal::missing(singular, &[]),
        423 => Refusal::locked(),
        429 => Refusal::throttled(Policy::TenSecondly.name()),
        477 => Refusal::migrating(60),
        code => Refusal::new(code, None, "internal error"),
    }
}

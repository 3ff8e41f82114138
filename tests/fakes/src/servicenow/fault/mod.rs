//! How an answer can go wrong. When it does is said by a [`Rule`].

mod render;
mod rule;
mod rules;

use std::time::Duration;

pub(super) use render::{Outcome, aborted, denied};
pub use rule::Rule;
pub use rules::RuleId;
pub(super) use rules::{Fired, Rules, Seen};

/// One way to misbehave. Before the commit, which is the default, the request is not carried out; after it
/// ([`Rule::after_commit`]) it is carried out in full, and only its answer is lost or false.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// An error status. See [`Fault::status`], [`Fault::empty`] and [`Fault::html`].
    Status {
        /// The HTTP status.
        code: u16,
        /// What comes with it.
        body: ErrorBody,
    },
    /// 403 `Operation against file '…' was aborted by Business Rule '…'`, with this rule's name. A row that is imported
    /// has the status `error` instead, inside a 201: in each target table, or in the one that the rule names.
    BusinessRule(String),
    /// 403 `ACL Exception Insert Failed due to security constraints`, or `Update`, or `Delete`. A row that is imported:
    /// as with `BusinessRule`.
    AclDenied,
    /// 429.
    Throttle {
        /// The `Retry-After` header.
        retry_after: RetryAfter,
        /// With the `X-RateLimit-*` headers of a rate-limit rule, or without, as when the node is out of threads.
        rate_limit_headers: bool,
    },
    /// An empty 202: taken, and dropped in silence.
    AcceptedAndDropped,
    /// The time or the size of a batch is over: this item is left unserviced, and so are those after it. For a batch
    /// itself: all of its items. Other requests get a true answer.
    Unserviced,
    /// A 200 that is the HTML page for logging in.
    LoginPage,
    /// A 200 that is the HTML page of a hibernating developer instance.
    HibernatingPage,
    /// A 200 (201) of the announced length whose JSON stops and goes over into an error: it does not parse.
    BrokenJson,
    /// A 200 (201) whose JSON has both `result` and `error`: it does parse.
    AppendedError,
    /// A body that ends before its announced length, with the connection.
    CutBody,
    /// A whole and true answer, whose body takes this long to arrive.
    SlowBody(Duration),
    /// A true answer, late. Before the commit the wait comes first, and the write takes effect after it **even when
    /// the client has left**, as the vendor's transaction would.
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

/// What comes with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorBody {
    /// The JSON envelope, with the documented text for the status where there is one.
    Envelope,
    /// Nothing.
    Empty,
    /// A proxy's HTML page.
    Html,
    /// This.
    Text {
        /// The `Content-Type` header.
        content_type: String,
        /// The body.
        body: String,
    },
}

/// A `Retry-After` header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// None.
    Absent,
    /// In seconds.
    Seconds(u64),
    /// As an HTTP date, this long after now. The vendor documents seconds only.
    Date(Duration),
    /// As it stands, sense or nonsense.
    Raw(String),
}

impl Fault {
    /// An error status with the JSON envelope.
    pub fn status(code: u16) -> Self {
        Self::Status { code, body: ErrorBody::Envelope }
    }

    /// An error status with no body.
    pub fn empty(code: u16) -> Self {
        Self::Status { code, body: ErrorBody::Empty }
    }

    /// An error status with an HTML page.
    pub fn html(code: u16) -> Self {
        Self::Status { code, body: ErrorBody::Html }
    }

    /// 429 by a rate-limit rule: `Retry-After` in seconds, with `X-RateLimit-*`.
    pub fn throttle(seconds: u64) -> Self {
        Self::Throttle { retry_after: RetryAfter::Seconds(seconds), rate_limit_headers: true }
    }

    /// 429 because the node is out of threads: no headers at all.
    pub fn busy() -> Self {
        Self::Throttle { retry_after: RetryAfter::Absent, rate_limit_headers: false }
    }
}

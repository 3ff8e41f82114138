//! The trait that every connector implements.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use crate::{
    Answered, Auth, BaseUrl, Batch, Difference, Event, Examination, Item, Method, Outbound, Preview, Reason, Reference,
    Remembered, Reply, Verdict, Verdicts,
};

/// Translates events into requests to one CRM, and its replies into verdicts.
///
/// # Contract
///
/// - **Pure.** The same arguments give the same result. No clock, no randomness, no I/O, no
///   memory between calls: what a conversation needs to know travels in [`Batch`] and in the
///   [`Outbound`] that was sent.
/// - **Total.** No reply may panic: any status from 100 to 599 with any body gets an answer.
/// - **Honest.** [`Verdict::Delivered`](crate::Verdict::Delivered) and `Unchanged` are stated only
///   on proof for that very event. Whatever isn't proven stays `Unknown`, which is how
///   [`Verdicts`] start.
/// - **Bounded.** A conversation (one [`begin`](Self::begin), then as many
///   [`Progress::Call`]s as needed) has at most 16 requests. The engine ends longer ones.
pub trait CrmConnector: Debug + Send + Sync + 'static {
    /// Where requests go, with which credentials and limits, and what the connector can do.
    /// Constant for the connector's life.
    fn endpoint(&self) -> &Endpoint;

    /// The entity types that the configuration maps. A route that names another one is refused
    /// at start.
    fn entity_types(&self) -> Vec<&str>;

    /// Whether this event can be turned into a request, so that a bad one never spoils its batch.
    /// Called before [`begin`](Self::begin), which is only given accepted events.
    ///
    /// # Errors
    /// The [`Reason`] with which the event is dead-lettered.
    fn accepts(&self, event: &Event) -> Result<(), Reason>;

    /// With which events this one may travel: only those of one group share a batch. Called for accepted
    /// events, where batches have more than one. By default all may.
    fn group(&self, _event: &Event) -> u64 {
        0
    }

    /// The first request for a batch. At most [`Limits::batch_events`] items are given.
    fn begin(&self, batch: &Batch<'_>) -> Outbound;

    /// What follows from the reply to `sent`: another request, or one verdict for each event.
    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress;

    /// What a reply, of any status, says about the provider's limits. The engine does the arithmetic,
    /// so that they are kept before the first refusal. Where a reply says nothing, nothing changes.
    fn readings(&self, _reply: &Reply) -> Vec<QuotaReading> {
        Vec::new()
    }

    /// Whether nothing is to be done about an accepted event, such as a delete where records are kept: it ends as
    /// unchanged, without a request.
    fn ignores(&self, _event: &Event) -> bool {
        false
    }

    /// Other entities of the same destination whose ids in the CRM the event's record holds, each once. What
    /// the engine remembers of them comes with the [item](crate::Remembered::references); for one that isn't
    /// in the CRM yet the connector gives [`Verdict::Await`](crate::Verdict::Await). Called for accepted events.
    fn references(&self, _event: &Event) -> Vec<Reference> {
        Vec::new()
    }

    /// The record that an accepted event would be written as, for people, and to compare two
    /// configurations. Deletes have no fields. `None` where the connector doesn't tell.
    fn preview(&self, _event: &Event) -> Option<Preview> {
        None
    }

    /// Every write that an accepted event may lead to, of which one is sent, depending on what the CRM
    /// answers to the reads before it. By default the first request, if that writes.
    fn possible_writes(&self, event: &Event) -> Vec<Outbound> {
        let items = [Item { event, remembered: Remembered::default() }];
        let first = self.begin(&Batch::new(&items));
        if first.method == Method::Get { Vec::new() } else { vec![first] }
    }

    /// The read that shows what this write, one of the connector's own, would change. `None` where there is
    /// no record to read, or the connector doesn't tell.
    fn read_before(&self, _write: &Outbound) -> Option<Outbound> {
        None
    }

    /// What this write, one of the connector's own, would change, field by field. `before` is the answer to
    /// [`read_before`](Self::read_before), where there was something to read.
    ///
    /// # Errors
    /// Why `before` can't be compared.
    fn differences(&self, _write: &Outbound, _before: Option<&Reply>) -> Result<Vec<Difference>, Reason> {
        Ok(Vec::new())
    }

    /// Whether the CRM is set up for what the configuration wants of it: asked first with no answers, then
    /// with those to all that it has asked for so far, in that order, until it is done. Only reads may be
    /// asked for. By default there is nothing to find.
    fn examine(&self, _answered: &[Answered]) -> Examination {
        Examination::Done(Vec::new())
    }
}

/// What a reply says about one of the provider's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaReading {
    /// What the limit is called, such as `day`: from a small fixed set, as it becomes a metric's label.
    pub name: &'static str,
    /// Requests that all programs under this limit together may make in one window.
    pub limit: u64,
    /// How many of them are left. `None` where the provider doesn't tell: then ours are counted.
    pub remaining: Option<u64>,
    /// The window's length.
    pub window: Duration,
    /// When the present window ends. `None` where any stretch of that length counts.
    pub resets: Option<SystemTime>,
}

/// What follows from a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Send this next, such as the write after a look-up.
    Call(Outbound),
    /// Send this after at least that long, such as a poll of an asynchronous job.
    CallAfter(Outbound, Duration),
    /// These events have come to their end; send this next, about the others. In the conversation's later
    /// batches they are left out, and the others keep their order.
    Settle(Vec<Settled>, Outbound),
    /// The provider has refused the batch as a whole, has done nothing of it, and doesn't say for whose sake:
    /// the engine sends its halves apart, until the culprit is alone. That one is rejected. Where an earlier request
    /// of the conversation may have created something, all of them are in doubt.
    Split(Reason),
    /// The conversation is over.
    Done(Verdicts),
}

/// What happened to one event of a batch, before its conversation is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The event, as an index into the batch.
    pub item: usize,
    /// What happened to it.
    pub verdict: Verdict,
    /// What people should know about it, whatever its verdict.
    pub warning: Option<Reason>,
}

/// Where a connector's requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// What every path is relative to.
    pub base_url: BaseUrl,
    /// How requests are authenticated.
    pub auth: Auth,
    /// The provider's limits.
    pub limits: Limits,
    /// What the connector can do.
    pub capabilities: Capabilities,
    /// Whether the provider's cookies are kept.
    pub cookies: Cookies,
}

/// Whether a provider's cookies are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cookies {
    /// None are.
    #[default]
    Discard,
    /// In jars, each of which has one request under way at a time: for providers that let the
    /// requests of one session wait for each other.
    JarPerWorker,
}

/// A provider's limits for one request, and a sensible number of them at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events in one request, at least 1.
    pub batch_events: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Conversations under way at a time, unless the destination's configuration says otherwise.
    pub concurrency: usize,
}

/// What a connector can do beyond sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// When a write is [in doubt](crate::Remembered::in_doubt), the connector finds out whether it
    /// happened before it creates anything. Without it, a create in doubt is dead-lettered as
    /// ambiguous.
    pub look_up: bool,
}

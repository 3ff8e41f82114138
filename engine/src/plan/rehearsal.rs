//! A conversation up to its first write, which isn't sent: a pure state machine.

use std::time::Duration;

use syncline_sdk::{
    Batch, CrmConnector, Difference, Event, Item, Method, Outbound, Progress, Reason, Reference, Remembered, Reply,
    Verdict,
};

use super::{is_read, panicked};
use crate::core::{MOST_REQUESTS, guarded};
use crate::transport::TransportFault;

/// Goes through the conversation about one accepted event, as if nothing were remembered of it, until it would
/// write; then asks what the write would change.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    connector: &'a dyn CrmConnector,
    event: &'a Event,
    requests: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// That was asked for the conversation.
    Talking(Outbound),
    /// The record is read that this write would change.
    Reading(Outbound),
    Ended,
}

/// What a rehearsal wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The answer to this read, which is to be sent no earlier than after that long.
    Ask(Outbound, Duration),
    /// Nothing more.
    End(Rehearsed),
}

/// How a rehearsal has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Rehearsed {
    /// Nothing would be written: the CRM holds it already, or there is nothing to do.
    Unchanged,
    /// This would be written.
    Writes {
        /// The request.
        write: Outbound,
        /// What it would change.
        comparison: Comparison,
    },
    /// The event would be dead-lettered as rejected.
    Rejected(Reason),
    /// The event would wait for another entity, which isn't in the CRM.
    Waits {
        /// What is missing.
        reason: Reason,
        /// The entity.
        reference: Reference,
    },
    /// It couldn't be found out.
    Undetermined {
        /// Why.
        reason: Reason,
        /// What is in the way.
        obstacle: Obstacle,
    },
}

/// What is in the way of finding something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The CRM can't be reached.
    Unreachable,
    /// It refuses the credentials.
    Unauthenticated,
    /// It wants to be left alone.
    Throttled,
    /// It has to do with this event.
    Event,
}

impl Obstacle {
    /// Whether the next event would fare the same.
    #[must_use]
    pub fn halts(self) -> bool {
        self != Self::Event
    }
}

/// What a write would change.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// There is no record yet, or the connector doesn't tell. The fields that it tells of nevertheless.
    Whole(Vec<Difference>),
    /// These fields of the record, maybe none.
    Fields(Vec<Difference>),
    /// It can't be compared.
    Failed(Reason),
}

impl Rehearsed {
    /// Whether the CRM's data would change.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Writes { write, comparison } => {
                write.method == Method::Delete
                    || match comparison {
                        Comparison::Whole(_) | Comparison::Failed(_) => true,
                        Comparison::Fields(fields) => !fields.is_empty(),
                    }
            }
            Self::Unchanged | Self::Rejected(_) | Self::Waits { .. } | Self::Undetermined { .. } => false,
        }
    }
}

impl<'a> Rehearsal<'a> {
    /// Begins the conversation. The event is one that the connector accepts.
    pub fn begin(connector: &'a dyn CrmConnector, event: &'a Event) -> (Self, Step) {
        let mut rehearsal = Self { connector, event, requests: 0, stage: Stage::Ended };
        let items = [item(event)];
        let first = || (!connector.ignores(event)).then(|| connector.begin(&Batch::new(&items)));
        let step = match guarded(first) {
            Ok(Some(request)) => rehearsal.call(request, Duration::ZERO),
            Ok(None) => Step::End(Rehearsed::Unchanged),
            Err(message) => undetermined(panicked(message), Obstacle::Event),
        };
        (rehearsal, step)
    }

    /// Goes on after the answer to what was asked last.
    pub fn replied(&mut self, reply: &Reply) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Talking(sent) => self.resume(&sent, reply),
            Stage::Reading(write) => self.compare(write, Some(reply)),
            Stage::Ended => undetermined(Reason::new("not_accepted", "the rehearsal is over"), Obstacle::Event),
        }
    }

    /// Ends it, as there is no answer.
    pub fn faulted(&mut self, fault: &TransportFault) -> Step {
        self.stage = Stage::Ended;
        undetermined(Reason::new(fault.kind.code(), fault.message.clone()), Obstacle::Unreachable)
    }

    fn resume(&mut self, sent: &Outbound, reply: &Reply) -> Step {
        let items = [item(self.event)];
        match guarded(|| self.connector.resume(&Batch::new(&items), sent, reply)) {
            Ok(Progress::Call(request)) => self.call(request, Duration::ZERO),
            Ok(Progress::CallAfter(request, after)) => self.call(request, after),
            Ok(Progress::Settle(settled, request)) => {
                // It is alone in its batch.
                match settled.into_iter().find(|settled| settled.item == 0) {
                    Some(settled) => concluded(settled.verdict),
                    None => self.call(request, Duration::ZERO),
                }
            }
            // It is alone in its batch, and so the culprit.
            Ok(Progress::Split(reason)) => Step::End(Rehearsed::Rejected(reason)),
            Ok(Progress::Done(verdicts)) => verdicts.into_iter().next().map_or_else(
                || {
                    undetermined(
                        Reason::new("no_verdict", "the connector said nothing about the event"),
                        Obstacle::Event,
                    )
                },
                concluded,
            ),
            Err(message) => undetermined(panicked(message), Obstacle::Event),
        }
    }

    fn call(&mut self, request: Outbound, after: Duration) -> Step {
        if !is_read(&request) {
            return self.would_write(request);
        }
        if self.requests >= MOST_REQUESTS {
            let message = format!("the conversation had not ended after {MOST_REQUESTS} requests");
            return undetermined(Reason::new("conversation_too_long", message), Obstacle::Event);
        }
        self.requests += 1;
        self.stage = Stage::Talking(request.clone());
        Step::Ask(request, after)
    }

    fn would_write(&mut self, write: Outbound) -> Step {
        match guarded(|| self.connector.read_before(&write)) {
            Ok(Some(read)) if is_read(&read) => {
                self.stage = Stage::Reading(write);
                Step::Ask(read, Duration::ZERO)
            }
            Ok(Some(read)) => {
                let message = format!("the connector would read with a {}, which isn't sent", read.method.as_str());
                let comparison = Comparison::Failed(Reason::new("not_a_read", message));
                Step::End(Rehearsed::Writes { write, comparison })
            }
            Ok(None) => self.compare(write, None),
            Err(message) => undetermined(panicked(message), Obstacle::Event),
        }
    }

    fn compare(&self, write: Outbound, before: Option<&Reply>) -> Step {
        let comparison = match guarded(|| self.connector.differences(&write, before)) {
            Ok(Ok(mut differences)) => {
                differences.retain(|difference| difference.before != difference.after);
                if before.is_some() { Comparison::Fields(differences) } else { Comparison::Whole(differences) }
            }
            Ok(Err(reason)) => Comparison::Failed(reason),
            Err(message) => Comparison::Failed(panicked(message)),
        };
        Step::End(Rehearsed::Writes { write, comparison })
    }
}

fn item(event: &Event) -> Item<'_> {
    Item { event, remembered: Remembered::default() }
}

fn concluded(verdict: Verdict) -> Step {
    match verdict {
        Verdict::Delivered { .. } | Verdict::Unchanged { .. } => Step::End(Rehearsed::Unchanged),
        Verdict::Reject(reason) => Step::End(Rehearsed::Rejected(reason)),
        Verdict::Await { reason, reference } => Step::End(Rehearsed::Waits { reason, reference }),
        Verdict::Throttle { reason, .. } => undetermined(reason, Obstacle::Throttled),
        Verdict::Unauthenticated(reason) => undetermined(reason, Obstacle::Unauthenticated),
        Verdict::Retry { reason, .. } | Verdict::Unknown { reason, .. } => undetermined(reason, Obstacle::Event),
    }
}

fn undetermined(reason: Reason, obstacle: Obstacle) -> Step {
    Step::End(Rehearsed::Undetermined { reason, obstacle })
}

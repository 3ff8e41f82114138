//! What is found out about one record, and what that means for the exit status.

use std::sync::Arc;

use syncline_engine::plan::{Intent, Plan, Refusal, Rehearsed};
use syncline_sdk::Event;

use crate::exit;

/// What would become of one record.
#[derive(Debug)]
pub(crate) struct Report {
    /// Where it is from, such as `events.jsonl:3` or `customers[0]@17`.
    pub(crate) origin: String,
    pub(crate) event: Option<Arc<Event>>,
    pub(crate) outcome: Result<Vec<Part>, Refusal>,
}

/// What would become of it in one destination.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) destination: Arc<str>,
    pub(crate) intent: Result<Intent, Refusal>,
    /// How its conversation would go, where the CRM was asked.
    pub(crate) live: Option<Rehearsed>,
}

/// What a part comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Something would change, or might.
    Change,
    /// The event would be dead-lettered.
    DeadLetter,
    /// Nobody knows.
    Unknown,
}

impl Report {
    /// Nothing is known but what needs no network. `only` limits it to one destination.
    pub(crate) fn new(origin: String, plan: Plan, only: Option<&str>) -> Self {
        let outcome = plan.outcome.map(|planned| {
            let wanted = planned.into_iter().filter(|planned| only.is_none_or(|only| *planned.destination == *only));
            let part = |planned: syncline_engine::plan::Planned| Part {
                destination: planned.destination,
                intent: planned.outcome,
                live: None,
            };
            wanted.map(part).collect()
        });
        Self { origin, event: plan.event, outcome }
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        match &self.outcome {
            Ok(parts) => parts.iter().map(Part::effect).collect(),
            Err(_) => vec![Effect::DeadLetter],
        }
    }
}

impl Part {
    pub(crate) fn effect(&self) -> Effect {
        let changes = |changes| if changes { Effect::Change } else { Effect::Nothing };
        match (&self.intent, &self.live) {
            (Err(_), _) | (_, Some(Rehearsed::Rejected(_))) => Effect::DeadLetter,
            (_, Some(Rehearsed::Undetermined { .. })) => Effect::Unknown,
            // It is written when the other entity is there.
            (_, Some(Rehearsed::Waits { .. })) => Effect::Change,
            (_, Some(live)) => changes(live.changes()),
            (Ok(intent), None) => changes(intent.may_write()),
        }
    }
}

/// How many records there were of each kind. One that is of several counts as the worst.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) nothing: usize,
    pub(crate) change: usize,
    pub(crate) dead_letter: usize,
    pub(crate) unknown: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        let effects = report.effects();
        let has = |effect| effects.contains(&effect);
        *(if has(Effect::Unknown) {
            &mut self.unknown
        } else if has(Effect::DeadLetter) {
            &mut self.dead_letter
        } else if has(Effect::Change) {
            &mut self.change
        } else {
            &mut self.nothing
        }) += 1;
    }

    /// What would fail weighs more than what would change.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self { dead_letter: 1.., .. } | Self { unknown: 1.., .. } => exit::FAILED,
            Self { change: 1.., .. } => exit::CHANGES,
            _ => exit::OK,
        }
    }

    pub(crate) fn total(self) -> usize {
        self.nothing + self.change + self.dead_letter + self.unknown
    }
}

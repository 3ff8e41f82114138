//! Where a record goes: all that is known of it before anything is asked or sent. The same for a run and
//! for a plan.

use std::sync::Arc;

use bytes::Bytes;
use syncline_sdk::{Event, Reason};

use super::config::{CoreConfig, CoreError, REPLAY_DESTINATION};
use super::failure::FailureKind;
use super::intake::Intake;
use crate::record::Record;

/// An event, and where it goes.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) event: Arc<Event>,
    /// Indexes into the configuration's lanes.
    pub(crate) lanes: Vec<usize>,
    /// Whether it is a replay, for one destination.
    pub(crate) replay: bool,
}

/// Why a record goes nowhere.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The event, if the record is one.
    pub(crate) event: Option<Arc<Event>>,
    pub(crate) kind: FailureKind,
    pub(crate) reason: Reason,
}

impl CoreConfig {
    /// Checks all of this, and gives what turns records into events.
    pub(crate) fn intake(&self) -> Result<Intake, CoreError> {
        self.check()?;
        Intake::new(self.limits.event_bytes, self.envelope, &self.routes).map_err(CoreError)
    }

    /// Parses, validates and routes. The value is the event's JSON, unless that, or why there is none, is
    /// given; `size` is what the record and its event take in memory.
    pub(crate) fn route(
        &self,
        intake: &Intake,
        record: &Record,
        json: Option<Result<Bytes, Reason>>,
        size: usize,
    ) -> Result<Routed, Refused> {
        let admitted = match json {
            None => intake.admit(record),
            Some(Ok(json)) => intake.admit_json(&json),
            Some(Err(reason)) => Err((FailureKind::Invalid, reason)),
        };
        let event = match admitted {
            Ok(event) => Arc::new(event),
            Err((kind, reason)) => return Err(Refused { event: None, kind, reason }),
        };
        let refused = |event, kind, reason| Err(Refused { event: Some(event), kind, reason });
        if let Err(reason) = self.schemas.check(&event, size) {
            return refused(event, FailureKind::Invalid, reason);
        }
        let kind = &event.entity().kind;
        let Some(lanes) = self.routes.get(kind) else {
            let reason = Reason::new("no_route", format!("no route takes the entity type `{kind}`"));
            return refused(event, FailureKind::Unrouted, reason);
        };
        let Some(replay) = record.header(REPLAY_DESTINATION) else {
            return Ok(Routed { lanes: lanes.clone(), event, replay: false });
        };
        let named = |lane: &usize| self.lanes.get(*lane).is_some_and(|lane| lane.destination.as_bytes() == replay);
        match lanes.iter().copied().find(named) {
            Some(lane) => Ok(Routed { event, lanes: vec![lane], replay: true }),
            None => {
                let message = format!(
                    "the header `{REPLAY_DESTINATION}` names `{}`, to which no route leads for `{kind}`",
                    String::from_utf8_lossy(replay),
                );
                refused(event, FailureKind::Unrouted, Reason::new("unknown_destination", message))
            }
        }
    }
}

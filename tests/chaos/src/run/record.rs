//! What was recorded elsewhere, in the recording's form.

use std::time::Duration;

use syncline_fakes::servicenow::{Answer, EffectKind, ServiceNow};

use super::log::Log;
use crate::recording::{CrmRecord, Did, Effect, Letter, Recording, Request, TopicRecord};

const TABLE: &str = "customer_account";
const KEY: &str = "correlation_id";
const COLUMNS: [&str; 4] = ["name", "email", "u_version", "u_sync_key"];

pub(super) fn letters(records: Vec<(TopicRecord, String)>) -> Vec<Letter> {
    records.into_iter().map(|(record, failure)| Letter { record, failure }).collect()
}

/// The ledger and the records of the CRM.
pub(super) fn crm(crm: &ServiceNow, log: &Log, recording: &mut Recording) {
    let started = log.at(crm.started());
    let at = |since: Duration| started + u64::try_from(since.as_micros()).expect("a few minutes");
    for entry in crm.ledger() {
        recording.requests.push(Request {
            number: entry.sequence,
            at: at(entry.at),
            stamp: entry.began,
            member: entry.user.unwrap_or_default(),
            method: entry.method,
            entity: entry.key,
            answered: matches!(entry.answer, Answer::Status(200..=299)) && !entry.faulted,
        });
    }
    for effect in crm.effects(TABLE) {
        recording.effects.push(Effect {
            request: effect.request,
            at: at(effect.at),
            stamp: effect.stamp,
            did: match effect.kind {
                EffectKind::Created => Did::Created,
                EffectKind::Updated => Did::Updated,
                EffectKind::Deleted => Did::Deleted,
            },
            entity: effect.key.unwrap_or_default(),
            sys_id: effect.record.sys_id().to_owned(),
            key: effect.record.value("u_sync_key").to_owned(),
        });
    }
    for record in crm.records(TABLE) {
        let columns = COLUMNS.map(|column| (column.to_owned(), record.value(column).to_owned()));
        recording.records.push(CrmRecord { entity: record.value(KEY).to_owned(), columns: columns.into() });
    }
}

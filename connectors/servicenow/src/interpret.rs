//! Replies → verdicts: what proves a step. What proves nothing is in `failure.rs`.

use syncline_sdk::{Item, Outbound, Reason, Reply, Verdict};

use crate::echo;
use crate::encode::{Mapping, parent_missing, step};
use crate::failure::{failed, no_record};
use crate::model::{Row, result};
use crate::policy::{Aim, MissingRecord, OnDifference};

/// What follows from a reply, for the one event of a conversation.
pub(crate) enum Next {
    Call(Outbound),
    /// The verdict, and what people should know whatever it is.
    Done(Verdict, Option<Reason>),
}

pub(crate) fn interpret(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Next {
    let proven = match sent.step {
        step::LOOK_UP_PARENT => looked_up_parent(mapping, item, sent, reply),
        step::LOOK_UP => looked_up(mapping, item, sent, reply),
        step::CREATE => created(mapping, item, sent, reply),
        step::UPDATE | step::UPDATE_REMEMBERED => updated(mapping, item, sent, reply),
        step::DELETE | step::DELETE_REMEMBERED => deleted(mapping, item, sent, reply),
        step::IMPORT => mapping.import.as_ref().and_then(|staging| staging.imported(reply)),
        _ => Some(not_accepted(reply)),
    };
    proven.unwrap_or_else(|| failed(sent, reply).into())
}

fn not_accepted(reply: &Reply) -> Next {
    Next::reject(reply, "not_accepted", "this event was never accepted, or is ignored, and nothing was sent for it")
}

/// The entity that the record refers to has to be there before the record is written.
fn looked_up_parent(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    let mut ids = mapping.ids(item, Some(sent));
    let reference = mapping.first_unknown(item.event, &ids)?;
    let parent = mapping.parents.get(&reference.kind)?;
    let whose = format!("the `{}` that the record refers to", reference.kind);
    let id = match the_row(reply, &parent.key, &reference.id, &whose)? {
        Ok(id) => id,
        Err(next) => return Some(next),
    };
    let Some(id) = id else {
        let entity = item.event.entity();
        if entity.kind == reference.kind && entity.id.as_ref() == Some(&reference.id) {
            let message = "the record refers to itself, and is not in ServiceNow yet: leave the reference out at first";
            return Some(Next::reject(reply, "refers_to_itself", message));
        }
        let reason = parent_missing(&reference);
        return Some(Verdict::Await { reason, reference }.into());
    };
    let index = mapping.references(item.event).iter().position(|other| *other == reference)?;
    *ids.get_mut(index)? = Some(id);
    Some(Next::Call(mapping.proceed(item, &ids)))
}

fn looked_up(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    let event = item.event;
    let id = match the_row(reply, &mapping.key, event.external_key(), "the entity")? {
        Ok(id) => id,
        Err(next) => return Some(next),
    };
    let record = || mapping.record(event, &mapping.ids(item, Some(sent)));
    Some(match (mapping.aim(event), id) {
        (Aim::Nothing, _) => not_accepted(reply),
        (Aim::CreateOnly, Some(id)) => Next::unchanged(Some(id)),
        (Aim::Remove | Aim::UpdateOnly(MissingRecord::Ignore), None) => Next::unchanged(None),
        (Aim::UpdateOnly(MissingRecord::Reject), None) => {
            let message = "there is no record to update, and `on_update` allows none to be created";
            Next::reject(reply, "record_missing", message)
        }
        (Aim::Remove, Some(id)) => Next::Call(mapping.remove(event, step::DELETE, step::UPDATE, &id)),
        (Aim::Upsert | Aim::CreateOnly, None) => {
            record().map_or_else(Next::refuse, |record| Next::Call(mapping.create(event, record)))
        }
        (Aim::Upsert | Aim::UpdateOnly(_), Some(id)) => match record() {
            Ok(record) if record.is_empty() => Next::unchanged(Some(id)),
            Ok(record) => Next::Call(mapping.update(event, step::UPDATE, &id, record)),
            Err(reason) => Next::refuse(reason),
        },
    })
}

/// The id of the one row that a look-up found. ServiceNow drops what it cannot read from a query and runs the
/// rest, so each row has to show the key that was asked for.
fn the_row(reply: &Reply, column: &str, key: &str, whose: &str) -> Option<Result<Option<String>, Next>> {
    let rows: Vec<Row> = result(reply, 200)?;
    if rows.iter().any(|row| row.text(column) != Some(key)) {
        return Some(Err(Next::reject(
            reply,
            "look_up_mismatch",
            format!(
                "the look-up of {whose} by `{column}` returned a record with another key, so nothing was written: \
                 check that the column exists, that the integration user may read it, and that no other key differs \
                 only in case"
            ),
        )));
    }
    Some(match rows.as_slice() {
        [] => Ok(None),
        [row] => Ok(Some(row.sys_id()?.to_owned())),
        [one, other, ..] => Err(Next::reject(
            reply,
            "duplicate_records",
            format!(
                "two records have the key of {whose}: {} and {}; merge them, and give `{column}` a unique index",
                one.sys_id()?,
                other.sys_id()?
            ),
        )),
    })
}

/// The reply has to show the key: without it the next event would create the record again.
fn created(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    let row: Row = result(reply, 201)?;
    let sys_id = row.sys_id()?;
    if row.text(&mapping.key) == Some(item.event.external_key()) {
        return Some(written(mapping, sent, reply, &row, sys_id));
    }
    Some(Next::reject(
        reply,
        "key_not_stored",
        format!(
            "record {sys_id} was created, but ServiceNow did not store the key in `{}`: check that the column exists, \
             is long enough, and that the integration user may read and write it; then set it on this record, or \
             delete the record",
            mapping.key
        ),
    ))
}

/// A remembered id whose record is gone is looked up again by the key.
fn updated(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    // Whatever a 404 to a remembered id says, a look-up tells more, and writes nothing.
    if no_record(reply) || (reply.status == 404 && sent.step == step::UPDATE_REMEMBERED) {
        return Some(match sent.step {
            step::UPDATE_REMEMBERED => Next::Call(mapping.look_up(item.event, &mapping.ids(item, Some(sent)))),
            _ => Next::from(Verdict::Retry {
                reason: Reason::new("record_vanished", "the record was deleted between its look-up and its update")
                    .with_status(reply.status),
                after: None,
            }),
        });
    }
    let row: Row = result(reply, 200)?;
    let sys_id = row.sys_id().filter(|id| mapping.addresses(item.event, sent, id))?;
    if row.text(&mapping.key) == Some(item.event.external_key()) {
        return Some(written(mapping, sent, reply, &row, sys_id));
    }
    Some(Next::reject(
        reply,
        "key_changed",
        format!(
            "record {sys_id} was updated, but `{}` no longer holds the entity's id, or may not be read: restore it",
            mapping.key
        ),
    ))
}

/// The record was written; whether as it was sent is another question.
fn written(mapping: &Mapping, sent: &Outbound, reply: &Reply, row: &Row, sys_id: &str) -> Next {
    let delivered = Verdict::Delivered { remote_id: Some(sys_id.to_owned()) };
    let complaint = match mapping.policies.on_difference {
        OnDifference::Ignore => None,
        _ => echo::complaint(sent, row, mapping.input, |column| mapping.is_write_only(column)),
    };
    let reason = complaint.map(|complaint| {
        let message = format!("record {sys_id} was written, but ServiceNow did not store all of it: {complaint}");
        Reason::new("not_stored", message).with_status(reply.status)
    });
    match (reason, mapping.policies.on_difference) {
        (Some(reason), OnDifference::Reject) => Next::refuse(reason),
        (reason, _) => Next::Done(delivered, reason),
    }
}

fn deleted(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    if reply.status == 204 && reply.body.is_empty() {
        return Some(Verdict::Delivered { remote_id: None }.into());
    }
    (no_record(reply) || (reply.status == 404 && sent.step == step::DELETE_REMEMBERED)).then(|| match sent.step {
        step::DELETE_REMEMBERED => Next::Call(mapping.look_up(item.event, &Vec::new())),
        _ => Next::unchanged(None),
    })
}

impl Next {
    fn unchanged(remote_id: Option<String>) -> Self {
        Verdict::Unchanged { remote_id }.into()
    }

    fn reject(reply: &Reply, code: &'static str, message: impl Into<String>) -> Self {
        Self::refuse(Reason::new(code, message).with_status(reply.status))
    }

    fn refuse(reason: Reason) -> Self {
        Verdict::Reject(reason).into()
    }
}

impl From<Verdict> for Next {
    fn from(verdict: Verdict) -> Self {
        Self::Done(verdict, None)
    }
}

//! Any reply to any request gets an answer, and success is stated on golden proof only.

use std::collections::HashSet;

use syncline_sdk::{Batch, Outbound, Progress, Replay, Reply, Verdict};

use super::coverage::is_success;
use super::encoding;
use super::explore::Explorer;
use super::golden::Scene;
use super::inspection;
use crate::broken_replies;
use crate::guard::guarded;
use crate::{Report, Rule};

/// The SDK's contract; the engine ends longer conversations.
pub(crate) const MAX_REQUESTS: usize = 16;

/// Statuses with which each reply is interpreted twice, as trying all would take twice the time.
const REPEATED: &[u16] = &[200, 201, 204, 404, 500];

pub(crate) fn check(scenes: &[Scene<'_>], report: &mut Report) {
    let proofs = Proofs::of(scenes);
    let explorer = Explorer::new(scenes.iter().flat_map(|scene| &scene.conversation.exchanges));
    let everywhere = broken_replies::everywhere();
    // Conversations share their beginnings.
    let mut attacked = HashSet::new();
    for scene in scenes {
        check_in_doubt(scene, report);
        for item in &scene.items {
            inspection::check_event(scene.connector.as_ref(), item.event, &scene.conversation.name, report);
        }
        let first = guarded(|| scene.connector.begin(&scene.batch()));
        if let Ok(first) = first {
            let name = &scene.conversation.name;
            explorer.explore(scene.connector.as_ref(), &scene.batch(), first, name, report);
        }
        for (sent, exchange) in scene.sent.iter().zip(&scene.conversation.exchanges) {
            let state = format!("{:?} {:?} {sent:?}", scene.conversation.config, scene.items);
            if attacked.insert(state) {
                let name = &scene.conversation.name;
                inspection::check_write(scene.connector.as_ref(), sent, &everywhere, name, report);
                for broken in &everywhere {
                    for status in 100..=599 {
                        attack(scene, sent, broken.name, &broken.with_status(status), &proofs, report);
                    }
                }
            }
            for (broken, status) in broken_replies::derived_from(&exchange.reply()) {
                attack(scene, sent, broken.name, &broken.with_status(status), &proofs, report);
            }
        }
    }
}

/// The engine relies on it: it sends a create in doubt again only to a connector that looks up.
fn check_in_doubt(scene: &Scene<'_>, report: &mut Report) {
    if !scene.connector.endpoint().capabilities.look_up {
        return;
    }
    let mut items = scene.items.clone();
    for item in &mut items {
        item.remembered.in_doubt = true;
    }
    if let Ok(first) = guarded(|| scene.connector.begin(&Batch::new(&items)))
        && first.replay == Replay::Unsafe
    {
        let at = format!("{}, step {}", scene.conversation.name, first.step);
        let message = "the first request for a write in doubt is not safe to send, although `look_up` is declared";
        report.fail_once(Rule::LookUp, first.step.into(), at, message);
    }
}

/// Answers `sent`, and every request that follows from it, with the same reply.
fn attack(scene: &Scene<'_>, sent: &Outbound, body: &'static str, reply: &Reply, proofs: &Proofs, report: &mut Report) {
    let limits = scene.connector.endpoint().limits;
    let batch = scene.batch();
    let mut sent = sent.clone();
    for _ in 0..MAX_REQUESTS {
        let at = || place(scene, &sent, body, reply);
        let case = || format!("{} {body}", sent.step);
        report.count_reply();
        let progress = match guarded(|| scene.connector.resume(&batch, &sent, reply)) {
            Ok(progress) => progress,
            Err(panic) => return report.fail_once(Rule::Total, case(), at(), panic),
        };
        if REPEATED.contains(&reply.status)
            && guarded(|| scene.connector.resume(&batch, &sent, reply)).as_ref() != Ok(&progress)
        {
            report.fail_once(Rule::Deterministic, sent.step.into(), at(), "the same reply gave two different answers");
        }
        match progress {
            Progress::Call(next) | Progress::Settle(_, next) | Progress::CallAfter(next, _) => {
                encoding::check(&next, limits, &at(), report);
                sent = next;
            }
            Progress::Split(_) => return,
            Progress::Done(verdicts) => {
                if verdicts.len() != batch.len() {
                    let message = format!("{} verdicts for {} events", verdicts.len(), batch.len());
                    report.fail_once(Rule::Complete, sent.step.into(), at(), message);
                }
                let success = verdicts
                    .iter()
                    .find(|verdict| matches!(verdict, Verdict::Delivered { .. } | Verdict::Unchanged { .. }));
                if let Some(verdict) = success
                    && !proofs.hold(sent.step, reply)
                {
                    let message = format!("{verdict:?} without proof: no golden conversation ends in success this way");
                    report.fail_once(Rule::Honest, case(), at(), message);
                }
                return;
            }
        }
    }
    let at = place(scene, &sent, body, reply);
    report.fail_once(Rule::Bounded, body.into(), at, format!("no end after {MAX_REQUESTS} requests"));
}

fn place(scene: &Scene<'_>, sent: &Outbound, body: &str, reply: &Reply) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(reply.body.get(..reply.body.len().min(SHOWN)).unwrap_or_default()).into_owned();
    format!("{}, step {}, status {}, {body}: {text:?}", scene.conversation.name, sent.step, reply.status)
}

/// The replies that prove success: the last ones of golden conversations that end so.
struct Proofs {
    replies: Vec<(String, Reply)>,
}

impl Proofs {
    fn of(scenes: &[Scene<'_>]) -> Self {
        let successes = scenes.iter().map(|scene| scene.conversation).filter(|conversation| is_success(conversation));
        let last = successes.filter_map(|conversation| conversation.exchanges.last());
        Self { replies: last.map(|exchange| (exchange.step().to_owned(), exchange.reply())).collect() }
    }

    fn hold(&self, step: &str, reply: &Reply) -> bool {
        self.replies.iter().any(|(proven, proof)| {
            proven == step
                && proof.status == reply.status
                && proof.body == reply.body
                && (proof.body.is_empty() || proof.is_json() == reply.is_json())
        })
    }
}

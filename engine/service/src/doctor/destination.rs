//! One destination: its secrets, its address, its credentials, and what its connector finds out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use syncline_engine::auth::{EnvAndFiles, SecretSource};
use syncline_engine::plan::{Obstacle, Reader, Rehearsal, Rehearsed, Step};
use syncline_engine::state::{MemoryStore, StateStore};
use syncline_engine::transport::{FaultKind, TransportFault};
use syncline_sdk::{CrmConnector, Event, Finding};
use tokio::sync::watch;

use super::{Opened, too_slow};
use crate::assemble::{self, Waits};
use crate::config::{Config, Planned};
use crate::state;

/// The entity that is looked up to see whether the credentials are accepted. Nobody has it.
const NOBODY: &str = "syncline-doctor";

/// What was found within the time.
pub(super) async fn examine(
    config: Arc<Config>,
    index: usize,
    opened: watch::Receiver<Opened>,
    within: Duration,
) -> Vec<Finding> {
    let Some(planned) = config.destinations.get(index) else { return Vec::new() };
    let mut findings = Vec::new();
    if tokio::time::timeout(within, look(&config, planned, opened, &mut findings)).await.is_err() {
        findings.push(too_slow(within));
    }
    findings
}

async fn look(config: &Config, planned: &Planned, opened: watch::Receiver<Opened>, findings: &mut Vec<Finding>) {
    let has_secrets = secrets(planned, findings).await;
    let kept = if state::keeps_its_token(planned) { known(opened).await } else { None };
    let may_sign_in = !state::keeps_its_token(planned) || kept.is_some();
    let store = kept.unwrap_or_else(|| Arc::new(MemoryStore::default()));
    let reader = match assemble::engine(config, store, &Waits::new()).reader(&planned.name) {
        Ok(reader) => reader,
        Err(error) => {
            return findings.push(Finding::wrong("client", error.to_string(), "Correct [http] or the destination."));
        }
    };
    let address = planned.connector.endpoint().base_url.as_str();
    match reader.reach().await {
        Ok(reply) if reply.status >= 500 => findings.push(Finding::warning(
            "address",
            format!("{address} answers with the status {}", reply.status),
            "See how the CRM is doing.",
        )),
        Ok(reply) => findings.push(Finding::fine("address", format!("{address} answers (status {})", reply.status))),
        Err(fault) => return findings.push(faulty("address", address, &fault)),
    }
    if !has_secrets {
        return;
    }
    if !may_sign_in {
        return findings.push(Finding::warning(
            "credentials",
            "were not tried: asking for a token may replace the refresh token, and no store is open that keeps the new one",
            "Try again with a store that is not in memory and not in use by another process.",
        ));
    }
    if let Err(fault) = reader.sign_in().await {
        return findings.push(faulty("credentials", address, &fault));
    }
    let accepted = accepted(planned.connector.as_ref(), &reader).await;
    let is_tried = accepted.is_some();
    let goes_on = accepted.as_ref().is_none_or(|(_, goes_on)| *goes_on);
    findings.extend(accepted.map(|(finding, _)| finding));
    let found = if goes_on { reader.examine().await } else { Vec::new() };
    if !is_tried && found.is_empty() {
        let message = "were not tried: the connector begins with a write, and has nothing else to ask";
        findings.push(Finding::warning("credentials", message, "Try an event."));
    }
    findings.extend(found);
}

/// The open store, once that is known.
async fn known(mut opened: watch::Receiver<Opened>) -> Option<Arc<dyn StateStore>> {
    let store = opened.wait_for(Option::is_some).await.ok()?;
    (*store).clone().flatten()
}

/// Whether all of them are there. Only their references are told.
async fn secrets(planned: &Planned, findings: &mut Vec<Finding>) -> bool {
    let references = planned.connector.endpoint().auth.secrets();
    let mut there = Vec::new();
    for reference in &references {
        match EnvAndFiles.read_text(reference).await {
            Ok(_) => there.push(reference.to_string()),
            Err(error) => {
                let remedy = "Set the variable or the file for the service's user, or correct the reference.";
                findings.push(Finding::wrong("secrets", error.to_string(), remedy));
            }
        }
    }
    let all = there.len() == references.len();
    if all && !there.is_empty() {
        findings.push(Finding::fine("secrets", format!("{} can be read", there.join(", "))));
    }
    all
}

/// Looks up what nobody has, and sees what the connector makes of the answer. Gives whether more can be asked;
/// nothing where no event begins with a read.
async fn accepted(connector: &dyn CrmConnector, reader: &Reader) -> Option<(Finding, bool)> {
    const SUBJECT: &str = "credentials";
    let events: Vec<_> = connector.entity_types().into_iter().flat_map(nobodys).collect();
    let begun = events.iter().filter(|event| connector.accepts(event).is_ok());
    let (mut rehearsal, read) =
        begun.map(|event| Rehearsal::begin(connector, event)).find_map(|begun| match begun {
            (rehearsal, Step::Ask(read, _)) => Some((rehearsal, read)),
            _ => None,
        })?;
    let step = match reader.get(&read).await {
        Ok(reply) => rehearsal.replied(&reply),
        Err(fault) => return Some((faulty(SUBJECT, reader.destination(), &fault), false)),
    };
    Some(match step {
        Step::End(Rehearsed::Undetermined { reason, obstacle: Obstacle::Unauthenticated }) => {
            let remedy =
                "Correct the secrets, or the user's rights in the CRM; docs/reason-codes.md explains the code.";
            (Finding::wrong(SUBJECT, format!("are refused: {}: {}", reason.code, reason.message), remedy), false)
        }
        Step::End(Rehearsed::Undetermined { reason, obstacle: Obstacle::Throttled }) => {
            let message = format!("the CRM wants to be left alone: {}: {}", reason.code, reason.message);
            (Finding::warning(SUBJECT, message, "Try again later."), false)
        }
        Step::End(Rehearsed::Undetermined { reason, .. } | Rehearsed::Rejected(reason)) => {
            let message = format!("a look-up failed: {}: {}", reason.code, reason.message);
            (Finding::warning(SUBJECT, message, "docs/reason-codes.md explains the code."), true)
        }
        _ => (Finding::fine(SUBJECT, "are accepted"), true),
    })
}

/// Events about nobody: a delete, and one that creates or updates, where deletes do nothing.
fn nobodys(kind: &str) -> Vec<Event> {
    let upsert = json!({ "event_id": NOBODY, "idempotency_key": NOBODY, "entity": { "type": kind, "id": NOBODY } });
    let upsert = Event::from_slice(upsert.to_string().as_bytes()).ok();
    std::iter::once(Event::tombstone(kind, NOBODY, NOBODY)).chain(upsert).collect()
}

/// A request without an answer, in words.
pub(super) fn faulty(subject: &str, place: &str, fault: &TransportFault) -> Finding {
    let (what, remedy) = match fault.kind {
        FaultKind::Connection => {
            ("can't be reached", "Check base_url, the name's resolution, the network and http.proxy.")
        }
        FaultKind::Timeout => ("did not answer in time", "See how the CRM and the network are doing."),
        FaultKind::Tls => (
            "isn't trusted",
            "Mend the server's certificate, or name the file of its authority as http.ca_file. A proxy that opens \
             TLS has an authority of its own.",
        ),
        FaultKind::Protocol => ("does not speak HTTP properly", "Check base_url, and what is in between."),
        FaultKind::ResponseTooLarge => ("answers too much", "Check base_url, or raise http.max_response_bytes."),
        FaultKind::Credentials => ("can't be asked without its secrets", "Set the variable or the file."),
        FaultKind::CredentialsRefused => {
            ("gives no token, as it refuses the credentials", "Correct the client's id and secret, or the grant.")
        }
        FaultKind::TokenEndpoint => ("gives no token", "Check auth.token_url, and how the provider is doing."),
        _ => ("could not be asked", "Report it: it is a fault of the program or a connector."),
    };
    Finding::wrong(subject, format!("{place} {what}: {}", fault.message), remedy)
}

//! The state store: whether it opens, and whether it can be written and read.

use std::sync::Arc;
use std::time::Duration;

use syncline_engine::state::{StateStore, StoreError};
use syncline_sdk::Finding;
use tokio::sync::watch;

use super::Opened;
use crate::config::Config;
use crate::config::state::State;
use crate::state;

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);
/// The note that is written and read. It stays, and does no harm.
const NOTE: &str = "doctor";

/// Looks at the store, and lets the destinations know.
pub(super) async fn examine(config: &Config, open: &watch::Sender<Opened>) -> Vec<Finding> {
    let place = config.settings.state.place();
    let opened = tokio::time::timeout(QUESTION, state::open(config)).await;
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(failure)) => {
            open.send_replace(Some(None));
            return vec![unopened(&place, &failure.message)];
        }
        Err(_) => {
            open.send_replace(Some(None));
            let message = format!("{place} did not answer within {} s", QUESTION.as_secs());
            return vec![Finding::wrong("store", message, "Check [state], the server and the network.")];
        }
    };
    let is_memory = matches!(config.settings.state, State::Memory(_));
    open.send_replace(Some((!is_memory).then(|| Arc::clone(&store))));
    let mut findings = Vec::new();
    match is_memory {
        true => findings.push(Finding::warning(
            "store",
            "everything is kept in memory: a restart forgets it, and redelivered events are written again",
            "Set state.type to embedded, redis or postgres.",
        )),
        false => findings.push(Finding::fine("store", format!("{place} is open"))),
    }
    findings.push(match answer(store.token()).await {
        Ok(_) => Finding::fine("tokens", "are given"),
        Err(error) => Finding::wrong("tokens", error, "See how the store is doing: no partition would be started."),
    });
    findings.push(match answer(round_trip(store.as_ref())).await {
        Ok(true) => Finding::fine("notes", "can be written and read"),
        Ok(false) => Finding::wrong("notes", "what was written could not be read again", "See how the store is doing."),
        Err(error) => Finding::wrong("notes", error, "See how the store is doing, and whether it may be written."),
    });
    findings
}

async fn round_trip(store: &dyn StateStore) -> Result<bool, StoreError> {
    let value = fastrand::u64(..).to_be_bytes();
    store.set_note(NOTE, &value).await?;
    Ok(store.note(NOTE).await?.is_some())
}

async fn answer<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(QUESTION, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", QUESTION.as_secs())),
    }
}

/// What opening it said already says what to do.
fn unopened(place: &str, message: &str) -> Finding {
    if message.contains("is in use by another process") {
        let message = format!("{place} is in use by another process, and was not looked into");
        let remedy = "Nothing, if that is the service; otherwise give each instance its own folder.";
        return Finding::warning("store", message, remedy);
    }
    let remedy = match message.split_once(": ") {
        Some(_) => "Mend that, or correct [state].",
        None => "Check [state], the server and the network.",
    };
    Finding::wrong("store", message, remedy)
}

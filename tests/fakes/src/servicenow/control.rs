//! Pages for a person who tries the fake by hand. Off unless asked for.

use serde_json::json;

use super::instance::State;
use super::ledger::{Effect, Entry};
use super::reply::Reply;

/// `{"totals":…,"requests":[…],"effects":[…]}`
pub(super) const LEDGER: &str = "/__ledger";

pub(super) fn ledger(state: &State) -> Reply {
    let requests: Vec<&Entry> = state.ledger.entries().collect();
    let effects: Vec<&Effect> = state.ledger.effects().collect();
    let body = json!({ "totals": state.ledger.totals(), "requests": requests, "effects": effects });
    Reply::json(200, &body)
}

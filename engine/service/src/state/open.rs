//! From the configuration to an open store.

use std::sync::Arc;
use std::time::Duration;

use syncline_engine::state::{EmbeddedOptions, EmbeddedStore, MemoryOptions, MemoryStore, StoreError};

use super::Opened;
use crate::config::Config;
use crate::config::state::{EmbeddedState, MemoryState, State};
use crate::exit::{self, Failure};

pub(super) async fn open(config: &Config) -> Result<Opened, Failure> {
    let state = &config.settings.state;
    let opened = match state {
        State::Memory(state) => Ok(Opened::Memory(Arc::new(MemoryStore::new(memory(state))))),
        State::Embedded(state) => embedded(state).await,
        State::Redis(_) | State::Postgres(_) => Err(StoreError::Refused("isn't in this version".to_owned())),
    };
    opened.map_err(|error| {
        // What a person has to mend is the configuration's fault; the rest may be better at the next start.
        let status = if matches!(error, StoreError::Refused(_)) { exit::CONFIG } else { exit::FAILED };
        let (StoreError::Refused(why) | StoreError::Unavailable(why)) = error;
        Failure::new(status, format!("state.type = \"{}\": {why}", state.kind()))
    })
}

fn memory(state: &MemoryState) -> MemoryOptions {
    MemoryOptions { ttl: seconds(state.ttl_s), lease: seconds(state.lease_s), max_entries: state.max_entries }
}

async fn embedded(state: &EmbeddedState) -> Result<Opened, StoreError> {
    let options = EmbeddedOptions {
        path: state.path.clone(),
        ttl: seconds(state.ttl_s),
        entity_ttl: seconds(state.entity_ttl_s),
        lease: seconds(state.lease_s),
    };
    let opened = tokio::task::spawn_blocking(|| EmbeddedStore::open(options)).await;
    let store = opened.map_err(|error| StoreError::Refused(error.to_string()))??;
    Ok(Opened::Portable(Arc::new(store)))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

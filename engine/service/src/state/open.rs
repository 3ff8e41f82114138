//! From the configuration to an open store.

use std::sync::Arc;
use std::time::Duration;

use syncline_engine::auth::{EnvAndFiles, SecretSource};
use syncline_engine::state::{
    EmbeddedOptions, EmbeddedStore, MemoryOptions, MemoryStore, PostgresClientCertificate, PostgresOptions,
    PostgresStore, PostgresTls, RedisClientCertificate, RedisOptions, RedisStore, RedisTls, RedisTopology, StoreError,
};

use super::Opened;
use crate::config::Config;
use crate::config::state::{EmbeddedState, MemoryState, PostgresState, RedisMode, RedisState, State};
use crate::exit::{self, Failure};

pub(super) async fn open(config: &Config) -> Result<Opened, Failure> {
    let state = &config.settings.state;
    let secrets: Arc<dyn SecretSource> = Arc::new(EnvAndFiles);
    let opened = match state {
        State::Memory(state) => Ok(Opened::Memory(Arc::new(MemoryStore::new(memory(state))))),
        State::Embedded(state) => embedded(state).await,
        State::Redis(state) => {
            RedisStore::open(redis(state), secrets).await.map(|store| Opened::Portable(Arc::new(store)))
        }
        State::Postgres(state) => {
            PostgresStore::open(postgres(state), secrets).await.map(|store| Opened::Portable(Arc::new(store)))
        }
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

/// The configuration has been checked: what isn't there isn't needed.
fn redis(state: &RedisState) -> RedisOptions {
    let addresses = state.addresses.clone();
    let client = state.certificate_file.clone().zip(state.key_file.clone());
    RedisOptions {
        topology: match state.mode {
            RedisMode::Standalone => {
                RedisTopology::Standalone { address: addresses.into_iter().next().unwrap_or_default() }
            }
            RedisMode::Sentinel => RedisTopology::Sentinel {
                addresses,
                master: state.master.clone().unwrap_or_default(),
                username: state.sentinel_username.clone(),
                password: state.sentinel_password.clone(),
            },
            RedisMode::Cluster => RedisTopology::Cluster { addresses },
        },
        database: state.database,
        username: state.username.clone(),
        password: state.password.clone(),
        tls: RedisTls {
            enabled: state.tls,
            ca_file: state.ca_file.clone(),
            client: client.map(|(certificate_file, key_file)| RedisClientCertificate { certificate_file, key_file }),
        },
        namespace: state.namespace.clone(),
        ttl: seconds(state.ttl_s),
        entity_ttl: Some(seconds(state.entity_ttl_s)),
        lease: seconds(state.lease_s),
        min_replicas: state.min_replicas,
        connect_timeout: Duration::from_millis(state.connect_timeout_ms),
        response_timeout: Duration::from_millis(state.response_timeout_ms),
    }
}

fn postgres(state: &PostgresState) -> PostgresOptions {
    let client = state.certificate_file.clone().zip(state.key_file.clone());
    let client = client.map(|(certificate_file, key_file)| PostgresClientCertificate { certificate_file, key_file });
    PostgresOptions {
        hosts: state.hosts.clone(),
        database: state.database.clone(),
        username: state.username.clone(),
        password: state.password.clone(),
        tls: if state.tls { PostgresTls::Require { ca_file: state.ca_file.clone(), client } } else { PostgresTls::Off },
        schema: state.schema.clone(),
        pool_size: state.pool_size,
        ttl: seconds(state.ttl_s),
        entity_ttl: seconds(state.entity_ttl_s),
        lease: seconds(state.lease_s),
        connect_timeout: Duration::from_millis(state.connect_timeout_ms),
        statement_timeout: Duration::from_millis(state.statement_timeout_ms),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

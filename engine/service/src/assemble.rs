//! From a proven configuration to an engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use syncline_engine::core::{
    CoreLimits, EqualVersion, Jitter, LaterEvents, OnStoreOutage, RetrySchedule, VersionPolicy, VersionRule,
};
use syncline_engine::dlq::KafkaDeadLettersOptions;
use syncline_engine::source::{KafkaOptions, StartPosition};
use syncline_engine::state::StateStore;
use syncline_engine::transport::{TransportOptions, TrustRoots};
use syncline_engine::{Destination, Engine, EngineBuilder};

use crate::config::model::{AfterDeadLetter, Http, JitterKind, Kafka, Route, Start};
use crate::config::{self, Config, Planned};

/// For how long destinations have been asked to be left alone, and what they said.
pub(crate) type Waits = BTreeMap<String, (Duration, String)>;

/// An engine with everything but its shutdown signal.
pub(crate) fn engine(config: &Config, store: Arc<dyn StateStore>, waits: &Waits) -> EngineBuilder {
    let settings = &config.settings;
    let milliseconds = Duration::from_millis;
    let jitter = match settings.http.jitter {
        JitterKind::None => Jitter::None,
        JitterKind::Tenth => Jitter::Tenth,
        JitterKind::Full => Jitter::Full,
    };
    let later_events = match settings.delivery.after_dead_letter {
        AfterDeadLetter::Continue => LaterEvents::Continue,
        AfterDeadLetter::Park => LaterEvents::Park,
    };
    let on_store_outage = match settings.delivery.on_store_outage {
        config::model::OnStoreOutage::Hold => OnStoreOutage::Hold,
        config::model::OnStoreOutage::Deliver => OnStoreOutage::Deliver,
    };
    let (source, letters) = kafka(&settings.kafka);
    let mut builder = Engine::builder()
        .retry(RetrySchedule { max_retries: settings.http.max_retries, jitter })
        .limits(CoreLimits {
            in_flight_records: settings.limits.in_flight_events,
            in_flight_bytes: settings.limits.in_flight_bytes,
            partition_span: settings.limits.partition_span,
            event_bytes: settings.limits.event_bytes,
            revoke_deadline: milliseconds(settings.limits.revoke_deadline_ms),
            drain_deadline: milliseconds(settings.limits.shutdown_deadline_ms),
            parent_wait: Duration::from_secs(settings.delivery.parent_wait_s),
        })
        .later_events(later_events)
        .on_store_outage(on_store_outage)
        .envelope(settings.schemas.envelope())
        .schemas(config.schemas.clone())
        .shared_store(store)
        .http(http(&settings.http))
        .kafka(source, letters);
    if let Some(registry) = &config.registry {
        builder = builder.registry(registry.clone());
    }
    for planned in &config.destinations {
        let timeout = milliseconds(settings.http.timeout_ms);
        let mut destination = destination(planned, settings.delivery.on_outage).timeout(timeout);
        if let Some((wait, said)) = waits.get(&planned.name) {
            destination = destination.wait(*wait, said.as_str());
        }
        builder = builder.destination(destination);
    }
    for route in &settings.routes {
        builder = builder.route(&route.entity, &route.to).versions(&route.entity, versions(route));
    }
    builder
}

/// A destination as it was planned.
pub(crate) fn destination(planned: &Planned, on_outage: config::model::OnOutage) -> Destination {
    let destination = Destination::new(planned.name.as_str(), Arc::clone(&planned.connector))
        .connector_kind(planned.registration.kind, planned.registration.version);
    let destination = match &planned.shadow {
        Some(shadow) => destination.shadow(Arc::clone(shadow)),
        None => destination,
    };
    planned.treatment.apply(destination, on_outage)
}

pub(crate) fn http(http: &Http) -> TransportOptions {
    let roots = http.ca_file.iter().cloned().collect::<Vec<_>>();
    TransportOptions {
        connect_timeout: Duration::from_millis(http.connect_timeout_ms),
        read_timeout: Duration::from_millis(http.read_timeout_ms),
        max_response_bytes: http.max_response_bytes,
        proxy: http.proxy.option(),
        roots: if roots.is_empty() { TrustRoots::System } else { TrustRoots::Files(roots) },
        ..TransportOptions::default()
    }
}

fn versions(route: &Route) -> VersionPolicy {
    let rule = match route.version {
        config::model::VersionRule::Auto => VersionRule::Auto,
        config::model::VersionRule::Timestamp => VersionRule::Timestamp,
        config::model::VersionRule::Integer => VersionRule::Integer,
        config::model::VersionRule::Text => VersionRule::Text,
        config::model::VersionRule::Opaque => VersionRule::Opaque,
    };
    let equal = match route.equal_version {
        config::model::EqualVersion::Apply => EqualVersion::Apply,
        config::model::EqualVersion::Skip => EqualVersion::Skip,
        config::model::EqualVersion::DeadLetter => EqualVersion::DeadLetter,
    };
    VersionPolicy { rule, equal }
}

/// The drivers' options.
pub(crate) fn kafka(kafka: &Kafka) -> (KafkaOptions, KafkaDeadLettersOptions) {
    let extra: BTreeMap<String, String> =
        kafka.options.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let mut source = KafkaOptions::new(&kafka.bootstrap_servers, &kafka.group_id, &kafka.topics);
    source.start = match kafka.start {
        Start::Earliest => StartPosition::Earliest,
        Start::Latest => StartPosition::Latest,
    };
    source.group_instance_id.clone_from(&kafka.group_instance_id);
    source.session_timeout = Duration::from_millis(kafka.session_timeout_ms);
    // Three heartbeats may be missed, as librdkafka's defaults have it for long sessions.
    source.heartbeat_interval = source.heartbeat_interval.min(source.session_timeout / 3);
    source.max_poll_interval = source.max_poll_interval.max(source.session_timeout);
    source.auto_commit_interval = Duration::from_millis(kafka.auto_commit_interval_ms);
    source.extra.clone_from(&extra);
    let mut letters = KafkaDeadLettersOptions::new(&kafka.bootstrap_servers, &kafka.dlq_topic);
    letters.extra = extra;
    (source, letters)
}

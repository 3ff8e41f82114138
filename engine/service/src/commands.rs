//! The commands that touch nothing: `check`, `connectors`, `schema`.

use std::path::PathBuf;

use serde_json::json;
use syncline_sdk::Registration;

use crate::config::schemas::EnvelopeKind;
use crate::config::treatment::{Bounds, Concurrency, RequestLimits};
use crate::config::{self, Config, Environment, Planned};
use crate::console::{complain, say, table};
use crate::exit::{self, Failure};

/// Validates the configuration.
pub(crate) fn check(path: Option<PathBuf>, environment: &Environment) -> Result<u8, Failure> {
    let config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    for note in &config.notes {
        complain(&format!("note: {note}"));
    }
    for missing in &config.missing_secrets {
        complain(&format!("warning: {missing}; `run` would refuse to start"));
    }
    say("the configuration is valid");
    say(&policy(&config).join("\n"));
    Ok(exit::OK)
}

/// What the service will do, in a few lines. Holds no secret, only references.
pub(crate) fn policy(config: &Config) -> Vec<String> {
    let (kafka, http) = (&config.settings.kafka, &config.settings.http);
    let file = config.file.as_ref().map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let mut lines = vec![
        format!("configuration: {file}"),
        format!(
            "kafka: {} group {} reads {}; dead letters to {}",
            kafka.bootstrap_servers,
            kafka.group_id,
            kafka.topics.join(", "),
            kafka.dlq_topic
        ),
        format!(
            "requests: at most {} attempts, delays {}, timeout {} ms, no proxy",
            http.max_retries.saturating_add(1),
            delays(http.max_retries),
            http.timeout_ms
        ),
    ];
    for planned in &config.destinations {
        let endpoint = planned.connector.endpoint();
        lines.push(format!(
            "destination {}: {} {} at {}, {} at a time, for {}{}",
            planned.name,
            planned.registration.kind,
            planned.registration.version,
            endpoint.base_url,
            at_a_time(planned),
            planned.connector.entity_types().join(", "),
            limits(&planned.treatment.limits)
        ));
    }
    match config.settings.routes.as_slice() {
        [] => lines.push("routes: each destination gets the entity types that it maps".to_owned()),
        routes => {
            lines.extend(routes.iter().map(|route| format!("route {}: {}", route.entity, route.to.join(", "))));
        }
    }
    lines.extend(schemas(config));
    lines.extend(config.settings.registry.summary());
    lines.push(format!("state: {}", config.settings.state.place()));
    lines.push(match config.admin {
        Some(address) => format!("admin: http://{address}"),
        None => "admin: off".to_owned(),
    });
    lines
}

/// What payloads are held against, unless that is nothing.
fn schemas(config: &Config) -> Option<String> {
    let known: Vec<String> = config
        .schemas
        .known()
        .map(|(entity, version)| match version {
            Some(version) => format!("{entity} `{version}`"),
            None => format!("{entity} without a version"),
        })
        .collect();
    let settings = &config.settings.schemas;
    let payloads = match known.as_slice() {
        [] => "none for payloads".to_owned(),
        known => format!("{}; other versions: {}", known.join(", "), settings.unknown_version.name()),
    };
    let (is_needed, envelope) = match settings.envelope {
        EnvelopeKind::Lenient => (!known.is_empty(), "lenient"),
        EnvelopeKind::Strict => (true, "strict"),
    };
    is_needed.then(|| format!("schemas: {payloads}; envelope: {envelope}"))
}

fn at_a_time(planned: &Planned) -> String {
    match planned.treatment.concurrency {
        Some(Concurrency::Fixed(number)) => number.to_string(),
        Some(Concurrency::Adaptive(Bounds { min, max })) => format!("{min} to {max}"),
        None => format!("1 to {}", planned.connector.endpoint().limits.concurrency),
    }
}

fn limits(limits: &RequestLimits) -> String {
    let rate = limits.requests_per_second.map(|rate| format!("{rate} requests a second"));
    let quotas = limits.quotas.iter().map(|quota| format!("{} requests per {}", quota.requests, quota.per));
    let limits: Vec<_> = rate.into_iter().chain(quotas).collect();
    if limits.is_empty() { String::new() } else { format!(", at most {}", limits.join(", ")) }
}

fn delays(retries: u32) -> String {
    let schedule =
        syncline_engine::core::RetrySchedule { max_retries: retries, jitter: syncline_engine::core::Jitter::None };
    let mut random = fastrand::Rng::with_seed(0);
    let shown = retries.min(6);
    let mut delays: Vec<String> =
        (1..=shown).map(|retry| format!("{} s", schedule.delay(retry, None, &mut random).as_secs())).collect();
    if retries > shown {
        delays.push("…".to_owned());
    }
    if delays.is_empty() { "none".to_owned() } else { delays.join(", ") }
}

/// Lists the linked connectors.
pub(crate) fn connectors(json: bool) -> Result<u8, Failure> {
    let all = Registration::all();
    if json {
        let list: Vec<_> = all
            .iter()
            .map(|connector| {
                json!({
                    "kind": connector.kind, "crate": connector.crate_name, "version": connector.version,
                    "summary": connector.summary, "capabilities": { "look_up": connector.capabilities.look_up },
                    "sample_config": connector.sample_config,
                })
            })
            .collect();
        say(&pretty(&list.into()));
    } else if all.is_empty() {
        say("no connector is linked into this program; name one in code, such as `use syncline_servicenow as _;`");
    } else {
        let mut rows = vec![["KIND", "VERSION", "CRATE", "WHAT"].map(str::to_owned).to_vec()];
        rows.extend(all.iter().map(|connector| {
            [connector.kind, connector.version, connector.crate_name, connector.summary].map(str::to_owned).to_vec()
        }));
        say(&table(&rows));
    }
    Registration::check_unique().map_err(|error| Failure::new(exit::CONFIG, error.message))?;
    Ok(exit::OK)
}

/// Prints the JSON Schema of the configuration.
pub(crate) fn schema() -> Result<u8, Failure> {
    say(&pretty(&config::schema()));
    Ok(exit::OK)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}

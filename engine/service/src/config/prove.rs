//! From a tree that fits the schema to a plan that can be carried out: connectors are built, names
//! are resolved, and what must fit together is held together.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use syncline_sdk::{ConnectorConfig, CrmConnector, Registration};
use tracing_subscriber::EnvFilter;

use super::Config;
use super::model::{Admin, Http, OnOutage, Settings};
use super::plain::variable_prefix;
use super::problem::{Problem, segment};
use super::treatment::Treatment;

/// A proven destination.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) registration: &'static Registration,
    pub(crate) connector: Arc<dyn CrmConnector>,
    pub(crate) shadow: Option<Arc<dyn CrmConnector>>,
    pub(crate) treatment: Treatment,
}

/// Proves a tree that fits the schema. `folder` is what paths of schemas are relative to.
pub(crate) fn prove(tree: Value, connectors: &[&'static Registration], folder: &Path) -> Result<Config, Vec<Problem>> {
    let is_written = |key: &str| tree.pointer(&format!("/http/{key}")).is_some();
    let written = [is_written("connect_timeout_ms"), is_written("read_timeout_ms")];
    // The tree fits the schema, so this can't meet a value of the wrong kind and repeat it.
    let mut settings: Settings = serde_json::from_value(tree)
        .map_err(|_| vec![Problem::new("", "the configuration doesn't fit its own types; please report this")])?;
    let mut problems = Vec::new();
    let mut destinations = Vec::new();
    for (index, written) in std::mem::take(&mut settings.destinations).into_iter().enumerate() {
        match destination(index, written) {
            Ok(planned) => destinations.push((index, planned)),
            Err(problem) => problems.push(problem),
        }
    }
    let complete = problems.is_empty();
    check_names(&destinations, &mut problems);
    if complete {
        check_routes(&settings, &destinations, connectors, &mut problems);
    }
    check_kafka(&settings, &mut problems);
    check_http(&settings.http, written, &mut problems);
    settings.state.check(&mut problems);
    let schemas = settings.schemas.read(folder, &mut problems);
    let registry = settings.registry.prove(&mut problems);
    if EnvFilter::builder().parse(&settings.log.level).is_err() {
        problems.push(Problem::new("/log/level", "expected a level such as `info`, or levels by module"));
    }
    let admin = check_admin(&settings.admin).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    if problems.is_empty() {
        let destinations = destinations.into_iter().map(|(_, planned)| planned).collect();
        let (notes, missing_secrets) = (Vec::new(), Vec::new());
        Ok(Config { settings, destinations, schemas, registry, admin, notes, missing_secrets, file: None })
    } else {
        Err(problems)
    }
}

fn destination(index: usize, mut written: Map<String, Value>) -> Result<Planned, Problem> {
    let pointer = format!("/destinations/{index}");
    let name = written.remove("name").as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let unfit = || Problem::new(&pointer, "the destination doesn't fit its own types; please report this");
    let treatment = Treatment::take(&mut written).ok_or_else(unfit)?;
    let kind = written.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let registration = Registration::find(&kind)
        .map_err(|error| Problem::new(format!("{pointer}{}", pointer_of(&error.path, &written)), error.message))?;
    let connector = connect(&written, &written, &pointer)?;
    let shadow = match &treatment.shadow {
        Some(changes) => {
            let pointer = format!("{pointer}/shadow");
            Some(connect(&shadowed(&written, changes, &pointer)?, changes, &pointer)?)
        }
        None => None,
    };
    let planned = Planned { name, registration, connector, shadow, treatment };
    if planned.treatment.limits.burst.is_some() && planned.treatment.limits.requests_per_second.is_none() {
        return Err(Problem::new(
            format!("{pointer}/limits/burst"),
            "belongs to `requests_per_second`, which is missing",
        ));
    }
    let destination = crate::assemble::destination(&planned, OnOutage::default());
    destination.check().map_err(|error| Problem::new(&pointer, error.to_string()))?;
    Ok(planned)
}

/// Builds a connector. Problems are told at `pointer`, as far as their keys are `written` there.
fn connect(
    options: &Map<String, Value>,
    written: &Map<String, Value>,
    pointer: &str,
) -> Result<Arc<dyn CrmConnector>, Problem> {
    let config: Box<dyn ConnectorConfig> = serde_json::from_value(Value::Object(options.clone()))
        .map_err(|error| Problem::new(pointer, without_values(error.to_string(), options)))?;
    config
        .connect()
        .map_err(|error| Problem::new(format!("{pointer}{}", pointer_of(&error.path, written)), error.message))
}

/// A destination's options with a shadow's changes.
fn shadowed(
    written: &Map<String, Value>,
    changes: &Map<String, Value>,
    pointer: &str,
) -> Result<Map<String, Value>, Problem> {
    let mut options = written.clone();
    for (key, change) in changes {
        if matches!(key.as_str(), "type" | "name" | "base_url" | "auth") {
            let what = "a shadow sends nothing, so this can't differ: remove it";
            return Err(Problem::new(format!("{pointer}/{}", segment(key)), what));
        }
        match (options.get_mut(key), change) {
            (Some(Value::Object(known)), Value::Object(changed)) => known.extend(changed.clone()),
            _ => drop(options.insert(key.clone(), change.clone())),
        }
    }
    Ok(options)
}

/// A connector's dotted path as a JSON pointer, as far as the written keys go. A key with a dot in
/// it ends the walk, and then the problem is told at the key around it.
fn pointer_of(path: &str, written: &Map<String, Value>) -> String {
    let mut pointer = String::new();
    let mut here = Some(written);
    for key in path.split('.') {
        pointer.push('/');
        pointer.push_str(&segment(key));
        here = here.and_then(|table| table.get(key)).and_then(Value::as_object);
    }
    pointer
}

/// A message of serde's without any text of the configuration in it.
fn without_values(mut message: String, written: &Map<String, Value>) -> String {
    fn mask(value: &Value, message: &mut String) {
        match value {
            Value::String(text) if text.len() >= 3 => *message = message.replace(text.as_str(), "…"),
            Value::Array(items) => items.iter().for_each(|item| mask(item, message)),
            Value::Object(table) => table.values().for_each(|value| mask(value, message)),
            _ => {}
        }
    }
    written.values().for_each(|value| mask(value, &mut message));
    message
}

fn check_names(destinations: &[(usize, Planned)], problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (index, planned) in destinations {
        if let Some(first) = seen.insert(&planned.name, *index) {
            let what = format!("has the same name as destinations[{first}]; names must differ");
            problems.push(Problem::new(format!("/destinations/{index}/name"), what));
        }
    }
}

fn check_routes(
    settings: &Settings,
    destinations: &[(usize, Planned)],
    connectors: &[&'static Registration],
    problems: &mut Vec<Problem>,
) {
    if destinations.is_empty() {
        let kinds: Vec<_> = connectors.iter().map(|connector| connector.kind).collect();
        let variables: Vec<_> = kinds.iter().map(|kind| format!("{}_BASE_URL", variable_prefix(kind))).collect();
        let what = match kinds.as_slice() {
            [] => "there is nowhere to deliver to, and no connector is linked into this program".to_owned(),
            _ => format!(
                "there is nowhere to deliver to: set {}, or write `[[destinations]]` in a file and pass it with \
                 --config (linked connectors: {})",
                variables.join(" or "),
                kinds.join(", ")
            ),
        };
        problems.push(Problem::new("", what));
    }
    let mut routed = BTreeMap::<&str, Vec<&str>>::new();
    for (position, route) in settings.routes.iter().enumerate() {
        for (place, name) in route.to.iter().enumerate() {
            let pointer = format!("/routes/{position}/to/{place}");
            let entity = route.entity.as_str();
            let to = routed.entry(entity).or_default();
            if to.contains(&name.as_str()) {
                problems.push(Problem::new(&pointer, "this entity type is routed there already"));
            }
            to.push(name);
            match destinations.iter().find(|(_, planned)| planned.name == *name) {
                None => {
                    let known: Vec<_> = destinations.iter().map(|(_, planned)| planned.name.as_str()).collect();
                    let what = format!("no destination has this name; there are: {}", known.join(", "));
                    problems.push(Problem::new(pointer, what));
                }
                Some((_, planned)) if !planned.connector.entity_types().contains(&entity) => {
                    let mapped = planned.connector.entity_types().join(", ");
                    let what = format!("this destination doesn't map the entity type `{entity}`; it maps: {mapped}");
                    problems.push(Problem::new(pointer, what));
                }
                Some(_) => {}
            }
        }
    }
}

fn check_kafka(settings: &Settings, problems: &mut Vec<Problem>) {
    let kafka = &settings.kafka;
    // A request that outlives the session could write after the partition has gone to another.
    if settings.http.timeout_ms >= kafka.session_timeout_ms {
        let what = format!(
            "a request may take {} ms, and a member that is silent for {} ms (kafka.session_timeout_ms) loses its \
             partitions: make this shorter, or the session longer",
            settings.http.timeout_ms, kafka.session_timeout_ms
        );
        problems.push(Problem::new("/http/timeout_ms", what));
    }
    if kafka.topics.contains(&kafka.dlq_topic) {
        problems.push(Problem::new("/kafka/dlq_topic", "is also read as a topic: dead letters would come back"));
    }
    let (source, letters) = crate::assemble::kafka(kafka);
    if let Err(error) = source.check() {
        problems.push(Problem::new("/kafka", error.to_string()));
    } else if let Err(error) = letters.check() {
        problems.push(Problem::new("/kafka", error.0));
    }
}

/// `written` says whether the times to connect and to read are, in that order: a default that is too long for a short
/// request is nobody's mistake.
fn check_http(http: &Http, written: [bool; 2], problems: &mut Vec<Problem>) {
    let mut wrong = |key: &str, what: String| problems.push(Problem::new(format!("/http/{key}"), what));
    let total = http.timeout_ms;
    let [connect, read] = written;
    if connect && http.connect_timeout_ms >= total {
        let what =
            format!("connecting may take as long as the whole request ({total} ms, http.timeout_ms): make it shorter");
        wrong("connect_timeout_ms", what);
    }
    if read && http.read_timeout_ms > total {
        let what = format!("a silence is never that long, as the whole request may take {total} ms (http.timeout_ms)");
        wrong("read_timeout_ms", what);
    }
    if let Err(error) = http.proxy.option().check() {
        wrong("proxy", format!("expected `none`, `env` or a URL: {error}"));
    }
    if http.ca_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        wrong("ca_file", "must not be empty: leave it out to trust the system's certificates".to_owned());
    }
}

fn check_admin(admin: &Admin) -> Result<Option<SocketAddr>, Problem> {
    if admin.listen == "off" {
        return Ok(None);
    }
    let address = match admin.listen.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => admin.listen.parse().ok(),
    };
    let Some(address) = address else {
        return Err(Problem::new("/admin/listen", "expected an address and a port such as 127.0.0.1:8080, or `off`"));
    };
    if !address.ip().is_loopback() && admin.token.is_none() {
        return Err(Problem::new(
            "/admin/listen",
            "an address other than loopback needs a token: set `admin.token` to `env:NAME` or `file:/path`",
        ));
    }
    Ok(Some(address))
}

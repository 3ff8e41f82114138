//! How a program puts an engine together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use syncline_sdk::{Auth, Cookies};
use tokio::sync::mpsc;

use crate::auth::{Credentials, EnvAndFiles, Seams, SecretSource};
use crate::core::{
    Core, CoreConfig, CoreError, CoreLimits, Envelope, LaterEvents, Now, OnStoreOutage, PayloadSchemas, RetrySchedule,
    VersionPolicy,
};
use crate::destination::Destination;
use crate::dlq::{DeadLetterError, DeadLetterSink, KafkaDeadLetters, KafkaDeadLettersOptions};
use crate::handle::EngineHandle;
use crate::plan::{Planner, Reader};
use crate::registry::{Registry, Rules, SchemaSource};
use crate::runtime::{Board, Drivers, LaneRuntime, Pulse, RunReport, Runtime, Schemas, Shutdown, Waiting};
use crate::source::{EventSource, KafkaOptions, KafkaSource, SourceError};
use crate::state::{MemoryStore, StateStore};
use crate::transport::cookies::CookieJars;
use crate::transport::{CertificateTransport, HttpTransport, ReqwestTransport, TransportError, TransportOptions};

/// An engine that is ready to run.
pub struct Engine {
    runtime: Runtime,
    handle: EngineHandle,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Why an engine can't start, or has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Something is missing or makes no sense.
    #[error("{0}")]
    Config(String),
    /// The source can't be started, or has failed for good.
    #[error("the event source failed: {0}")]
    Source(#[from] SourceError),
    /// The dead letter queue can't be set up.
    #[error(transparent)]
    DeadLetters(#[from] DeadLetterError),
    /// The HTTP client can't be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<CoreError> for EngineError {
    fn from(error: CoreError) -> Self {
        Self::Config(error.0)
    }
}

impl Engine {
    /// Begins to put an engine together.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Tells how the engine is while it runs, and controls it.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Runs until the shutdown signal. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`EngineError::Source`] when the source has failed for good. Everything that wasn't finished
    /// will be redelivered.
    pub async fn run(self) -> Result<RunReport, EngineError> {
        self.runtime.run().await
    }
}

/// Puts an engine together. Needed: at least one destination; a source and a dead letter queue,
/// which [`kafka`](Self::kafka) gives both. Everything else has a default.
#[derive(Default)]
#[must_use]
pub struct EngineBuilder {
    destinations: Vec<Destination>,
    routes: BTreeMap<String, Vec<String>>,
    retry: RetrySchedule,
    limits: CoreLimits,
    later_events: LaterEvents,
    on_store_outage: OnStoreOutage,
    versions: BTreeMap<String, VersionPolicy>,
    envelope: Envelope,
    schemas: PayloadSchemas,
    registry: Option<Registry>,
    kafka: Option<KafkaOptions>,
    kafka_letters: Option<KafkaDeadLettersOptions>,
    source: Option<Box<dyn EventSource>>,
    letters: Option<Arc<dyn DeadLetterSink>>,
    store: Option<Arc<dyn StateStore>>,
    transport: Option<Arc<dyn HttpTransport>>,
    http: TransportOptions,
    secrets: Option<Arc<dyn SecretSource>>,
    shutdown: Option<Shutdown>,
    seed: Option<u64>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("destinations", &self.destinations)
            .field("routes", &self.routes)
            .field("retry", &self.retry)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// How long the last commit and the farewell to the group may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

impl EngineBuilder {
    /// Adds a destination.
    pub fn destination(mut self, destination: Destination) -> Self {
        self.destinations.push(destination);
        self
    }

    /// Sends events of an entity type to these destinations. Without any route, every destination
    /// gets the entity types that its connector maps.
    pub fn route<N: Into<String>>(mut self, entity: impl Into<String>, to: impl IntoIterator<Item = N>) -> Self {
        self.routes.entry(entity.into()).or_default().extend(to.into_iter().map(Into::into));
        self
    }

    /// When failed events are sent again. Default: 3 retries after 2, 4 and 8 seconds.
    pub fn retry(mut self, retry: RetrySchedule) -> Self {
        self.retry = retry;
        self
    }

    /// What may be held in memory, and how long a drain may take.
    pub fn limits(mut self, limits: CoreLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What happens to the events of an entity after one of them was dead-lettered. Default: they
    /// are delivered.
    pub fn later_events(mut self, later_events: LaterEvents) -> Self {
        self.later_events = later_events;
        self
    }

    /// What happens to events while the state store doesn't answer. Default: they wait.
    pub fn on_store_outage(mut self, on_store_outage: OnStoreOutage) -> Self {
        self.on_store_outage = on_store_outage;
        self
    }

    /// What the versions of an entity type mean. Default: [`VersionPolicy::default`].
    pub fn versions(mut self, entity: impl Into<String>, policy: VersionPolicy) -> Self {
        self.versions.insert(entity.into(), policy);
        self
    }

    /// What becomes of keys that an event's format doesn't know. Default: they do no harm.
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = envelope;
        self
    }

    /// What payloads have to look like. Default: anything goes.
    pub fn schemas(mut self, schemas: PayloadSchemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// Reads values in the Confluent wire format with schemas from there. Default: all values are plain
    /// JSON.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Reads from Kafka, and keeps dead letters there.
    pub fn kafka(mut self, source: KafkaOptions, letters: KafkaDeadLettersOptions) -> Self {
        self.kafka = Some(source);
        self.kafka_letters = Some(letters);
        self
    }

    /// Reads from this source instead of Kafka.
    pub fn source(mut self, source: impl EventSource) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Keeps dead letters there instead of in Kafka.
    pub fn dead_letters(mut self, letters: impl DeadLetterSink) -> Self {
        self.letters = Some(Arc::new(letters));
        self
    }

    /// Remembers there. Default: a [`MemoryStore`].
    pub fn store(self, store: impl StateStore) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// Remembers in this store, which someone else may hold, too.
    pub fn shared_store(mut self, store: Arc<dyn StateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sends through this. Default: a [`ReqwestTransport`].
    pub fn transport(mut self, transport: impl HttpTransport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// How the default [`ReqwestTransport`] connects. No destination's connecting takes longer than half of what its
    /// shortest request may take.
    pub fn http(mut self, options: TransportOptions) -> Self {
        self.http = options;
        self
    }

    /// Reads secrets there. Default: [`EnvAndFiles`].
    pub fn secrets(mut self, secrets: impl SecretSource) -> Self {
        self.secrets = Some(Arc::new(secrets));
        self
    }

    /// Stops gracefully when `signal` resolves. Default: never.
    pub fn shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Some(Box::pin(signal));
        self
    }

    /// Decides jitter and error ids, for tests. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks everything and connects to Kafka, where it is used. An unreachable broker is no error
    /// here: the engine waits for it.
    ///
    /// # Errors
    /// [`EngineError`] that says what is missing or makes no sense.
    pub fn build(self) -> Result<Engine, EngineError> {
        let store = self.state_store();
        let config = self.core_config(&store)?;
        let transports = self.transports()?;
        let registry = self.registry.map(|registry| transports.registry(registry, &store)).transpose()?;
        let mut runtimes = Vec::new();
        for destination in &self.destinations {
            runtimes.push(Arc::new(transports.lane(destination, &store)?));
        }
        let event_bytes = config.limits.event_bytes;
        let now = Now { mono: Duration::ZERO, wall: SystemTime::now() };
        let core = Core::new(config, self.seed.unwrap_or_else(|| fastrand::u64(..)), now)?;
        let missing =
            |what: &str| EngineError::Config(format!("the engine has no {what}: call `kafka`, or give it one"));
        let letters = match (self.letters, self.kafka_letters) {
            (Some(letters), _) => letters,
            (None, Some(options)) => Arc::new(KafkaDeadLetters::start(options)?),
            (None, None) => return Err(missing("dead letter queue")),
        };
        let source: Box<dyn EventSource> = match (self.source, self.kafka) {
            (Some(source), _) => source,
            (None, Some(options)) => Box::new(KafkaSource::start(options)?),
            (None, None) => return Err(missing("source")),
        };
        let board = Arc::new(Board::new(runtimes.iter().map(|lane| Arc::clone(&lane.destination))));
        let schemas = registry.map(|(source, rules)| Schemas::new(source, rules, event_bytes, Arc::clone(&board)));
        let pulse = Arc::new(Pulse::new(source.session_timeout()));
        let (controls, controlled) = mpsc::unbounded_channel();
        let handle = EngineHandle::new(Arc::clone(&board), controls);
        let runtime = Runtime {
            core,
            source,
            lanes: runtimes,
            drivers: Drivers { store, letters, pulse, letters_quiet: Arc::default() },
            shutdown: self.shutdown.unwrap_or_else(|| Box::pin(std::future::pending())),
            board,
            close_deadline: CLOSE_DEADLINE,
            waiting: Waiting::new(schemas),
            controlled,
        };
        Ok(Engine { runtime, handle })
    }

    /// What would become of records, without sending anything. Needs destinations, and nothing else.
    ///
    /// # Errors
    /// [`EngineError::Config`] that says what is missing or makes no sense.
    pub fn planner(&self) -> Result<Planner, EngineError> {
        Ok(Planner::new(self.core_config(&self.state_store())?)?)
    }

    /// Asks a destination's CRM, as the engine would, and never writes. Where tokens are renewed with a
    /// refresh token that the provider replaces, the new one is kept in the store.
    ///
    /// # Errors
    /// [`EngineError`] when there is no such destination, or requests to it can't be made.
    pub fn reader(&self, destination: &str) -> Result<Reader, EngineError> {
        let Some(destination) = self.destinations.iter().find(|known| **known.name() == *destination) else {
            return Err(EngineError::Config(format!("there is no destination `{destination}`")));
        };
        let lane = self.transports()?.lane(destination, &self.state_store())?;
        let rate = destination.lane.pace.rate.as_ref().map(|rate| rate.per_second);
        Ok(Reader::new(lane, Arc::clone(&destination.lane.connector), rate))
    }

    fn state_store(&self) -> Arc<dyn StateStore> {
        self.store.clone().unwrap_or_else(|| Arc::new(MemoryStore::default()))
    }

    fn core_config(&self, store: &Arc<dyn StateStore>) -> Result<CoreConfig, EngineError> {
        Ok(CoreConfig {
            routes: self.resolve_routes()?,
            lanes: self.destinations.iter().map(|destination| destination.lane.clone()).collect(),
            retry: self.retry.clone(),
            limits: self.limits.clone(),
            later_events: self.later_events,
            on_store_outage: self.on_store_outage,
            versions: self.versions.clone(),
            envelope: self.envelope,
            schemas: self.schemas.clone(),
            lease: store.lease(),
            shared_budgets: store.shares_budgets(),
        })
    }

    fn transports(&self) -> Result<Transports, TransportError> {
        let secrets = self.secrets.clone().unwrap_or_else(|| Arc::new(EnvAndFiles));
        let shortest = self.destinations.iter().map(|destination| destination.timeout).min();
        Transports::new(self.transport.clone(), self.http.clone(), shortest, secrets)
    }

    fn resolve_routes(&self) -> Result<BTreeMap<String, Vec<usize>>, EngineError> {
        let refuse = |message: String| Err(EngineError::Config(message));
        if self.destinations.is_empty() {
            return refuse("the engine has no destination".to_owned());
        }
        let mut names = BTreeSet::new();
        for destination in &self.destinations {
            if destination.name().is_empty() || !names.insert(destination.name()) {
                return refuse(format!("a destination's name must be there and unique: `{}`", destination.name()));
            }
        }
        let mut routes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        if self.routes.is_empty() {
            for (index, destination) in self.destinations.iter().enumerate() {
                for entity in destination.lane.connector.entity_types() {
                    routes.entry(entity.to_owned()).or_default().push(index);
                }
            }
        }
        for (entity, to) in &self.routes {
            for name in to {
                let Some(index) = self.destinations.iter().position(|destination| **destination.name() == **name)
                else {
                    let known: Vec<_> = names.iter().map(|name| name.as_ref()).collect();
                    return refuse(format!(
                        "`{entity}` is routed to `{name}`, which is no destination; there are: {}",
                        known.join(", ")
                    ));
                };
                routes.entry(entity.clone()).or_default().push(index);
            }
        }
        Ok(routes)
    }
}

/// What requests are sent through: the program's own, or one for all destinations and one more for
/// each that shows a certificate of its own.
struct Transports {
    shared: Arc<dyn HttpTransport>,
    given: bool,
    options: TransportOptions,
    secrets: Arc<dyn SecretSource>,
}

impl Transports {
    fn new(
        given: Option<Arc<dyn HttpTransport>>,
        mut options: TransportOptions,
        shortest: Option<Duration>,
        secrets: Arc<dyn SecretSource>,
    ) -> Result<Self, TransportError> {
        // Shorter than a request, so that a host that doesn't answer at all counts as unsent.
        options.connect_timeout =
            shortest.map_or(options.connect_timeout, |shortest| options.connect_timeout.min(shortest / 2));
        let is_given = given.is_some();
        let shared = match given {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&options)?),
        };
        Ok(Self { shared, given: is_given, options, secrets })
    }

    /// What sending to a destination needs.
    fn lane(&self, destination: &Destination, store: &Arc<dyn StateStore>) -> Result<LaneRuntime, EngineError> {
        let name = destination.name();
        let connector = &destination.lane.connector;
        let endpoint = connector.endpoint().clone();
        // What the transport can't parse would dead-letter every event.
        if let Err(error) = reqwest::Url::parse(endpoint.base_url.as_str()) {
            return Err(EngineError::Config(format!("destination `{name}`: base_url: {error}")));
        }
        let jars = destination.lane.concurrency.max();
        let cookies = (endpoint.cookies == Cookies::JarPerWorker).then(|| CookieJars::new(jars));
        let transport = self.of(&endpoint.auth);
        let seams = Seams {
            secrets: Arc::clone(&self.secrets),
            transport: Arc::clone(&transport),
            store: Arc::clone(store),
            timeout: destination.timeout,
        };
        let credentials = Credentials::new(Arc::clone(name), endpoint.auth, seams)
            .map_err(|what| EngineError::Config(format!("destination `{name}`: {what}")))?;
        Ok(LaneRuntime {
            destination: Arc::clone(name),
            base_url: endpoint.base_url.as_str().to_owned(),
            credentials,
            transport,
            timeout: destination.timeout,
            entity_types: connector.entity_types().into_iter().map(str::to_owned).collect(),
            cookies,
        })
    }

    /// What gives schemas, and how values are treated.
    fn registry(
        &self,
        registry: Registry,
        store: &Arc<dyn StateStore>,
    ) -> Result<(Arc<dyn SchemaSource>, Rules), EngineError> {
        let rules = registry.rules();
        let transport = self.of(registry.auth().unwrap_or(&Auth::None {}));
        let seams = |transport, timeout| {
            let (secrets, store) = (Arc::clone(&self.secrets), Arc::clone(store));
            Seams { secrets, transport, store, timeout }
        };
        let source = registry.connect(transport, seams);
        Ok((source.map_err(|what| EngineError::Config(format!("the schema registry: {what}")))?, rules))
    }

    fn of(&self, auth: &Auth) -> Arc<dyn HttpTransport> {
        match auth {
            Auth::ClientCertificate { certificate, key } if !self.given => Arc::new(CertificateTransport::new(
                self.options.clone(),
                certificate.clone(),
                key.clone(),
                Arc::clone(&self.secrets),
            )),
            _ => Arc::clone(&self.shared),
        }
    }
}

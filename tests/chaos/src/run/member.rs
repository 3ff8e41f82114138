//! The members: the shipped service as processes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use syncline_fakes::servicenow::{DEFAULT_PASSWORD, ServiceNow};
use tokio::process::{Child, Command};

use super::kafka::{Brokers, DLQ, GROUP, TOPIC, signal};
use super::log::Log;
use super::proxy::Proxy;
use crate::recording::Micros;

/// After this long without a heartbeat a member is taken for dead.
pub(super) const SESSION: Duration = Duration::from_secs(6);
/// After this long the service gives up a request.
pub(super) const TIMEOUT: Duration = Duration::from_secs(4);
/// So many that no weather uses them up.
const RETRIES: u32 = 12;
/// An orderly stop takes less.
const STOP: Duration = Duration::from_secs(60);

/// A place for a member, with a wire to the CRM of its own.
#[derive(Debug)]
pub(super) struct Place {
    number: usize,
    lives: usize,
    pub(super) wire: Arc<Proxy>,
    running: Option<Member>,
}

/// One life of a member.
#[derive(Debug)]
struct Member {
    /// Its name, by which the CRM knows it too.
    name: String,
    child: Child,
    pid: u32,
}

/// Since when a member is suspended.
#[derive(Debug)]
pub(super) struct Suspended {
    from: Micros,
    fired: u64,
}

/// What all members share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) log: Arc<Log>,
    pub(super) crm: Arc<ServiceNow>,
    pub(super) binary: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) bootstrap: String,
}

impl Shared {
    pub(super) fn new(
        log: &Arc<Log>,
        crm: &Arc<ServiceNow>,
        brokers: &Brokers,
        binary: PathBuf,
        folder: &Path,
    ) -> Self {
        Self {
            log: Arc::clone(log),
            crm: Arc::clone(crm),
            binary,
            folder: folder.to_owned(),
            bootstrap: brokers.proxied.clone(),
        }
    }
}

impl Place {
    pub(super) async fn new(number: usize, shared: &Shared) -> Self {
        let (listener, address) = Proxy::bind().await.expect("a free port");
        let wire = Arc::new(Proxy::connect(listener, address, shared.crm.address()));
        Self { number, lives: 0, wire, running: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_none()
    }

    /// The name of the life that runs.
    pub(super) fn name(&self) -> &str {
        self.running.as_ref().map_or("", |member| &member.name)
    }

    /// Begins a new life.
    pub(super) fn start(&mut self, shared: &Shared) {
        self.lives += 1;
        let name = format!("m{}.{}", self.number, self.lives);
        shared.crm.set_user(&name, DEFAULT_PASSWORD);
        let log = std::fs::File::create(shared.folder.join(format!("{name}.log"))).expect("a log file");
        let child = Command::new(&shared.binary)
            .arg("run")
            .env_clear()
            .env("KAFKA_BOOTSTRAP_SERVERS", &shared.bootstrap)
            .env("KAFKA_TOPIC", TOPIC)
            .env("KAFKA_DLQ_TOPIC", DLQ)
            .env("KAFKA_GROUP_ID", GROUP)
            .env("SERVICENOW_BASE_URL", format!("http://{}", self.wire.address))
            .env("SERVICENOW_USERNAME", &name)
            .env("SERVICENOW_PASSWORD", DEFAULT_PASSWORD)
            .env("HTTP_TIMEOUT", TIMEOUT.as_secs().to_string())
            .env("HTTP_MAX_RETRIES", RETRIES.to_string())
            .env("SYNCLINE__KAFKA__SESSION_TIMEOUT_MS", SESSION.as_millis().to_string())
            // Each for itself: what a member forgets with its life, the next one repeats.
            .env("SYNCLINE__STATE__TYPE", "memory")
            .env("SYNCLINE__ADMIN__LISTEN", "off")
            .current_dir(&shared.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", shared.binary.display()));
        let pid = child.id().expect("it runs");
        shared.log.say(&format!("member {name} started (pid {pid})"));
        self.running = Some(Member { name, child, pid });
    }

    /// Kills the life that runs.
    pub(super) async fn kill(&mut self, shared: &Shared) {
        let Some(mut member) = self.running.take() else { return };
        let from = shared.log.now();
        member.child.kill().await.expect("it is killed");
        shared.log.fault("member killed", Some(&member.name), from, 1);
    }

    /// Suspends the life that runs.
    pub(super) async fn suspend(&mut self, shared: &Shared) -> Suspended {
        let Some(member) = &self.running else { return Suspended { from: shared.log.now(), fired: 0 } };
        Suspended { from: shared.log.now(), fired: u64::from(signal("STOP", member.pid).await) }
    }

    /// Lets it go on.
    pub(super) async fn resume(&mut self, shared: &Shared, suspended: Suspended) {
        let Some(member) = &self.running else { return };
        signal("CONT", member.pid).await;
        let for_long = u128::from(shared.log.now() - suspended.from) > SESSION.as_micros();
        let kind = if for_long { "member stopped for long" } else { "member stopped shortly" };
        shared.log.fault(kind, Some(&member.name), suspended.from, suspended.fired);
    }

    /// Stops the life that runs in an orderly way.
    pub(super) async fn stop(&mut self, shared: &Shared, kind: &str) -> Option<ExitStatus> {
        let mut member = self.running.take()?;
        let from = shared.log.now();
        let fired = signal("TERM", member.pid).await;
        let ended = tokio::time::timeout(STOP, member.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} doesn't end", member.name)).expect("its status");
        shared.log.say(&format!("member {} ended: {status}", member.name));
        shared.log.fault(kind, Some(&member.name), from, u64::from(fired));
        Some(status)
    }

    /// Whether a life ended by itself.
    pub(super) fn has_died(&mut self) -> Option<String> {
        let member = self.running.as_mut()?;
        let status = member.child.try_wait().expect("its status")?;
        Some(format!("{} ended by itself: {status}", member.name))
    }
}

//! A Redis server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{Process, eventually, free_port};
use crate::resp::{ADMIN, ask};
use crate::tls::Certificates;

/// What a server is like.
#[derive(Debug, Clone, Default)]
pub struct RedisSettings {
    /// `appendfsync` of the append-only file. None by default: its data end with the server.
    pub appendfsync: Option<&'static str>,
    /// Whether it has a TLS port besides, and asks clients for certificates there.
    pub tls: Option<AsksForCertificates>,
    /// An ACL user, as `name rules`. With one, the default user can't do anything.
    pub user: Option<&'static str>,
    /// Whether it is a server of a cluster.
    pub cluster: bool,
    /// Any other lines of its configuration.
    pub lines: Vec<String>,
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsksForCertificates(pub bool);

/// A server, killed when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    folder: TempDir,
    settings: RedisSettings,
    port: u16,
    tls_port: Option<u16>,
    certificates: Option<Certificates>,
    sentinel: bool,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub async fn start(settings: RedisSettings) -> Self {
        Self::start_as(settings, false).await
    }

    pub(crate) async fn start_as(settings: RedisSettings, sentinel: bool) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let certificates = settings.tls.map(|_| Certificates::make(folder.path()));
            let mut server = Self {
                process: None,
                folder,
                port: free_port(),
                tls_port: settings.tls.map(|_| free_port()),
                settings: settings.clone(),
                certificates,
                sentinel,
            };
            std::fs::write(server.config(), server.configuration()).expect("a configuration");
            server.run();
            if server.answers().await {
                return server;
            }
            // Someone else had the port first.
            let said = server.process.as_ref().map(Process::said).unwrap_or_default();
            assert!(said.contains("Address already in use"), "redis-server did not start: {said}");
        }
        panic!("redis-server found no free port");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("redis.conf")
    }

    fn configuration(&self) -> String {
        let mut text = format!("port {}\nbind 127.0.0.1\ndir {}\n", self.port, self.folder.path().display());
        text += "enable-debug-command yes\nsave \"\"\nlogfile \"\"\n";
        let [admin, password] = ADMIN;
        let _ = writeln!(text, "user {admin} on >{password} ~* &* +@all");
        if let Some(user) = self.settings.user {
            let _ = writeln!(text, "user {user}\nuser default off");
        }
        if self.sentinel {
            // A sentinel takes none of these.
            let is_common = |line: &&str| !line.starts_with("save") && !line.starts_with("enable");
            text = text.lines().filter(is_common).fold(String::new(), |text, line| text + line + "\n");
        }
        if self.settings.cluster {
            // The bus has the port 10,000 above by default, which can be too high a number, or taken.
            let _ = writeln!(text, "cluster-enabled yes\ncluster-node-timeout 2000\ncluster-port {}", free_port());
        }
        if let Some(fsync) = self.settings.appendfsync {
            let _ = writeln!(text, "appendonly yes\nappendfsync {fsync}");
        }
        if let (Some(port), Some(files), Some(asks)) = (self.tls_port, &self.certificates, self.settings.tls) {
            let _ = writeln!(text, "tls-port {port}\ntls-auth-clients {}", if asks.0 { "yes" } else { "no" });
            let _ = writeln!(text, "tls-ca-cert-file {}", files.authority.display());
            let _ = writeln!(text, "tls-cert-file {}", files.certificate.display());
            let _ = writeln!(text, "tls-key-file {}", files.key.display());
        }
        self.settings.lines.iter().fold(text, |text, line| text + line + "\n")
    }

    fn run(&mut self) {
        let mut arguments = vec![self.config().into_os_string()];
        arguments.extend(self.sentinel.then(|| "--sentinel".into()));
        let log = self.folder.path().join("log");
        self.process = Some(Process::start("redis-server", "redis-server", arguments, &log));
    }

    /// Waits until it answers, or has ended.
    async fn answers(&mut self) -> bool {
        let (port, process) = (self.port, &mut self.process);
        eventually("redis-server answers", async || {
            if !process.as_mut().is_some_and(Process::is_running) {
                return Some(false);
            }
            (ask(port, &["PING"]).await.as_deref() == Ok("PONG")).then_some(true)
        })
        .await
    }

    /// Where it listens, without TLS.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port, without TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens with TLS.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("localhost:{}", self.tls_port.expect("a server with TLS"))
    }

    /// Its certificates, which serve clients too.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server with TLS")
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and in the same folder.
    pub async fn restart(&mut self) {
        self.process = None;
        self.run();
        let answers = self.answers().await;
        assert!(answers, "{}", self.process.as_ref().map(Process::said).unwrap_or_default());
    }

    /// Suspends it: connections stay, and nothing is answered.
    pub fn suspend(&self) {
        self.process.as_ref().expect("a running server").signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.as_ref().expect("a running server").signal("CONT");
    }

    /// Says something to it, as its administrator.
    ///
    /// # Errors
    /// What it answers, if that is an error.
    pub async fn try_ask(&self, command: &[&str]) -> Result<String, String> {
        ask(self.port, command).await
    }

    /// Says something to it, as its administrator.
    pub async fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

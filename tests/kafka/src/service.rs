//! The service as a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::broker::{Broker, PATIENCE};

/// A running service. Killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    lines: Lines,
    /// The working folder, so that runs don't meet.
    _folder: tempfile::TempDir,
}

/// What a process has printed, both to standard output and to standard error.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<(Mutex<Vec<String>>, Notify)>);

impl Lines {
    /// Everything so far.
    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for a line that has all of `parts`, and gives it.
    pub async fn wait(&self, parts: &[&str]) -> String {
        let find = async {
            loop {
                let printed = self.0.1.notified();
                let found = self.all().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
                if let Some(line) = found {
                    return line;
                }
                printed.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| panic!("no line has {parts:?}:\n{}", self.all().join("\n")))
    }

    async fn read(self, from: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.0.0.lock().unwrap().push(line);
            self.0.1.notify_waiters();
        }
    }
}

impl Service {
    /// Starts `binary` with `arguments` and only these variables.
    pub fn start(binary: &str, arguments: &[&str], variables: &BTreeMap<&str, String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(PathBuf::from(binary))
            .args(arguments)
            .env_clear()
            .envs(variables)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the service starts");
        let lines = Lines::default();
        tokio::spawn(lines.clone().read(child.stdout.take().expect("piped")));
        tokio::spawn(lines.clone().read(child.stderr.take().expect("piped")));
        Self { child, lines, _folder: folder }
    }

    /// The variables that point a service at a broker and a CRM.
    pub fn variables(broker: &Broker, crm: &str, password: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap.clone()),
            ("KAFKA_TOPIC", broker.topic.clone()),
            ("KAFKA_DLQ_TOPIC", broker.dlq.clone()),
            ("KAFKA_GROUP_ID", broker.group.clone()),
            ("SERVICENOW_BASE_URL", crm.to_owned()),
            ("SERVICENOW_USERNAME", "svc.sync".to_owned()),
            ("SERVICENOW_PASSWORD", password.to_owned()),
            ("HTTP_TIMEOUT", "5".to_owned()),
            ("SYNCLINE__KAFKA__SESSION_TIMEOUT_MS", "6000".to_owned()),
            ("SYNCLINE__ADMIN__LISTEN", "off".to_owned()),
        ])
    }

    /// What it prints.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        // The shell's own `kill`: a machine need not have another one.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().await.expect("a shell");
        assert!(status.success());
    }

    /// Kills it at once.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is killed");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it doesn't end:\n{}", self.lines.all().join("\n"))).expect("its status")
    }

    /// Stops it gracefully, and expects that it says so.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        let status = self.wait().await;
        assert!(status.success(), "{status}:\n{}", self.lines.all().join("\n"));
    }

    /// Lets some time pass in which nothing is expected to happen.
    pub async fn settle() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

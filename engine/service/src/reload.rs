//! Another configuration for a running service: when it is read again, and whether it can take over.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use syncline_engine::transport::ReqwestTransport;
use syncline_engine::{DestinationStatus, EngineStatus};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::assemble::{self, Waits};
use crate::config::{self, Config, Environment};

/// How often a watched file is looked at. Its content counts, not its time: a mounted file is replaced
/// by way of links.
const EVERY: Duration = Duration::from_secs(2);

/// Waits for a reason to read the configuration again.
#[derive(Debug)]
pub(crate) struct Reloads {
    hangup: Signal,
    watched: Option<(PathBuf, Vec<u8>)>,
}

impl Reloads {
    /// Catches SIGHUP from now on, and watches a file if there is one to watch.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn catch(watched: Option<PathBuf>) -> io::Result<Self> {
        let watched = watched.map(|path| {
            let content = std::fs::read(&path).unwrap_or_default();
            (path, content)
        });
        Ok(Self { hangup: signal(SignalKind::hangup())?, watched })
    }

    /// The next reason, in a few words. Nothing is lost when this is dropped.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return "SIGHUP",
                () = tokio::time::sleep(EVERY), if self.watched.is_some() => {
                    if self.has_changed().await {
                        return "the file has changed";
                    }
                }
            }
        }
    }

    async fn has_changed(&mut self) -> bool {
        let Some((path, known)) = &mut self.watched else { return false };
        // A file that is just being replaced is there the next time.
        match tokio::fs::read(&path).await {
            Ok(content) if content != *known => {
                *known = content;
                true
            }
            _ => false,
        }
    }
}

/// Reads the configuration again. `running` is the one in force.
///
/// # Errors
/// Why it can't take over: what is wrong with it, or what it changes that needs a restart. The running
/// one isn't touched.
pub(crate) fn read_again(running: &Config, environment: &Environment) -> Result<Config, String> {
    let config = config::load(running.file.clone(), environment).map_err(|problems| problems.to_string())?;
    if let Some(missing) = config.missing_secrets.first() {
        return Err(missing.to_string());
    }
    // What can be wrong with it outside of the configuration's own text.
    ReqwestTransport::new(&assemble::http(&config.settings.http)).map_err(|error| error.to_string())?;
    let (old, new) = (&running.settings, &config.settings);
    let changed = [("state", old.state != new.state), ("admin", old.admin != new.admin), ("log", old.log != new.log)];
    let fixed: Vec<_> = changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    if fixed.is_empty() { Ok(config) } else { Err(format!("a change of `{}` needs a restart", fixed.join("`, `"))) }
}

/// What providers have asked of `running`, as far as it holds for `next`: for destinations of the same
/// name, at the same place and with the same credentials.
pub(crate) fn waits(status: &EngineStatus, running: &Config, next: &Config) -> Waits {
    let endpoint = |config: &Config, name: &str| {
        let planned = config.destinations.iter().find(|planned| planned.name == name)?;
        let endpoint = planned.connector.endpoint();
        Some((endpoint.base_url.clone(), endpoint.auth.clone()))
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wait = |destination: &DestinationStatus| {
        let asked = matches!(destination.paused.as_deref(), Some("throttled" | "quota"));
        let until = Duration::from_secs(destination.paused_until.filter(|_| asked)?.saturating_add(1));
        let same = endpoint(running, &destination.name) == endpoint(next, &destination.name);
        let left = until.checked_sub(now).filter(|_| same)?;
        Some((destination.name.clone(), (left, destination.pause_reason.clone().unwrap_or_default())))
    };
    status.destinations.iter().filter_map(wait).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    // Linked, so that there is a kind.
    use syncline_servicenow as _;

    const FILE: &str = r#"
[[destinations]]
name = "crm"
type = "servicenow"
base_url = "https://acme.service-now.com"
auth = { type = "basic", username = "env:U", password = "env:P" }
"#;

    #[test]
    fn what_can_take_over_does_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syncline.toml");
        std::fs::write(&path, FILE).unwrap();
        let environment = Environment::from([("U", "u"), ("P", "p")]);
        let running = config::load(Some(path.clone()), &environment).unwrap();
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_again(&running, &environment).map(|config| config.destinations.len())
        };
        assert_eq!(read(FILE), Ok(1));
        assert_eq!(read(&format!("{FILE}{}", FILE.replace("\"crm\"", "\"other\""))), Ok(2));
        for (text, says) in [
            (FILE.replace("base_url", "bose_url"), "did you mean `base_url`?"),
            (FILE.replace("env:P", "env:Q"), "environment variable Q, which is not set"),
            (format!("{FILE}[state]\ntype = \"memory\"\n"), "a change of `state` needs a restart"),
            (
                format!("{FILE}[admin]\nlisten = \"off\"\n[log]\nlevel = \"debug\"\n"),
                "a change of `admin`, `log` needs a restart",
            ),
            ("[[destinations".to_owned(), "syncline.toml"),
            (format!("{FILE}[http]\nca_file = \"nowhere.pem\"\n"), "nowhere.pem"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_wait_that_a_provider_has_asked_for_outlives_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syncline.toml");
        let environment = Environment::from([("U", "u"), ("P", "p")]);
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            config::load(Some(path.clone()), &environment).unwrap()
        };
        let (running, other) = (load(FILE), load(&FILE.replace("acme", "other")));
        let hour = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3600;
        let status = |paused: &str| EngineStatus {
            destinations: vec![DestinationStatus {
                name: "crm".into(),
                paused: Some(paused.into()),
                pause_reason: Some("come back later".into()),
                paused_until: Some(hour),
                ..DestinationStatus::default()
            }],
            ..EngineStatus::default()
        };
        let kept = waits(&status("throttled"), &running, &running);
        let (left, said) = &kept["crm"];
        assert!((3598..=3601).contains(&left.as_secs()) && said == "come back later", "{left:?}");
        assert!(waits(&status("outage"), &running, &running).is_empty(), "that is our own idea");
        assert!(waits(&status("throttled"), &running, &other).is_empty(), "another place has asked for nothing");
    }

    #[test]
    fn schemas_are_read_again_and_a_bad_one_refuses_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syncline.toml");
        let schema = folder.path().join("customer.v1.json");
        let text = format!("{FILE}\n[schemas]\nfolder = \".\"\n");
        std::fs::write(&path, &text).unwrap();
        std::fs::write(&schema, "{}").unwrap();
        let environment = Environment::from([("U", "u"), ("P", "p")]);
        let running = config::load(Some(path.clone()), &environment).unwrap();
        assert_eq!(running.schemas.known().count(), 1);
        std::fs::write(&schema, r#"{ "properties": { "name": { "minLength": "x" } } }"#).unwrap();
        std::fs::write(&path, text.replace("\"crm\"", "\"renamed\"")).unwrap();
        let refused = read_again(&running, &environment).map(|config| format!("{config:?}")).unwrap_err();
        assert!(refused.contains("customer.v1.json: at `/properties/name/minLength`: "), "{refused}");
        assert_eq!(running.schemas.known().count(), 1);
        std::fs::write(&schema, "{}").unwrap();
        std::fs::write(folder.path().join("customer.v2.json"), "{}").unwrap();
        let next = read_again(&running, &environment).unwrap();
        assert_eq!((next.schemas.known().count(), next.destinations[0].name.as_str()), (2, "renamed"));
    }

    #[tokio::test]
    async fn a_changed_file_is_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syncline.toml");
        std::fs::write(&path, "a").unwrap();
        let mut reloads = Reloads::catch(Some(path.clone())).unwrap();
        assert!(!reloads.has_changed().await);
        std::fs::write(&path, "b").unwrap();
        assert!(reloads.has_changed().await && !reloads.has_changed().await);
        std::fs::remove_file(&path).unwrap();
        assert!(!reloads.has_changed().await);
        std::fs::write(&path, "b").unwrap();
        assert!(!reloads.has_changed().await);
    }
}

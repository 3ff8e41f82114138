//! Another configuration for a running service: when it is read again, and whether it can take over.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
    let (old, new) = (&running.settings, &config.settings);
    let changed = [("state", old.state != new.state), ("admin", old.admin != new.admin), ("log", old.log != new.log)];
    let fixed: Vec<_> = changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    if fixed.is_empty() { Ok(config) } else { Err(format!("a change of `{}` needs a restart", fixed.join("`, `"))) }
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
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
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

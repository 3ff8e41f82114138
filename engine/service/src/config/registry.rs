//! `[registry]`: where the schemas of values in the Confluent wire format come from.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_engine::registry::Registry;
use syncline_sdk::{Auth, SecretRef};

use super::problem::Problem;

/// Where the schemas of values in the Confluent wire format come from: JSON, and Avro. Without `url`, all values are
/// plain JSON.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrySection {
    /// The schema registry, such as `https://registry.example:8081`. `http` only without `auth`, or on this machine.
    url: Option<String>,
    /// How requests to it are authenticated.
    auth: Option<Auth>,
    /// How long one request to it may take.
    #[schemars(range(min = 1, max = 3_600_000))]
    timeout_ms: Option<u64>,
    /// Whether values that are not in the wire format are dead-lettered.
    #[serde(default)]
    require: bool,
    /// Whether JSON in the wire format has to fit its JSON Schema.
    #[serde(default)]
    validate: bool,
}

const TIMEOUT: Duration = Duration::from_secs(10);

impl RegistrySection {
    /// What it means; nothing without `url`.
    pub(crate) fn prove(&self, problems: &mut Vec<Problem>) -> Option<Registry> {
        let Some(url) = &self.url else {
            let others = [
                ("auth", self.auth.is_some()),
                ("timeout_ms", self.timeout_ms.is_some()),
                ("require", self.require),
                ("validate", self.validate),
            ];
            let alone = others.into_iter().filter(|(_, written)| *written);
            problems.extend(alone.map(|(key, _)| {
                Problem::new(format!("/registry/{key}"), "belongs to a schema registry: write its `url` beside it")
            }));
            return None;
        };
        let timeout = self.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
        match Registry::at(url, self.auth.clone().unwrap_or(Auth::None {}), timeout) {
            Ok(registry) => Some(registry.require(self.require).validate(self.validate)),
            Err(error) => {
                problems.push(Problem::new(format!("/registry/{}", error.path.replace('.', "/")), error.message));
                None
            }
        }
    }

    /// The references that have to be resolved before a request can be sent.
    pub(crate) fn secrets(&self) -> Vec<&SecretRef> {
        self.auth.iter().flat_map(Auth::secrets).collect()
    }

    /// In a few words, unless there is none.
    pub(crate) fn summary(&self) -> Option<String> {
        let url = self.url.as_ref()?;
        let others = if self.require { "refused" } else { "plain JSON" };
        let checked = if self.validate { "; JSON is held against its schema" } else { "" };
        Some(format!("registry: schemas from {url}; values without one: {others}{checked}"))
    }
}

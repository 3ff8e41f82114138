//! The plain variables, with which a service runs without a file. They win over everything.
//!
//! `<KIND>_BASE_URL`, `<KIND>_USERNAME` and `<KIND>_PASSWORD` work for every linked connector: the
//! host knows no vendor's name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syncline_sdk::Registration;

use super::problem::{Origin, Origins, Problem, segment};

type Variables = BTreeMap<String, String>;

/// What lays the plain variables over a tree.
pub(crate) struct Plain<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) tree: &'a mut Value,
    pub(crate) origins: &'a mut Origins,
    pub(crate) notes: &'a mut Vec<String>,
    pub(crate) problems: Vec<Problem>,
}

impl Plain<'_> {
    /// Lays them over the tree. Empty ones count as absent.
    pub(crate) fn apply(mut self, connectors: &[&'static Registration]) -> Vec<Problem> {
        for (name, section, key) in [
            ("KAFKA_BOOTSTRAP_SERVERS", "kafka", "bootstrap_servers"),
            ("KAFKA_GROUP_ID", "kafka", "group_id"),
            ("KAFKA_DLQ_TOPIC", "kafka", "dlq_topic"),
        ] {
            if let Some(text) = self.text(name) {
                self.set(name, &[section, key], text.into());
            }
        }
        if let Some(topics) = self.text("KAFKA_TOPIC") {
            let topics = topics.split(',').map(|topic| Value::String(topic.trim().to_owned())).collect();
            self.set("KAFKA_TOPIC", &["kafka", "topics"], topics);
        }
        if let Some(text) = self.text("HTTP_MAX_RETRIES") {
            match text.trim().parse::<u64>() {
                Ok(number @ 0..=100) => self.set("HTTP_MAX_RETRIES", &["http", "max_retries"], number.into()),
                _ => self.refuse("HTTP_MAX_RETRIES", "expected a whole number from 0 to 100"),
            }
        }
        if let Some(text) = self.text("HTTP_TIMEOUT") {
            match text.trim().parse::<f64>().map(|seconds| seconds * 1000.0) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
                Ok(ms @ 1.0..=3_600_000.0) => self.set("HTTP_TIMEOUT", &["http", "timeout_ms"], (ms as u64).into()),
                _ => self.refuse("HTTP_TIMEOUT", "expected seconds, more than 0 and at most 3600"),
            }
        }
        for connector in connectors {
            self.destination(connector.kind);
        }
        self.problems
    }

    fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|text| !text.is_empty()).cloned()
    }

    fn refuse(&mut self, name: &str, what: impl Into<String>) {
        self.problems.push(Problem::of_variable(name, what));
    }

    fn set(&mut self, name: &str, path: &[&str], value: Value) {
        let pointer: String = path.iter().map(|key| format!("/{}", segment(key))).collect();
        let mut here = &mut *self.tree;
        for key in path {
            let next = match here {
                Value::Array(items) => key.parse().ok().and_then(|index: usize| items.get_mut(index)),
                other => {
                    if !other.is_object() {
                        *other = Value::Object(Map::new());
                    }
                    other.as_object_mut().map(|table| table.entry(*key).or_insert(Value::Null))
                }
            };
            let Some(next) = next else { return };
            here = next;
        }
        if !here.is_null()
            && *here != value
            && let Some(earlier) = self.origins.of(&pointer)
        {
            self.notes.push(format!("{name} wins over {earlier}"));
        }
        *here = value;
        self.origins.set(&pointer, Origin::Variable(name.to_owned()));
    }

    /// `<KIND>_BASE_URL` is the destination named after the kind, else the only one of that kind,
    /// else a new one. A second destination beside a written one would get every event twice.
    fn destination(&mut self, kind: &str) {
        let prefix = variable_prefix(kind);
        let base_url = format!("{prefix}_BASE_URL");
        let Some(url) = self.text(&base_url) else { return };
        let written = self.tree.get("destinations").and_then(Value::as_array).cloned().unwrap_or_default();
        let same: Vec<usize> = positions(&written, "type", kind);
        let named = positions(&written, "name", kind);
        let index = match (named.first(), same.as_slice()) {
            (Some(index), _) | (None, [index]) => *index,
            (None, []) => written.len(),
            (None, several) => {
                let what = format!(
                    "{} destinations are of the type `{kind}`, and it isn't clear which one is meant: name one of \
                     them `{kind}`, or unset this variable",
                    several.len()
                );
                return self.refuse(&base_url, what);
            }
        };
        let position = index.to_string();
        if index == written.len() {
            self.add(kind);
            let pointer = format!("/destinations/{index}");
            self.origins.set(&pointer, Origin::Variable(base_url.clone()));
        }
        self.set(&base_url, &["destinations", &position, "base_url"], url.into());
        let (username, password) = (format!("{prefix}_USERNAME"), format!("{prefix}_PASSWORD"));
        let given = self.text(&username).is_some() || self.text(&password).is_some();
        if given || index == written.len() {
            let auth = json!({
                "type": "basic", "username": format!("env:{username}"), "password": format!("env:{password}"),
            });
            self.set(&username, &["destinations", &position, "auth"], auth);
        }
    }

    fn add(&mut self, kind: &str) {
        let Some(root) = self.tree.as_object_mut() else { return };
        let list = root.entry("destinations").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(json!({ "name": kind, "type": kind }));
        }
    }
}

/// What the plain variables of a kind of connector begin with.
pub(crate) fn variable_prefix(kind: &str) -> String {
    kind.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }).collect()
}

fn positions(destinations: &[Value], key: &str, wanted: &str) -> Vec<usize> {
    let has = |destination: &Value| destination.get(key).and_then(Value::as_str) == Some(wanted);
    destinations.iter().enumerate().filter(|(_, destination)| has(destination)).map(|(index, _)| index).collect()
}

//! Configuration: a TOML file, then `SYNCLINE__SECTION__KEY` variables, then the plain variables of
//! the reference service. Each wins over the ones before it.
//!
//! Everything that is wrong is found at once, and no value is ever repeated.

mod file;
mod guide;
pub(crate) mod model;
mod overlay;
mod plain;
pub(crate) mod problem;
mod prove;
pub(crate) mod registry;
mod schema;
pub(crate) mod schemas;
pub(crate) mod state;
#[cfg(test)]
mod tests;
pub(crate) mod treatment;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use syncline_engine::core::PayloadSchemas;
use syncline_engine::registry::Registry;
use syncline_sdk::{Registration, SecretRef};

use model::Settings;
use problem::{Origins, Problem, Problems};
pub(crate) use prove::Planned;

/// The variable that names the file, where `--config` doesn't.
const CONFIG_VARIABLE: &str = "SYNCLINE_CONFIG";

/// The process's environment, as a value so that tests can give another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    not_unicode: Vec<String>,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) => environment.not_unicode.push(name),
            }
        }
        environment
    }

    /// The value of a variable. An empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { variables, not_unicode: Vec::new() }
    }
}

/// A proven configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) destinations: Vec<Planned>,
    /// What payloads have to look like, compiled.
    pub(crate) schemas: PayloadSchemas,
    /// Where the schemas of values in the wire format come from.
    pub(crate) registry: Option<Registry>,
    /// Where the admin server listens, unless it is off.
    pub(crate) admin: Option<SocketAddr>,
    /// Which values were replaced by others.
    pub(crate) notes: Vec<String>,
    /// Variables that secrets refer to and that aren't set: requests could not be authenticated.
    pub(crate) missing_secrets: Vec<Problem>,
    /// The file, if there was one.
    pub(crate) file: Option<PathBuf>,
}

/// The JSON Schema of a configuration for the linked connectors.
pub(crate) fn schema() -> Value {
    schema::compose(&Registration::all())
}

/// Reads and proves the configuration.
pub(crate) fn load(path: Option<PathBuf>, environment: &Environment) -> Result<Config, Problems> {
    let connectors = Registration::all();
    Registration::check_unique().map_err(|error| Problems(vec![Problem::new("", error.message)]))?;
    let composed = schema::compose(&connectors);
    let file = path.or_else(|| environment.text(CONFIG_VARIABLE).map(PathBuf::from));
    let mut origins = Origins::default();
    let mut tree = match &file {
        Some(path) => file::read(path, &mut origins).map_err(|problem| Problems(vec![problem]))?,
        None => Value::Object(Map::new()),
    };
    let mut notes = Vec::new();
    let mut problems: Vec<Problem> = environment
        .not_unicode
        .iter()
        .filter(|name| name.starts_with(overlay::PREFIX))
        .map(|name| Problem::of_variable(name, "the value is not UTF-8"))
        .collect();
    problems.extend(overlay::apply(&environment.variables, &composed, &mut tree, &mut origins, &mut notes));
    let plain = plain::Plain {
        variables: &environment.variables,
        tree: &mut tree,
        origins: &mut origins,
        notes: &mut notes,
        problems: Vec::new(),
    };
    problems.extend(plain.apply(&connectors));
    // Its default kind, also where only its other keys are given.
    if let Some(state) = tree.get_mut("state").and_then(Value::as_object_mut) {
        state.entry("type").or_insert_with(|| "embedded".into());
    }
    problems.extend(fit(&composed, &tree, &origins));
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut config = proven(tree, &connectors, folder, &origins)?;
    config.missing_secrets = missing_secrets(&config, environment);
    (config.notes, config.file) = (notes, file);
    Ok(config)
}

/// Proves a configuration that was written by the program itself.
pub(crate) fn of_tree(tree: Value) -> Result<Config, Problems> {
    let connectors = Registration::all();
    let origins = Origins::default();
    let problems = fit(&schema::compose(&connectors), &tree, &origins);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    proven(tree, &connectors, Path::new(""), &origins)
}

/// `folder` is what paths of schemas are relative to.
fn proven(
    tree: Value,
    connectors: &[&'static Registration],
    folder: &Path,
    origins: &Origins,
) -> Result<Config, Problems> {
    prove::prove(tree, connectors, folder).map_err(|mut problems| {
        for problem in &mut problems {
            problem.origin = origins.of(&problem.pointer).cloned().filter(|_| !problem.pointer.is_empty());
        }
        Problems(problems)
    })
}

/// What doesn't fit the schema: first the frame, then each destination by its kind.
fn fit(composed: &Value, tree: &Value, origins: &Origins) -> Vec<Problem> {
    let mut problems = validate::validate(&schema::frame(composed), tree, "", origins);
    let destinations = tree.get("destinations").and_then(Value::as_array).into_iter().flatten();
    for (index, destination) in destinations.enumerate() {
        let Some(kind) = destination.get("type").and_then(Value::as_str) else { continue };
        let pointer = format!("/destinations/{index}");
        if let Err(error) = Registration::find(kind) {
            let mut problem = Problem::new(format!("{pointer}/type"), error.message);
            problem.origin = origins.of(&problem.pointer).cloned();
            problems.push(problem);
            continue;
        }
        let found = validate::validate(&schema::destination_part(composed, kind), destination, &pointer, origins);
        problems.extend(found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
    }
    problems
}

fn missing_secrets(config: &Config, environment: &Environment) -> Vec<Problem> {
    let mut references: Vec<(String, SecretRef)> = Vec::new();
    for (index, planned) in config.destinations.iter().enumerate() {
        let secrets = planned.connector.endpoint().auth.secrets();
        references.extend(secrets.into_iter().map(|secret| (format!("/destinations/{index}/auth"), secret.clone())));
    }
    if config.admin.is_some() {
        references.extend(config.settings.admin.token.iter().map(|token| ("/admin/token".to_owned(), token.clone())));
    }
    let registry = config.settings.registry.secrets().into_iter();
    references.extend(registry.map(|secret| ("/registry/auth".to_owned(), secret.clone())));
    let state = config.settings.state.secrets();
    references.extend(state.into_iter().map(|(pointer, secret)| (pointer.to_owned(), secret.clone())));
    let missing = references.into_iter().filter_map(|(pointer, secret)| match secret {
        SecretRef::Env(name) if environment.text(&name).is_none() => {
            let what = format!("refers to the environment variable {name}, which is not set");
            Some(Problem { pointer, origin: None, what })
        }
        _ => None,
    });
    missing.collect()
}

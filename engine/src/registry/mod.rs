//! Record values in the Confluent wire format: a zero, a schema's id, the data. Schemas come from a
//! registry, through the seam [`SchemaSource`].
//!
//! | File | What |
//! |---|---|
//! | `wire` | the format |
//! | `decoder` | a schema, made ready: from the data to an event's JSON |
//! | `avro` | Avro's schemas and values |
//! | `http` | the client of a registry that speaks Confluent's API |
//!
//! Which schemas are known, and who waits for one, is the runtime's business (`runtime::schemas`).

mod avro;
mod decoder;
mod http;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use syncline_sdk::{Auth, BaseUrl, ConfigError};

use crate::auth::{Credentials, Seams};
use crate::transport::HttpTransport;
pub(crate) use decoder::Decoder;
use http::HttpRegistry;
pub(crate) use wire::{Framing, framing};

/// A schema with everything that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// In which language it is written.
    pub format: SchemaFormat,
    /// Its text.
    pub schema: String,
    /// What it refers to, directly or not. Each comes after those that it refers to itself.
    pub references: Vec<ReferencedSchema>,
}

impl RegisteredSchema {
    /// Bytes of all texts.
    pub(crate) fn size(&self) -> usize {
        self.schema.len() + self.references.iter().map(|reference| reference.schema.len()).sum::<usize>()
    }
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedSchema {
    /// The name by which it is referred to.
    pub name: String,
    /// Its text.
    pub schema: String,
}

/// In which language a schema is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaFormat {
    /// Apache Avro; the data are Avro's binary encoding.
    Avro,
    /// JSON Schema; the data are JSON.
    Json,
    /// Another one, such as `PROTOBUF`, which can't be read.
    Other(String),
}

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaSourceError {
    /// There is no schema with this id, as the source has said itself. Records that name it are
    /// dead-lettered.
    #[error("{0}")]
    Unknown(String),
    /// There is one, and it can't be used, as when it refers to one that isn't there. Records that name
    /// it are dead-lettered.
    #[error("{0}")]
    Unusable(String),
    /// The source doesn't say. It is asked again, and all records wait.
    #[error("{0}")]
    Unavailable(String),
}

/// Gives schemas by their id.
///
/// # Contract
///
/// - An id means the same schema for ever: what was given once isn't asked for again while it is
///   remembered.
/// - [`SchemaSourceError::Unknown`] and [`SchemaSourceError::Unusable`] are facts about the id. Every
///   doubt is [`SchemaSourceError::Unavailable`], refused credentials among them.
/// - Errors hold no secrets.
#[async_trait]
pub trait SchemaSource: fmt::Debug + Send + Sync + 'static {
    /// The schema with that id, and all that it refers to.
    ///
    /// # Errors
    /// [`SchemaSourceError`]
    async fn schema(&self, id: u32) -> Result<RegisteredSchema, SchemaSourceError>;
}

/// Where the schemas of values in the Confluent wire format come from, and how such values are treated.
/// Values that don't begin with a zero are plain JSON.
#[derive(Debug, Clone)]
pub struct Registry {
    origin: Origin,
    rules: Rules,
}

#[derive(Debug, Clone)]
enum Origin {
    Http { url: String, auth: Box<Auth>, timeout: Duration },
    Own(Arc<dyn SchemaSource>),
}

/// How values are treated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// Whether every value has to be in the wire format.
    pub(crate) require: bool,
    /// Whether JSON has to fit its JSON Schema.
    pub(crate) validate: bool,
}

/// What refusals and log lines call the registry.
const NAME: &str = "registry";

impl Registry {
    /// A registry that speaks Confluent's API, such as Confluent's own, Karapace, Apicurio or Redpanda.
    /// `timeout` is for one request. Without credentials, `http` is accepted everywhere; with some, for
    /// loopback addresses only.
    ///
    /// # Errors
    /// [`ConfigError`] at `url` or `auth`. It never repeats the URL, which may hold a password.
    pub fn at(url: &str, auth: Auth, timeout: Duration) -> Result<Self, ConfigError> {
        let wrong = |error: ConfigError| ConfigError::new("url", error.message);
        let in_clear = url.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http"));
        let checked = match (in_clear, &auth) {
            // Schemas are no secrets, and credentials aren't sent.
            (Some((_, rest)), Auth::None {}) => BaseUrl::parse(&format!("https://{rest}")).map_err(wrong)?.to_string(),
            _ => BaseUrl::parse(url).map_err(wrong)?.to_string(),
        };
        auth.check()?;
        let url = match (in_clear, checked.strip_prefix("https://")) {
            (Some(_), Some(rest)) => format!("http://{rest}"),
            _ => checked,
        };
        Ok(Self { origin: Origin::Http { url, auth: Box::new(auth), timeout }, rules: Rules::default() })
    }

    /// Schemas of one's own.
    pub fn from_source(source: impl SchemaSource) -> Self {
        Self { origin: Origin::Own(Arc::new(source)), rules: Rules::default() }
    }

    /// Whether values that aren't in the wire format are dead-lettered as `wire_format`. Default: no,
    /// they are plain JSON.
    #[must_use]
    pub fn require(mut self, require: bool) -> Self {
        self.rules.require = require;
        self
    }

    /// Whether JSON in the wire format is held against its JSON Schema. Default: no.
    #[must_use]
    pub fn validate(mut self, validate: bool) -> Self {
        self.rules.validate = validate;
        self
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// How requests are authenticated, if there are any.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        match &self.origin {
            Origin::Http { auth, .. } => Some(auth),
            Origin::Own(_) => None,
        }
    }

    /// What gives the schemas. `seams` is asked for where that needs the network.
    ///
    /// # Errors
    /// A sentence for people when the credentials can't work.
    pub(crate) fn connect(
        self,
        transport: Arc<dyn HttpTransport>,
        seams: impl FnOnce(Arc<dyn HttpTransport>, Duration) -> Seams,
    ) -> Result<Arc<dyn SchemaSource>, String> {
        match self.origin {
            Origin::Own(source) => Ok(source),
            Origin::Http { url, auth, timeout } => {
                let credentials = Credentials::new(NAME.into(), *auth, seams(Arc::clone(&transport), timeout))?;
                Ok(Arc::new(HttpRegistry::new(url, credentials, transport, timeout)))
            }
        }
    }
}

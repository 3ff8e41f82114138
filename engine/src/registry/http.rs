//! The client of a registry that speaks Confluent's API.
//!
//! Facts: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use syncline_sdk::{Method, Reply};

use super::{ReferencedSchema, RegisteredSchema, SchemaFormat, SchemaSource, SchemaSourceError};
use crate::auth::Credentials;
use crate::core::shown;
use crate::transport::{HttpRequest, HttpTransport};

/// What a path's segment may hold as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// References of one schema, those of references included.
const MOST_REFERENCES: usize = 200;
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// Asks a registry over HTTP.
#[derive(Debug)]
pub(super) struct HttpRegistry {
    url: String,
    credentials: Credentials,
    transport: Transport,
    timeout: Duration,
    /// Of the credentials; a refusal makes it higher, so that the next request has others.
    generation: AtomicU64,
}

struct Transport(Arc<dyn HttpTransport>);

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

/// A registry's answer: of `/schemas/ids/…`, and of `/subjects/…/versions/…`.
#[derive(Deserialize)]
struct Given {
    schema: String,
    #[serde(rename = "schemaType")]
    format: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    #[serde(default)]
    message: String,
}

/// What an answer says.
enum Answer {
    Given(Given),
    /// There is no such thing, says the registry itself.
    Missing(String),
}

impl HttpRegistry {
    pub(super) fn new(
        url: String,
        credentials: Credentials,
        transport: Arc<dyn HttpTransport>,
        timeout: Duration,
    ) -> Self {
        Self { url, credentials, transport: Transport(transport), timeout, generation: AtomicU64::new(0) }
    }

    async fn get(&self, path: &str) -> Result<Answer, SchemaSourceError> {
        let unavailable = |what: String| SchemaSourceError::Unavailable(what);
        let generation = self.generation.load(Ordering::Relaxed);
        let credential =
            self.credentials.credential(generation).await.map_err(|fault| unavailable(fault.to_string()))?;
        let request = HttpRequest {
            method: Method::Get,
            url: format!("{}{path}", self.url),
            headers: vec![("accept", ACCEPT.into())],
            credential,
            body: None,
            timeout: self.timeout,
        };
        let reply = self.transport.0.send(request).await.map_err(|fault| unavailable(fault.to_string()))?;
        if reply.status == 401 {
            self.generation.store(generation + 1, Ordering::Relaxed);
        }
        interpret(&reply).map_err(unavailable)
    }

    /// Adds what `references` lead to, the farthest first.
    async fn resolve(&self, references: Vec<Reference>) -> Result<Vec<ReferencedSchema>, SchemaSourceError> {
        enum Step {
            Fetch(Reference),
            Add(ReferencedSchema),
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut steps: Vec<_> = references.into_iter().rev().map(Step::Fetch).collect();
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Add(schema) => {
                    found.push(schema);
                    continue;
                }
                Step::Fetch(reference) => reference,
            };
            let Reference { name, subject, version } = reference;
            if !seen.insert((name.clone(), subject.clone(), version)) {
                continue;
            }
            if seen.len() > MOST_REFERENCES {
                let message = format!("it refers to more than {MOST_REFERENCES} others");
                return Err(SchemaSourceError::Unusable(message));
            }
            let path = format!("/subjects/{}/versions/{version}", utf8_percent_encode(&subject, KEPT));
            match self.get(&path).await? {
                Answer::Given(given) => {
                    steps.push(Step::Add(ReferencedSchema { name, schema: given.schema }));
                    steps.extend(given.references.unwrap_or_default().into_iter().rev().map(Step::Fetch));
                }
                Answer::Missing(message) => {
                    let subject = shown(&subject, 200);
                    let message =
                        format!("it refers to version {version} of `{subject}`, which isn't there: {message}");
                    return Err(SchemaSourceError::Unusable(message));
                }
            }
        }
        Ok(found)
    }
}

/// What a reply proves. Everything else is a registry that can't be asked at the moment: a wrong URL has its 404, too.
fn interpret(reply: &Reply) -> Result<Answer, String> {
    let refusal = || serde_json::from_slice::<Refusal>(&reply.body).ok();
    match reply.status {
        200 => serde_json::from_slice(&reply.body)
            .map(Answer::Given)
            .map_err(|_| "its answer isn't that of a schema registry; is the URL right?".to_owned()),
        // 40401 subject, 40402 version, 40403 schema not found.
        404 => match refusal() {
            Some(Refusal { error_code: 40_401..=40_403, message }) => Ok(Answer::Missing(shown(&message, 200))),
            _ => Err("status 404, and not a registry's own; is the URL right?".to_owned()),
        },
        401 => Err("status 401: it refuses our credentials".to_owned()),
        403 => Err("status 403: our credentials may not read schemas".to_owned()),
        status => {
            let said = refusal().map(|refusal| format!(": {}", shown(&refusal.message, 200)));
            Err(format!("status {status}{}", said.unwrap_or_default()))
        }
    }
}

#[async_trait]
impl SchemaSource for HttpRegistry {
    async fn schema(&self, id: u32) -> Result<RegisteredSchema, SchemaSourceError> {
        let given = match self.get(&format!("/schemas/ids/{id}")).await? {
            Answer::Given(given) => given,
            Answer::Missing(message) => return Err(SchemaSourceError::Unknown(message)),
        };
        let format = match given.format.as_deref() {
            None | Some("AVRO") => SchemaFormat::Avro,
            Some("JSON") => SchemaFormat::Json,
            // It can't be read, whatever it refers to.
            Some(other) => {
                let (format, schema) = (SchemaFormat::Other(other.to_owned()), given.schema);
                return Ok(RegisteredSchema { format, schema, references: Vec::new() });
            }
        };
        let references = self.resolve(given.references.unwrap_or_default()).await?;
        Ok(RegisteredSchema { format, schema: given.schema, references })
    }
}

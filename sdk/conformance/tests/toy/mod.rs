//! A small, correct connector that can be told to break one rule.
//!
//! It puts an entity to `/things/{key}` and, where that is missing, makes it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_sdk::{
    Answered, Auth, BaseUrl, Batch, Capabilities, ConfigError, ConnectorConfig, Cookies, CrmConnector, Difference,
    Endpoint, Event, Examination, Limits, Method, Operation, Outbound, Progress, QuotaReading, Reason, Reference,
    Registration, Replay, Reply, Verdict, Verdicts, default_verdict, escape_path_segment,
};

/// The rule that the toy breaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    #[default]
    None,
    SuccessByDefault,
    SuccessBySubstring,
    SuccessByContentAlone,
    PanicsOnAnEmptyBody,
    PanicsOnOddIds,
    PanicsOnOddPayloads,
    CountsItsRequests,
    CountsItsReplies,
    EchoesThePlaintext,
    ReadsTheSecret,
    SendsCredentials,
    ForgetsToEscape,
    ForgetsTheLimit,
    ForgetsTheContentType,
    LosesVerdicts,
    AsksForever,
    PanicsOnOddLimits,
    NamesLimitsByValue,
    GoesInCircles,
    AcceptsStrangers,
    RefusesSilently,
    TakesNoEvents,
    ClaimsALookUp,
    RepeatsReferences,
    RefersToStrangers,
    ExaminesByWriting,
    ExaminesForever,
    PanicsOnDifferences,
    IgnoresWhatItWrites,
}

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToyConfig {
    /// The server.
    base_url: BaseUrl,
    /// The credentials.
    auth: Auth,
    /// A secret that is no reference, as no connector should have.
    #[serde(default)]
    token: Option<String>,
    /// The rule to break.
    #[serde(default)]
    fault: Fault,
}

inventory::submit! {
    Registration {
        kind: "toy",
        crate_name: "toy",
        version: "1",
        summary: "A toy that works",
        capabilities: Capabilities { look_up: false },
        config_schema: || schemars::schema_for!(ToyConfig).to_value(),
        sample_config: "[[destinations]]\nname = 'a'\ntype = 'toy'\nbase_url = 'https://toy.example'\n\
                        auth = { type = 'bearer', token = 'env:TOKEN' }\n",
    }
}

#[typetag::deserialize(name = "toy")]
impl ConnectorConfig for ToyConfig {
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError> {
        if let (Fault::EchoesThePlaintext, Some(token)) = (self.fault, &self.token)
            && !token.starts_with("env:")
        {
            return Err(ConfigError::new("token", format!("`{token}` is no reference")));
        }
        let path = self.auth.secrets().first().map(ToString::to_string).unwrap_or_default();
        let secret = match path.strip_prefix("file:") {
            Some(path) if self.fault == Fault::ReadsTheSecret => fs::read_to_string(path).unwrap_or_default(),
            _ => String::new(),
        };
        let limits =
            Limits { batch_events: usize::from(self.fault != Fault::TakesNoEvents), body_bytes: 4096, concurrency: 1 };
        let capabilities = Capabilities { look_up: self.fault == Fault::ClaimsALookUp };
        let (base_url, auth) = (self.base_url.clone(), self.auth.clone());
        let endpoint = Endpoint { base_url, auth, limits, capabilities, cookies: Cookies::Discard };
        Ok(Arc::new(Toy { endpoint, fault: self.fault, secret, count: Count::default() }))
    }
}

#[derive(Debug)]
struct Toy {
    endpoint: Endpoint,
    fault: Fault,
    /// Shown by `Debug`, which is the fault.
    #[allow(dead_code, reason = "read by Debug only")]
    secret: String,
    count: Count,
}

/// A memory that no connector should have. `Debug` hides it, as a real one could.
#[derive(Default)]
struct Count(AtomicU64);

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Count")
    }
}

impl Toy {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn count(&self) -> String {
        self.count.0.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn path(&self, event: &Event) -> String {
        let key = event.external_key();
        let key = if self.has(Fault::ForgetsToEscape) { Some(key.to_owned()) } else { escape_path_segment(key) };
        format!("/things/{}", key.unwrap_or_default())
    }

    fn write(&self, step: &'static str, method: Method, path: String, event: &Event) -> Outbound {
        let replay = if method == Method::Post { Replay::Unsafe } else { Replay::Safe };
        let mut outbound = Outbound::new(step, method, path, replay).json(&Value::Object(event.payload().clone()));
        if self.has(Fault::ForgetsTheContentType) {
            outbound.headers.clear();
        }
        if self.has(Fault::SendsCredentials) {
            outbound = outbound.header("authorization", "Bearer x");
        }
        if self.has(Fault::CountsItsRequests) {
            outbound = outbound.header("x-count", self.count());
        }
        outbound
    }

    fn put(&self, event: &Event) -> Outbound {
        self.write("put", Method::Put, self.path(event), event)
    }

    fn make(&self, event: &Event) -> Outbound {
        self.write("make", Method::Post, "/things".into(), event)
    }

    fn proof(&self, sent: &Outbound, reply: &Reply) -> Option<Verdict> {
        let wanted = if sent.step == "make" { 201 } else { 200 };
        let text = String::from_utf8_lossy(&reply.body);
        let delivered = Verdict::Delivered { remote_id: Some("7".into()) };
        match self.fault {
            Fault::SuccessByDefault if reply.status < 300 => return Some(Verdict::Delivered { remote_id: None }),
            Fault::SuccessBySubstring if reply.status == wanted && text.contains("\"id\":\"7\"") => {
                return Some(delivered);
            }
            _ => {}
        }
        if sent.step == "drop" {
            let done = reply.status == 204 && reply.body.is_empty();
            return done.then_some(Verdict::Delivered { remote_id: None });
        }
        let body: Value = reply.json().ok()?;
        let right = reply.status == wanted || self.has(Fault::SuccessByContentAlone);
        (right && body == json!({ "id": "7" })).then_some(delivered)
    }
}

impl CrmConnector for Toy {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn entity_types(&self) -> Vec<&str> {
        vec!["thing"]
    }

    fn accepts(&self, event: &Event) -> Result<(), Reason> {
        let says = |message: &str| if self.has(Fault::RefusesSilently) { String::new() } else { message.to_owned() };
        if event.entity().kind != "thing" && !self.has(Fault::AcceptsStrangers) {
            return Err(Reason::new("unmapped_entity", says("only things")));
        }
        if self.has(Fault::PanicsOnOddIds) {
            assert!(event.external_key().is_ascii(), "an id that is not ASCII");
        }
        if escape_path_segment(event.external_key()).is_none() || event.external_key().len() > 200 {
            return Err(Reason::new("unusable_key", says("no segment of a path")));
        }
        if json!(event.payload()).to_string().len() > 4096 && !self.has(Fault::ForgetsTheLimit) {
            return Err(Reason::new("too_large", says("too large")));
        }
        Ok(())
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        let Some(item) = batch.first() else {
            return Outbound::new("put", Method::Get, "/things".into(), Replay::Safe);
        };
        if self.has(Fault::PanicsOnOddPayloads) {
            assert!(item.event.payload().values().all(|value| !value.is_array()), "a list");
        }
        match item.event.operation() {
            Operation::Delete => Outbound::new("drop", Method::Delete, self.path(item.event), Replay::Safe),
            _ if item.remembered.in_doubt && self.has(Fault::ClaimsALookUp) => self.make(item.event),
            _ => self.put(item.event),
        }
    }

    fn ignores(&self, _event: &Event) -> bool {
        self.has(Fault::IgnoresWhatItWrites)
    }

    fn references(&self, _event: &Event) -> Vec<Reference> {
        let to = |kind: &str| Reference { kind: kind.into(), id: "1".into() };
        match self.fault {
            Fault::RepeatsReferences => vec![to("thing"), to("thing")],
            Fault::RefersToStrangers => vec![to("stranger")],
            _ => Vec::new(),
        }
    }

    fn differences(&self, _write: &Outbound, before: Option<&Reply>) -> Result<Vec<Difference>, Reason> {
        if self.has(Fault::PanicsOnDifferences) {
            assert!(before.is_none_or(Reply::is_json), "no JSON");
        }
        Ok(Vec::new())
    }

    fn examine(&self, answered: &[Answered]) -> Examination {
        let read = |method| Outbound::new("examine", method, format!("/things/{}", answered.len()), Replay::Safe);
        match self.fault {
            Fault::ExaminesByWriting if answered.is_empty() => Examination::Ask(vec![read(Method::Delete)]),
            Fault::ExaminesForever => Examination::Ask(vec![read(Method::Get)]),
            _ => Examination::Done(Vec::new()),
        }
    }

    fn readings(&self, reply: &Reply) -> Vec<QuotaReading> {
        let Some(text) = reply.header("x-ratelimit-limit") else { return Vec::new() };
        let limit = text.trim().parse();
        if self.has(Fault::PanicsOnOddLimits) {
            assert!(limit.is_ok(), "{text}");
        }
        let name = if self.has(Fault::NamesLimitsByValue) { "Limit of the hour" } else { "hour" };
        let reading =
            |limit| QuotaReading { name, limit, remaining: None, window: Duration::from_secs(3600), resets: None };
        limit.ok().map(reading).into_iter().collect()
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let Some(item) = batch.first() else { return Progress::Done(Verdicts::unknown(batch)) };
        if self.has(Fault::PanicsOnAnEmptyBody) {
            assert!(reply.status != 200 || !reply.body.is_empty(), "an empty body");
        }
        if let Some(verdict) = self.proof(sent, reply) {
            return Progress::Done(Verdicts::all(batch, verdict));
        }
        match (sent.step, reply.status) {
            ("put", 404) => return Progress::Call(self.make(item.event)),
            ("make", 409) if self.has(Fault::GoesInCircles) => return Progress::Call(self.put(item.event)),
            (_, 503) if self.has(Fault::AsksForever) => return Progress::Call(sent.clone()),
            _ => {}
        }
        let message = if self.has(Fault::CountsItsReplies) { self.count() } else { String::new() };
        let told = if self.has(Fault::LosesVerdicts) { Batch::new(&[]) } else { *batch };
        Progress::Done(Verdicts::all(&told, default_verdict(sent, reply, &message)))
    }
}

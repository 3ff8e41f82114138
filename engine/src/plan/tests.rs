use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use syncline_sdk::{
    Answered, Auth, BaseUrl, Batch, Capabilities, Cookies, Difference, Endpoint, Examination as Asked, Finding, Level,
    Limits, PreviewField, Progress, Reply, RetryAfter, Scope, Verdict, Verdicts,
};

use super::*;
use crate::core::{PayloadSchema, PayloadSchemas, REPLAY_DESTINATION, UnknownSchema};
use crate::record::TopicPartition;
use crate::transport::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault};
use crate::{Destination, Engine, EngineBuilder};

/// Looks a thing up, then creates or changes it. What it is asked to do wrong is in the event's id.
#[derive(Debug)]
struct Toy(Endpoint);

fn toy() -> Arc<Toy> {
    Arc::new(Toy(Endpoint {
        base_url: BaseUrl::parse("https://toy.example").unwrap(),
        auth: Auth::None {},
        limits: Limits { batch_events: 1, body_bytes: 1000, concurrency: 8 },
        capabilities: Capabilities { look_up: true },
        cookies: Cookies::Discard,
    }))
}

fn get(step: &'static str, path: &str) -> Outbound {
    Outbound::new(step, Method::Get, path.to_owned(), Replay::Safe)
}

fn name(event: &Event) -> Value {
    event.payload().get("name").cloned().unwrap_or_default()
}

impl CrmConnector for Toy {
    fn endpoint(&self) -> &Endpoint {
        &self.0
    }

    fn entity_types(&self) -> Vec<&str> {
        vec!["t"]
    }

    fn accepts(&self, event: &Event) -> Result<(), Reason> {
        match event.id() {
            "unmappable" => Err(Reason::new("unmapped_value", "no such value")),
            "panics" => panic!("told to"),
            _ => Ok(()),
        }
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        match batch.first().unwrap().event.id() {
            "blind" => Outbound::new("create", Method::Post, "/t".into(), Replay::Unsafe),
            "unsafe read" => Outbound::new("odd", Method::Get, "/odd".into(), Replay::Unsafe),
            _ => get("look_up", "/t?key=1"),
        }
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let event = batch.first().unwrap().event;
        let reason = || Reason::new("x", "said so");
        let after = Some(RetryAfter::Delay(Duration::from_secs(3)));
        let verdict = match (event.id(), reply.status) {
            ("endless", _) => return Progress::Call(sent.clone()),
            ("slow", _) if sent.step == "look_up" => {
                return Progress::CallAfter(get("poll", "/poll"), Duration::from_secs(3600));
            }
            (_, 404) => {
                let body = json!({ "name": name(event) });
                return Progress::Call(Outbound::new("create", Method::Post, "/t".into(), Replay::Unsafe).json(&body));
            }
            (_, 200) if event.operation() == syncline_sdk::Operation::Delete => {
                return Progress::Call(Outbound::new("delete", Method::Delete, "/t/1".into(), Replay::Safe));
            }
            (_, 200) => {
                let body = json!({ "name": name(event) });
                return Progress::Call(Outbound::new("update", Method::Patch, "/t/1".into(), Replay::Safe).json(&body));
            }
            (_, 204) => Verdict::Unchanged { remote_id: None },
            (_, 400) => Verdict::Reject(reason()),
            (_, 413) => return Progress::Split(reason()),
            (_, 401) => Verdict::Unauthenticated(reason()),
            (_, 409) => {
                Verdict::Await { reason: reason(), reference: Reference { kind: "account".into(), id: "7".into() } }
            }
            (_, 429) => Verdict::Throttle { reason: reason(), after, scope: Scope::Account, in_doubt: false },
            _ => Verdict::Retry { reason: reason(), after: None },
        };
        Progress::Done(Verdicts::all(batch, verdict))
    }

    fn ignores(&self, event: &Event) -> bool {
        event.id() == "ignored"
    }

    fn references(&self, _: &Event) -> Vec<Reference> {
        vec![Reference { kind: "account".into(), id: "7".into() }]
    }

    fn preview(&self, event: &Event) -> Option<Preview> {
        let field = PreviewField { name: "name".into(), from: "/name".into(), value: name(event) };
        (event.id() != "silent").then(|| Preview { target: "t".into(), fields: vec![field] })
    }

    fn read_before(&self, write: &Outbound) -> Option<Outbound> {
        (write.step != "create").then(|| get("before", "/t/1"))
    }

    fn differences(&self, write: &Outbound, before: Option<&Reply>) -> Result<Vec<Difference>, Reason> {
        let before: Option<Value> = match before {
            Some(reply) => Some(
                reply.json::<Value>().map_err(|error| Reason::new("unreadable", error.to_string()))?["name"].take(),
            ),
            None => None,
        };
        let after = write.body.as_ref().map(|body| serde_json::from_slice::<Value>(body).unwrap()["name"].take());
        Ok(vec![Difference { field: "name".into(), before, after }])
    }

    fn examine(&self, answered: &[Answered]) -> Asked {
        match answered.last() {
            None => Asked::Ask(vec![get("one", "/one"), get("two", "/two")]),
            Some(last) if last.reply.status == 200 => {
                let steps: Vec<_> = answered.iter().map(|answered| answered.asked.step).collect();
                Asked::Done(vec![Finding::fine("toy", steps.join(", "))])
            }
            Some(last) if last.reply.status == 403 => {
                Asked::Ask(vec![Outbound::new("mend", Method::Post, "/".into(), Replay::Safe)])
            }
            Some(last) if last.reply.status == 410 => Asked::Ask(Vec::new()),
            Some(_) => Asked::Ask(vec![get("again", "/again")]),
        }
    }
}

fn builder() -> EngineBuilder {
    Engine::builder().destination(Destination::new("crm", toy()))
}

fn record(value: &str) -> Record {
    Record {
        partition: TopicPartition::new("t", 0),
        offset: 0,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

fn json_of(id: &str, operation: &str) -> String {
    let event = json!({ "event_id": id, "idempotency_key": "k", "event_type": operation,
        "entity": { "type": "t", "id": "1" }, "payload": { "name": "Ada" } });
    event.to_string()
}

fn event(id: &str) -> Event {
    Event::from_slice(json_of(id, "record.updated").as_bytes()).unwrap()
}

#[test]
fn a_record_is_refused_as_in_a_run() {
    let schema = PayloadSchema::new("t", None, json!({ "required": ["tier"] }));
    let schemas = PayloadSchemas::compile([schema], UnknownSchema::default()).unwrap();
    let strict = builder().schemas(schemas).planner().unwrap();
    let planner = builder().planner().unwrap();
    for (planner, value, failure, code) in [
        (&planner, "{", FailureKind::Invalid, "invalid_json"),
        (&planner, "{}", FailureKind::Invalid, "invalid_event"),
        (
            &planner,
            r#"{"event_id":"e","idempotency_key":"k","entity":{"type":"x"}}"#,
            FailureKind::Unrouted,
            "no_route",
        ),
        (&strict, &json_of("e", "record.created"), FailureKind::Invalid, "invalid_payload"),
    ] {
        let refusal = planner.plan(&record(value)).outcome.unwrap_err();
        assert_eq!((refusal.kind, refusal.reason.code.as_ref()), (failure, code));
    }
    for (id, code) in [("unmappable", "unmapped_value"), ("panics", "connector_panicked")] {
        let plan = planner.plan(&record(&json_of(id, "record.created")));
        let refusal = plan.outcome.unwrap().remove(0).outcome.unwrap_err();
        assert_eq!((refusal.kind, refusal.reason.code.as_ref()), (FailureKind::Unmappable, code));
    }
    assert!(Engine::builder().planner().unwrap_err().to_string().contains("no destination"));
}

#[test]
fn an_intent_shows_what_the_connector_tells() {
    let planner = builder().destination(Destination::new("other", toy())).planner().unwrap();
    let intents = |record: &Record| {
        let plan = planner.plan(record);
        let planned = plan.outcome.unwrap().into_iter();
        planned.map(|planned| (planned.destination.to_string(), planned.outcome.unwrap())).collect::<Vec<_>>()
    };
    let mut told = record(&json_of("e", "record.created"));
    let found = intents(&told);
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["crm", "other"]);
    let intent = &found[0].1;
    assert_eq!(intent.preview.as_ref().unwrap().fields[0].value, "Ada");
    assert_eq!(intent.references[0].id, "7");
    assert!(intent.writes.is_empty() && !intent.may_write(), "it tells, and there is no write");
    assert!(intents(&record(&json_of("silent", "record.created")))[0].1.may_write());
    assert!(intents(&record(&json_of("blind", "record.created")))[0].1.may_write());
    let ignored = intents(&record(&json_of("ignored", "record.deleted")))[0].1.clone();
    assert!(ignored.ignored && !ignored.may_write());
    // A replay goes to one destination, as in a run.
    told.headers.push((REPLAY_DESTINATION.to_owned(), Some(Bytes::from_static(b"other"))));
    assert_eq!(intents(&told)[0].0, "other");
}

/// What a rehearsal asks for, and how it ends. An empty body stands for none.
fn rehearse(event: &Event, replies: &[(u16, &str)]) -> (Vec<&'static str>, Rehearsed) {
    let toy = toy();
    let (mut rehearsal, mut step) = Rehearsal::begin(toy.as_ref(), event);
    let mut asked = Vec::new();
    let mut replies = replies.iter();
    loop {
        step = match step {
            Step::End(rehearsed) => return (asked, rehearsed),
            Step::Ask(read, _) => {
                assert!(is_read(&read), "{read:?}");
                asked.push(read.step);
                let (status, body) = replies.next().copied().unwrap_or((500, ""));
                rehearsal.replied(&reply(status, body))
            }
        }
    }
}

fn reply(status: u16, body: &str) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

#[test]
fn a_rehearsal_ends_at_the_first_write() {
    let found = (200, "{}");
    let (asked, rehearsed) = rehearse(&event("e"), &[found, (200, r#"{"name":"Bob"}"#)]);
    assert_eq!(asked, ["look_up", "before"]);
    assert!(rehearsed.changes());
    let Rehearsed::Writes { write, comparison: Comparison::Fields(fields) } = rehearsed else { panic!() };
    assert_eq!(
        (write.step, fields[0].before.clone(), fields[0].after.clone()),
        ("update", Some("Bob".into()), Some("Ada".into()))
    );

    let (_, same) = rehearse(&event("e"), &[found, (200, r#"{"name":"Ada"}"#)]);
    assert!(matches!(&same, Rehearsed::Writes { comparison: Comparison::Fields(fields), .. } if fields.is_empty()));
    assert!(!same.changes(), "the record has these values already");

    let (asked, created) = rehearse(&event("e"), &[(404, "")]);
    assert_eq!(asked, ["look_up"]);
    assert!(matches!(&created, Rehearsed::Writes { comparison: Comparison::Whole(fields), .. } if fields.len() == 1));
    assert!(created.changes());

    let delete = Event::from_slice(json_of("e", "record.deleted").as_bytes()).unwrap();
    let (_, deleted) = rehearse(&delete, &[found, (200, r#"{"name":null}"#)]);
    assert!(deleted.changes(), "{deleted:?}");

    let (_, unreadable) = rehearse(&event("e"), &[found, (200, "no JSON")]);
    assert!(
        matches!(&unreadable, Rehearsed::Writes { comparison: Comparison::Failed(reason), .. } if reason.code == "unreadable")
    );
    // What isn't a read that is safe to repeat counts as a write, whatever its method is.
    for id in ["blind", "unsafe read"] {
        let (asked, rehearsed) = rehearse(&event(id), &[]);
        assert!(!asked.contains(&"odd") && matches!(rehearsed, Rehearsed::Writes { .. }), "{asked:?}");
    }
}

#[test]
fn a_rehearsal_without_a_write() {
    let end = |id, status| rehearse(&event(id), &[(status, "")]).1;
    assert_eq!(end("e", 204), Rehearsed::Unchanged);
    assert!(matches!(end("e", 400), Rehearsed::Rejected(_)));
    assert!(matches!(end("e", 413), Rehearsed::Rejected(_)), "a batch of one has its culprit");
    assert_eq!(rehearse(&event("ignored"), &[]), (vec![], Rehearsed::Unchanged));
    assert!(matches!(end("e", 409), Rehearsed::Waits { reference, .. } if reference.id == "7"));
    for (status, expected) in [(401, Obstacle::Unauthenticated), (429, Obstacle::Throttled), (500, Obstacle::Event)] {
        assert!(
            matches!(end("e", status), Rehearsed::Undetermined { obstacle, .. } if obstacle == expected),
            "{status}"
        );
    }
    let (asked, endless) = rehearse(&event("endless"), &[(200, ""); 50]);
    assert_eq!(asked.len(), 16);
    assert!(matches!(endless, Rehearsed::Undetermined { reason, .. } if reason.code == "conversation_too_long"));
}

/// Answers in turn, and keeps what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Played>>);

#[derive(Default)]
struct Played {
    statuses: VecDeque<u16>,
    asked: Vec<(Method, String)>,
}

impl Script {
    fn of(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self(Arc::new(Mutex::new(Played { statuses: statuses.into_iter().collect(), asked: Vec::new() })))
    }

    fn asked(&self) -> Vec<(Method, String)> {
        self.0.lock().unwrap().asked.clone()
    }
}

#[async_trait]
impl HttpTransport for Script {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let mut inner = self.0.lock().unwrap();
        inner.asked.push((request.method, request.url));
        match inner.statuses.pop_front() {
            Some(status) => Ok(reply(status, r#"{"name":"Bob"}"#)),
            None => {
                Err(TransportFault { sent: Sent::Unsent, kind: FaultKind::Connection, message: "no more".to_owned() })
            }
        }
    }
}

fn reader(script: &Script) -> Reader {
    builder().transport(script.clone()).reader("crm").unwrap()
}

#[tokio::test]
async fn a_reader_sends_reads_only() {
    let script = Script::of([200; 9]);
    let reader = reader(&script);
    for (method, replay) in [
        (Method::Get, Replay::Unsafe),
        (Method::Post, Replay::Safe),
        (Method::Put, Replay::Safe),
        (Method::Patch, Replay::Safe),
        (Method::Delete, Replay::Safe),
    ] {
        let fault = reader.get(&Outbound::new("x", method, "/x".into(), replay)).await.unwrap_err();
        assert_eq!((fault.kind, fault.sent), (FaultKind::Request, Sent::Unsent));
    }
    assert!(script.asked().is_empty());
    assert!(reader.rehearse(&event("e")).await.changes());
    assert!(script.asked().iter().all(|(method, _)| *method == Method::Get), "{:?}", script.asked());
    assert_eq!(script.asked().len(), 2);
    assert_eq!((reader.reach().await.unwrap().status, reader.sign_in().await), (200, Ok(())));
    assert!(builder().reader("nobody").unwrap_err().to_string().contains("nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_keeps_the_rate_and_does_not_wait_for_long() {
    let script = Script::of([200; 9]);
    let rate = crate::core::Rate { per_second: 0.5, burst: 9 };
    let slow = Engine::builder().destination(Destination::new("crm", toy()).rate(rate)).transport(script.clone());
    let reader = slow.reader("crm").unwrap();
    let begun = tokio::time::Instant::now();
    reader.rehearse(&event("e")).await;
    assert_eq!(begun.elapsed().as_secs(), 2);
    let waits = reader.rehearse(&event("slow")).await;
    assert!(matches!(waits, Rehearsed::Undetermined { obstacle: Obstacle::Event, .. }), "{waits:?}");
    let gone = reader.rehearse(&event("e")).await;
    assert!(matches!(gone, Rehearsed::Writes { .. }));
}

#[tokio::test]
async fn a_fault_halts_a_rehearsal() {
    let gone = reader(&Script::of([])).rehearse(&event("e")).await;
    assert!(
        matches!(&gone, Rehearsed::Undetermined { reason, obstacle: Obstacle::Unreachable } if reason.code == "connection_error")
    );
}

#[tokio::test]
async fn an_examination_is_bounded_and_reads_only() {
    for (statuses, level, says, requests) in [
        (vec![200; 2], Level::Fine, "one, two", 2),
        (vec![200], Level::Wrong, "`two` got no answer", 2),
        (vec![200, 403], Level::Warning, "`mend`, a POST, which isn't sent", 2),
        (vec![200, 410], Level::Warning, "asked for nothing", 2),
        (vec![500; 99], Level::Warning, "after 16 rounds or 256 requests", 17),
    ] {
        let script = Script::of(statuses);
        let findings = reader(&script).examine().await;
        assert_eq!(findings[0].level, level, "{findings:?}");
        assert!(findings[0].message.contains(says), "{findings:?}");
        assert_eq!(script.asked().len(), requests, "{says}");
        assert!(script.asked().iter().all(|(method, _)| *method == Method::Get));
    }
}

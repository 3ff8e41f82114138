//! The engine through its public API, with its own source, transport, store and dead letter queue,
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "test helpers"
)]
//! in virtual time: what another binary can do.

mod crowded;
mod guest;
mod parts;
mod registry;
mod schemas;

use std::sync::Arc;
use std::time::Duration;

use parts::{Letters, Source, Transport, event, toy};
use syncline_engine::core::{FailureKind, Jitter, RetrySchedule};
use syncline_engine::record::TopicPartition;
use syncline_engine::source::{Closed, SourceEvent, SourceHealth};
use syncline_engine::transport::{FaultKind, Sent, TransportFault};
use syncline_engine::{Destination, Engine, EngineBuilder, EngineError};
use tokio::sync::oneshot;
use tokio::time::Instant;

fn builder(source: &Source, transport: &Transport, letters: &Letters) -> (EngineBuilder, oneshot::Sender<()>) {
    let (stop, stopped) = oneshot::channel();
    let builder = Engine::builder()
        .destination(Destination::new("crm", Arc::new(toy())).connector_kind("toy", "1.2.3"))
        .source(source.clone())
        .transport(transport.clone())
        .dead_letters(letters.clone())
        .retry(RetrySchedule { max_retries: 3, jitter: Jitter::None })
        .seed(1)
        .shutdown(async { drop(stopped.await) });
    (builder, stop)
}

#[tokio::test(start_paused = true)]
async fn events_are_delivered_and_committed_and_a_stop_is_clean() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    source.give((0..100).map(|offset| event(offset, offset % 7)));
    let (builder, stop) = builder(&source, &transport, &letters);
    let engine = builder.build().unwrap();
    let handle = engine.handle();
    assert!(!handle.status().ready);
    let run = tokio::spawn(engine.run());
    source.committed(100).await;
    assert_eq!(transport.paths().len(), 100);
    let status = handle.status();
    assert!(status.ready && !status.stopping, "{status:?}");
    assert_eq!(status.partitions, ["events[0]"]);
    source.push(SourceEvent::Health(SourceHealth::Impaired("no broker".into())));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(handle.status().source_problem.as_deref(), Some("no broker"));
    stop.send(()).unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.abandoned, report.closed), (0, Closed::Confirmed));
    assert!(handle.status().stopping && !handle.status().ready);
}

#[tokio::test(start_paused = true)]
async fn a_failing_request_is_retried_after_2_and_4_seconds() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    transport.script("/e0", [503, 503, 200]);
    source.give([event(0, 0)]);
    let (builder, _stop) = builder(&source, &transport, &letters);
    let start = Instant::now();
    tokio::spawn(builder.build().unwrap().run());
    source.committed(1).await;
    assert_eq!(transport.times("/e0"), [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(6)]);
    assert!(start.elapsed() < Duration::from_secs(7));
    assert!(letters.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_queue_that_fails_holds_the_commit() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    transport.script("/e0", [400]);
    letters.refuse(2);
    source.give([event(0, 0), event(1, 1)]);
    let (builder, _stop) = builder(&source, &transport, &letters);
    let start = Instant::now();
    tokio::spawn(builder.build().unwrap().run());
    source.committed(2).await;
    assert_eq!(source.commits().first(), Some(&2), "nothing was committed before the letter was stored");
    assert!(start.elapsed() >= Duration::from_secs(3));
    let stored = letters.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].failure.kind, FailureKind::Rejected);
    assert_eq!(stored[0].failure.target.as_ref().unwrap().connector_version.as_ref(), "1.2.3");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_transport_is_a_fault_like_any_other() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    transport.script("/e0", [0, 200]);
    source.give([event(0, 0)]);
    let (builder, _stop) = builder(&source, &transport, &letters);
    tokio::spawn(builder.build().unwrap().run());
    source.committed(1).await;
    assert_eq!(transport.times("/e0"), [Duration::ZERO, Duration::from_secs(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way_but_not_for_ever() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    transport.script("/e0", [999]);
    source.give([event(0, 0)]);
    let (builder, stop) = builder(&source, &transport, &letters);
    let run = tokio::spawn(builder.build().unwrap().run());
    transport.sent(1).await;
    let start = Instant::now();
    stop.send(()).unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.abandoned, 1);
    assert_eq!(start.elapsed().as_secs(), 25);
    assert!(source.commits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_good_ends_the_run() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let (builder, _stop) = builder(&source, &transport, &letters);
    let run = tokio::spawn(builder.build().unwrap().run());
    source.fail("fenced by another member");
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(&error, EngineError::Source(_)) && error.to_string().contains("fenced"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn connection_errors_use_up_attempts_and_end_as_dead_letters() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let fault = TransportFault { sent: Sent::Unsent, kind: FaultKind::Connection, message: "refused".into() };
    transport.break_all(fault);
    source.give([event(0, 0)]);
    let (builder, _stop) = builder(&source, &transport, &letters);
    tokio::spawn(builder.build().unwrap().run());
    source.committed(1).await;
    let seconds: Vec<_> = transport.times("/e0").iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 2, 6, 14]);
    let letter = letters.stored().remove(0);
    assert_eq!(
        (letter.failure.kind, letter.failure.reason.code.as_ref()),
        (FailureKind::Exhausted, "connection_error")
    );
}

#[test]
fn what_is_missing_is_said() {
    let error = |builder: EngineBuilder| builder.build().unwrap_err().to_string();
    assert!(error(Engine::builder()).contains("no destination"));
    let destination = || Destination::new("crm", Arc::new(toy()));
    assert!(error(Engine::builder().destination(destination())).contains("no dead letter queue"));
    let letters = Letters::default();
    let one = || Engine::builder().destination(destination()).dead_letters(letters.clone());
    assert!(error(one()).contains("no source"));
    assert!(error(one().destination(destination())).contains("unique"));
    assert!(error(one().route("t", ["sap"])).contains("`sap`, which is no destination; there are: crm"));
    assert!(error(one().route("order", ["crm"])).contains("`order` is routed to `crm`, which maps only: t"));
    assert!(error(one().route("t", ["crm", "crm"])).contains("twice"));
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_nothing_is_sent_before_it_is_clear_what_is_ours() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    source.set_session_timeout(Duration::from_secs(6));
    source.give([event(0, 0)]);
    let (builder, _stop) = builder(&source, &transport, &letters);
    tokio::spawn(builder.build().unwrap().run());
    source.committed(1).await;
    // What a SIGSTOP looks like from inside: the clock jumps, and nothing has run meanwhile.
    tokio::time::advance(Duration::from_secs(10)).await;
    source.push(SourceEvent::Record(event(1, 1)));
    source.committed(2).await;
    assert_eq!(transport.times("/e1"), [Duration::from_secs(17)], "a session for bad news, and a second");

    tokio::time::advance(Duration::from_secs(10)).await;
    source.push(SourceEvent::Record(event(2, 2)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    source.push(SourceEvent::Lost(vec![TopicPartition::new("events", 0)]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(transport.times("/e2").is_empty(), "it was lost meanwhile, and is never sent");
}

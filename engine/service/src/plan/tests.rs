use serde_json::{Value, json};
use syncline_engine::core::FailureKind;
use syncline_engine::plan::{Comparison, Intent, Refusal};
use syncline_sdk::{Difference, Method, Outbound, Preview, PreviewField, Reference, Replay};

use super::report::Part;
use super::*;

fn event() -> Arc<Event> {
    let json = r#"{"event_id":"e1","idempotency_key":"k","event_type":"record.updated","entity":{"type":"customer","id":"42"}}"#;
    Arc::new(Event::from_slice(json.as_bytes()).unwrap())
}

fn intent() -> Intent {
    let field = |name: &str, from: &str, value: Value| PreviewField { name: name.into(), from: from.into(), value };
    Intent {
        preview: Some(Preview {
            target: "accounts".into(),
            fields: vec![field("name", "/name", "Ada".into()), field("u_tier", "/tier", Value::Null)],
        }),
        references: vec![Reference { kind: "company".into(), id: "7".into() }],
        writes: vec![
            Outbound::new("create", Method::Post, "/accounts".into(), Replay::Unsafe).json(&json!({ "name": "Ada" })),
            Outbound::new("delete", Method::Delete, "/accounts/1".into(), Replay::Safe),
        ],
        ignored: false,
    }
}

fn report(intent: Result<Intent, Refusal>, live: Option<Rehearsed>) -> Report {
    let part = Part { destination: "crm".into(), intent, live };
    Report { origin: "events.jsonl:3".into(), event: Some(event()), outcome: Ok(vec![part]) }
}

fn refusal() -> Refusal {
    Refusal { kind: FailureKind::Unmappable, reason: Reason::new("unmapped_value", "the tier is unknown") }
}

fn change(fields: Vec<Difference>) -> Rehearsed {
    let write =
        Outbound::new("update", Method::Patch, "/accounts/1".into(), Replay::Safe).json(&json!({ "name": "Ada" }));
    Rehearsed::Writes { write, comparison: Comparison::Fields(fields) }
}

fn renamed() -> Vec<Difference> {
    vec![Difference { field: "name".into(), before: None, after: Some("Ada".into()) }]
}

#[test]
fn a_plan_reads_well() {
    let offline = r#"events.jsonl:3: customer 42, record.updated, event e1
  crm → accounts
    name   = "Ada"  from /name
    u_tier = null   from /tier
    refers to company 7: not looked up
    may send one of
      POST /accounts
        {
          "name": "Ada"
        }
      DELETE /accounts/1"#;
    assert_eq!(text::lines(&report(Ok(intent()), None)).join("\n"), offline);
    let live = text::lines(&report(Ok(intent()), Some(change(renamed()))));
    let end = r#"    refers to company 7: looked up by the connector
    would send
      PATCH /accounts/1
        {
          "name": "Ada"
        }
    which changes
      name: (nothing) → "Ada""#;
    assert!(live.join("\n").ends_with(end), "{live:#?}");
    let refused = text::lines(&report(Err(refusal()), None));
    assert_eq!(refused[1], "  crm: would be dead-lettered as unmappable: unmapped_value: the tier is unknown");
    let silent = text::lines(&report(Ok(Intent::default()), None));
    assert_eq!(silent[2], "    the connector does not tell what it would write; --live finds out");
}

#[test]
fn nothing_moves_the_cursor() {
    let mut hostile = intent();
    if let Some(preview) = &mut hostile.preview {
        preview.fields[0].name = "na\u{1b}[2Jme".into();
        preview.fields[0].value = "\u{9b}2J\u{202e}".into();
    }
    let mut report = report(Ok(hostile), None);
    report.origin = "a\nb".into();
    for line in text::lines(&report) {
        assert!(!line.contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{line:?}");
    }
}

#[test]
fn a_plan_for_programs() {
    let object = json::object(&report(Ok(intent()), Some(change(renamed()))));
    assert_eq!(object["event"]["entity"], json!({ "type": "customer", "id": "42", "version": null }));
    let part = &object["destinations"][0];
    assert_eq!((part["destination"].as_str(), part["effect"].as_str()), (Some("crm"), Some("change")));
    assert_eq!(part["preview"]["fields"][0], json!({ "name": "name", "from": "/name", "value": "Ada" }));
    assert_eq!(part["possible_writes"][0]["body"], json!({ "name": "Ada" }));
    assert_eq!(part["live"]["differences"], json!([{ "field": "name", "after": "Ada" }]));
    let refused = json::object(&Report { outcome: Err(refusal()), event: None, origin: "x".into() });
    let reason = json!({ "failure": "unmappable", "reason": "unmapped_value", "message": "the tier is unknown" });
    assert_eq!(refused, json!({ "origin": "x", "event": null, "dead_letter": reason }));
}

#[test]
fn what_would_fail_weighs_more_than_what_would_change() {
    let reason = || Reason::new("x", "");
    let nothing = || report(Ok(Intent { writes: Vec::new(), ..intent() }), None);
    let live = |live| report(Ok(intent()), Some(live));
    let waits = Rehearsed::Waits { reason: reason(), reference: intent().references.remove(0) };
    let cases = [
        (vec![], 0),
        (vec![nothing()], 0),
        (vec![live(Rehearsed::Unchanged)], 0),
        (vec![live(change(Vec::new()))], 0),
        (vec![nothing(), report(Ok(intent()), None)], 2),
        (vec![report(Ok(Intent::default()), None)], 2),
        (vec![live(change(renamed())), nothing()], 2),
        (vec![live(waits)], 2),
        (vec![report(Err(refusal()), None), report(Ok(intent()), None)], 1),
        (vec![live(Rehearsed::Rejected(reason()))], 1),
        (vec![live(Rehearsed::Undetermined { reason: reason(), obstacle: Obstacle::Event }), nothing()], 1),
    ];
    for (number, (reports, status)) in cases.into_iter().enumerate() {
        let mut tally = Tally::default();
        reports.iter().for_each(|report| tally.add(report));
        assert_eq!(tally.status(), status, "case {number}: {tally:?}");
    }
    let tally = Tally { nothing: 1, change: 2, dead_letter: 1, unknown: 0 };
    assert_eq!(
        text::summary(tally, true),
        "4 events: 2 would change something, 1 would change nothing, 1 would be dead-lettered"
    );
}

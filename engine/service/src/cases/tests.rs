use serde_json::json;
use syncline_engine::core::FailureKind;
use syncline_engine::plan::{Intent, Plan, Planned, Refusal};
use syncline_sdk::{Method, Outbound, Preview, PreviewField, Reason, Replay};

use super::file::{of_json, of_toml};
use super::*;

fn refusal(kind: FailureKind, code: &'static str) -> Refusal {
    Refusal { kind, reason: Reason::new(code, "so it is") }
}

fn intent() -> Intent {
    let field = |name: &str, value: Value| PreviewField { name: name.into(), from: "/x".into(), value };
    let write = |step, method, path: &str| Outbound::new(step, method, path.into(), Replay::Safe);
    Intent {
        preview: Some(Preview {
            target: "accounts".into(),
            fields: vec![field("name", "Ada".into()), field("tier", 2.into()), field("note", Value::Null)],
        }),
        references: Vec::new(),
        writes: vec![
            write("create", Method::Post, "/accounts?echo=1").json(&json!({ "name": "Ada" })),
            write("update", Method::Patch, "/accounts/1").json(&json!({ "name": "Ada" })),
        ],
        ignored: false,
    }
}

fn plan(parts: Vec<(&str, Result<Intent, Refusal>)>) -> Plan {
    let parts = parts.into_iter().map(|(name, outcome)| Planned { destination: name.into(), outcome });
    Plan { event: None, outcome: Ok(parts.collect()) }
}

fn judged(expectation: &str, plan: &Plan) -> Vec<String> {
    let text = format!("[[tests]]\nname = 'a'\nevent = {{}}\n{expectation}");
    let cases = of_toml(&text).unwrap_or_else(|mistake| panic!("{mistake}: {text}"));
    let found = judge(&cases[0], plan);
    found.into_iter().map(|wrong| format!("{}: {} | {}", wrong.what, wrong.expected, wrong.got)).collect()
}

#[test]
fn what_is_written() {
    let one = plan(vec![("crm", Ok(intent()))]);
    for (expectation, wrong) in [
        ("fields = { name = 'Ada', tier = 2 }\nemptied = ['note']", &[][..]),
        ("includes = { tier = 2 }\ntarget = 'accounts'", &[]),
        ("emptied = ['note']", &[]),
        (
            "fields = { name = 'Bob', age = 7 }",
            &[
                "fields.age: 7 | nothing",
                "fields.name: \"Bob\" | \"Ada\"",
                "fields.tier: nothing | 2",
                "fields.note: nothing | null",
            ],
        ),
        ("includes = { tier = '2' }", &["fields.tier: \"2\" | 2"]),
        ("target = 'contacts'", &["target: contacts | accounts"]),
        ("destination = 'erp'\ntarget = 'x'", &["destination: erp | crm"]),
        ("reject = 'no_route'", &["reject: dead-lettered as no_route | accepted by crm"]),
        ("route = ['crm']", &[]),
        ("route = []", &["route: no destination | crm"]),
    ] {
        assert_eq!(judged(expectation, &one), wrong, "{expectation}");
    }
    let silent = plan(vec![("crm", Ok(Intent::default()))]);
    assert_eq!(judged("requests = []", &silent), [""; 0]);
    assert!(judged("fields = {}", &silent)[0].contains("does not tell"));
    let ignored = plan(vec![("crm", Ok(Intent { ignored: true, ..Intent::default() }))]);
    assert_eq!(judged("fields = {}\nrequests = []", &ignored), [""; 0], "nothing is written");
    let two = plan(vec![("crm", Ok(intent())), ("erp", Err(refusal(FailureKind::Unmappable, "missing_value")))]);
    assert_eq!(judged("target = 'accounts'\ndestination = 'crm'", &two), [""; 0]);
    assert!(judged("target = 'accounts'", &two)[0].ends_with("crm, erp"));
    assert_eq!(judged("reject = 'missing_value'\ndestination = 'erp'\nroute = ['erp', 'crm']", &two), [""; 0]);
    assert_eq!(judged("reject = 'missing_value'", &two), ["reject: dead-lettered as missing_value | accepted by crm"]);
    assert!(judged("target = 'x'\ndestination = 'erp'", &two)[0].contains("missing_value: so it is"));
}

#[test]
fn what_is_refused() {
    let refused = |kind, code| Plan { event: None, outcome: Err(refusal(kind, code)) };
    let unrouted = refused(FailureKind::Unrouted, "no_route");
    assert_eq!(judged("route = []\nreject = 'no_route'", &unrouted), [""; 0]);
    let invalid = refused(FailureKind::Invalid, "invalid_event");
    assert_eq!(judged("reject = 'invalid_event'", &invalid), [""; 0]);
    assert_eq!(judged("reject = 'no_route'", &invalid).len(), 1);
    assert_eq!(judged("route = []", &invalid).len(), 1);
    assert_eq!(judged("fields = {}", &invalid), ["event: accepted | dead-lettered as invalid_event: so it is"]);
}

#[test]
fn requests_match_in_any_order() {
    let one = plan(vec![("crm", Ok(intent()))]);
    for (requests, wrong) in [
        ("{ method = 'PATCH' }, { path = '/accounts', body = { name = 'Ada' } }", 0),
        // The general one must not take what only the other one can have.
        ("{ body = { name = 'Ada' } }, { method = 'post', path = '/accounts?echo=1' }", 0),
        ("{ method = 'POST' }", 1),
        ("{ method = 'POST' }, { method = 'POST' }", 2),
        ("{ method = 'POST' }, { method = 'PATCH' }, { method = 'PUT' }", 1),
        ("{ method = 'POST', body = {} }, { method = 'PATCH', path = '/accounts/1?x' }", 4),
    ] {
        let found = judged(&format!("requests = [{requests}]"), &one);
        assert_eq!(found.len(), wrong, "{requests}: {found:#?}");
    }
    let none = judged("requests = []", &one);
    assert_eq!(none[0], "requests: nothing | POST /accounts?echo=1 {\"name\":\"Ada\"}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    let test = "[[tests]]\nname = 'a'\n";
    for (text, part) in [
        ("[[tests]]\nname = 'a'\nevnt = {}\n", "a.toml:3: unknown field `evnt`"),
        ("tests = 7", "a.toml:1: invalid type"),
        ("[[tests]\n", "a.toml:1: "),
        ("[[tests]]\nevent = {}\n", "missing field `name`"),
        (&format!("{test}reject = 'x'"), "has neither `event` nor `event_file`"),
        (&format!("{test}event = {{}}\nevent_file = 'x'\nreject = 'x'"), "has both `event` and `event_file`"),
        (&format!("{test}event = {{}}\nfields = {{}}\nincludes = {{}}"), "has both `fields` and `includes`"),
        (&format!("{test}event = {{}}\nfields = {{}}\nreject = 'x'"), "expects a `reject`, and something"),
        (&format!("{test}event = {{}}"), "expects nothing"),
        (&format!("{test}event = {{}}\nrequests = [{{ methd = 'x' }}]"), "a.toml:4: unknown field `methd`"),
        (&format!("{test}event={{}}\nroute=[]\n{test}event={{}}\nroute=[]"), "the same name as another one"),
    ] {
        let mistake = of_toml(text).unwrap_err().to_string();
        assert!(mistake.contains(part), "{part}: {mistake}");
    }
    let mistake = of_json("{ \"tests\": [\n{ \"name\": \"a\",\n\"evnt\": 1 } ] }").unwrap_err().to_string();
    assert!(mistake.starts_with("a.json:3: unknown field `evnt`") && !mistake.contains("at line"), "{mistake}");
}

#[test]
fn dates_and_nulls_are_the_same_in_both_languages() {
    let toml =
        of_toml("[[tests]]\nname = 'a'\nevent = { at = 2026-01-20T17:16:48Z, in = [{ on = 2026-01-20 }] }\nroute = []");
    let event = toml.unwrap()[0].event(Path::new("a.toml")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&event).unwrap(),
        json!({ "at": "2026-01-20T17:16:48Z", "in": [{ "on": "2026-01-20" }] })
    );
    let cases =
        of_json(r#"{ "tests": [{ "name": "a", "event": {}, "fields": { "note": null, "name": "Ada", "tier": 2 } }] }"#);
    assert!(judge(&cases.unwrap()[0], &plan(vec![("crm", Ok(intent()))])).is_empty());
}

#[test]
fn results_read_well() {
    let outcome = |name: &str, mismatches| Outcome { file: "t.toml".into(), name: name.into(), mismatches };
    let outcomes = Outcomes {
        tests: vec![
            outcome("one", Vec::new()),
            outcome("two\u{1b}", vec![Mismatch::new("fields.tier", "\"2\"", "\"3\"")]),
        ],
        mistakes: vec![Mistake("u.toml:3: unknown field `evnt`".into())],
    };
    assert_eq!(
        outcomes.lines().join("\n"),
        "ok    t.toml: one\nFAIL  t.toml: two\\u{1b}\n        fields.tier\n          expected  \"2\"\n          got       \"3\"\n\
         FAIL  u.toml:3: unknown field `evnt`\n1 passed, 2 failed"
    );
    let json = outcomes.json();
    assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(1), Some(2)));
    assert_eq!(json["tests"][1]["mismatches"][0]["got"], "\"3\"");
}

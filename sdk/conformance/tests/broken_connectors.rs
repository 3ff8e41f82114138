//! The suite catches each broken rule, and nothing in a connector that keeps them.

#[cfg(test)]
mod toy;

#[cfg(test)]
mod toys_without_sense;

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use syncline_conformance::{Conversation, Report, Rule, Subject, run};

    fn config(fault: &str) -> Value {
        let auth = json!({ "type": "bearer", "token": "env:TOKEN" });
        json!({ "type": "toy", "base_url": "https://toy.example", "auth": auth, "fault": fault })
    }

    fn conversation(json: Value) -> Conversation {
        let mut conversation: Conversation = serde_json::from_value(json).unwrap();
        conversation.name = conversation.about.clone();
        conversation
    }

    fn event(operation: Option<&str>, id: Option<&str>) -> Value {
        let entity = json!({ "type": "thing", "id": id });
        json!({ "event_id": "e", "idempotency_key": "k", "event_type": operation, "entity": entity, "payload": { "a": 1 } })
    }

    fn exchange(step: &str, status: u16, body: Option<Value>) -> Value {
        let typed = json!({ "content-type": "application/json" });
        let (method, target, replay) = match step {
            "put" => ("PUT", "/things/x", "safe"),
            "drop" => ("DELETE", "/things/x", "safe"),
            _ => ("POST", "/things", "unsafe"),
        };
        let mut request = json!({ "step": step, "method": method, "target": target, "headers": typed, "body": { "a": 1 }, "replay": replay });
        if step == "drop" {
            request["headers"] = json!({});
            request.as_object_mut().unwrap().remove("body");
        }
        json!({ "request": request, "reply": { "status": status, "headers": typed, "body": body } })
    }

    fn subject(config: Value) -> Subject {
        let id = || Some(json!({ "id": "7" }));
        let delivered = json!({ "delivered": { "remote_id": "7" } });
        let mut minimal = exchange("put", 200, id());
        minimal["request"]["target"] = json!("/things/k");
        [
            ("update", event(Some("record.updated"), Some("x")), vec![exchange("put", 200, id())], delivered.clone()),
            (
                "create",
                event(Some("record.created"), Some("x")),
                vec![exchange("put", 404, Some(json!({}))), exchange("make", 201, id())],
                delivered.clone(),
            ),
            (
                "conflict",
                event(Some("record.created"), Some("x")),
                vec![exchange("put", 404, Some(json!({}))), exchange("make", 409, Some(json!({})))],
                json!({ "reject": { "code": "rejected" } }),
            ),
            (
                "delete",
                event(Some("record.deleted"), Some("x")),
                vec![exchange("drop", 204, None)],
                json!({ "delivered": { "remote_id": null } }),
            ),
            ("minimal", event(None, None), vec![minimal], delivered),
        ]
        .into_iter()
        .fold(Subject::new(config), |subject, (about, event, exchanges, verdict)| {
            subject.conversation(conversation(
                json!({ "about": about, "items": [{ "event": event }], "exchanges": exchanges, "verdicts": [verdict] }),
            ))
        })
    }

    #[track_caller]
    fn assert_breaks(report: &Report, rule: Rule, says: &str) {
        let found = report.failures().iter().any(|failure| failure.rule == rule && failure.to_string().contains(says));
        assert!(found, "expected {rule:?} with `{says}`, but found: {report}");
    }

    #[test]
    fn a_connector_that_keeps_the_rules_passes() {
        let report = run(&subject(config("none")));
        report.assert();
        assert!(report.replies() > 10_000, "{report}");
    }

    #[test]
    fn each_fault_is_caught() {
        for (fault, rule, says) in [
            ("success_by_default", Rule::Honest, "without proof"),
            ("success_by_substring", Rule::Honest, "an error appended"),
            ("success_by_content_alone", Rule::Honest, "without proof"),
            ("panics_on_an_empty_body", Rule::Total, "step put, status 200"),
            ("panics_on_odd_ids", Rule::Total, "an id that is not ASCII"),
            ("panics_on_odd_payloads", Rule::Total, "panicked: a list"),
            ("counts_its_requests", Rule::Deterministic, "two different requests"),
            ("counts_its_replies", Rule::Deterministic, "two different answers"),
            ("reads_the_secret", Rule::Secrets, "Debug of the connector"),
            ("sends_credentials", Rule::Encoding, "`authorization`"),
            ("forgets_to_escape", Rule::Encoding, "must be escaped"),
            ("forgets_the_limit", Rule::Encoding, "limits.body_bytes"),
            ("forgets_the_content_type", Rule::Encoding, "without `content-type`"),
            ("loses_verdicts", Rule::Complete, "0 verdicts for 1 events"),
            ("asks_forever", Rule::Bounded, "no end after 16 requests"),
            ("goes_in_circles", Rule::Bounded, "leads back to the request `put`"),
            ("panics_on_odd_limits", Rule::Total, "readings of status"),
            ("names_limits_by_value", Rule::Readings, "no short snake_case word"),
            ("accepts_strangers", Rule::Acceptance, "unknown entity type"),
            ("refuses_silently", Rule::Acceptance, "no message"),
            ("takes_no_events", Rule::Endpoint, "limits.batch_events"),
            ("claims_a_look_up", Rule::Endpoint, "capabilities"),
            ("claims_a_look_up", Rule::LookUp, "write in doubt"),
            ("repeats_references", Rule::References, "told twice"),
            ("refers_to_strangers", Rule::References, "`stranger`"),
            ("examines_by_writing", Rule::Inspection, "`examine` is no read"),
            ("examines_forever", Rule::Bounded, "rounds of reads"),
            ("ignores_what_it_writes", Rule::Inspection, "an ignored event has a possible write"),
            ("panics_on_differences", Rule::Total, "no JSON"),
        ] {
            assert_breaks(&run(&subject(config(fault))), rule, says);
        }
    }

    #[test]
    fn plaintext_secrets_are_caught() {
        let with_token = |fault| {
            let mut config = config(fault);
            config["token"] = json!("env:TOKEN");
            run(&subject(config))
        };
        assert_breaks(&with_token("none"), Rule::Secrets, "a plaintext secret is accepted");
        assert_breaks(&with_token("none"), Rule::Secrets, "Debug of the configuration");
        let echoes = with_token("echoes_the_plaintext");
        assert_breaks(&echoes, Rule::Secrets, "the error repeats a plaintext secret");
        assert!(!echoes.to_string().contains("hunter2"), "{echoes}");
    }

    #[test]
    fn fixtures_that_differ_or_lack_something_are_caught() {
        let mut wrong = exchange("put", 200, Some(json!({ "id": "7" })));
        wrong["request"]["target"] = json!("/elsewhere");
        let wrong = conversation(json!({
            "about": "wrong", "items": [{ "event": event(None, Some("x")) }], "exchanges": [wrong],
            "verdicts": [{ "unchanged": { "remote_id": "7" } }], "warnings": [{ "item": 0, "code": "cut_short" }],
        }));
        let report = run(&Subject::new(config("none")).conversation(wrong));
        assert_breaks(&report, Rule::Golden, "/elsewhere");
        assert_breaks(&report, Rule::Golden, "unchanged");
        assert_breaks(&report, Rule::Golden, "cut_short");
        assert_breaks(&report, Rule::Coverage, "record.deleted");
        assert_breaks(&run(&Subject::new(config("none"))), Rule::Coverage, "ends in success");
    }

    #[test]
    fn a_refusal_has_to_be_real() {
        let report = run(&Subject::new(config("none")).refusing("sends nothing"));
        assert_breaks(&report, Rule::Refusal, "connects, although");
        assert_breaks(&report, Rule::Refusal, "summary: does not say");
    }

    #[test]
    fn registrations_without_sense_are_caught() {
        let of = |kind: &str| {
            let mut config = config("none");
            config["type"] = json!(kind);
            config.as_object_mut().unwrap().remove("fault");
            run(&Subject::new(config))
        };
        assert_breaks(&of("unheard-of"), Rule::Registration, "no linked connector");
        assert_breaks(&of("twice"), Rule::Registration, "both `one` and `other`");
        let lax = of("lax");
        assert_breaks(&lax, Rule::Registration, "summary: must not be empty");
        assert_breaks(&lax, Rule::Config, "an unknown key is accepted");
        assert_breaks(&lax, Rule::Config, "this toy never connects");
        assert_breaks(&lax, Rule::Schema, "additionalProperties");
        assert_breaks(&lax, Rule::Schema, "a key `auth` that the schema lacks");
        assert_breaks(&lax, Rule::Sample, "is no TOML");
    }

    #[test]
    fn a_folder_has_fixtures_and_a_schema() {
        let folder = std::env::temp_dir().join(format!("syncline-conformance-folder-{}", std::process::id()));
        let error = Subject::load(&folder).unwrap_err().to_string();
        assert!(error.contains("subject.json"), "{error}");
        fs::create_dir_all(folder.join("fixtures")).unwrap();
        fs::write(folder.join("fixtures/subject.json"), json!({ "config": config("none") }).to_string()).unwrap();
        let report = run(&Subject::load(&folder).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        if std::env::var_os("SYNCLINE_BLESS").is_none() {
            assert_breaks(&report, Rule::Schema, "SYNCLINE_BLESS=1");
        }
    }
}

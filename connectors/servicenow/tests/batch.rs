//! Several conversations in one request.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};
    use syncline_sdk::{
        Batch, Bytes, ConnectorConfig, CrmConnector, Event, Item, Outbound, Progress, Remembered, Replay, Reply,
        Verdict, Verdicts,
    };
    use syncline_servicenow as _;

    const SYS_ID: &str = "7f3c2b9a1b0e4d10a1c2d3e4f5061728";

    fn connector() -> Arc<dyn CrmConnector> {
        let config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "basic", "username": "env:U", "password": "env:P" },
            "batch": { "events": 10 },
        });
        serde_json::from_value::<Box<dyn ConnectorConfig>>(config).unwrap().connect().unwrap()
    }

    fn event(id: &str, name: &str) -> Event {
        serde_json::from_value(json!({
            "event_id": id, "idempotency_key": id, "event_type": "record.updated",
            "entity": { "type": "customer", "id": id }, "payload": { "name": name },
        }))
        .unwrap()
    }

    fn items(events: &[Event]) -> Vec<Item<'_>> {
        events.iter().map(|event| Item { event, remembered: Remembered::default() }).collect()
    }

    fn reply(status: u16, body: &Value) -> Reply {
        let headers = vec![("content-type".into(), "application/json;charset=UTF-8".into())];
        Reply { status, headers, body: Bytes::from(body.to_string()) }
    }

    /// What a call asks for: id, method, path, and body.
    fn asked(call: &Outbound) -> Vec<(String, String, String, Value)> {
        assert_eq!((call.step, &*call.target), ("batch", "/api/now/v1/batch"));
        let body: Value = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
        let request = |request: &Value| {
            let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
            let inner = STANDARD.decode(text("body")).unwrap();
            let inner = if inner.is_empty() { Value::Null } else { serde_json::from_slice(&inner).unwrap() };
            let path = text("url").split('?').next().unwrap_or_default().to_owned();
            (text("id"), text("method"), path, inner)
        };
        body["rest_requests"].as_array().unwrap().iter().map(request).collect()
    }

    fn serviced(answers: &[(&str, u16, Value)], unserviced: &Value) -> Reply {
        let service = |(id, status, body): &(&str, u16, Value)| json!({ "id": id, "status_code": status, "status_text": "", "body": STANDARD.encode(body.to_string()), "headers": [] });
        let services: Vec<_> = answers.iter().map(service).collect();
        reply(
            200,
            &json!({ "batch_request_id": "1", "serviced_requests": services, "unserviced_requests": unserviced }),
        )
    }

    fn found(rows: &[&str]) -> Value {
        json!({ "result": rows.iter().map(|key| json!({ "sys_id": SYS_ID, "correlation_id": key })).collect::<Vec<_>>() })
    }

    fn written(key: &str) -> Value {
        json!({ "result": { "sys_id": SYS_ID, "correlation_id": key, "name": "A" } })
    }

    fn next(progress: Progress) -> Outbound {
        match progress {
            Progress::Call(next) => next,
            other => panic!("{other:?}"),
        }
    }

    /// The next call, and what has come to its end.
    fn settle(progress: Progress) -> (Outbound, Vec<(usize, String)>) {
        match progress {
            Progress::Settle(settled, next) => {
                (next, settled.iter().map(|settled| (settled.item, kind(&settled.verdict))).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn done(progress: Progress) -> Verdicts {
        match progress {
            Progress::Done(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    fn kind(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Delivered { .. } => "delivered".to_owned(),
            Verdict::Unchanged { .. } => "unchanged".to_owned(),
            Verdict::Reject(reason) => format!("reject {}", reason.code),
            Verdict::Retry { reason, .. } => format!("retry {}", reason.code),
            Verdict::Unknown { reason, .. } => format!("unknown {}", reason.code),
            other => format!("{other:?}"),
        }
    }

    fn kinds(verdicts: &Verdicts) -> Vec<String> {
        verdicts.iter().map(kind).collect()
    }

    #[test]
    fn each_event_has_its_own_steps_and_its_own_end() {
        let (connector, events) = (connector(), [event("a", "A"), event("b", "A"), event("c", "A")]);
        let items = items(&events);
        let batch = Batch::new(&items);
        let first = connector.begin(&batch);
        assert_eq!(first.replay, Replay::Safe, "look-ups only");
        assert_eq!(asked(&first).len(), 3);
        let two = ["x", "y"].map(|_| json!({ "sys_id": SYS_ID, "correlation_id": "c" }));
        let answers = [("2", 200, json!({ "result": two })), ("0", 200, found(&[])), ("1", 200, found(&["b"]))];
        let (second, settled) = settle(connector.resume(&batch, &first, &serviced(&answers, &json!([]))));
        assert_eq!(settled, [(2, "reject duplicate_records".to_owned())], "its end is told at once");
        assert_eq!(second.replay, Replay::Unsafe, "one creates");
        let batch = Batch::new(&items[..2]);
        let writes = asked(&second);
        assert_eq!(
            writes.iter().map(|(id, method, ..)| (&**id, &**method)).collect::<Vec<_>>(),
            [("0", "POST"), ("1", "PATCH")]
        );
        assert_eq!(writes[0].3, json!({ "name": "A", "correlation_id": "a" }));
        let forbidden = json!({ "error": { "message": "Operation Failed", "detail": "ACL Exception Update Failed due to security constraints" }, "status": "failure" });
        let answers = [("0", 201, written("a")), ("1", 403, forbidden)];
        let verdicts = done(connector.resume(&batch, &second, &serviced(&answers, &json!([]))));
        assert_eq!(kinds(&verdicts), ["delivered", "reject rejected"]);
    }

    #[test]
    fn what_was_not_serviced_is_sent_again_and_nothing_else() {
        let (connector, events) = (connector(), [event("a", "A"), event("b", "A")]);
        let items = items(&events);
        let batch = Batch::new(&items);
        let first = connector.begin(&batch);
        let second = next(connector.resume(&batch, &first, &serviced(&[("0", 200, found(&["a"]))], &json!(["1"]))));
        let requests = asked(&second);
        assert_eq!(
            requests.iter().map(|(id, method, ..)| (&**id, &**method)).collect::<Vec<_>>(),
            [("0", "PATCH"), ("1", "GET")]
        );
        let answers = [("0", 200, written("a"))];
        let (third, settled) = settle(connector.resume(&batch, &second, &serviced(&answers, &json!([{ "id": "1" }]))));
        assert_eq!(settled, [(0, "delivered".to_owned())]);
        let rest = Batch::new(&items[1..]);
        assert_eq!(asked(&third).len(), 1);
        let verdicts = done(connector.resume(&rest, &third, &serviced(&[], &json!(["0"]))));
        assert_eq!(kinds(&verdicts), ["retry unserviced"], "nothing of it was done, and it is alone");
        let verdicts = done(connector.resume(&batch, &first, &serviced(&[], &json!(["0", "1"]))));
        assert!(
            verdicts.iter().all(|verdict| matches!(verdict, Verdict::Throttle { .. })),
            "the limit is nobody's own"
        );
    }

    #[test]
    fn without_a_proper_answer_nobody_knows_about_any_of_them() {
        let (connector, events) = (connector(), [event("a", "A"), event("b", "A")]);
        let items = items(&events);
        let batch = Batch::new(&items);
        let first = connector.begin(&batch);
        let answers = [("0", 200, found(&[])), ("1", 200, found(&[]))];
        let second = next(connector.resume(&batch, &first, &serviced(&answers, &json!([]))));
        let cancelled = json!({ "error": { "message": "Transaction cancelled: maximum execution time exceeded", "detail": null }, "status": "failure" });
        let verdicts = done(connector.resume(&batch, &second, &reply(500, &cancelled)));
        assert!(kinds(&verdicts).iter().all(|kind| kind.starts_with("unknown")), "{verdicts:?}");
        let silent = serviced(&[("0", 201, written("a"))], &json!([]));
        let verdicts = done(connector.resume(&batch, &second, &silent));
        assert_eq!(kinds(&verdicts), ["delivered", "unknown not_answered"]);
        let malformed =
            json!({ "error": { "message": "Exception while reading request", "detail": null }, "status": "failure" });
        assert!(matches!(connector.resume(&batch, &first, &reply(400, &malformed)), Progress::Split(_)));
        let absent = done(connector.resume(&batch, &first, &reply(404, &json!({}))));
        assert!(absent.iter().all(|verdict| matches!(verdict, Verdict::Unauthenticated(_))), "no event is to blame");
    }

    #[test]
    fn one_event_alone_needs_no_batch() {
        let (connector, events) = (connector(), [event("a", "A")]);
        let first = connector.begin(&Batch::new(&items(&events)));
        assert_eq!((first.step, first.method.as_str()), ("look_up", "GET"));
    }

    #[test]
    fn a_call_holds_no_more_than_a_body_may() {
        let long = "x".repeat(3_000_000);
        let events = ["a", "b", "c", "d"].map(|id| event(id, &long));
        let (connector, items) = (connector(), items(&events));
        let batch = Batch::new(&items);
        let first = connector.begin(&batch);
        let answers = ["0", "1", "2", "3"].map(|id| (id, 200, found(&[])));
        let mut call = next(connector.resume(&batch, &first, &serviced(&answers, &json!([]))));
        let (mut sizes, mut rest, mut keys) = (Vec::new(), &items[..], &["a", "b", "c", "d"][..]);
        let verdicts = loop {
            let ids: Vec<_> = asked(&call).into_iter().map(|(id, ..)| id).collect();
            assert!(call.body.as_ref().unwrap().len() <= connector.endpoint().limits.body_bytes);
            sizes.push(ids.len());
            let stored = |key: &str| json!({ "result": { "sys_id": SYS_ID, "correlation_id": key, "name": long } });
            let answers: Vec<_> =
                ids.iter().map(|id| (&**id, 201, stored(keys[id.parse::<usize>().unwrap()]))).collect();
            match connector.resume(&Batch::new(rest), &call, &serviced(&answers, &json!([]))) {
                Progress::Settle(settled, next) => {
                    (rest, keys) = (&rest[settled.len()..], &keys[settled.len()..]);
                    call = next;
                }
                other => break done(other),
            }
        };
        assert_eq!(sizes, [1, 1, 1, 1], "the answer has them again");
        assert_eq!(kinds(&verdicts), ["delivered"]);
    }

    #[test]
    fn what_was_not_stored_is_a_warning_about_its_own_event() {
        let (connector, events) = (connector(), [event("a", "A"), event("b", "B")]);
        let items = items(&events);
        let batch = Batch::new(&items);
        let first = connector.begin(&batch);
        let answers = [("0", 200, found(&["a"])), ("1", 200, found(&["b"]))];
        let second = next(connector.resume(&batch, &first, &serviced(&answers, &json!([]))));
        let answers = [("0", 200, written("a")), ("1", 200, written("b"))];
        let verdicts = done(connector.resume(&batch, &second, &serviced(&answers, &json!([]))));
        assert_eq!(kinds(&verdicts), ["delivered"; 2]);
        let warnings: Vec<_> = verdicts.warnings().iter().map(|(index, reason)| (*index, &*reason.code)).collect();
        assert_eq!(warnings, [(1, "not_stored")]);
    }
}

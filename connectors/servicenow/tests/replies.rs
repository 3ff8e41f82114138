//! ServiceNow's answers, one by one: the facts behind `interpret.rs`.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};
    use syncline_sdk::{
        Batch, Bytes, ConnectorConfig, CrmConnector, Event, Item, Outbound, Progress, QuotaReading, Remembered, Reply,
        RetryAfter, Verdict,
    };
    use syncline_servicenow as _;

    const JSON: &str = "application/json;charset=UTF-8";
    const HTML: &str = "text/html;charset=UTF-8";
    const SYS_ID: &str = "7f3c2b9a1b0e4d10a1c2d3e4f5061728";
    const READS: &[&str] = &["look_up"];
    const WRITES: &[&str] = &["create", "update", "update_remembered", "delete", "delete_remembered"];

    fn connector() -> Arc<dyn CrmConnector> {
        let config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "basic", "username": "env:U", "password": "env:P" },
        });
        serde_json::from_value::<Box<dyn ConnectorConfig>>(config).unwrap().connect().unwrap()
    }

    fn event(operation: &str) -> Event {
        serde_json::from_value(json!({
            "event_id": "e", "idempotency_key": "k", "event_type": operation,
            "entity": { "type": "customer", "id": "c-1" }, "payload": { "name": "A" },
        }))
        .unwrap()
    }

    fn reply(status: u16, content_type: &str, body: &str) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn rows(rows: &Value) -> Reply {
        reply(200, JSON, &json!({ "result": rows }).to_string())
    }

    fn error(status: u16, message: &str, detail: &str) -> Reply {
        let body = json!({ "error": { "message": message, "detail": detail }, "status": "failure" });
        reply(status, JSON, &body.to_string())
    }

    /// Goes to `step` and answers it.
    fn answer(step: &str, reply: &Reply) -> Progress {
        let connector = connector();
        let event = event(if step.starts_with("delete") { "record.deleted" } else { "record.updated" });
        let remote_id = step.ends_with("_remembered").then_some(SYS_ID);
        let items =
            [Item { event: &event, remembered: Remembered { remote_id, in_doubt: false, ..Remembered::default() } }];
        let batch = Batch::new(&items);
        let mut sent = connector.begin(&batch);
        if sent.step != step {
            let found =
                if step == "create" { json!([]) } else { json!([{ "sys_id": SYS_ID, "correlation_id": "c-1" }]) };
            sent = match connector.resume(&batch, &sent, &rows(&found)) {
                Progress::Call(next) => next,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(sent.step, step);
        connector.resume(&batch, &sent, reply)
    }

    fn verdict(step: &str, reply: &Reply) -> Verdict {
        match answer(step, reply) {
            Progress::Done(verdicts) => verdicts.into_iter().next().unwrap(),
            other => panic!("{step}: {other:?}"),
        }
    }

    fn call(step: &str, reply: &Reply) -> Outbound {
        match answer(step, reply) {
            Progress::Call(outbound) => outbound,
            other => panic!("{step}: {other:?}"),
        }
    }

    /// The kind of a verdict and its code.
    fn told(step: &str, reply: &Reply) -> (&'static str, String) {
        match verdict(step, reply) {
            Verdict::Delivered { .. } => ("delivered", String::new()),
            Verdict::Unchanged { .. } => ("unchanged", String::new()),
            Verdict::Reject(reason) => ("reject", reason.code.into()),
            Verdict::Unauthenticated(reason) => ("unauthenticated", reason.code.into()),
            Verdict::Retry { reason, .. } => ("retry", reason.code.into()),
            Verdict::Throttle { reason, .. } => ("throttle", reason.code.into()),
            Verdict::Unknown { reason, .. } => ("unknown", reason.code.into()),
            Verdict::Await { reason, .. } => ("await", reason.code.into()),
        }
    }

    /// Every step gives the same verdict.
    fn always(reply: &Reply, kind: &str, code: &str) {
        for step in READS.iter().chain(WRITES) {
            assert_eq!(told(step, reply), (kind, code.into()), "{step}: {reply:?}");
        }
    }

    /// A read is repeated; a write may have happened.
    fn in_doubt(reply: &Reply, code: &str) {
        for step in READS {
            assert_eq!(told(step, reply), ("retry", code.into()), "{step}: {reply:?}");
        }
        for step in WRITES {
            assert_eq!(told(step, reply), ("unknown", code.into()), "{step}: {reply:?}");
        }
    }

    #[test]
    fn bad_requests_are_rejected_with_what_servicenow_says() {
        always(&error(400, "Invalid table lalala", ""), "reject", "rejected");
        for status in [400, 405, 406, 415] {
            always(&reply(status, JSON, ""), "reject", "rejected");
        }
        let large = "Rejected large REST payload with content-length = 10485761 bytes. Max allowed: 10485760 bytes.";
        let verdict = verdict("create", &error(400, "Exception while reading request", large));
        let Verdict::Reject(reason) = verdict else { panic!("{verdict:?}") };
        assert_eq!(reason.message, format!("Exception while reading request: {large}"));
        assert_eq!((reason.code.as_ref(), reason.status), ("too_large", Some(400)));
    }

    #[test]
    fn refused_credentials_pause_the_lane() {
        let detail = "Required to provide Auth information";
        always(&error(401, "User Not Authenticated", detail), "unauthenticated", "unauthenticated");
        always(
            &error(403, "User Not Authorized", "Failed API level ACL Validation"),
            "unauthenticated",
            "role_missing",
        );
        let mut mfa = error(401, "User Not Authenticated", detail);
        mfa.headers.push(("x-mfa_token".into(), "invalid".into()));
        always(&mfa, "unauthenticated", "mfa_required");
        for status in [301, 302, 303, 307, 308] {
            always(&reply(status, HTML, ""), "unauthenticated", "redirected_to_login");
        }
        always(&reply(200, HTML, "<html>Log in</html>"), "unauthenticated", "login_page");
        always(&reply(201, HTML, "<html>Log in</html>"), "unauthenticated", "login_page");
    }

    #[test]
    fn a_record_that_rules_refuse_is_rejected() {
        for detail in [
            "ACL Exception Insert Failed due to security constraints",
            "Operation against file 'incident' was aborted by Business Rule 'NAME^sysid'. Business Rule Stack:NAME",
        ] {
            always(&error(403, "Operation Failed", detail), "reject", "rejected");
        }
    }

    /// A record can be committed before a later rule refuses it, and a proxy says nothing about ServiceNow.
    #[test]
    fn a_403_that_names_no_rule_leaves_a_write_in_doubt() {
        for unclear in
            [error(403, "Operation Failed", "Insert failed"), reply(403, HTML, "<html>"), reply(403, JSON, "")]
        {
            for step in READS {
                assert_eq!(told(step, &unclear), ("reject", "rejected".into()), "{step}");
            }
            for step in WRITES {
                assert_eq!(told(step, &unclear), ("unknown", "forbidden".into()), "{step}");
            }
        }
    }

    #[test]
    fn a_hit_unique_index_is_tried_again_whatever_the_status() {
        for status in [400, 403, 409, 500] {
            let detail = "Unique Key violation detected by database ((conn=1) Duplicate entry 'v' for key 'k')";
            always(&error(status, "Operation Failed", detail), "retry", "duplicate_key");
        }
    }

    #[test]
    fn limits_pause_the_lane() {
        let mut limited = error(429, "Rate limit exceeded", "Rate limit of 10 requests per hour exceeded");
        limited.headers.push(("retry-after".into(), "120".into()));
        let Verdict::Throttle { after, .. } = verdict("create", &limited) else { panic!() };
        assert_eq!(after, Some(RetryAfter::Delay(Duration::from_secs(120))));
        always(&reply(429, HTML, ""), "throttle", "throttled");
        let Verdict::Throttle { after, .. } = verdict("create", &reply(429, HTML, "")) else { panic!() };
        assert_eq!(after, None, "a full queue says nothing, and the engine's own waits begin short");
        let mut rule = error(429, "Rate limit exceeded", "");
        rule.headers.push(("x-ratelimit-limit".into(), "10".into()));
        rule.headers.push(("x-ratelimit-reset".into(), "1795384800".into()));
        let Verdict::Throttle { after, .. } = verdict("create", &rule) else { panic!() };
        assert_eq!(after, Some(RetryAfter::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_384_800))));
        always(&reply(200, HTML, "<h1>Down for Maintenance</h1>"), "throttle", "maintenance");
        always(&reply(200, HTML, "<a href='/login.do'>Maintenance</a>"), "unauthenticated", "login_page");
        for page in ["<div class=\"instance-hibernating-page\">", "<h1>Your instance is hibernating</h1>"] {
            always(&reply(200, HTML, page), "throttle", "hibernating");
        }
    }

    #[test]
    fn a_request_that_was_only_queued_waits_and_may_run() {
        for step in READS.iter().chain(WRITES) {
            let Verdict::Throttle { reason, in_doubt, .. } = verdict(step, &reply(202, JSON, "")) else { panic!() };
            assert!(in_doubt && reason.code == "queued", "{step}: {reason:?}");
        }
    }

    #[test]
    fn a_rate_limit_rule_is_read_from_any_reply() {
        let limited = |status: u16, headers: &[(&str, &str)]| {
            let mut reply = reply(status, JSON, "");
            reply.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            connector().readings(&reply)
        };
        let rule = [("x-ratelimit-limit", "5000"), ("x-ratelimit-reset", "1795384800"), ("x-ratelimit-rule", "4f1c")];
        let expected = |remaining| QuotaReading {
            name: "hour",
            limit: 5000,
            remaining,
            window: Duration::from_secs(3600),
            resets: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_384_800)),
        };
        assert_eq!(limited(201, &rule), [expected(None)]);
        assert_eq!(limited(429, &rule), [expected(Some(0))]);
        assert_eq!(limited(429, &[]), [], "a node that is out of threads has no rule");
        assert_eq!(limited(200, &[("x-ratelimit-limit", "many"), ("x-ratelimit-reset", "1")]), []);
    }

    #[test]
    fn a_reply_that_proves_nothing_leaves_a_write_in_doubt() {
        in_doubt(&reply(499, HTML, ""), "client_closed");
        in_doubt(&reply(200, JSON, "{\"result\":[{\"sys_id\":\"7f"), "unproven");
        in_doubt(&reply(200, JSON, ""), "unproven");
        in_doubt(&reply(200, "text/plain", "OK"), "unproven");
        let cancelled = "\"error\":{\"message\":\"Transaction cancelled\",\"detail\":null},\"status\":\"failure\"}";
        in_doubt(&reply(200, JSON, &format!("{{\"result\":[],{cancelled}")), "error_in_success");
        in_doubt(&reply(200, JSON, &format!("{{\"result\":[{{}}{cancelled}")), "unproven");
        in_doubt(&reply(304, JSON, ""), "unexpected_status");
    }

    #[test]
    fn a_server_error_leaves_only_a_create_in_doubt() {
        for status in [500, 502, 503] {
            for (step, kind) in [("look_up", "retry"), ("create", "unknown"), ("update", "retry"), ("delete", "retry")]
            {
                let reply = error(status, "Transaction cancelled: maximum execution time exceeded", "");
                assert_eq!(told(step, &reply), (kind, "server_error".into()), "{status} {step}");
            }
        }
    }

    #[test]
    fn a_missing_record_depends_on_the_step() {
        let gone = error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval");
        assert_eq!(call("update_remembered", &gone).step, "look_up");
        assert_eq!(call("delete_remembered", &gone).step, "look_up");
        assert_eq!(told("update", &gone), ("retry", "record_vanished".into()));
        assert_eq!(told("delete", &gone), ("unchanged", String::new()));
        assert_eq!(told("create", &gone), ("reject", "rejected".into()));
        // A proxy's 404 proves nothing about the record; about a remembered one, a look-up tells more.
        for unclear in [reply(404, HTML, "<html>No Record found</html>"), reply(404, JSON, "{}")] {
            for step in READS.iter().chain(WRITES) {
                if step.ends_with("_remembered") {
                    assert_eq!(call(step, &unclear).step, "look_up");
                } else {
                    assert_eq!(told(step, &unclear), ("reject", "rejected".into()), "{step}");
                }
            }
        }
    }

    #[test]
    fn looked_up_rows_have_to_show_the_key() {
        for found in [
            json!([{ "sys_id": SYS_ID }]),
            json!([{ "sys_id": SYS_ID, "correlation_id": "C-1" }]),
            json!([{ "sys_id": SYS_ID, "correlation_id": "c-1" }, { "sys_id": SYS_ID, "correlation_id": "" }]),
            json!([{}]),
        ] {
            assert_eq!(told("look_up", &rows(&found)), ("reject", "look_up_mismatch".into()), "{found}");
        }
        let hostile = rows(&json!([{ "sys_id": "../../x", "correlation_id": "c-1" }]));
        assert_eq!(told("look_up", &hostile), ("retry", "unproven".into()));
        let other = "aa11bb22cc33dd44ee55ff6600112233";
        let twice =
            rows(&json!([{ "sys_id": SYS_ID, "correlation_id": "c-1" }, { "sys_id": other, "correlation_id": "c-1" }]));
        let Verdict::Reject(reason) = verdict("look_up", &twice) else { panic!() };
        assert_eq!(reason.code, "duplicate_records");
        assert!(reason.message.contains(SYS_ID) && reason.message.contains(other), "{reason}");
    }

    #[test]
    fn a_write_is_proven_by_its_own_record() {
        let written = |status, id: &str, key: &str| {
            reply(status, JSON, &json!({ "result": { "sys_id": id, "correlation_id": key } }).to_string())
        };
        let delivered = Verdict::Delivered { remote_id: Some(SYS_ID.into()) };
        assert_eq!(verdict("create", &written(201, SYS_ID, "c-1")), delivered);
        assert_eq!(verdict("update", &written(200, SYS_ID, "c-1")), delivered);
        assert_eq!(verdict("update_remembered", &written(200, SYS_ID, "c-1")), delivered);
        assert_eq!(told("create", &written(200, SYS_ID, "c-1")), ("unknown", "unproven".into()));
        assert_eq!(told("create", &written(201, SYS_ID, "")), ("reject", "key_not_stored".into()));
        assert_eq!(told("update", &written(201, SYS_ID, "c-1")), ("unknown", "unproven".into()));
        assert_eq!(told("update", &written(200, SYS_ID, "c-2")), ("reject", "key_changed".into()));
        let other = "aa11bb22cc33dd44ee55ff6600112233";
        assert_eq!(told("update", &written(200, other, "c-1")), ("unknown", "unproven".into()));
        assert_eq!(verdict("delete", &reply(204, JSON, "")), Verdict::Delivered { remote_id: None });
        assert_eq!(told("delete", &reply(200, JSON, "{\"result\":{}}")), ("unknown", "unproven".into()));
    }
}

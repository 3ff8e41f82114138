//! Each fault that ends in an answer.

use std::time::{Duration, SystemTime};

use syncline_fakes::servicenow::{ErrorBody, Fault, RetryAfter, Rule, ServiceNow};

use crate::client::{ACCOUNTS, Received, create, look_up, start};

/// A create under a rule, and how many records there are after it.
async fn spoiled(rule: Rule) -> (Received, usize) {
    let crm = start().await;
    crm.add_rule(rule);
    let received = create("k1").send(&crm).await;
    let effects = crm.effects("customer_account").len();
    assert_eq!(effects, crm.count("customer_account"));
    (received, effects)
}

#[tokio::test]
async fn a_status_comes_with_or_without_a_body_before_or_after_the_commit() {
    let (received, records) = spoiled(Rule::new(Fault::status(500))).await;
    assert_eq!(received.error().1, "Transaction cancelled: maximum execution time exceeded");
    assert_eq!(records, 0);

    let (received, records) = spoiled(Rule::new(Fault::status(500)).after_commit()).await;
    assert_eq!((received.status, records), (500, 1));

    let (received, records) = spoiled(Rule::new(Fault::empty(503))).await;
    assert_eq!((received.status, received.body.len(), records), (503, 0, 0));

    let (received, _) = spoiled(Rule::new(Fault::html(502))).await;
    assert_eq!((received.status, received.header("content-type")), (502, Some("text/html;charset=UTF-8")));

    let body = ErrorBody::Text { content_type: "text/plain".into(), body: "no".into() };
    let (received, _) = spoiled(Rule::new(Fault::Status { code: 418, body })).await;
    assert_eq!((received.status, received.text()), (418, "no"));
}

#[tokio::test]
async fn a_refusal_can_come_after_the_commit() {
    let (received, records) = spoiled(Rule::new(Fault::AclDenied).after_commit()).await;
    let detail = "ACL Exception Insert Failed due to security constraints".to_owned();
    assert_eq!((received.error(), records), ((403, "Operation Failed".into(), detail), 1));

    let (received, records) = spoiled(Rule::new(Fault::BusinessRule("Check tier".into()))).await;
    let (status, _, detail) = received.error();
    assert!(detail.starts_with("Operation against file 'customer_account' was aborted by Business Rule 'Check tier^"));
    assert_eq!((status, records), (403, 0));
}

#[tokio::test]
async fn throttling_states_its_delay_in_each_form() {
    let (received, records) = spoiled(Rule::new(Fault::throttle(7))).await;
    assert_eq!((received.status, received.header("retry-after"), records), (429, Some("7"), 0));
    assert_eq!(received.header("x-ratelimit-limit"), Some("1000"));
    assert!(received.header("x-ratelimit-reset").is_some() && received.header("x-ratelimit-rule").is_some());
    assert_eq!(received.error().1, "Rate limit exceeded");

    let (received, _) = spoiled(Rule::new(Fault::busy())).await;
    assert_eq!((received.status, received.header("retry-after")), (429, None));
    assert_eq!(received.header("x-ratelimit-limit"), None);

    let throttle = |retry_after| Rule::new(Fault::Throttle { retry_after, rate_limit_headers: false });
    let (received, _) = spoiled(throttle(RetryAfter::Date(Duration::from_secs(90)))).await;
    let until = httpdate::parse_http_date(received.header("retry-after").unwrap()).unwrap();
    let wait = until.duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((80..=90).contains(&wait), "{wait}");

    let (received, _) = spoiled(throttle(RetryAfter::Raw("soon".into()))).await;
    assert_eq!(received.header("retry-after"), Some("soon"));
}

#[tokio::test]
async fn a_success_can_be_none() {
    let (received, records) = spoiled(Rule::new(Fault::AcceptedAndDropped)).await;
    assert_eq!((received.status, received.body.len(), records), (202, 0, 0));

    for (fault, text) in [(Fault::LoginPage, "login.do"), (Fault::HibernatingPage, "instance-hibernating-page")] {
        let (received, records) = spoiled(Rule::new(fault)).await;
        assert_eq!((received.status, received.header("content-type")), (200, Some("text/html;charset=UTF-8")));
        assert!(received.text().contains(text));
        assert_eq!(records, 0);
    }
}

#[tokio::test]
async fn broken_json_has_its_whole_length_and_does_not_parse() {
    for (rule, expected) in [(Rule::new(Fault::BrokenJson), 0), (Rule::new(Fault::BrokenJson).after_commit(), 1)] {
        let (received, records) = spoiled(rule).await;
        assert_eq!((received.status, received.whole, records), (201, true, expected));
        assert!(serde_json::from_slice::<serde_json::Value>(&received.body).is_err());
        assert!(received.text().starts_with("{\"result\":{") && received.text().ends_with("\"status\":\"failure\"}"));
    }
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::BrokenJson));
    let received = look_up("k1").send(&crm).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&received.body).is_err());
}

#[tokio::test]
async fn an_appended_error_parses_and_is_no_success() {
    let (received, records) = spoiled(Rule::new(Fault::AppendedError).after_commit()).await;
    let json = received.json();
    assert!(json["result"]["sys_id"].is_string() && json["error"]["message"].is_string());
    assert_eq!((received.status, records), (201, 1));
}

#[tokio::test]
async fn rules_come_and_go_while_the_instance_runs() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::status(503)).method("POST").table("customer_account").key("k2"));
    let statuses = async |crm: &ServiceNow| {
        let (first, second) = (create("k1").send(crm).await.status, create("k2").send(crm).await.status);
        [first, second, look_up("k2").send(crm).await.status]
    };
    assert_eq!(statuses(&crm).await, [201, 503, 200]);
    assert_eq!(crm.fired(rule), 1);
    crm.remove_rule(rule);
    assert_eq!(statuses(&crm).await, [201, 201, 200]);
    crm.add_rule(Rule::new(Fault::status(503)).writes());
    assert_eq!(statuses(&crm).await, [503, 503, 200]);
    crm.clear_rules();
    assert_eq!(statuses(&crm).await, [201, 201, 200]);
}

#[tokio::test]
async fn a_rule_knows_the_key_behind_a_sys_id() {
    let crm = start().await;
    let record = crm.insert("customer_account", &[("correlation_id", "k1")]).unwrap();
    crm.add_rule(Rule::new(Fault::status(500)).key("k1"));
    let path = format!("{ACCOUNTS}/{}", record.sys_id());
    let patch = crate::client::Request::new("PATCH", &path, r#"{"name":"x"}"#).send(&crm).await;
    assert_eq!((patch.status, crm.ledger()[0].key.as_deref()), (500, Some("k1")));
}

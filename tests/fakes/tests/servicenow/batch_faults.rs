//! Faults that strike a batch, and faults that strike an item.

use syncline_fakes::servicenow::{Answer, Entry, Fault, Rule, ServiceNow};

use crate::batch::{BATCH, batch, body, create, serviced};
use crate::client::{ACCOUNTS, Lost, PATIENCE, Received, create as create_alone, get, start};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A batch of three creates under a rule.
async fn spoiled(rule: Rule) -> (ServiceNow, Result<Received, Lost>) {
    let crm = start().await;
    crm.add_rule(rule);
    let ended = batch(&KEYS.map(create)).try_send(&crm).await;
    (crm, ended)
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn keys(crm: &ServiceNow) -> Vec<String> {
    crm.records("customer_account").iter().map(|record| record["correlation_id"].to_owned()).collect()
}

#[tokio::test]
async fn a_batch_can_die_before_within_or_after_its_items() {
    let facts = [
        (Rule::new(Fault::status(500)).path(BATCH), 0),
        (Rule::new(Fault::status(500)).outer(), 0),
        (Rule::new(Fault::status(500)).path(BATCH).after_commit(), 3),
        (Rule::new(Fault::status(500)).after_items(2), 2),
        (Rule::new(Fault::status(500)).after_items(0), 0),
    ];
    for (rule, effects) in facts {
        let (crm, ended) = spoiled(rule.clone()).await;
        assert_eq!((ended.unwrap().error().0, keys(&crm)), (500, owned(&KEYS[..effects])), "{rule:?}");
        assert_eq!(crm.ledger().len(), 1 + effects);
    }
    for (fault, lost) in [(Fault::Reset, Lost::Reset), (Fault::Close, Lost::Closed)] {
        let (crm, ended) = spoiled(Rule::new(fault).after_items(1)).await;
        assert_eq!((ended.unwrap_err(), keys(&crm)), (lost, owned(&["a"])));
    }
    let (crm, ended) = spoiled(Rule::new(Fault::CutBody).path(BATCH).after_commit()).await;
    assert_eq!((ended.unwrap().whole, keys(&crm).len()), (false, 3));
}

#[tokio::test]
async fn items_from_one_on_can_be_left_unserviced() {
    for (rule, serviced_items) in [
        (Rule::new(Fault::Unserviced).item(2), 1),
        (Rule::new(Fault::Unserviced).key("c"), 2),
        (Rule::new(Fault::Unserviced).path(BATCH), 0),
    ] {
        let (crm, ended) = spoiled(rule).await;
        let (done, left) = serviced(&ended.unwrap());
        assert_eq!((done.len(), left), (serviced_items, owned(&KEYS[serviced_items..])));
        assert_eq!((keys(&crm).len(), crm.totals().items), (serviced_items, serviced_items as u64));
    }
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Unserviced));
    assert_eq!(create_alone("alone").send(&crm).await.status, 201, "a request of its own has no batch to be left in");
}

#[tokio::test]
async fn an_item_can_be_struck_by_path_method_key_or_place() {
    let facts = [
        (Rule::new(Fault::status(500)).key("b").after_commit(), 500, 3),
        (Rule::new(Fault::status(500)).item(2), 500, 2),
        (Rule::new(Fault::AclDenied).inner().method("POST").nth(2).after_commit(), 403, 3),
        (Rule::new(Fault::BusinessRule("Check".into())).key("b"), 403, 2),
        (Rule::new(Fault::throttle(7)).path("/api/now/table/customer_account").nth(2), 429, 2),
        (Rule::new(Fault::AcceptedAndDropped).item(2), 202, 2),
    ];
    for (rule, status, effects) in facts {
        let (crm, ended) = spoiled(rule.clone()).await;
        let statuses: Vec<_> = serviced(&ended.unwrap()).0.into_iter().map(|(_, status)| status).collect();
        assert_eq!((statuses, keys(&crm).len()), (vec![201, status, 201], effects), "{rule:?}");
        let struck: Vec<_> = crm.ledger().iter().map(|entry| entry.faulted).collect();
        assert_eq!(struck, [false, false, true, false]);
    }
}

#[tokio::test]
async fn an_items_answer_can_be_no_json() {
    let (crm, ended) = spoiled(Rule::new(Fault::LoginPage).item(2)).await;
    let received = ended.unwrap();
    assert!(String::from_utf8(body(&received, 1)).unwrap().contains("login.do"));
    assert_eq!((serviced(&received).0[1].1, keys(&crm).len()), (200, 2));
    for fault in [Fault::BrokenJson, Fault::CutBody] {
        let (crm, ended) = spoiled(Rule::new(fault.clone()).item(2).after_commit()).await;
        let received = ended.unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&body(&received, 1)).is_err());
        assert_eq!((serviced(&received).0[1].1, keys(&crm).len()), (201, 3));
        let answer = if fault == Fault::CutBody { Answer::Cut(201) } else { Answer::Status(201) };
        assert_eq!(crm.ledger()[2].answer, answer);
    }
}

#[tokio::test]
async fn an_item_that_breaks_the_connection_breaks_the_batch() {
    for (fault, lost, answer) in
        [(Fault::Reset, Lost::Reset, Answer::Reset), (Fault::Close, Lost::Closed, Answer::Closed)]
    {
        let (crm, ended) = spoiled(Rule::new(fault).item(2).after_commit()).await;
        assert_eq!((ended.unwrap_err(), keys(&crm)), (lost, owned(&["a", "b"])));
        let answers: Vec<_> = crm.ledger().iter().map(|entry| entry.answer).collect();
        assert_eq!(answers, [answer, Answer::Status(201), answer]);
    }
}

#[tokio::test]
async fn a_batch_that_hangs_ends_with_its_client() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang).item(2));
    let mut stream = tokio::net::TcpStream::connect(crm.address()).await.unwrap();
    let items = KEYS.map(create);
    let request = batch(&items);
    tokio::select! {
        _ = request.send_on(&mut stream) => panic!("there is no answer"),
        hung = crm.wait_until(|crm| crm.ledger().len() == 3 && crm.ledger()[2].answer == Answer::Hung, PATIENCE) => {
            assert!(hung);
        }
    }
    drop(stream);
    assert!(crm.wait_until(|crm| crm.totals().in_flight == 0, PATIENCE).await);
    assert_eq!((keys(&crm), crm.ledger()[0].answer), (owned(&["a"]), Answer::Hung));
}

#[tokio::test]
async fn a_batch_runs_to_its_end_though_its_client_has_left() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::Held).item(2));
    let mut stream = tokio::net::TcpStream::connect(crm.address()).await.unwrap();
    let items = KEYS.map(create);
    let request = batch(&items);
    tokio::select! {
        _ = request.send_on(&mut stream) => panic!("the answer is held"),
        held = crm.wait_until(|crm| crm.fired(rule) == 1, PATIENCE) => assert!(held),
    }
    drop(stream);
    // Time enough for the instance to notice.
    for _ in 0..50 {
        get(ACCOUNTS).send(&crm).await;
    }
    assert_eq!((crm.ledger()[0].answer, crm.totals().in_flight), (Answer::Pending, 1));
    crm.remove_rule(rule);
    assert!(crm.wait_until(|crm| crm.count("customer_account") == 3, PATIENCE).await);
}

#[tokio::test]
async fn a_batch_overlaps_a_request_about_one_of_its_records() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::Held).item(2));
    let items = KEYS.map(create);
    let request = batch(&items);
    let alone = async {
        assert!(crm.wait_until(|crm| crm.fired(rule) == 1, PATIENCE).await);
        // Under way together with the batch, whose item about "a" is over, and whose item about "c" has not begun.
        for key in ["a", "c", "d"] {
            create_alone(key).send(&crm).await;
        }
        crm.remove_rule(rule);
    };
    tokio::join!(request.send(&crm), alone);
    create_alone("a").send(&crm).await;
    let name = |entry: &Entry| (entry.key.clone().unwrap(), entry.item.as_ref().map(|item| item.number));
    let overlaps: Vec<_> = crm.overlaps().iter().map(|(one, two)| (name(one), name(two))).collect();
    let of = |key: &str, item| (key.to_owned(), item);
    assert_eq!(overlaps, [(of("a", Some(1)), of("a", None)), (of("c", None), of("c", Some(3)))]);
}

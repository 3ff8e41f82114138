//! Each fault of the transport: cut, slow, late, hung, reset and closed.

use std::time::{Duration, Instant};

use syncline_fakes::servicenow::{Answer, Fault, Rule};
use tokio::net::TcpStream;

use crate::client::{Lost, PATIENCE, create, look_up, start};

#[tokio::test]
async fn a_cut_body_ends_before_its_announced_length() {
    for (rule, records) in [(Rule::new(Fault::CutBody), 0), (Rule::new(Fault::CutBody).after_commit(), 1)] {
        let crm = start().await;
        crm.add_rule(rule);
        let received = create("k1").send(&crm).await;
        let announced: usize = received.header("content-length").unwrap().parse().unwrap();
        assert_eq!((received.status, received.whole), (201, false));
        assert!(!received.body.is_empty() && received.body.len() < announced, "{received:?}");
        assert_eq!(crm.count("customer_account"), records);
        assert_eq!(crm.ledger()[0].answer, Answer::Cut(201));
    }
}

#[tokio::test]
async fn a_connection_can_be_reset_or_closed_before_or_after_the_commit() {
    for (fault, lost, answer) in
        [(Fault::Reset, Lost::Reset, Answer::Reset), (Fault::Close, Lost::Closed, Answer::Closed)]
    {
        let crm = start().await;
        crm.add_rule(Rule::new(fault.clone()).nth(1));
        assert_eq!(create("k1").try_send(&crm).await.unwrap_err(), lost);
        assert_eq!(crm.count("customer_account"), 0);
        crm.clear_rules();
        crm.add_rule(Rule::new(fault).after_commit());
        assert_eq!(create("k1").try_send(&crm).await.unwrap_err(), lost);
        assert_eq!(crm.count("customer_account"), 1);
        assert!(crm.ledger().iter().all(|entry| entry.answer == answer));
        assert_eq!(crm.totals().unanswered, 2);
    }
}

#[tokio::test]
async fn a_hang_ends_when_the_instance_stops() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang).after_commit());
    let request = create("k1");
    let (ended, ()) = tokio::join!(request.try_send(&crm), async {
        assert!(crm.wait_until(|crm| crm.count("customer_account") == 1, PATIENCE).await);
        crm.stop().await;
    });
    assert!(ended.is_err());
    assert_eq!((crm.ledger()[0].answer, crm.totals().in_flight), (Answer::Hung, 0));
}

#[tokio::test]
async fn a_hang_ends_when_the_instance_is_dropped() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang));
    let mut stream = TcpStream::connect(crm.address()).await.unwrap();
    let request = create("k1");
    let (ended, ()) = tokio::join!(request.send_on(&mut stream), async {
        assert!(crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE).await);
        drop(crm);
    });
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_hang_is_booked_when_the_client_leaves() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang));
    let mut stream = TcpStream::connect(crm.address()).await.unwrap();
    let request = create("k1");
    tokio::select! {
        _ = request.send_on(&mut stream) => unreachable!("it never answers"),
        arrived = crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE) => assert!(arrived),
    }
    drop(stream);
    assert!(crm.wait_until(|crm| crm.totals().in_flight == 0, PATIENCE).await);
    assert_eq!(crm.ledger()[0].answer, Answer::Hung);
}

#[tokio::test]
async fn a_late_transaction_commits_though_its_client_has_left() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(500))).method("POST"));
    let mut stream = TcpStream::connect(crm.address()).await.unwrap();
    let request = create("k1");
    tokio::select! {
        _ = request.send_on(&mut stream) => unreachable!("it answers later"),
        arrived = crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE) => assert!(arrived),
    }
    drop(stream);
    assert_eq!(look_up("k1").send(&crm).await.result().as_array().unwrap().len(), 0, "not there yet");
    assert!(crm.wait_until(|crm| crm.count("customer_account") == 1, PATIENCE).await);
}

#[tokio::test]
async fn delay_and_slow_body_give_the_true_answer_late() {
    let wait = Duration::from_millis(80);
    let late =
        [Rule::new(Fault::Delay(wait)), Rule::new(Fault::Delay(wait)).after_commit(), Rule::new(Fault::SlowBody(wait))];
    for rule in late {
        let crm = start().await;
        crm.add_rule(rule);
        let began = Instant::now();
        let received = create("k1").send(&crm).await;
        assert_eq!((received.status, received.whole, crm.count("customer_account")), (201, true, 1));
        assert_eq!(received.result()["correlation_id"], "k1");
        assert!(began.elapsed() >= wait);
    }
}

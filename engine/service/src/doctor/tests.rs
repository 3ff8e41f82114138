use std::collections::BTreeMap;

use syncline_engine::record::TopicPartition;
use syncline_engine::source::{GroupPosition, PartitionView, TopicView};
use syncline_engine::transport::{FaultKind, Sent, TransportFault};
use syncline_sdk::Level;

use super::*;
use crate::config::model::Kafka;

fn view(partitions: &[(bool, usize, usize)]) -> TopicView {
    let views = partitions.iter().enumerate().map(|(number, &(has_leader, replicas, in_sync))| PartitionView {
        number: i32::try_from(number).unwrap(),
        has_leader,
        replicas,
        in_sync,
    });
    TopicView::Exists(views.collect())
}

#[test]
fn topics_are_judged() {
    for (view, level, says) in [
        (view(&[(true, 3, 3), (true, 3, 3)]), Level::Fine, "2 partitions"),
        (view(&[(true, 3, 3), (false, 3, 0)]), Level::Wrong, "no broker leads the partitions 1"),
        (TopicView::Missing, Level::Wrong, "does not exist on k:1"),
        (TopicView::Denied, Level::Wrong, "isn't allowed"),
    ] {
        let finding = kafka::source("t", &view, "k:1");
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.message.contains(says), "{finding:?}");
    }
    for (view, level, says) in [
        (view(&[(true, 3, 3)]), Level::Fine, "3 copies"),
        (view(&[(true, 1, 1)]), Level::Warning, "on one broker only"),
        (view(&[(true, 3, 2)]), Level::Warning, "out of sync in 1 of 1 partition"),
        (TopicView::Denied, Level::Wrong, "isn't allowed"),
    ] {
        let findings = kafka::letters("d", &view);
        assert_eq!((findings.len(), findings[0].level), (1, level), "{findings:?}");
        assert!(findings[0].message.contains(says), "{findings:?}");
    }
    for (creates, level) in [(Some(true), Level::Warning), (Some(false), Level::Wrong), (None, Level::Wrong)] {
        let finding = kafka::missing_letters(&Kafka::default(), creates, 5);
        assert_eq!(finding.level, level);
        let remedy = finding.remedy.unwrap();
        assert!(remedy.contains("--topic internal.customer.events.dlq") && remedy.contains("factor 3"), "{remedy}");
    }
}

#[test]
fn a_group_is_judged() {
    let at = |number, committed, oldest, end| GroupPosition {
        partition: TopicPartition::new("t", number),
        committed,
        oldest,
        end,
    };
    let judge = |positions: &[GroupPosition], asked| {
        let findings = kafka::group(&Kafka::default(), positions, asked);
        findings.iter().map(|found| format!("{:?} {}", found.level, found.message)).collect::<Vec<_>>()
    };
    assert_eq!(judge(&[at(0, Some(3), 0, 5), at(1, Some(5), 0, 5)], 2), ["Fine is 2 records behind in 2 partitions"]);
    let new = judge(&[at(0, None, 2, 5)], 1);
    assert!(new[0].contains("3 records behind") && new[0].contains("starts at the oldest record"), "{new:?}");
    let lost = judge(&[at(0, Some(1), 4, 5), at(1, Some(9), 0, 5)], 2);
    assert!(lost[0].contains("so 3 are gone") && lost[1].contains("the log ends at 5"), "{lost:?}");
    let many: Vec<_> = (0..9).map(|number| at(number, Some(9), 0, 5)).collect();
    let many = judge(&many, 12);
    assert_eq!(many.len(), 5 + 1 + 1 + 1, "{many:?}");
    assert!(many[5].contains("4 more partitions") && many[6].contains("3 partitions could not be asked"), "{many:?}");
}

#[test]
fn faults_come_with_a_remedy() {
    for (kind, says) in [
        (FaultKind::Tls, "http.ca_file"),
        (FaultKind::Connection, "base_url"),
        (FaultKind::Timeout, "CRM"),
        (FaultKind::TokenEndpoint, "auth.token_url"),
        (FaultKind::CredentialsRefused, "grant"),
    ] {
        let fault = TransportFault { sent: Sent::Unsent, kind, message: "why".into() };
        let finding = destination::faulty("address", "https://crm", &fault);
        assert!(finding.message.starts_with("https://crm ") && finding.message.ends_with(": why"), "{finding:?}");
        assert!(finding.remedy.unwrap().contains(says), "{kind}");
    }
}

#[test]
fn a_report_reads_well() {
    let section = Section {
        part: "kafka".into(),
        findings: vec![
            Finding::fine("brokers", "1 there"),
            Finding::warning("group", "odd", "Look."),
            Finding::wrong("topic", "gone\u{1b}", "Create it."),
        ],
    };
    assert_eq!(
        lines(&section).join("\n"),
        "kafka\n  ok       brokers: 1 there\n  warning  group: odd\n           → Look.\n  problem  topic: gone\\u{1b}\n           → Create it."
    );
    assert_eq!(object(&section)[2]["level"], "problem");
    assert_eq!(report::summary(&[section]), "1 problem, 1 warning");
}

#[tokio::test]
async fn a_store_in_use_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let tree = serde_json::json!({
        "state": { "type": "embedded", "path": folder.path().join("state") },
        "destinations": [{ "name": "crm", "type": "servicenow", "base_url": "https://crm.example",
            "auth": { "type": "basic", "username": "env:U", "password": "env:P" } }],
    });
    let config = config::of_tree(tree).unwrap();
    let (open, opened) = watch::channel::<Opened>(None);
    let first = store::examine(&config, &open).await;
    assert!(first.iter().all(|finding| finding.level == Level::Fine) && first.len() == 3, "{first:?}");
    let held = opened.borrow().clone().flatten();
    assert!(held.is_some());
    let second = store::examine(&config, &open).await;
    assert_eq!((second.len(), second[0].level), (1, Level::Warning), "{second:?}");
    let levels: BTreeMap<_, _> = second.iter().map(|finding| (finding.subject.as_str(), finding.level)).collect();
    assert_eq!(levels, BTreeMap::from([("store", Level::Warning)]));
}

//! Kafka: the brokers, the topics, and how far the group has come.

use std::time::Duration;

use syncline_engine::record::TopicPartition;
use syncline_engine::source::{GroupPosition, KafkaViewer, PartitionView, SourceError, TopicView};
use syncline_sdk::Finding;

use crate::assemble;
use crate::config::model::{Kafka, Start};

/// How long the group and its partitions may be asked.
const POSITIONS: Duration = Duration::from_secs(20);
/// Partitions that are told of one by one.
const MOST_TOLD: usize = 5;

pub(super) async fn examine(kafka: &Kafka) -> Vec<Finding> {
    let (options, _) = assemble::kafka(kafka);
    let viewer = match KafkaViewer::new(options) {
        Ok(viewer) => viewer,
        Err(error) => return vec![unanswered("client", &error)],
    };
    let brokers = match viewer.brokers().await {
        Ok(brokers) => brokers,
        Err(error) => return vec![unanswered("brokers", &error)],
    };
    let mut findings = vec![Finding::fine("brokers", format!("{} there: {}", brokers.len(), brokers.join(", ")))];
    let mut partitions = Vec::new();
    for topic in &kafka.topics {
        match viewer.topic(topic).await {
            Ok(view) => {
                findings.push(source(topic, &view, &kafka.bootstrap_servers));
                if let TopicView::Exists(views) = view {
                    partitions.extend(views.iter().map(|view| TopicPartition::new(topic.as_str(), view.number)));
                }
            }
            Err(error) => findings.push(unanswered(&name(topic), &error)),
        }
    }
    findings.extend(match viewer.topic(&kafka.dlq_topic).await {
        Ok(TopicView::Missing) => vec![missing_letters(kafka, viewer.creates_topics().await, brokers.len())],
        Ok(view) => letters(&kafka.dlq_topic, &view),
        Err(error) => vec![unanswered(&name(&kafka.dlq_topic), &error)],
    });
    if !partitions.is_empty() {
        let asked = partitions.len();
        match viewer.positions(partitions, POSITIONS).await {
            Ok(positions) => findings.extend(group(kafka, &positions, asked)),
            Err(error) => findings.push(unanswered(&format!("group `{}`", kafka.group_id), &error)),
        }
    }
    findings
}

fn name(topic: &str) -> String {
    format!("topic `{topic}`")
}

/// The engine's own words are "what; remedy".
fn unanswered(subject: &str, error: &SourceError) -> Finding {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((message, remedy)) => {
            let mut letters = remedy.chars();
            let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
            Finding::wrong(subject, message, format!("{first}{}.", letters.as_str()))
        }
        None => Finding::wrong(subject, text, "See how the brokers are doing, then try again."),
    }
}

pub(super) fn source(topic: &str, view: &TopicView, servers: &str) -> Finding {
    match view {
        TopicView::Exists(partitions) => leaderless(topic, partitions)
            .unwrap_or_else(|| Finding::fine(name(topic), format!("has {}", count(partitions.len(), "partition")))),
        TopicView::Missing => {
            let remedy = "Create it, or correct kafka.topics; readers never create topics.";
            Finding::wrong(name(topic), format!("does not exist on {servers}"), remedy)
        }
        TopicView::Denied => denied(topic, "READ and DESCRIBE"),
    }
}

fn leaderless(topic: &str, partitions: &[PartitionView]) -> Option<Finding> {
    let without: Vec<_> =
        partitions.iter().filter(|view| !view.has_leader).map(|view| view.number.to_string()).collect();
    let message = format!("no broker leads the partitions {}", without.join(", "));
    let remedy = "Start the brokers that have them: nothing can be read or written there.";
    (!without.is_empty()).then(|| Finding::wrong(name(topic), message, remedy))
}

fn denied(topic: &str, rights: &str) -> Finding {
    Finding::wrong(name(topic), "isn't allowed to this user", format!("Grant {rights} on the topic."))
}

pub(super) fn letters(topic: &str, view: &TopicView) -> Vec<Finding> {
    let TopicView::Exists(partitions) = view else {
        return vec![denied(topic, "WRITE and DESCRIBE")];
    };
    let name = format!("dead letters, {}", name(topic));
    let least = partitions.iter().map(|view| view.replicas).min().unwrap_or_default();
    let behind = partitions.iter().filter(|view| view.in_sync < view.replicas).count();
    let mut findings: Vec<_> = leaderless(topic, partitions).into_iter().collect();
    if least < 2 {
        findings.push(Finding::warning(
            &name,
            "each letter is on one broker only: whoever loses that, loses letters",
            "Give the topic more replicas, such as 3 with min.insync.replicas=2.",
        ));
    }
    if behind > 0 {
        let message = format!("replicas are out of sync in {behind} of {}", count(partitions.len(), "partition"));
        findings.push(Finding::warning(&name, message, "See why brokers are behind or away."));
    }
    if findings.is_empty() {
        let message = format!("has {}, {least} copies of each letter", count(partitions.len(), "partition"));
        findings.push(Finding::fine(name, message));
    }
    findings
}

pub(super) fn missing_letters(kafka: &Kafka, creates: Option<bool>, brokers: usize) -> Finding {
    let Kafka { bootstrap_servers: servers, dlq_topic: topic, .. } = kafka;
    let name = format!("dead letters, {}", name(topic));
    let create = format!(
        "kafka-topics --bootstrap-server {servers} --create --topic {topic} --partitions 3 --replication-factor {} \
         --config retention.ms=-1",
        brokers.clamp(1, 3)
    );
    match creates {
        Some(true) => Finding::warning(
            name,
            "does not exist; the brokers create it with the first letter, with their own settings",
            format!("Better create it yourself, so that letters are kept: {create}"),
        ),
        Some(false) => Finding::wrong(name, "does not exist, and the brokers create no topics", create),
        None => Finding::wrong(
            name,
            "does not exist, and the brokers don't say whether they create topics",
            format!("Create it: {create}"),
        ),
    }
}

pub(super) fn group(kafka: &Kafka, positions: &[GroupPosition], asked: usize) -> Vec<Finding> {
    let Kafka { group_id: group, bootstrap_servers: servers, .. } = kafka;
    let name = format!("group `{group}`");
    let mut findings = Vec::new();
    let lost: Vec<_> = positions.iter().filter(|position| !position.is_in_range()).collect();
    for position in lost.iter().take(MOST_TOLD) {
        let GroupPosition { partition, committed, oldest, end } = position;
        let committed = committed.unwrap_or_default();
        let (what, target) = match committed < *oldest {
            true => (format!("the oldest record is {oldest}, so {} are gone", oldest - committed), oldest),
            false => (format!("the log ends at {end}, so it was cut or made anew"), end),
        };
        let message = format!("{partition} would be halted at its committed offset {committed}: {what}");
        let remedy = format!(
            "Stop all members, then: kafka-consumer-groups --bootstrap-server {servers} --group {group} --topic {}:{} \
             --reset-offsets --to-offset {target} --execute",
            partition.topic, partition.partition
        );
        findings.push(Finding::wrong(&name, message, remedy));
    }
    if lost.len() > MOST_TOLD {
        let message = format!("{} more partitions have no record at their committed offset", lost.len() - MOST_TOLD);
        findings.push(Finding::wrong(&name, message, "Reset their offsets likewise."));
    }
    let unasked = asked.saturating_sub(positions.len());
    if unasked > 0 {
        let message = format!("{} could not be asked in time", count(unasked, "partition"));
        findings.push(Finding::warning(&name, message, "See how the brokers are doing, then try again."));
    }
    let new = positions.iter().filter(|position| position.committed.is_none()).count();
    let lag: i64 = positions.iter().filter(|position| position.is_in_range()).map(GroupPosition::lag).sum();
    let start = match kafka.start {
        Start::Earliest => "at the oldest record",
        Start::Latest => "at the end",
    };
    let begin = match new {
        0 => String::new(),
        new => format!("; has committed nothing for {}, and starts {start} there", count(new, "partition")),
    };
    let message = format!("is {lag} records behind in {}{begin}", count(positions.len(), "partition"));
    findings.push(Finding::fine(name, message));
    findings
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

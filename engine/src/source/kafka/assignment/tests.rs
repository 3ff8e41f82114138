use rdkafka::error::RDKafkaErrorCode;

use super::*;

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn owning(count: i32) -> (Assignment, Vec<(TopicPartition, Epoch)>) {
    let mut assignment = Assignment::new(&["t".to_owned()]);
    let starts: Vec<_> = (0..count).map(|number| (partition(number), 10)).collect();
    let started = assignment.start(&starts);
    (assignment, started)
}

fn stored(assignment: &mut Assignment, (partition, epoch): &(TopicPartition, Epoch), offset: i64) -> bool {
    let storable = assignment.storable(vec![(partition.clone(), *epoch, offset)]);
    for (partition, offset) in &storable {
        assignment.stored(partition, *offset);
    }
    !storable.is_empty()
}

fn result(number: i32, offset: i64, error: Option<RDKafkaErrorCode>) -> CommitResult {
    CommitResult { partition: partition(number), offset, error }
}

#[test]
fn offsets_go_forward_within_what_was_polled() {
    let (mut assignment, started) = owning(1);
    assert!(!stored(&mut assignment, &started[0], 11), "not polled");
    assert!(assignment.polled(&partition(0), 10) && assignment.polled(&partition(0), 20));
    assert!(!stored(&mut assignment, &started[0], 22) && !stored(&mut assignment, &started[0], 10));
    assert!(stored(&mut assignment, &started[0], 21));
    assert!(!stored(&mut assignment, &started[0], 15));
    assert_eq!(assignment.finished(&partition(0)), Some(21));
}

#[test]
fn commands_of_an_earlier_assignment_do_nothing() {
    let (mut assignment, old) = owning(1);
    assignment.polled(&partition(0), 10);
    assert_eq!(assignment.lose(&[partition(0)]), [partition(0)]);
    let new = assignment.start(&[(partition(0), 10)]);
    assignment.polled(&partition(0), 10);
    assert!(assignment.held(&old).is_empty() && !stored(&mut assignment, &old[0], 11));
    assignment.revoke(&[partition(0)]);
    assignment.release(&old);
    assert_eq!(assignment.take_released(), None);
    assert!(stored(&mut assignment, &new[0], 11));
    assignment.release(&new);
    assert_eq!(assignment.take_released(), Some(vec![partition(0)]));
}

#[test]
fn a_revoke_ends_when_all_of_it_is_released() {
    let (mut assignment, started) = owning(3);
    assert_eq!(assignment.revoke(&[partition(0), partition(1), partition(9)]).len(), 2);
    assert_eq!(assignment.revoke(&[partition(0)]), []);
    // Nothing more of these is handed over; the third goes on.
    assert!(!assignment.polled(&partition(0), 10) && assignment.polled(&partition(2), 10));
    assert_eq!(assignment.held(&started), [partition(2)]);
    assignment.release(&started[..1]);
    assert_eq!(assignment.take_released(), None);
    // One that wasn't asked for stays.
    assignment.release(&started);
    assert_eq!(assignment.take_released().map(|released| released.len()), Some(2));
    assert!(!assignment.is_revoking() && assignment.partitions() == [partition(2)]);
}

#[test]
fn a_loss_ends_a_revoke_that_is_under_way() {
    let (mut assignment, started) = owning(2);
    assignment.revoke(&[partition(0), partition(1)]);
    assignment.release(&started[1..]);
    assert_eq!(assignment.lose(&[partition(0)]), [partition(0)]);
    assert_eq!(assignment.take_released(), Some(vec![partition(1)]));
    assert!(assignment.is_empty());
}

#[test]
fn it_is_committed_when_the_broker_has_said_so() {
    let (mut assignment, started) = owning(2);
    assert!(assignment.is_committed());
    for number in 0..2 {
        assignment.polled(&partition(number), 30);
        assert!(stored(&mut assignment, &started[number as usize], 20));
    }
    assignment.committed(&[result(0, 20, None), result(1, 15, None)]);
    assert!(!assignment.is_committed(), "an earlier offset");
    assignment.committed(&[result(1, 20, Some(RDKafkaErrorCode::RebalanceInProgress))]);
    assert!(!assignment.is_committed(), "librdkafka tries again");
    assignment.committed(&[result(1, 20, None)]);
    assert!(assignment.is_committed());
}

#[test]
fn what_went_away_uncommitted_is_missed() {
    let (mut assignment, started) = owning(2);
    for number in 0..2 {
        assignment.polled(&partition(number), 30);
        assert!(stored(&mut assignment, &started[number as usize], 20));
    }
    assignment.lose(&[partition(0)]);
    assert!(!assignment.is_committed());
    assignment.forget_missed();
    assignment.revoke(&[partition(1)]);
    assignment.release_all();
    assignment.take_released();
    assert!(!assignment.is_committed(), "the last commit is under way");
    assignment.committed(&[result(1, 20, Some(RDKafkaErrorCode::IllegalGeneration))]);
    assert!(!assignment.is_committed(), "and nobody makes it again");
}

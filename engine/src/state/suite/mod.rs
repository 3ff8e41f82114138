//! The tests of the [`StateStore`] contract, for any store: `run` for what all of them keep,
//! `forgets_with_the_partition` for a store of one member, `is_shared` for one of many; `keeps_notes` and
//! `shares_budgets` for those that do.
//!
//! A test asks for a new, empty store each. What isn't kept panics, as in any test.

mod budgets;
mod moving;
mod notes;
mod random;
mod remote_ids;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use syncline_sdk::Event;

use super::{
    Claim, ClaimRequest, Completed, Completion, Ending, Memory, Release, StateStore, StoreError, Token, fingerprint,
};
use crate::core::DeliveryId;
use crate::record::TopicPartition;

pub use budgets::shares_budgets;
pub use moving::{exported, moves_without_a_lost_key};
pub use notes::{keeps_notes, notes_are_kept_by};
pub use random::behaves_like_the_model;

/// An event with that idempotency key, about that entity, if it isn't empty.
#[must_use]
pub fn event(key: &str, entity: &str, version: Option<&str>) -> Arc<Event> {
    let optional = |name: &str, value: Option<&str>| match value {
        Some(value) => format!(r#","{name}":"{value}""#),
        None => String::new(),
    };
    let id = optional("id", (!entity.is_empty()).then_some(entity));
    let version = optional("version", version);
    let json = format!(r#"{{"event_id":"e","idempotency_key":"{key}","entity":{{"type":"t"{id}{version}}}}}"#);
    Arc::new(Event::from_slice(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}")))
}

/// A store as one member of the group sees it: with a token, a partition and a destination.
#[derive(Debug)]
pub struct Store<S> {
    /// The store.
    pub inner: Arc<S>,
    token: Token,
    partition: i32,
    destination: Arc<str>,
}

impl<S: StateStore> Store<S> {
    /// A member with a token of its own, and with a destination that no other test has.
    pub async fn new(store: S) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let destination = format!("destination-{}", COUNT.fetch_add(1, Ordering::Relaxed)).into();
        let token = store.token().await.expect("a token");
        Self { inner: Arc::new(store), token, partition: 0, destination }
    }

    /// Another assignment of the same partition, with a higher token.
    pub async fn later(&self) -> Self {
        let token = self.inner.token().await.expect("a token");
        assert!(token > self.token, "{token:?} is no higher than {:?}", self.token);
        Self { token, ..self.clone_seen() }
    }

    /// The same destination and partition, in another store.
    pub async fn in_another<T: StateStore>(&self, inner: T) -> Store<T> {
        let token = inner.token().await.expect("a token");
        Store { inner: Arc::new(inner), token, partition: self.partition, destination: Arc::clone(&self.destination) }
    }

    /// A member of a test that has a destination already.
    pub async fn with_destination(store: S, destination: &str) -> Self {
        Self { destination: destination.into(), ..Self::new(store).await }
    }

    /// The store's next life: closed, opened again, with another token.
    pub async fn reopened(before: Self, open: impl FnOnce() -> S) -> Self {
        let (partition, destination) = (before.partition, Arc::clone(&before.destination));
        drop(before);
        Self { partition, destination, ..Self::new(open()).await }
    }

    /// Its token.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Its destination.
    #[must_use]
    pub fn destination(&self) -> Arc<str> {
        Arc::clone(&self.destination)
    }

    /// Another member, with that partition.
    pub async fn with_partition(&self, partition: i32) -> Self {
        Self { partition, ..self.later().await }
    }

    fn clone_seen(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            token: self.token,
            partition: self.partition,
            destination: Arc::clone(&self.destination),
        }
    }

    fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new("topic", self.partition)
    }

    /// A request for a claim.
    #[must_use]
    pub fn request(&self, delivery: u64, event: &Arc<Event>) -> ClaimRequest {
        ClaimRequest {
            delivery: DeliveryId(delivery),
            destination: Arc::clone(&self.destination),
            event: Arc::clone(event),
            partition: self.topic_partition(),
            token: self.token,
        }
    }

    /// Asks for a claim.
    pub async fn claim(&self, delivery: u64, event: &Arc<Event>) -> Claim {
        let mut claims = self.inner.claim(&[self.request(delivery, event)]).await.expect("an answer");
        assert_eq!(claims.len(), 1, "one answer to one request");
        claims.remove(0)
    }

    /// Asks for a claim and gets it.
    pub async fn granted(&self, delivery: u64, event: &Arc<Event>) -> Memory {
        match self.claim(delivery, event).await {
            Claim::Granted(memory) => memory,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// A completion.
    #[must_use]
    pub fn completion(&self, delivery: u64, event: &Arc<Event>, ending: Ending) -> Completion {
        Completion {
            delivery: DeliveryId(delivery),
            destination: Arc::clone(&self.destination),
            event: Arc::clone(event),
            partition: self.topic_partition(),
            token: self.token,
            ending,
        }
    }

    /// Completes a delivery.
    pub async fn complete(&self, delivery: u64, event: &Arc<Event>, ending: Ending) -> Completed {
        let completion = self.completion(delivery, event, ending);
        let mut answers = self.inner.complete(&[completion]).await.expect("an answer");
        assert_eq!(answers.len(), 1, "one answer to one completion");
        answers.remove(0)
    }

    /// Completes a delivery that has taken effect.
    pub async fn apply(&self, delivery: u64, event: &Arc<Event>, remote_id: &str) -> Completed {
        self.complete(delivery, event, applied(event, Some(remote_id))).await
    }

    /// Gives a claim up.
    pub async fn release(&self, delivery: u64, event: &Arc<Event>, in_doubt: bool) {
        let release = Release {
            delivery: DeliveryId(delivery),
            destination: Arc::clone(&self.destination),
            event: Arc::clone(event),
            token: self.token,
            in_doubt,
        };
        self.inner.release(&[release]).await.expect("an answer");
    }

    /// The partition is another member's now.
    pub async fn forget(&self) {
        self.inner.forget(&[(self.topic_partition(), self.token)]).await.expect("an answer");
    }
}

/// It took effect.
#[must_use]
pub fn applied(event: &Event, remote_id: Option<&str>) -> Ending {
    Ending::Applied { remote_id: remote_id.map(str::to_owned), fingerprint: fingerprint(event) }
}

/// A lease that no test outlives.
const LONG: Duration = Duration::from_secs(3600);

/// Runs what every store keeps. `open` is asked for new, empty stores with that lease.
pub async fn run<S: StateStore>(open: impl AsyncFn(Duration) -> S) {
    a_key_is_granted_once(&Store::new(open(LONG).await).await).await;
    what_took_effect_is_remembered(&Store::new(open(LONG).await).await).await;
    an_entity_is_known_by_all_its_parts(&Store::new(open(LONG).await).await).await;
    a_batch_is_answered_in_order(&Store::new(open(LONG).await).await).await;
    a_released_key_can_be_claimed(&Store::new(open(LONG).await).await).await;
    a_later_assignment_takes_over(&Store::new(open(LONG).await).await).await;
    let lease = Duration::from_millis(300);
    a_lease_ends(&Store::new(open(lease).await).await, lease).await;
    everything_can_be_repeated(&Store::new(open(LONG).await).await).await;
    remote_ids::ids_of_other_entities_are_known(&Store::new(open(LONG).await).await).await;
    letters_park_their_entity(&Store::new(open(LONG).await).await).await;
    odd_texts_are_kept(&Store::new(open(LONG).await).await).await;
    of_many_at_once_one_is_granted(&Store::new(open(LONG).await).await).await;
    behaves_like_the_model(open, 12, 120).await;
}

async fn a_key_is_granted_once<S: StateStore>(store: &Store<S>) {
    let one = event("k", "1", None);
    assert_eq!(store.granted(1, &one).await, Memory::default());
    assert_eq!(store.claim(2, &one).await, Claim::Held);
    assert_eq!(store.granted(1, &one).await, Memory::default(), "the holder may ask again");
    let elsewhere = Store { destination: "another".into(), ..store.clone_seen() };
    assert_eq!(elsewhere.granted(3, &one).await, Memory::default(), "in another destination it is another key");
    assert_eq!(store.apply(1, &one, "r").await, Completed::Stored);
    assert_eq!(store.claim(2, &one).await, Claim::Duplicate { fingerprint: fingerprint(&one) });
    assert_eq!(store.claim(1, &one).await, Claim::Duplicate { fingerprint: fingerprint(&one) });
    assert_eq!(elsewhere.claim(4, &one).await, Claim::Held);
}

async fn what_took_effect_is_remembered<S: StateStore>(store: &Store<S>) {
    let known = |remote_id: Option<&str>, version: Option<&str>, last: &Event| Memory {
        remote_id: remote_id.map(str::to_owned),
        version: version.map(str::to_owned),
        fingerprint: Some(fingerprint(last)),
        ..Memory::default()
    };
    let first = event("k1", "1", Some("3"));
    store.granted(1, &first).await;
    store.apply(1, &first, "r1").await;
    let second = event("k2", "1", None);
    assert_eq!(store.granted(2, &second).await, known(Some("r1"), Some("3"), &first));
    store.apply(2, &second, "r2").await;
    let third = event("k3", "1", Some("4"));
    assert_eq!(store.granted(3, &third).await, known(Some("r2"), Some("3"), &second), "no version changes none");
    store.complete(3, &third, applied(&third, None)).await;
    let delete =
        r#"{"event_id":"e","idempotency_key":"k4","event_type":"record.deleted","entity":{"type":"t","id":"1"}}"#;
    let delete = Arc::new(Event::from_slice(delete.as_bytes()).expect("an event"));
    assert_eq!(store.granted(4, &delete).await, known(None, Some("4"), &third), "an unknown id is none");
    store.apply(4, &delete, "r4").await;
    assert_eq!(
        store.granted(5, &event("k5", "1", None)).await,
        known(None, Some("4"), &delete),
        "a delete forgets the id"
    );
    assert_eq!(store.granted(6, &event("k6", "2", None)).await, Memory::default());
    let homeless = event("k7", "", None);
    store.granted(7, &homeless).await;
    store.apply(7, &homeless, "r").await;
    assert_eq!(store.granted(8, &event("k8", "", None)).await, Memory::default(), "without an id there is no entity");
}

async fn an_entity_is_known_by_all_its_parts<S: StateStore>(store: &Store<S>) {
    let one = event("k1", "1", Some("1"));
    store.granted(1, &one).await;
    store.apply(1, &one, "r").await;
    let elsewhere = Store { destination: "another".into(), ..store.clone_seen() };
    assert_eq!(elsewhere.granted(2, &event("k2", "1", None)).await, Memory::default());
    let json = r#"{"event_id":"e","idempotency_key":"k3","entity":{"type":"u","id":"1"}}"#;
    let other = Arc::new(Event::from_slice(json.as_bytes()).expect("an event"));
    assert_eq!(store.granted(3, &other).await, Memory::default());
}

async fn a_batch_is_answered_in_order<S: StateStore>(store: &Store<S>) {
    let events: Vec<_> = (0..300).map(|number| event(&format!("k{number}"), &format!("{number}"), None)).collect();
    let completions: Vec<_> = events
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 3 == 0)
        .map(|(number, event)| store.completion(number as u64, event, applied(event, Some("r"))))
        .collect();
    let requests: Vec<_> = events.iter().enumerate().map(|(id, event)| store.request(id as u64, event)).collect();
    let granted = store.inner.claim(&requests).await.expect("an answer");
    assert_eq!(granted, vec![Claim::Granted(Memory::default()); 300]);
    let answers = store.inner.complete(&completions).await.expect("an answer");
    assert_eq!(answers, vec![Completed::Stored; 100]);
    let requests: Vec<_> =
        events.iter().enumerate().map(|(id, event)| store.request(1000 + id as u64, event)).collect();
    for (number, claim) in store.inner.claim(&requests).await.expect("an answer").into_iter().enumerate() {
        let expected = match number % 3 {
            0 => Claim::Duplicate { fingerprint: fingerprint(&events[number]) },
            _ => Claim::Held,
        };
        assert_eq!(claim, expected, "answer {number}");
    }
    let twins = [store.request(2000, &event("twin", "", None)), store.request(2001, &event("twin", "", None))];
    let claims = store.inner.claim(&twins).await.expect("an answer");
    assert_eq!(claims, [Claim::Granted(Memory::default()), Claim::Held], "twins in one call");
    assert_eq!(store.inner.claim(&[]).await, Ok(Vec::new()));
    assert_eq!(store.inner.complete(&[]).await, Ok(Vec::new()));
    assert_eq!(store.inner.release(&[]).await, Ok(()));
}

async fn a_released_key_can_be_claimed<S: StateStore>(store: &Store<S>) {
    let one = event("k", "1", None);
    store.granted(1, &one).await;
    store.release(7, &one, false).await;
    assert_eq!(store.claim(2, &one).await, Claim::Held, "another's claim isn't given up");
    store.release(1, &one, false).await;
    assert!(!store.granted(2, &one).await.in_doubt);
    store.release(2, &one, true).await;
    assert!(store.granted(3, &one).await.in_doubt, "doubt outlives its delivery");
    assert!(store.granted(3, &one).await.in_doubt, "asked again, too");
    store.apply(3, &one, "r").await;
    store.release(3, &one, false).await;
    assert!(matches!(store.claim(4, &one).await, Claim::Duplicate { .. }), "what is done stays done");
}

async fn a_later_assignment_takes_over<S: StateStore>(zombie: &Store<S>) {
    let (one, two) = (event("k1", "1", Some("1")), event("k2", "2", Some("1")));
    zombie.granted(1, &one).await;
    zombie.granted(2, &two).await;
    let skipped = event("k0", "1", Some("0"));
    zombie.granted(3, &skipped).await;
    let owner = zombie.later().await;
    owner.granted(3, &skipped).await;
    owner.release(3, &skipped, false).await;
    assert_eq!(zombie.apply(3, &skipped, "late").await, Completed::Fenced, "the owner has decided to skip it");
    assert!(owner.granted(1, &one).await.in_doubt, "the earlier holder may have sent it");
    assert_eq!(zombie.claim(1, &one).await, Claim::Fenced);
    assert_eq!(zombie.claim(9, &one).await, Claim::Fenced);
    assert_eq!(zombie.apply(1, &one, "zombie's").await, Completed::Fenced);
    assert_eq!(zombie.complete(1, &one, Ending::Parked { in_doubt: false }).await, Completed::Fenced);
    zombie.release(1, &one, false).await;
    assert_eq!(owner.claim(5, &one).await, Claim::Held, "the zombie could not release it");
    assert_eq!(owner.apply(1, &one, "owner's").await, Completed::Stored);
    assert_eq!(owner.granted(6, &event("k3", "1", None)).await.remote_id.as_deref(), Some("owner's"));
    assert_eq!(zombie.apply(2, &two, "in time").await, Completed::Stored, "nobody has taken this one over");
    assert!(matches!(owner.claim(2, &two).await, Claim::Duplicate { .. }));
    // The same event was produced twice, to two partitions.
    let elsewhere = zombie.with_partition(1).await;
    let three = event("k4", "4", None);
    elsewhere.granted(1, &three).await;
    assert_eq!(owner.later().await.claim(1, &three).await, Claim::Held, "the other partition is still that member's");
}

async fn a_lease_ends<S: StateStore>(store: &Store<S>, lease: Duration) {
    let one = event("k", "1", None);
    store.granted(1, &one).await;
    let elsewhere = store.with_partition(1).await;
    let taken = async |by: &Store<S>, delivery: u64| loop {
        match by.claim(delivery, &one).await {
            Claim::Granted(memory) => break memory,
            Claim::Held => tokio::time::sleep(lease / 10).await,
            other => panic!("{other:?}"),
        }
    };
    assert!(taken(&elsewhere, 2).await.in_doubt);
    assert_eq!(store.apply(1, &one, "late").await, Completed::Fenced);
    assert!(taken(&elsewhere, 3).await.in_doubt, "within one assignment, too");
    assert_eq!(elsewhere.apply(3, &one, "r").await, Completed::Stored);
}

async fn everything_can_be_repeated<S: StateStore>(store: &Store<S>) {
    let (one, two, three) = (event("k1", "1", Some("1")), event("k2", "2", None), event("k3", "3", None));
    store.granted(1, &one).await;
    for _ in 0..2 {
        assert_eq!(store.apply(1, &one, "r").await, Completed::Stored);
    }
    let newer = event("k4", "1", Some("2"));
    store.granted(4, &newer).await;
    store.apply(4, &newer, "r2").await;
    assert_eq!(store.apply(1, &one, "r").await, Completed::Stored, "and changes nothing");
    assert_eq!(store.granted(5, &event("k5", "1", None)).await.version.as_deref(), Some("2"));
    store.granted(2, &two).await;
    for _ in 0..2 {
        store.release(2, &two, false).await;
        assert_eq!(store.complete(3, &three, Ending::Parked { in_doubt: false }).await, Completed::Stored);
    }
    assert_eq!(store.granted(6, &event("k6", "3", None)).await.parked, 1, "counted once");
    assert_eq!(store.apply(9, &event("k9", "9", None), "r").await, Completed::Fenced, "without a claim");
    assert_eq!(store.granted(10, &event("k9", "9", None)).await, Memory::default());
}

async fn letters_park_their_entity<S: StateStore>(store: &Store<S>) {
    let of = |key: &str| event(key, "1", None);
    let parked = async |delivery: u64| store.granted(delivery, &of(&format!("probe-{delivery}"))).await.parked;
    let parked_by = Ending::Parked { in_doubt: false };
    for (step, (key, ending, expected)) in [
        ("a", parked_by.clone(), 1),
        ("b", Ending::Parked { in_doubt: true }, 2),
        ("b", parked_by.clone(), 2),
        ("a", Ending::Unparked, 1),
        ("a", Ending::Unparked, 1),
    ]
    .into_iter()
    .enumerate()
    {
        store.complete(step as u64, &of(key), ending).await;
        assert_eq!(parked(100 + step as u64).await, expected, "after step {step}");
    }
    let own = store.granted(50, &of("b")).await;
    assert_eq!(own.parked, 0, "an event that comes again isn't held back by its own letter");
    store.apply(50, &of("b"), "r").await;
    assert_eq!(parked(200).await, 0, "what has taken effect holds nothing back");
    store.complete(51, &of("c"), Ending::Parked { in_doubt: true }).await;
    assert!(store.granted(52, &of("c")).await.in_doubt, "doubt outlives the dead letter");
}

async fn odd_texts_are_kept<S: StateStore>(store: &Store<S>) {
    let long = "x".repeat(20_000);
    for (number, text) in ["{a}", "a:b", "ä\u{1F600}", "a\u{0}b", " ", "%", "'; --", "*", &long].iter().enumerate() {
        let number = number as u64;
        let text = text.replace('\u{0}', "\\u0000");
        let one = event(&format!("key{text}"), &text, Some(&text));
        store.granted(number, &one).await;
        store.apply(number, &one, one.entity().id.as_deref().unwrap_or_default()).await;
        let known = store.granted(100 + number, &event(&format!("later{text}"), &text, None)).await;
        assert_eq!(known.version, one.entity().version, "{text}");
        assert_eq!(known.remote_id, one.entity().id, "{text}");
        assert!(matches!(store.claim(200 + number, &one).await, Claim::Duplicate { .. }), "{text}");
    }
}

async fn of_many_at_once_one_is_granted<S: StateStore>(store: &Store<S>) {
    let mut tasks = tokio::task::JoinSet::new();
    for member in 0..8_u64 {
        let member = store.with_partition(i32::try_from(member).unwrap_or_default()).await;
        tasks.spawn(async move {
            let events: Vec<_> = (0..50).map(|number| event(&format!("k{number}"), "", None)).collect();
            let requests: Vec<_> = events.iter().enumerate().map(|(id, one)| member.request(id as u64, one)).collect();
            let claims = member.inner.claim(&requests).await?;
            Ok::<_, StoreError>(claims.into_iter().map(|claim| matches!(claim, Claim::Granted(_))).collect::<Vec<_>>())
        });
    }
    let mut granted = vec![0; 50];
    while let Some(claims) = tasks.join_next().await {
        let claims = claims.expect("a task").expect("an answer");
        claims.into_iter().enumerate().for_each(|(number, claim)| granted[number] += usize::from(claim));
    }
    assert_eq!(granted, vec![1; 50]);
}

/// What a store of one member keeps.
pub async fn forgets_with_the_partition<S: StateStore>(store: S) {
    let store = Store::new(store).await;
    let (one, two) = (event("k1", "1", Some("3")), event("k2", "2", Some("3")));
    store.granted(1, &one).await;
    store.apply(1, &one, "r").await;
    let other = store.with_partition(1).await;
    other.granted(2, &two).await;
    other.apply(2, &two, "r").await;
    store.forget().await;
    assert_eq!(store.claim(3, &event("k3", "1", None)).await, Claim::Fenced, "the old assignment is over");
    assert_eq!(store.apply(1, &one, "r").await, Completed::Fenced, "a late completion is no news");
    let again = store.later().await;
    assert_eq!(again.granted(4, &event("k4", "1", None)).await, Memory::default());
    assert_eq!(again.granted(5, &one).await, Memory::default());
    assert!(matches!(other.claim(6, &two).await, Claim::Duplicate { .. }), "the other partition is still ours");
    assert_eq!(again.granted(7, &event("k7", "2", None)).await.version.as_deref(), Some("3"));
}

/// What a store of many members keeps.
pub async fn is_shared<S: StateStore>(one: S, same: S) {
    let one = Store::new(one).await;
    let (first, second) = (event("k1", "1", Some("3")), event("k2", "2", None));
    one.granted(1, &first).await;
    one.apply(1, &first, "r").await;
    one.granted(2, &second).await;
    one.forget().await;
    let same = one.in_another(same).await;
    assert!(same.token > one.token, "tokens rise across members");
    assert!(matches!(same.claim(1, &first).await, Claim::Duplicate { .. }), "what is done is done for all");
    assert_eq!(same.granted(3, &event("k3", "1", None)).await.remote_id.as_deref(), Some("r"));
    assert!(same.granted(2, &second).await.in_doubt);
    assert_eq!(one.apply(2, &second, "zombie's").await, Completed::Fenced);
}

//! What every store keeps, and what only a batch shows.

use std::sync::Arc;
use std::time::Duration;

use syncline_engine::state::suite::{self, Store, event};
use syncline_engine::state::{
    ClaimRequest, Completion, Ending, Entry, MemoryOptions, MemoryStore, PortableStore, PostgresOptions, Release,
    StateStore,
};
use syncline_sdk::Event;

use super::{open, options, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    suite::run(async |lease| open(&PostgresOptions { lease, ..options(shared()) }).await).await;
}

#[tokio::test]
async fn instances_share_what_they_remember() {
    let options = options(shared());
    suite::is_shared(open(&options).await, open(&options).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_share_notes_and_budgets() {
    suite::keeps_notes(open(&options(shared())).await).await;
    let options = options(shared());
    suite::notes_are_kept_by(open(&options).await, async |_| open(&options).await).await;
    suite::shares_budgets(async || open(&options).await).await;
}

#[tokio::test]
async fn what_it_remembers_can_be_moved() {
    suite::moves_without_a_lost_key(open(&options(shared())).await, open(&options(shared())).await).await;
}

#[tokio::test]
async fn what_was_exported_can_be_imported_elsewhere_with_all_its_texts() {
    let from = Store::new(open(&options(shared())).await).await;
    let long = "y".repeat(20_000);
    for (number, text) in ["plain", "a\u{0}b\u{1a}c", "\\0", &long].into_iter().enumerate() {
        let json = serde_json::json!({ "event_id": "e", "idempotency_key": text,
            "entity": { "type": text, "id": text, "version": text } });
        let one = Arc::new(Event::from_slice(json.to_string().as_bytes()).unwrap());
        from.granted(number as u64, &one).await;
        from.apply(number as u64, &one, text).await;
        from.complete(
            100 + number as u64,
            &event(&format!("p{number}"), "parked", None),
            Ending::Parked { in_doubt: false },
        )
        .await;
    }
    let entries = suite::exported(&*from.inner).await;
    assert_eq!(entries.len(), 4 + 4 + 1);
    let to = open(&options(shared())).await;
    for _ in 0..2 {
        let again: Vec<_> = entries.iter().cloned().map(with_time).collect();
        to.import(&again).await.unwrap();
        assert_eq!(suite::exported(&to).await, entries);
    }
}

fn with_time(mut entry: Entry) -> Entry {
    if let Entry::Key { expires_in_ms, .. } = &mut entry {
        *expires_in_ms = 3_600_000;
    }
    entry
}

#[tokio::test]
async fn ordinary_texts_can_be_joined_in_sql() {
    let options = options(shared());
    let store = Store::new(open(&options).await).await;
    let one = event("k", "cust'omer-ä-7", Some("3"));
    store.granted(1, &one).await;
    store.apply(1, &one, "sys-1").await;
    let row = shared().sql(&format!(
        "SELECT entity_type, entity_id, version, remote_id FROM {}.entities WHERE entity_id LIKE 'cust%'",
        options.schema
    ));
    assert_eq!(row, "t|cust'omer-ä-7|3|sys-1");
}

#[tokio::test]
async fn tokens_rise_even_after_an_older_state_was_restored() {
    let options = options(shared());
    let store = open(&options).await;
    let before = store.token().await.unwrap();
    shared().sql(&format!("UPDATE {}.tokens SET last = 5", options.schema));
    assert!(store.token().await.unwrap() > before);
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_new_before_it_is_removed() {
    let options = PostgresOptions { ttl: Duration::ZERO, ..options(shared()) };
    let store = Store::new(open(&options).await).await;
    for number in 0..3 {
        let one = event("k", "1", None);
        assert!(!store.granted(number, &one).await.in_doubt);
        store.apply(number, &one, "r").await;
    }
}

/// One thing that happens to one event.
#[derive(Debug, Clone)]
struct Item {
    member: usize,
    delivery: u64,
    event: Arc<Event>,
    ending: Ending,
}

impl Item {
    fn any(random: &mut fastrand::Rng, step: usize) -> Self {
        let key = random.u8(..8);
        let event = event(&format!("k{key}"), &format!("{}", key % 3), Some(&format!("{step}")));
        let ending = match random.u8(..6) {
            0..=2 => suite::applied(&event, Some(&format!("r{step}"))),
            3 => Ending::Parked { in_doubt: false },
            4 => Ending::Parked { in_doubt: true },
            _ => Ending::Unparked,
        };
        Self { member: random.usize(..3), delivery: random.u64(..2), event, ending }
    }

    fn request<S: StateStore>(&self, members: &[Store<S>]) -> ClaimRequest {
        members[self.member].request(self.delivery, &self.event)
    }

    fn completion<S: StateStore>(&self, members: &[Store<S>]) -> Completion {
        members[self.member].completion(self.delivery, &self.event, self.ending.clone())
    }

    fn release<S: StateStore>(&self, members: &[Store<S>]) -> Release {
        let ClaimRequest { delivery, destination, event, token, .. } = self.request(members);
        Release { delivery, destination, event, token, in_doubt: matches!(self.ending, Ending::Parked { .. }) }
    }
}

/// Does it to the store, and gives the answers as text.
async fn play<S: StateStore>(members: &[Store<S>], act: u8, batch: &[Item]) -> String {
    let store = &members[0].inner;
    match act {
        0..=3 => {
            let requests: Vec<_> = batch.iter().map(|item| item.request(members)).collect();
            format!("{:?}", store.claim(&requests).await.unwrap())
        }
        4..=6 => {
            let completions: Vec<_> = batch.iter().map(|item| item.completion(members)).collect();
            format!("{:?}", store.complete(&completions).await.unwrap())
        }
        _ => {
            let releases: Vec<_> = batch.iter().map(|item| item.release(members)).collect();
            format!("{:?}", store.release(&releases).await.unwrap())
        }
    }
}

/// A zombie, the owner after it, and a member with another partition.
async fn members<S: StateStore>(zombie: Store<S>) -> Vec<Store<S>> {
    let (owner, other) = (zombie.later().await, zombie.with_partition(1).await);
    vec![zombie, owner, other]
}

/// Histories of whole batches, in which keys and entities come repeatedly. The model plays them one by one.
#[tokio::test]
async fn batches_are_played_as_if_one_by_one() {
    for history in 0..40 {
        let mut random = fastrand::Rng::with_seed(history);
        let store = Store::new(open(&options(shared())).await).await;
        let model = MemoryOptions { lease: store.inner.lease(), ..MemoryOptions::default() };
        let model = members(store.in_another(MemoryStore::new(model)).await).await;
        let store = members(store).await;
        for step in 0..15 {
            let batch: Vec<_> = (0..random.usize(1..20)).map(|_| Item::any(&mut random, step)).collect();
            let act = random.u8(..8);
            let expected = play(&model, act, &batch).await;
            let answer = play(&store, act, &batch).await;
            assert_eq!(answer, expected, "history {history}, step {step}, act {act}: {batch:#?}");
        }
    }
}

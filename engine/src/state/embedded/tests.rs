//! The contract, restarts, torn writes, time, and folders that aren't ours.

use std::path::Path;
use std::time::Duration;

use super::super::suite::{self, Store, event};
use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn options(path: &Path) -> EmbeddedOptions {
    EmbeddedOptions { lease: LONG, ..EmbeddedOptions::new(path) }
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(options(path)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    suite::run(async |lease| {
        let path = root.path().join(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
        EmbeddedStore::open(EmbeddedOptions { lease, ..EmbeddedOptions::new(path) }).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_ends_with_the_partition_also_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    suite::forgets_with_the_partition(open(&root.path().join("a"))).await;

    let path = root.path().join("b");
    let store = Store::new(open(&path)).await;
    let one = event("k", "1", Some("3"));
    store.granted(1, &one).await;
    store.apply(1, &one, "r").await;
    store.forget().await;
    let store = Store::reopened(store, || open(&path)).await;
    assert_eq!(store.granted(2, &one).await, crate::state::Memory::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_moves_without_a_lost_key() {
    let root = tempfile::tempdir().unwrap();
    suite::moves_without_a_lost_key(open(&root.path().join("from")), open(&root.path().join("to"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_and_takes_claims_over_in_doubt() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(open(root.path())).await;
    let (done, claimed, parked) = (event("k1", "1", Some("3")), event("k2", "2", None), event("k3", "3", None));
    store.granted(1, &done).await;
    store.apply(1, &done, "r").await;
    store.granted(2, &claimed).await;
    store.granted(3, &parked).await;
    store.complete(3, &parked, crate::state::Ending::Parked { in_doubt: false }).await;
    let before = store.token();
    let store = Store::reopened(store, || open(root.path())).await;
    assert!(store.token() > before);
    assert!(matches!(store.claim(4, &done).await, Claim::Duplicate { .. }));
    assert!(store.granted(5, &claimed).await.in_doubt);
    assert_eq!(store.granted(6, &event("k6", "3", None)).await.parked, 1);
    let known = store.granted(7, &event("k7", "1", None)).await;
    assert_eq!((known.remote_id.as_deref(), known.version.as_deref()), (Some("r"), Some("3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_outlive_restarts_and_partitions() {
    let root = tempfile::tempdir().unwrap();
    suite::keeps_notes(open(&root.path().join("a"))).await;
    let path = root.path().join("b");
    let again = async |store: EmbeddedStore| {
        store.forget(&[(TopicPartition::new("topic", 0), Token(u64::MAX))]).await.unwrap();
        drop(store);
        open(&path)
    };
    suite::notes_are_kept_by(open(&path), again).await;
}

/// Tokens that are asked for at once share a round, and the highest is the one that is kept.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_rise_over_restarts() {
    let root = tempfile::tempdir().unwrap();
    let mut highest = Token(0);
    for _ in 0..3 {
        let store = open(root.path());
        let tokens = futures_util::future::join_all((0..200).map(|_| store.token())).await;
        let tokens: std::collections::BTreeSet<_> = tokens.into_iter().map(Result::unwrap).collect();
        assert_eq!(tokens.len(), 200);
        assert!(*tokens.first().unwrap() > highest);
        highest = *tokens.last().unwrap();
    }
}

/// Whatever the end of the newest journal looks like, what was acknowledged before it is there, or the
/// store says that it is damaged.
#[tokio::test(flavor = "multi_thread")]
async fn torn_writes_lose_only_what_was_torn() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    let store = Store::new(open(&whole)).await;
    let events: Vec<_> = (0..40).map(|number| event(&format!("k{number}"), &format!("{number}"), None)).collect();
    for (number, one) in (0..).zip(&events) {
        store.granted(number, one).await;
        store.apply(number, one, "r").await;
    }
    let destination = store.destination();
    drop(store);
    let journal = newest(&whole.join("data"));
    let length = std::fs::metadata(&journal).unwrap().len();
    let written = used(&journal);
    for cut in [1, 7, 100, 1000, 3000] {
        let torn = root.path().join(format!("torn-{cut}"));
        copy(&whole, &torn);
        let file = std::fs::File::options().write(true).open(newest(&torn.join("data"))).unwrap();
        file.set_len(written - cut).unwrap();
        // Journals are allocated ahead, so that a tear leaves zeros.
        file.set_len(length).unwrap();
        drop(file);
        let store = Store::with_destination(open(&torn), &destination).await;
        let mut lost = 0;
        for (number, one) in (100..).zip(&events) {
            lost += usize::from(matches!(store.claim(number, one).await, Claim::Granted(_)));
        }
        assert!(lost <= 1 + usize::try_from(cut).unwrap() / 50, "{lost} lost by a tear of {cut} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_are_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    drop(Store::new(open(root.path())).await);
    let data = root.path().join("data");
    let version = data.join("version");
    let before = std::fs::read(&version).unwrap();
    std::fs::write(&version, b"nonsense").unwrap();
    let error = EmbeddedStore::open(options(root.path())).unwrap_err().to_string();
    assert!(error.contains("are damaged") && error.contains("backup"), "{error}");
    assert_eq!(std::fs::read(&version).unwrap(), b"nonsense");
    std::fs::write(&version, before).unwrap();
    drop(open(root.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path());
    let error = EmbeddedStore::open(options(root.path())).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(first);
    drop(open(root.path()));
}

/// Time is the database's argument, so that it can be any.
#[test]
fn keys_expire_with_their_bucket_and_the_disk_is_given_back() {
    use super::codec::{Home, PartitionHash};
    use super::data::Data;
    use crate::state::KeyDigest;
    use crate::state::rules::KeyState;

    let root = tempfile::tempdir().unwrap();
    let ttl = Duration::from_secs(800);
    let mut data = Data::open(root.path(), ttl).unwrap();
    let home = Home { partition: PartitionHash(1), token: Token(1) };
    let key = |number: u64| KeyDigest(u128::from(number).to_be_bytes());
    let start = 1_000_000_000;
    let mut most = 0;
    for step in 0..40 {
        let now = start + step * 100_000;
        data.roll(now).unwrap();
        let mut batch = data.batch();
        for number in 0..500 {
            data.put_key(
                &mut batch,
                key(step * 500 + number),
                None,
                now,
                (home, &KeyState::Done { fingerprint: number }),
            );
        }
        data.write(batch, true).unwrap();
        most = most.max(data.readers().0.len());
        let known = |step: u64| data.key(key(step * 500)).unwrap().is_some();
        assert!((step.saturating_sub(8)..=step).all(known), "within the time to live");
        assert!(step < 10 || !known(step - 10), "after it");
    }
    assert!(most <= 10, "{most} buckets");
    // A key that changes in a later bucket lives from then on, and once.
    let now = start + 40 * 100_000;
    data.roll(now).unwrap();
    let old = key(39 * 500);
    let (held, _) = data.key(old).unwrap().unwrap();
    let mut batch = data.batch();
    data.put_key(&mut batch, old, Some(held), now, (home, &KeyState::InDoubt));
    data.write(batch, true).unwrap();
    let copies = data.readers().0.iter().filter(|(_, bucket)| bucket.contains_key(old.0).unwrap()).count();
    assert_eq!(copies, 1);
    assert!(matches!(data.key(old).unwrap(), Some((_, (_, KeyState::InDoubt)))));
}

#[test]
fn entities_are_forgotten_after_their_time() {
    use super::codec::EntityRow;
    use super::data::Data;
    use crate::state::KeyDigest;

    let root = tempfile::tempdir().unwrap();
    let data = Data::open(root.path(), LONG).unwrap();
    let digest = |number: u64| EntityRow::digest("d", "t", &number.to_string());
    let mut batch = data.batch();
    for number in 0..100 {
        let row = EntityRow {
            destination: "d".into(),
            entity_type: "t".into(),
            entity_id: number.to_string(),
            version: None,
            remote_id: None,
            fingerprint: None,
            parked: Vec::new(),
            home: (0, 0),
            changed_at: number,
        };
        data.put_entity(&mut batch, digest(number), &row);
    }
    data.write(batch, true).unwrap();
    let (mut from, mut rounds) = (Some(KeyDigest([0; 16])), 0);
    while let Some(at) = from {
        from = data.sweep(at, 30, 60).unwrap();
        rounds += 1;
    }
    assert!(rounds >= 4, "{rounds} rounds");
    let left = (0..100).filter(|number| data.entity(digest(*number)).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!(left, (60..100).collect::<Vec<_>>());
}

/// A small file system of the test's own.
struct Disk(PathBuf);

impl Disk {
    /// `None` where the test may not mount one.
    fn of(bytes: u64, path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={bytes}");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the store's files may still be closing.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A write that fails is told, nothing that was acknowledged is lost by it, and when the disk has room
/// again, the store goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(80 << 20, &root.path().join("disk")) else {
        return println!("not run: it needs the right to mount a file system");
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 60 << 20]).unwrap();
    let store = Store::new(open(&disk.0.join("state"))).await;
    let one = |number: u64| event(&format!("k{number}"), &format!("{number}"), None);
    let remote_id = "x".repeat(20_000);
    let mut number = 0;
    let full = loop {
        let claim = store.inner.claim(&[store.request(number, &one(number))]).await;
        let ending = suite::applied(&one(number), Some(&remote_id));
        let completed = store.inner.complete(&[store.completion(number, &one(number), ending)]).await;
        if let Some(error) = claim.err().or(completed.err()) {
            break error;
        }
        number += 1;
        assert!(number < 10_000, "the disk is never full");
    };
    assert!(matches!(full, StoreError::Unavailable(_)), "{full:?}");
    std::fs::remove_file(&ballast).unwrap();
    let mut tokens = Err(full);
    for _ in 0..100 {
        tokens = store.inner.token().await;
        if tokens.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokens.unwrap();
    for number in 0..number {
        assert!(
            matches!(store.claim(20_000 + number, &one(number)).await, Claim::Duplicate { .. }),
            "{number} is lost"
        );
    }
    let after = one(number + 1);
    store.granted(1, &after).await;
    assert_eq!(store.apply(1, &after, "r").await, Completed::Stored);
}

fn newest(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.max().expect("a journal")
}

/// How much of a file isn't zeros at its end.
fn used(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

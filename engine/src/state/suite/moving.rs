//! What every store keeps whose memory can be moved.

use super::super::{Claim, Ending, Entry, PortableStore, fingerprint};
use super::{Store, event};

/// Everything that a store remembers, in order. Times to live are left out.
pub async fn exported<S: PortableStore>(store: &S) -> Vec<Entry> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
    let gather = async {
        let mut entries = Vec::new();
        while let Some(entry) = receiver.recv().await {
            entries.push(entry);
        }
        entries
    };
    let (result, mut entries) = tokio::join!(store.export(sender), gather);
    result.expect("an export");
    for entry in &mut entries {
        if let Entry::Key { expires_in_ms, .. } = entry {
            assert!((1..=100_000_000).contains(expires_in_ms), "{expires_in_ms}");
            *expires_in_ms = 0;
        }
    }
    entries.sort();
    entries
}

/// Moves what one store remembers to an empty one, which then answers as the first does.
pub async fn moves_without_a_lost_key<S: PortableStore, T: PortableStore>(from: S, to: T) {
    let from = Store::new(from).await;
    let entities = 1200;
    for number in 0..entities {
        let one = event(&format!("k{number}"), &format!("{number}"), Some("7"));
        from.granted(number, &one).await;
        from.apply(number, &one, &format!("r{number}")).await;
    }
    let (claimed, doubtful, parked) = (event("c", "0", None), event("d", "0", None), event("p", "1", None));
    from.granted(5000, &claimed).await;
    from.granted(5001, &doubtful).await;
    from.release(5001, &doubtful, true).await;
    from.granted(5002, &parked).await;
    from.complete(5002, &parked, Ending::Parked { in_doubt: true }).await;

    let entries = exported(&*from.inner).await;
    assert_eq!(entries.len() as u64, 2 * entities + 3);
    let with_time = |mut entry: Entry| {
        if let Entry::Key { expires_in_ms, .. } = &mut entry {
            *expires_in_ms = 3_600_000;
        }
        entry
    };
    let to = from.in_another(to).await;
    for _ in 0..2 {
        for batch in entries.chunks(1000) {
            let batch: Vec<_> = batch.iter().cloned().map(with_time).collect();
            to.inner.import(&batch).await.expect("an import");
        }
        assert_eq!(exported(&*to.inner).await, entries);
    }
    for number in 0..entities {
        let one = event(&format!("k{number}"), &format!("{number}"), Some("7"));
        assert_eq!(to.claim(number, &one).await, Claim::Duplicate { fingerprint: fingerprint(&one) });
    }
    let known = to.granted(6000, &event("x", "1", None)).await;
    assert_eq!((known.remote_id.as_deref(), known.version.as_deref(), known.parked), (Some("r1"), Some("7"), 1));
    for one in [&claimed, &doubtful, &parked] {
        assert!(to.granted(6001, one).await.in_doubt);
        to.apply(6001, one, "r").await;
    }
    let doubts: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::Key { done: None, .. })).collect();
    assert_eq!(doubts.len(), 3);
    let again: Vec<_> = doubts.into_iter().cloned().map(with_time).collect();
    to.inner.import(&again).await.expect("an import");
    assert!(matches!(to.claim(7000, &claimed).await, Claim::Duplicate { .. }), "what is done stays done");
}

//! What every store keeps that keeps notes.

use super::super::{NOTE_BYTES, NOTE_NAME_BYTES, StateStore, StoreError};

/// All that is true of notes in one store. It has none yet.
pub async fn keeps_notes<S: StateStore>(store: S) {
    let kept = async |name: &str| store.note(name).await.expect("an answer");
    let keep = async |name: &str, value: &[u8]| store.set_note(name, value).await.expect("an answer");
    assert_eq!(kept("never set").await, None);
    keep("one", b"first").await;
    keep("two", b"").await;
    assert_eq!(kept("one").await.as_deref(), Some(&b"first"[..]));
    assert_eq!(kept("two").await.as_deref(), Some(&b""[..]), "empty, and still there");
    for _ in 0..2 {
        keep("one", b"second").await;
        assert_eq!(kept("one").await.as_deref(), Some(&b"second"[..]));
    }
    let large: Vec<u8> = (0..=u8::MAX).cycle().take(NOTE_BYTES).collect();
    let long: String = (b' '..=b'~').map(char::from).cycle().take(NOTE_NAME_BYTES).collect();
    for name in [&long, "a:b{c}%d*'\"\\", " "] {
        assert_eq!(kept(name).await, None, "{name}");
        keep(name, &large).await;
        assert_eq!(kept(name).await.as_deref(), Some(&large[..]), "{name}");
    }
    let refused = |answer: Result<(), StoreError>| assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    refused(store.set_note("one", &[0; NOTE_BYTES + 1]).await);
    for name in ["", "ä", "a\nb", "a\0b", "\u{7f}", &format!("{long}x")] {
        refused(store.set_note(name, b"v").await);
        refused(store.note(name).await.map(drop));
    }
    assert_eq!(kept("one").await.as_deref(), Some(&b"second"[..]), "what is refused changes nothing");

    let values: Vec<_> = (0..20_u8).map(|number| [number; 100]).collect();
    let all = values.iter().map(|value| store.set_note("raced", value));
    futures_util::future::join_all(all).await.into_iter().for_each(|set| set.expect("an answer"));
    let last = kept("raced").await.expect("a value");
    assert!(last.len() == 100 && last.iter().all(|byte| *byte == last[0]), "one of them, and all of it: {last:?}");
}

/// What one handle sets, another one of the same store finds: a second member, or the store's next life.
pub async fn notes_are_kept_by<S: StateStore, T: StateStore>(one: S, then: impl AsyncFnOnce(S) -> T) {
    one.set_note("kept", b"by all").await.expect("an answer");
    let same = then(one).await;
    assert_eq!(same.note("kept").await.expect("an answer").as_deref(), Some(&b"by all"[..]));
}

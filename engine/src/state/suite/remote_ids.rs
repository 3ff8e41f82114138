//! What every store tells of entities that others refer to.

use std::sync::Arc;

use syncline_sdk::Event;

use super::{Store, event};
use crate::state::{EntityName, StateStore};

pub(super) async fn ids_of_other_entities_are_known<S: StateStore>(store: &Store<S>) {
    let named = |destination: &Arc<str>, kind: &str, id: &str| EntityName {
        destination: Arc::clone(destination),
        kind: kind.to_owned(),
        id: id.to_owned(),
    };
    let ours = store.destination();
    let known = async |names: &[EntityName]| store.inner.remote_ids(names).await.expect("an answer");
    let (one, odd) = (named(&ours, "t", "1"), named(&ours, "t", "ä:{b}%' c"));
    assert_eq!(known(&[]).await, Vec::<Option<String>>::new());
    assert_eq!(known(std::slice::from_ref(&one)).await, [None]);

    let (first, second) = (event("k1", "1", None), event("k2", "ä:{b}%' c", None));
    store.granted(1, &first).await;
    assert_eq!(known(std::slice::from_ref(&one)).await, [None], "a claim isn't an id");
    store.apply(1, &first, "r1").await;
    store.granted(2, &second).await;
    store.apply(2, &second, "r 2").await;
    let elsewhere: Arc<str> = "another".into();
    let asked = [odd.clone(), named(&ours, "u", "1"), one.clone(), named(&elsewhere, "t", "1"), one.clone()];
    let (r1, r2) = (Some("r1".to_owned()), Some("r 2".to_owned()));
    assert_eq!(known(&asked).await, [r2, None, r1.clone(), None, r1], "in order, each time it is asked for");

    let delete =
        r#"{"event_id":"e","idempotency_key":"k3","event_type":"record.deleted","entity":{"type":"t","id":"1"}}"#;
    let delete = Arc::new(Event::from_slice(delete.as_bytes()).expect("an event"));
    store.granted(3, &delete).await;
    store.apply(3, &delete, "r1").await;
    assert_eq!(known(&[one]).await, [None], "a delete forgets the id");

    let many: Vec<_> = (0..300).map(|number| named(&ours, "t", &format!("no {number}"))).chain([odd]).collect();
    let answers = known(&many).await;
    assert_eq!((answers.len(), answers.iter().flatten().count()), (301, 1));
}

//! A second configuration beside the first.

use std::sync::Arc;

use super::{Bench, Fact, Toy, event, record};
use crate::core::ShadowOutcome;

fn outcomes(bench: &Bench) -> Vec<ShadowOutcome> {
    let told = |fact: &Fact| match fact {
        Fact::Shadowed { outcome, .. } => Some(outcome.clone()),
        _ => None,
    };
    bench.facts.iter().filter_map(told).collect()
}

#[test]
fn what_a_shadow_would_do_is_told_and_nothing_of_it_is_sent() {
    for (concurrency, expected) in [(8, ShadowOutcome::Same), (3, ShadowOutcome::Differs(vec!["concurrency".into()]))] {
        let shadow = Arc::new(Toy::new(false, 1, concurrency));
        let mut bench = Bench::configured_with(|config| config.lanes[0].shadow = Some(shadow));
        bench.records([event(0, "a"), event(1, "a")]);
        assert_eq!(bench.open(), ["/e0"]);
        bench.answer("/e0", 200);
        bench.answer("/e1", 200);
        assert_eq!(outcomes(&bench), [expected.clone(), expected], "once for each event");
    }
}

#[test]
fn what_both_refuse_is_no_difference() {
    let shadow = Arc::new(Toy::default());
    let mut bench = Bench::configured_with(|config| config.lanes[0].shadow = Some(shadow));
    let refused = br#"{"event_id":"e","idempotency_key":"k","source":"refuse","entity":{"type":"t"}}"#;
    let panics = br#"{"event_id":"e","idempotency_key":"l","source":"panic","entity":{"type":"t"}}"#;
    bench.records([record(0, 0, refused), record(0, 1, panics)]);
    assert_eq!((outcomes(&bench), bench.letters.len()), (vec![], 2));
}

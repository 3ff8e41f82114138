//! What every store keeps whose members share budgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::{Allowance, Draw, Drawn, PARTS, StateStore, StoreError};

const HOUR: Duration = Duration::from_secs(3600);

/// All that is true of shared budgets. `open` gives handles of one store, such as different members have.
pub async fn shares_budgets<S: StateStore>(open: impl AsyncFn() -> S) {
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(Arc::new(open().await));
    }
    assert!(members.iter().all(|member| member.shares_budgets()));
    answers_come_in_order(&*members[0]).await;
    a_bucket_grants_its_burst_and_refills(&members).await;
    no_bucket_grants_more_than_flows_in(&members).await;
    a_long_window_is_used_up_to_the_last_request(&members).await;
    no_stretch_of_time_has_more_than_a_rolling_window_allows(&members).await;
    the_end_of_a_window_opens_the_next(&members).await;
    each_ones_own_allowance_counts_for_itself(&members).await;
    batches_in_any_order_are_all_answered(&members).await;
    what_cannot_be_meant_is_refused(&*members[0]).await;
}

/// A destination that no other test has.
fn draw(allowance: Allowance, wanted: u32) -> Draw {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let destination = format!("d:{{{}}}\0ä", COUNT.fetch_add(1, Ordering::Relaxed)).into();
    Draw { destination, budget: "rate".into(), allowance, wanted }
}

async fn ask<S: StateStore>(store: &S, draw: &Draw) -> Drawn {
    let mut answers = store.draw(std::slice::from_ref(draw)).await.expect("an answer");
    assert_eq!(answers.len(), 1, "one answer to one draw");
    let answer = answers.remove(0);
    assert!(answer.granted <= draw.wanted, "{answer:?} to {draw:?}");
    assert!(answer.granted == 0 || !answer.valid_for.is_zero(), "{answer:?} to {draw:?}");
    assert!(answer.granted > 0 || !answer.again_in.is_zero(), "{answer:?} to {draw:?}");
    answer
}

/// Asks again when that is said to be worth it, and then gets something.
async fn again<S: StateStore>(store: &S, draw: &Draw, last: Drawn) -> Drawn {
    assert_eq!(last.granted, 0);
    sleep(last.again_in).await;
    let next = ask(store, draw).await;
    assert!(next.granted > 0, "{last:?}, and then {next:?} to {draw:?}");
    next
}

async fn answers_come_in_order<S: StateStore>(store: &S) {
    assert_eq!(store.draw(&[]).await, Ok(Vec::new()));
    let window = |requests| Allowance::Rolling { requests, length: HOUR };
    let (one, other) = (draw(window(10), 7), draw(window(20), 7));
    let elsewhere = Draw { budget: "day".into(), ..one.clone() };
    let all = [&one, &other, &one, &elsewhere, &one, &other].map(Clone::clone);
    let granted = |answers: Vec<Drawn>| answers.iter().map(|drawn| drawn.granted).collect::<Vec<_>>();
    assert_eq!(granted(store.draw(&all).await.expect("an answer")), [7, 7, 3, 7, 0, 7], "one after the other");
    assert_eq!(granted(store.draw(&all).await.expect("an answer")), [0, 6, 0, 3, 0, 0]);
}

async fn a_bucket_grants_its_burst_and_refills<S: StateStore>(members: &[Arc<S>]) {
    let one = draw(Allowance::Rate { per_second: 5.0, burst: 10 }, 100);
    let first = ask(&*members[0], &one).await;
    assert_eq!((first.granted, first.valid_for), (10, Duration::from_secs(1)), "it is full at first");
    let mut empty = ask(&*members[1], &one).await;
    assert!(empty.granted < 10, "another member finds it empty: {empty:?}");
    while empty.granted > 0 {
        empty = ask(&*members[1], &one).await;
    }
    assert!(empty.again_in <= Duration::from_millis(200), "{empty:?}");
    again(&*members[2], &one, empty).await;
    sleep(Duration::from_millis(650)).await;
    let some = ask(&*members[0], &one).await.granted;
    assert!((3..=10).contains(&some), "{some} have flowed in");
    sleep(Duration::from_millis(2200)).await;
    assert_eq!(ask(&*members[0], &one).await.granted, 10, "and never more than it holds");

    let slow = draw(Allowance::Rate { per_second: 0.001, burst: 1 }, 1);
    assert_eq!(ask(&*members[0], &slow).await.granted, 1);
    let later = ask(&*members[0], &slow).await;
    assert!((990..=1000).contains(&later.again_in.as_secs()), "{later:?}");
}

async fn no_bucket_grants_more_than_flows_in<S: StateStore>(members: &[Arc<S>]) {
    let (per_second, burst) = (200.0, 30);
    let one = draw(Allowance::Rate { per_second, burst }, 1);
    let start = Instant::now();
    let grants = race(members, &one, Duration::from_millis(1500), 25).await;
    let most = f64::from(burst) + per_second * start.elapsed().as_secs_f64();
    let total = grants.iter().map(|grant| f64::from(grant.granted)).sum::<f64>();
    assert!(total <= most, "{total} of {most}");
    assert!(total >= f64::from(burst) + per_second * 0.7, "{total} of {most}: what has flowed in is there");
}

/// What was granted, and between which moments it was drawn.
#[derive(Debug, Clone, Copy)]
struct Grant {
    asked: Instant,
    answered: Instant,
    granted: u32,
}

/// Several tasks for each member that draw for so long, up to `most` at a time.
async fn race<S: StateStore>(members: &[Arc<S>], of: &Draw, time: Duration, most: u32) -> Vec<Grant> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for (number, member) in members.iter().chain(members).enumerate() {
        let (member, of) = (Arc::clone(member), of.clone());
        let mut random = fastrand::Rng::with_seed(number as u64);
        tasks.spawn(async move {
            let mut grants = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                let wanted = random.u32(1..=most);
                let drawn = ask(&*member, &Draw { wanted, ..of.clone() }).await;
                grants.push(Grant { asked, answered: Instant::now(), granted: drawn.granted });
                sleep(Duration::from_millis(random.u64(..15))).await;
            }
            grants
        });
    }
    tasks.join_all().await.into_iter().flatten().filter(|grant| grant.granted > 0).collect()
}

async fn a_long_window_is_used_up_to_the_last_request<S: StateStore>(members: &[Arc<S>]) {
    let rolling = Allowance::Rolling { requests: 100, length: 10 * HOUR };
    let until = Allowance::Until { requests: 100, ends: SystemTime::now() + HOUR };
    for allowance in [rolling, until] {
        let of = draw(allowance, 1);
        let grants = race(members, &of, Duration::from_millis(300), 7).await;
        let raced: u32 = grants.iter().map(|grant| grant.granted).sum();
        assert!(raced <= 100, "{raced} of {allowance:?}");
        let rest = ask(&*members[0], &Draw { wanted: u32::MAX, ..of.clone() }).await;
        assert_eq!(raced + rest.granted, 100, "no more and no less of {allowance:?}");
        let none = ask(&*members[1], &of).await;
        assert_eq!(none.granted, 0);
        let (least, most) = match allowance {
            // It falls out with the part that it was drawn in, and that part is valid for as long again.
            Allowance::Rolling { length, .. } => (length + length / PARTS, length + 2 * length / PARTS),
            _ => (HOUR - Duration::from_secs(60), HOUR),
        };
        assert!((least - Duration::from_secs(60)..=most).contains(&none.again_in), "{none:?} of {allowance:?}");
    }
}

async fn no_stretch_of_time_has_more_than_a_rolling_window_allows<S: StateStore>(members: &[Arc<S>]) {
    let (requests, length) = (40, Duration::from_millis(800));
    let of = draw(Allowance::Rolling { requests, length }, 1);
    let valid_for = ask(&*members[0], &of).await.valid_for;
    assert_eq!(valid_for, length / PARTS);
    let grants = race(members, &of, Duration::from_millis(3500), 9).await;
    // The first may be made as late as its validity allows, and the last at once.
    let reach = length + valid_for;
    for first in &grants {
        let together = grants.iter().filter(|other| other.asked >= first.asked && other.answered < first.asked + reach);
        let together: u64 = together.map(|grant| u64::from(grant.granted)).sum();
        assert!(together <= requests, "{together} within {reach:?} of {first:?}: {grants:?}");
    }
    let total: u64 = grants.iter().map(|grant| u64::from(grant.granted)).sum();
    assert!(total >= 2 * requests, "{total}: the window moves on");
    let mut last = ask(&*members[0], &Draw { wanted: 100, ..of.clone() }).await;
    for round in 0..3 {
        while last.granted > 0 {
            last = ask(&*members[round], &Draw { wanted: 100, ..of.clone() }).await;
        }
        last = again(&*members[round + 1], &of, last).await;
    }
}

async fn the_end_of_a_window_opens_the_next<S: StateStore>(members: &[Arc<S>]) {
    let ends =
        SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch(SystemTime::now())) + Duration::from_millis(2000);
    let of = draw(Allowance::Until { requests: 5, ends }, 9);
    let first = ask(&*members[0], &of).await;
    assert_eq!(first.granted, 5);
    assert!(first.valid_for <= Duration::from_millis(2000), "{first:?}");
    let nearly = Allowance::Until { requests: 5, ends: ends + Duration::from_micros(400) };
    let none = ask(&*members[1], &Draw { allowance: nearly, ..of.clone() }).await;
    assert_eq!(none.granted, 0, "to the nearest millisecond, it is the same window");
    let next = Draw { allowance: Allowance::Until { requests: 5, ends: ends + HOUR }, ..of.clone() };
    assert_eq!(ask(&*members[1], &next).await.granted, 5, "another moment is another window");
    sleep(none.again_in).await;
    let past = ask(&*members[2], &of).await;
    assert_eq!((past.granted, past.again_in), (0, Duration::from_secs(1)), "it has ended");
    let ancient = Allowance::Until { requests: 5, ends: SystemTime::UNIX_EPOCH - HOUR };
    assert_eq!(ask(&*members[2], &draw(ancient, 1)).await.granted, 0);
    let after = Draw { allowance: Allowance::Until { requests: 5, ends: ends + 2 * HOUR }, ..of };
    again(&*members[3], &after, Drawn { again_in: Duration::ZERO, ..none }).await;
}

fn since_epoch(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn each_ones_own_allowance_counts_for_itself<S: StateStore>(members: &[Arc<S>]) {
    let ends = SystemTime::now() + HOUR;
    let of = |kind: u8, requests: u32| match kind {
        0 => Allowance::Rate { per_second: 0.001, burst: requests },
        1 => Allowance::Rolling { requests: requests.into(), length: HOUR },
        _ => Allowance::Until { requests: requests.into(), ends },
    };
    for kind in 0..3 {
        let small = draw(of(kind, 10), 100);
        let large = Draw { allowance: of(kind, 15), ..small.clone() };
        assert_eq!(ask(&*members[0], &small).await.granted, 10);
        assert_eq!(ask(&*members[1], &large).await.granted, 5, "together no more than the larger one allows");
        assert_eq!(ask(&*members[0], &small).await.granted, 0);
        assert_eq!(ask(&*members[1], &large).await.granted, 0);
    }
    // What was drawn under a short window is forgotten after a short time, also by who has a long one.
    let (short, long) = (Duration::from_millis(1000), HOUR);
    let one = draw(Allowance::Rolling { requests: 10, length: short }, 10);
    let other = Draw { allowance: Allowance::Rolling { requests: 10, length: long }, ..one.clone() };
    assert_eq!(ask(&*members[0], &one).await.granted, 10);
    let none = ask(&*members[1], &other).await;
    again(&*members[1], &other, none).await;
    let none = ask(&*members[0], &one).await;
    assert!(none.granted == 0 && none.again_in >= long, "{none:?}");
}

async fn batches_in_any_order_are_all_answered<S: StateStore>(members: &[Arc<S>]) {
    let ends = SystemTime::now() + HOUR;
    let budgets: Vec<_> = (0..12)
        .map(|number| match number % 3 {
            0 => draw(Allowance::Rate { per_second: 0.0001, burst: 100 }, 3),
            1 => draw(Allowance::Rolling { requests: 100, length: HOUR }, 3),
            _ => draw(Allowance::Until { requests: 100, ends }, 3),
        })
        .collect();
    let mut tasks = JoinSet::new();
    for (number, member) in members.iter().chain(members).enumerate() {
        let (member, budgets) = (Arc::clone(member), budgets.clone());
        let mut random = fastrand::Rng::with_seed(number as u64);
        tasks.spawn(async move {
            let mut granted = vec![0; budgets.len()];
            for _ in 0..20 {
                let order: Vec<_> = (0..20).map(|_| random.usize(..budgets.len())).collect();
                let draws: Vec<_> = order.iter().map(|number| budgets[*number].clone()).collect();
                let answers = member.draw(&draws).await.expect("an answer");
                order.iter().zip(answers).for_each(|(number, drawn)| granted[*number] += drawn.granted);
            }
            granted
        });
    }
    let mut total = vec![0; budgets.len()];
    for granted in tasks.join_all().await {
        granted.iter().zip(&mut total).for_each(|(granted, total)| *total += granted);
    }
    assert_eq!(total, vec![100; budgets.len()]);
}

async fn what_cannot_be_meant_is_refused<S: StateStore>(store: &S) {
    for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let answer = store.draw(&[draw(Allowance::Rate { per_second, burst: 1 }, 1)]).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    }
    let nothing = Allowance::Rolling { requests: 0, length: HOUR };
    assert!(ask(store, &draw(nothing, 1)).await.again_in >= HOUR);
    let all = Allowance::Rolling { requests: u64::MAX, length: Duration::MAX };
    assert_eq!(ask(store, &draw(all, u32::MAX)).await.granted, u32::MAX);
    for (per_second, second) in [(f64::MIN_POSITIVE, 0), (f64::MAX, 1)] {
        let extreme = draw(Allowance::Rate { per_second, burst: 1 }, 1);
        assert_eq!(ask(store, &extreme).await.granted, 1);
        sleep(Duration::from_millis(5)).await;
        assert_eq!(ask(store, &extreme).await.granted, second);
    }
}

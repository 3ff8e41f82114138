//! What is done to them, by seed: four tracks beside each other, until their time is over.

use std::sync::Arc;
use std::time::Duration;

use syncline_fakes::servicenow::{Fault, Rule, ServiceNow};
use tokio::time::{Instant, sleep};

use super::deck::Deck;
use super::kafka::Brokers;
use super::log::Log;
use super::member::{Place, SESSION, Shared, TIMEOUT};
use super::proxy::{Broken, Proxy, Way};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[derive(Debug, Clone, Copy)]
enum ToMember {
    Kill,
    StopShortly,
    StopForLong,
    /// While one is suspended, all others are killed in the middle of repeating what it had not committed.
    KillSuccessors,
    Restart,
    Add,
    Remove,
}

/// Kills, suspends, restarts, adds and removes members. Gives their places back, all but the last one taken.
pub(super) async fn members(mut places: Vec<Place>, shared: Shared, seed: u64, end: Instant) -> Vec<Place> {
    use ToMember::{Add, Kill, KillSuccessors, Remove, Restart, StopForLong, StopShortly};
    let mut deck = Deck::new(
        &[Kill, StopForLong, KillSuccessors, Kill, StopShortly, Restart, StopForLong, Add, Remove],
        seed,
        end,
    );
    while let Some((number, card)) = deck.draw() {
        sleep(ms(deck.dice.u64(500..3000))).await;
        let taken: Vec<usize> = (0..places.len()).filter(|at| !places[*at].is_empty()).collect();
        let free = (0..places.len()).find(|at| places[*at].is_empty());
        let chosen = *deck.dice.choice(&taken).expect("somebody lives");
        let place = &mut places[chosen];
        match (card, free) {
            (Kill, _) => {
                place.kill(&shared).await;
                sleep(ms(deck.dice.u64(0..2000))).await;
                place.start(&shared);
            }
            (StopShortly, _) => {
                let suspended = place.suspend(&shared).await;
                sleep(ms(deck.dice.u64(1000..4000))).await;
                place.resume(&shared, suspended).await;
            }
            (StopForLong, _) => {
                let suspended = place.suspend(&shared).await;
                sleep(SESSION + ms(deck.dice.u64(2000..7000))).await;
                place.resume(&shared, suspended).await;
            }
            (KillSuccessors, _) => {
                let suspended = place.suspend(&shared).await;
                sleep(ms(deck.dice.u64(6100..10_000))).await;
                let others: Vec<usize> = taken.into_iter().filter(|other| *other != chosen).collect();
                for other in &others {
                    places[*other].kill(&shared).await;
                }
                sleep(ms(deck.dice.u64(0..1000))).await;
                places[chosen].resume(&shared, suspended).await;
                sleep(ms(deck.dice.u64(0..3000))).await;
                others.into_iter().for_each(|other| places[other].start(&shared));
            }
            (Restart, _) => {
                place.stop(&shared, "member restarted").await;
                place.start(&shared);
            }
            (Remove, _) if taken.len() > 2 => drop(place.stop(&shared, "member removed").await),
            (Add | Remove, Some(free)) => add(&mut places[free], &shared),
            (Add | Remove, None) => drop(place.stop(&shared, "member removed").await),
        }
        deck.played(number);
        for place in &mut places {
            if let Some(death) = place.has_died() {
                panic!("{death}");
            }
        }
    }
    let last = places.len() - 1;
    for place in places[..last].iter_mut().filter(|place| place.is_empty()) {
        place.start(&shared);
    }
    places
}

fn add(place: &mut Place, shared: &Shared) {
    let from = shared.log.now();
    place.start(shared);
    shared.log.fault("member added", Some(place.name()), from, 1);
}

/// What the CRM does wrong.
fn crm_faults() -> Vec<(&'static str, Rule)> {
    vec![
        ("CRM 503", Rule::new(Fault::html(503)).probability(0.3, 1)),
        ("CRM 429", Rule::new(Fault::throttle(1)).at_most(20)),
        ("CRM 500 after commit", Rule::new(Fault::status(500)).writes().after_commit().probability(0.1, 2)),
        ("CRM 500", Rule::new(Fault::status(500)).probability(0.1, 3)),
        ("CRM reset", Rule::new(Fault::Reset).probability(0.1, 4)),
        ("CRM reset after commit", Rule::new(Fault::Reset).writes().after_commit().probability(0.1, 5)),
        ("CRM cut body", Rule::new(Fault::CutBody).writes().after_commit().probability(0.1, 6)),
        ("CRM broken JSON", Rule::new(Fault::BrokenJson).method("POST").after_commit().probability(0.1, 7)),
        ("CRM hangs", Rule::new(Fault::Hang).probability(0.04, 8)),
        ("CRM hangs after commit", Rule::new(Fault::Hang).writes().after_commit().probability(0.04, 9)),
        ("CRM slow", Rule::new(Fault::Delay(ms(400))).probability(0.3, 10)),
        ("CRM slow body", Rule::new(Fault::SlowBody(ms(800))).probability(0.1, 11)),
        ("CRM login page", Rule::new(Fault::LoginPage).at_most(1)),
    ]
}

/// How many of the kinds can be relied on to happen.
pub(super) fn kinds(brokers: u32) -> Vec<String> {
    let members = ["member killed", "member stopped shortly", "member stopped for long", "member restarted"];
    let more = ["member added", "member removed", "broker restarted", "broker killed"];
    let wires = WIRE.iter().map(|(kind, ..)| format!("wire to the CRM {kind}"));
    let broker_wires = WIRE.iter().map(|(kind, ..)| format!("wire to the broker {kind}"));
    let away = (brokers > 1).then_some("broker away".to_owned());
    let plain = members.into_iter().chain(more).map(str::to_owned);
    plain
        .chain(crm_faults().into_iter().map(|(kind, _)| kind.to_owned()))
        .chain(wires)
        .chain(broker_wires)
        .chain(away)
        .collect()
}

/// Makes the CRM misbehave.
pub(super) async fn crm(crm: Arc<ServiceNow>, log: Arc<Log>, seed: u64, end: Instant) {
    let faults = crm_faults();
    let mut deck = Deck::new(&vec![(); faults.len()], seed, end);
    while let Some((number, ())) = deck.draw() {
        sleep(ms(deck.dice.u64(300..1500))).await;
        let (kind, rule) = &faults[number];
        let from = log.now();
        let id = crm.add_rule(rule.clone());
        sleep(ms(deck.dice.u64(1000..3000))).await;
        insist(|| crm.fired(id) > 0).await;
        let fired = crm.fired(id);
        if fired > 0 {
            deck.played(number);
        }
        crm.remove_rule(id);
        log.fault(kind, None, from, fired);
    }
}

/// Waits a little longer for a fault that had no effect yet.
async fn insist(has_fired: impl Fn() -> bool) {
    let end = Instant::now() + ms(3000);
    while !has_fired() && Instant::now() < end {
        sleep(ms(50)).await;
    }
}

/// How a wire breaks: the kind, what it does, and to which share of the chunks on the way to the CRM.
const WIRE: [(&str, Broken, f64); 5] = [
    ("delays", Broken::Delay(Duration::from_millis(300)), 0.3),
    ("is cut", Broken::Cut, 0.1),
    ("truncates", Broken::Truncate, 0.1),
    ("is a black hole", Broken::BlackHole, 0.03),
    ("resets", Broken::Reset, 0.1),
];

/// Breaks the wires between members and CRM.
pub(super) async fn crm_wires(wires: Vec<Arc<Proxy>>, log: Arc<Log>, seed: u64, end: Instant) {
    let cards: Vec<_> = WIRE.iter().flat_map(|broken| [(*broken, Way::Up), (*broken, Way::Down)]).collect();
    let mut deck = Deck::new(&cards, seed, end);
    while let Some((number, ((kind, broken, share), way))) = deck.draw() {
        sleep(ms(deck.dice.u64(300..2000))).await;
        let from = log.now();
        for wire in &wires {
            wire.break_it(broken, way, share, deck.dice.u64(..));
        }
        let longest = if broken == Broken::BlackHole { TIMEOUT + ms(2000) } else { ms(3000) };
        sleep(ms(deck.dice.u64(1000..u64::try_from(longest.as_millis()).expect("a few seconds")))).await;
        insist(|| wires.iter().any(|wire| wire.fired() > 0)).await;
        let fired = wires.iter().map(|wire| wire.mend()).sum();
        if fired > 0 {
            deck.played(number);
        }
        log.fault(&format!("wire to the CRM {kind}"), None, from, fired);
    }
}

#[derive(Debug, Clone, Copy)]
enum ToBroker {
    Restart,
    Kill,
    /// Gone for longer, so that others lead its partitions.
    Away,
    Wire(&'static str, Broken, Way),
}

/// Restarts and kills brokers, and breaks their wires, one thing at a time.
pub(super) async fn brokers(brokers: Arc<Brokers>, log: Arc<Log>, seed: u64, end: Instant) {
    let count = u32::try_from(brokers.proxies.len()).expect("a few");
    let mut cards: Vec<_> = WIRE.iter().map(|(kind, broken, _)| ToBroker::Wire(kind, *broken, Way::Down)).collect();
    cards.push(ToBroker::Wire("is a black hole", Broken::BlackHole, Way::Up));
    cards.extend([ToBroker::Restart, ToBroker::Kill]);
    cards.extend((count > 1).then_some(ToBroker::Away));
    let mut deck = Deck::new(&cards, seed, end);
    while let Some((number, card)) = deck.draw() {
        sleep(ms(deck.dice.u64(2000..6000))).await;
        let node = deck.dice.u32(1..=count);
        let from = log.now();
        let mut fired = 1;
        let kind = match card {
            ToBroker::Restart => {
                brokers.stop(node).await;
                brokers.start_again(node).await;
                "broker restarted".to_owned()
            }
            ToBroker::Kill => {
                brokers.kill(node).await;
                brokers.start_again(node).await;
                "broker killed".to_owned()
            }
            ToBroker::Away => {
                brokers.stop(node).await;
                sleep(ms(deck.dice.u64(5000..10_000))).await;
                brokers.start_again(node).await;
                "broker away".to_owned()
            }
            ToBroker::Wire(kind, broken, way) => {
                for proxy in &brokers.proxies {
                    proxy.break_it(broken, way, 1.0, 0);
                }
                sleep(ms(deck.dice.u64(500..2500))).await;
                insist(|| brokers.proxies.iter().any(|proxy| proxy.fired() > 0)).await;
                fired = brokers.proxies.iter().map(Proxy::mend).sum();
                format!("wire to the broker {kind}")
            }
        };
        if fired > 0 {
            deck.played(number);
        }
        log.fault(&kind, None, from, fired);
    }
}

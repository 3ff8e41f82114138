//! One limit of a destination, of ours alone or shared with other members.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::bucket::{Bucket, Rate};
use super::window::{Learned, Place, Window};
use super::{BudgetStatus, Quota};
use crate::core::Now;
use crate::state::{Allowance, Draw, Drawn};

/// One limit of a destination.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) name: Arc<str>,
    kind: Kind,
    /// Where members share it.
    wallet: Option<Wallet>,
}

#[derive(Debug)]
enum Kind {
    Rate(Bucket),
    Window(Window),
}

/// Requests that have been granted to us.
#[derive(Debug, Default)]
struct Wallet {
    left: u32,
    until: Duration,
    /// Since when an answer is awaited.
    asked: Option<Duration>,
    /// When to ask again after nothing was granted.
    not_before: Duration,
    /// The store can't be asked: until then what is decided here has to do.
    alone_until: Duration,
}

/// Whether a budget has room for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Not before that time.
    Blocked(Duration),
    /// The other members have to be asked.
    Undrawn,
}

/// What is drawn at once: enough for a tenth of a second, or the hundredth part of a window.
const PORTION_OF_RATE: f64 = 0.1;
const PORTION_OF_WINDOW: u64 = 100;
/// How long a store that doesn't answer isn't asked again.
const ALONE: Duration = Duration::from_secs(1);

impl Budget {
    pub(super) fn rate(rate: Rate, shared: bool) -> Self {
        Self { name: "rate".into(), kind: Kind::Rate(Bucket::new(rate)), wallet: shared.then(Wallet::default) }
    }

    pub(super) fn quota(quota: &Quota, shared: bool, now: Now) -> Self {
        let place = if quota.aligned { next_boundary(quota.window, now) } else { Place::Rolling };
        let window = Window::new(quota.requests, quota.reserve, quota.window, place);
        Self { name: Arc::clone(&quota.name), kind: Kind::Window(window), wallet: shared.then(Wallet::default) }
    }

    pub(super) fn learned(name: &'static str, learned: Learned, reserve: f64, shared: bool, now: Duration) -> Self {
        let window = Window::learned(learned, reserve, now);
        Self { name: name.into(), kind: Kind::Window(window), wallet: shared.then(Wallet::default) }
    }

    /// Whether it has room for so many requests, which are all that a conversation takes. A rate doesn't keep one
    /// waiting for long, and other members' draws can't be waited for together: these count the first only.
    pub(super) fn room(&mut self, requests: u64, now: Duration) -> Room {
        if let Kind::Window(window) = &mut self.kind
            && window.is_unknown(now)
        {
            return Room::Free;
        }
        let blocked = match (&mut self.kind, &self.wallet) {
            // The bucket is the shared one, unless the store can't be asked.
            (Kind::Rate(_), Some(wallet)) if now >= wallet.alone_until => None,
            (Kind::Rate(bucket), _) => bucket.blocked(now),
            (Kind::Window(window), _) => window.blocked(requests, now),
        };
        match (blocked, &self.wallet) {
            (Some(at), _) => Room::Blocked(at),
            (None, Some(wallet)) if !wallet.has(now) => match wallet.not_before > now {
                true => Room::Blocked(wallet.not_before),
                false => Room::Undrawn,
            },
            (None, _) => Room::Free,
        }
    }

    /// The most requests that it ever has room for at once.
    pub(super) fn most(&self) -> u64 {
        match &self.kind {
            Kind::Rate(_) => u64::MAX,
            Kind::Window(window) => window.ours(),
        }
    }

    pub(super) fn take(&mut self, now: Duration) {
        match &mut self.kind {
            Kind::Rate(bucket) => bucket.take(),
            Kind::Window(window) => window.take(now),
        }
        if let Some(wallet) = &mut self.wallet {
            wallet.left = wallet.left.saturating_sub(1);
        }
    }

    pub(super) fn ended(&mut self, now: Duration, made: bool) {
        match &mut self.kind {
            Kind::Rate(bucket) if !made => bucket.give_back(),
            Kind::Rate(_) => {}
            Kind::Window(window) => window.ended(now, made),
        }
    }

    pub(super) fn learn(&mut self, learned: Learned, sent_since: u64, now: Duration) {
        if let Kind::Window(window) = &mut self.kind {
            window.learn(learned, sent_since, now);
        }
    }

    /// What to ask the other members for, if they have to be asked now.
    pub(super) fn draw(&mut self, destination: &Arc<str>, wanted: usize, now: Duration) -> Option<Draw> {
        let has_room = self.room(1, now) == Room::Undrawn;
        let wallet = self.wallet.as_mut().filter(|wallet| has_room && wallet.asked.is_none())?;
        let (allowance, portion) = match &self.kind {
            Kind::Rate(bucket) => {
                let Rate { per_second, burst } = bucket.rate();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a portion")]
                let portion = (per_second * PORTION_OF_RATE) as u64;
                (Allowance::Rate { per_second, burst }, portion)
            }
            Kind::Window(window) => {
                let requests = window.ours();
                let allowance = match window.place() {
                    Place::Rolling => Allowance::Rolling { requests, length: window.length() },
                    Place::Until { named, .. } => Allowance::Until { requests, ends: named },
                };
                (allowance, requests / PORTION_OF_WINDOW)
            }
        };
        wallet.asked = Some(now);
        let portion = usize::try_from(portion).unwrap_or(usize::MAX).max(1);
        let wanted = u32::try_from(wanted.clamp(1, portion)).unwrap_or(u32::MAX);
        Some(Draw { destination: Arc::clone(destination), budget: Arc::clone(&self.name), allowance, wanted })
    }

    pub(super) fn drawn(&mut self, drawn: Option<Drawn>, now: Duration) {
        let Some(wallet) = &mut self.wallet else { return };
        let asked = wallet.asked.take().unwrap_or(now);
        match drawn {
            Some(drawn) => {
                wallet.left = drawn.granted;
                // The grant is older than its answer.
                wallet.until = asked.saturating_add(drawn.valid_for);
                wallet.not_before = if drawn.granted == 0 { now.saturating_add(drawn.again_in) } else { now };
                // A store that takes longer to answer than its answer holds can't be gone by.
                if drawn.granted > 0 && wallet.until <= now {
                    wallet.alone_until = now.saturating_add(ALONE);
                }
            }
            // It may have taken long to say nothing, and will the next time.
            None => wallet.alone_until = now.saturating_add(ALONE.max(now.saturating_sub(asked))),
        }
    }

    pub(super) fn status(&mut self, now: Duration) -> Option<BudgetStatus> {
        let Kind::Window(window) = &mut self.kind else { return None };
        let used = window.used(now);
        Some(BudgetStatus { name: Arc::clone(&self.name), limit: window.limit(), used, ours: window.ours() })
    }
}

impl Wallet {
    fn has(&self, now: Duration) -> bool {
        (self.left > 0 && now < self.until) || now < self.alone_until
    }
}

/// The next multiple of the window's length since 1970.
fn next_boundary(window: Duration, now: Now) -> Place {
    let since = now.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let length = window.as_nanos().max(1);
    let left = u64::try_from(length - since.as_nanos() % length).map_or(Duration::MAX, Duration::from_nanos);
    let named = now.wall.checked_add(left).unwrap_or(now.wall);
    Place::Until { end: now.mono.saturating_add(left), named }
}

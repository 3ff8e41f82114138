//! How many conversations a destination takes at a time: fixed, or found out (additive increase,
//! multiplicative decrease).

use std::time::Duration;

/// Conversations under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// As many, as long as nothing is wrong.
    Fixed(usize),
    /// As many as the destination answers without getting slow, between these bounds.
    Adaptive {
        /// At least 1.
        min: usize,
        /// Not less than `min`.
        max: usize,
    },
}

impl Concurrency {
    /// The most.
    #[must_use]
    pub fn max(self) -> usize {
        match self {
            Self::Fixed(number) => number,
            Self::Adaptive { max, .. } => max,
        }
    }
}

/// The present limit.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    bounds: Concurrency,
    limit: f64,
    /// Latencies by the step of a conversation: a write takes longer than a look-up.
    steps: Vec<Step>,
    /// Whether the limit was reached in this round: otherwise it has proven nothing.
    reached: bool,
    /// Rounds of this period.
    rounds: u32,
    /// The limit to go back to, while a quarter of it is tried to see what is usual.
    tried: Option<f64>,
    refused: Option<Duration>,
}

/// A round of one kind of request: as many answers as conversations may be under way.
#[derive(Debug)]
struct Step {
    name: &'static str,
    latencies: Vec<Duration>,
    /// What a round takes that is unhurried.
    usual: Option<Duration>,
}

/// A round has this many answers at least: fewer prove little.
const LEAST_ANSWERS: usize = 8;
/// A round that takes this many times as long as usual, and this much longer, is a sign of overload.
const SLOW: u32 = 2;
const SLOW_BY: Duration = Duration::from_millis(50);
/// Rounds of a period. What is usual changes with time, and is seen only with less load: each period
/// begins with two rounds of each step at a quarter of the limit, the second of which tells.
const PERIOD: u32 = 200;
const TRIED: usize = 2;
/// Refusals within this time are one.
const TOGETHER: Duration = Duration::from_secs(1);
const DECREASE_FOR_LATENCY: f64 = 0.8;
const DECREASE_FOR_REFUSAL: f64 = 0.5;
/// Conversations have fewer kinds of requests than this.
const MOST_STEPS: usize = 16;

impl ConcurrencyLimit {
    /// Starts low, so that it is seen what is usual.
    pub(super) fn new(bounds: Concurrency) -> Self {
        let limit = match bounds {
            Concurrency::Fixed(number) => number,
            Concurrency::Adaptive { min, max } => min.max(max / 4).max(1),
        };
        let limit = float(limit);
        Self { bounds, limit, steps: Vec::new(), reached: false, rounds: 0, tried: None, refused: None }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between two bounds")]
    pub(super) fn now(&self) -> usize {
        self.limit as usize
    }

    /// A request of that step has succeeded after that time, while `under_way` conversations were.
    pub(super) fn answered(&mut self, step: &'static str, latency: Duration, under_way: usize) {
        let Concurrency::Adaptive { min, max } = self.bounds else { return };
        self.reached |= under_way >= self.now();
        let least = LEAST_ANSWERS.max(self.now());
        if self.steps.iter().all(|known| known.name != step) && self.steps.len() < MOST_STEPS {
            self.steps.push(Step { name: step, latencies: Vec::new(), usual: None });
        }
        let Some(index) = self.steps.iter().position(|known| known.name == step) else { return };
        let Some(step) = self.steps.get_mut(index) else { return };
        let Some(median) = step.answered(latency, least) else { return };
        self.rounds += 1;
        let steps = self.steps.len();
        // With as little load as there can be, whatever it takes is not our doing.
        let is_calm = self.now() <= min || (self.tried.is_some() && self.rounds as usize > steps);
        let is_slow = self.steps.get_mut(index).is_some_and(|step| step.judge(median, is_calm));
        if self.rounds == PERIOD {
            self.rounds = 0;
            self.tried = Some(self.limit);
            self.limit = (self.limit / 4.0).max(float(min));
        } else if self.rounds as usize >= TRIED * steps
            && let Some(limit) = self.tried.take()
        {
            self.limit = limit;
        } else if self.tried.is_none() && is_slow {
            self.limit = (self.limit * DECREASE_FOR_LATENCY).max(float(min));
        } else if self.tried.is_none() && self.reached {
            self.limit = (self.limit + 1.0).min(float(max));
        }
        self.reached = false;
    }

    /// The destination has refused, or not answered in time. Requests that were under way together
    /// are refused together, and count once.
    pub(super) fn refused(&mut self, now: Duration) {
        let Concurrency::Adaptive { min, .. } = self.bounds else { return };
        if self.refused.is_none_or(|last| now.saturating_sub(last) >= TOGETHER) {
            self.refused = Some(now);
            let limit = self.tried.take().unwrap_or(self.limit);
            self.limit = (limit * DECREASE_FOR_REFUSAL).max(float(min));
            self.steps.iter_mut().for_each(|step| step.latencies.clear());
            self.reached = false;
        }
    }
}

impl Step {
    /// The median of a round that ends with this answer.
    fn answered(&mut self, latency: Duration, least: usize) -> Option<Duration> {
        self.latencies.push(latency);
        if self.latencies.len() < least {
            return None;
        }
        // A single answer may take long for reasons of its own.
        let middle = self.latencies.len() / 2;
        let (_, median, _) = self.latencies.select_nth_unstable(middle);
        let median = *median;
        self.latencies.clear();
        Some(median)
    }

    /// Whether a round was slow. A calm one is usual, however long it took.
    fn judge(&mut self, median: Duration, is_calm: bool) -> bool {
        let usual = self.usual.filter(|_| !is_calm).unwrap_or(median);
        self.usual = Some(usual.min(median));
        median > usual * SLOW && median > usual + SLOW_BY
    }
}

#[allow(clippy::cast_precision_loss, reason = "a small number")]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that works at so many requests at a time, each for 100 ms, and lets the others wait.
    fn latency(under_way: usize, workers: usize) -> Duration {
        Duration::from_millis(100) * u32::try_from(under_way.div_ceil(workers)).unwrap()
    }

    fn run(limit: &mut ConcurrencyLimit, answers: u32, workers: usize) -> (usize, usize) {
        let (mut least, mut most) = (usize::MAX, 0);
        for _ in 0..answers {
            let under_way = limit.now();
            limit.answered("put", latency(under_way, workers), under_way);
            (least, most) = (least.min(limit.now()), most.max(limit.now()));
        }
        (least, most)
    }

    #[test]
    fn it_finds_what_the_server_can_do() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 1, max: 64 });
        run(&mut limit, 2000, 20);
        let (least, most) = run(&mut limit, 100_000, 20);
        assert!(least >= 4 && most <= 42, "{least} to {most}");
        // The server loses most of its workers.
        run(&mut limit, 400, 5);
        let (_, most) = run(&mut limit, 100_000, 5);
        assert!(most <= 11, "{most}");
    }

    #[test]
    fn bounds_hold() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 2, max: 8 });
        assert_eq!(limit.now(), 2);
        run(&mut limit, 300, 1000);
        assert_eq!(limit.now(), 8);
        (0..10).for_each(|_| limit.refused(Duration::from_secs(9)));
        assert_eq!(limit.now(), 4, "they were under way together");
        (0..10).for_each(|second| limit.refused(Duration::from_secs(10 + second)));
        assert_eq!(limit.now(), 2);
        let mut fixed = ConcurrencyLimit::new(Concurrency::Fixed(5));
        fixed.refused(Duration::ZERO);
        run(&mut fixed, 1000, 1);
        assert_eq!(fixed.now(), 5);
    }

    #[test]
    fn writes_may_take_longer_than_look_ups_and_one_answer_much_longer() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 1, max: 8 });
        for number in 0..2000_u64 {
            // All look-ups of a round come before its writes.
            let (step, millis) = if number % 16 < 8 { ("look_up", 10) } else { ("create", 400) };
            let millis = if number % 40 == 0 { 20_000 } else { millis };
            let under_way = limit.now();
            limit.answered(step, Duration::from_millis(millis), under_way);
            // A quarter is tried now and then.
            assert!(number < 300 || limit.now() >= 2, "{number}: {}", limit.now());
        }
    }

    #[test]
    fn what_is_hardly_used_does_not_grow() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 2, max: 8 });
        (0..1000).for_each(|_| limit.answered("put", Duration::from_millis(5), 1));
        assert_eq!(limit.now(), 2);
    }

    #[test]
    fn a_server_that_is_slow_for_good_is_used_again() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 1, max: 8 });
        run(&mut limit, 200, 1000);
        for _ in 0..2000 {
            let under_way = limit.now();
            limit.answered("put", Duration::from_secs(1), under_way);
        }
        assert!(limit.now() >= 4, "another network, another latency");
    }

    #[test]
    fn what_less_load_does_not_mend_is_not_our_doing() {
        let mut limit = ConcurrencyLimit::new(Concurrency::Adaptive { min: 1, max: 16 });
        run(&mut limit, 2000, 1000);
        assert_eq!(limit.now(), 16);
        // All of a sudden everything takes three times as long, at any load.
        let mut answers = 0;
        while answers < 400 {
            let under_way = limit.now();
            limit.answered("put", Duration::from_millis(300), under_way);
            answers += 1;
        }
        assert!(limit.now() >= 8, "{} after {answers} answers", limit.now());
    }
}

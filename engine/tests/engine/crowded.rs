//! A CRM that throttles by the clock's hour, by any 10 seconds and by any 24 hours, and is used by others,
//! too. It tells of its limits the way that three providers do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use syncline_engine::transport::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault};
use syncline_sdk::{Batch, Bytes, CrmConnector, Endpoint, Event, Outbound, Progress, QuotaReading, Reason, Reply};
use tokio::time::Instant;

use super::parts::{Toy, toy};

pub const TEN: Duration = Duration::from_secs(10);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
/// A Monday, half past some hour.
const START: u64 = 1_800_001_800;

/// The limits, of requests by all programs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub ten_seconds: usize,
    pub hour: usize,
    pub day: usize,
}

/// What others do, and how the CRM is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Requests of others in a second.
    pub others: f64,
    /// From when to when it answers 503, or not at all.
    pub outage: Option<(Duration, Duration)>,
}

#[derive(Debug, Clone)]
pub struct Crm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    limits: Option<Limits>,
    weather: Weather,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    random: fastrand::Rng,
    /// Requests of the last day, by all.
    taken: VecDeque<Duration>,
    others_until: Duration,
    statuses: BTreeMap<u16, usize>,
    refused_by: BTreeMap<&'static str, usize>,
    effects: usize,
    last_of_entity: BTreeMap<String, i64>,
    out_of_order: usize,
    under_way: usize,
    most_under_way: usize,
}

impl State {
    /// Others spread their requests evenly.
    fn let_others(&mut self, now: Duration, weather: Weather) {
        if weather.others <= 0.0 {
            return;
        }
        let each = Duration::from_secs_f64(1.0 / weather.others);
        while self.others_until + each <= now {
            self.others_until += each;
            let at = self.taken.partition_point(|taken| *taken <= self.others_until);
            self.taken.insert(at, self.others_until);
        }
    }

    fn within(&self, now: Duration, length: Duration) -> usize {
        self.taken.len() - self.taken.partition_point(|taken| *taken + length <= now)
    }

    /// Of the present clock hour.
    fn this_hour(&self, now: Duration) -> (usize, u64) {
        let wall = START + now.as_secs();
        let reset = wall / 3600 * 3600 + 3600;
        let begin = Duration::from_secs(reset.saturating_sub(3600).saturating_sub(START));
        (self.taken.len() - self.taken.partition_point(|taken| *taken < begin), reset)
    }

    fn request(&mut self, now: Duration, limits: Option<Limits>) -> Reply {
        let mut headers = vec![("date".to_owned(), httpdate(now))];
        let mut status = 200;
        while self.taken.front().is_some_and(|taken| *taken + DAY <= now) {
            self.taken.pop_front();
        }
        if let Some(limits) = limits {
            let (hour, reset) = self.this_hour(now);
            let full = [
                ("ten", self.within(now, TEN) >= limits.ten_seconds),
                ("hour", hour >= limits.hour),
                ("day", self.taken.len() >= limits.day),
            ];
            let refused_by = full.into_iter().find(|(_, full)| *full).map(|(name, _)| name);
            if refused_by.is_none() {
                self.taken.push_back(now);
            } else {
                status = 429;
                *self.refused_by.entry(refused_by.unwrap_or_default()).or_default() += 1;
            }
            let left = limits.ten_seconds.saturating_sub(self.within(now, TEN));
            let mut say = |name: &str, value: String| headers.push((name.to_owned(), value));
            if let Some(name) = refused_by {
                say("x-refused-by", name.to_owned());
            }
            say("x-hour-limit", limits.hour.to_string());
            say("x-hour-reset", reset.to_string());
            say("x-ten-max", limits.ten_seconds.to_string());
            say("x-ten-remaining", left.to_string());
            say("x-day-usage", format!("{}/{}", self.taken.len(), limits.day));
        }
        *self.statuses.entry(status).or_default() += 1;
        Reply { status, headers, body: Bytes::new() }
    }
}

fn httpdate(now: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(START) + now)
}

impl Crm {
    pub fn new(limits: Option<Limits>, weather: Weather) -> Self {
        let state = State { random: fastrand::Rng::with_seed(3), ..State::default() };
        Self(Arc::new(Inner { start: Instant::now(), limits, weather, state: Mutex::new(state) }))
    }

    pub fn count(&self, status: u16) -> usize {
        self.0.state.lock().unwrap().statuses.get(&status).copied().unwrap_or_default()
    }

    pub fn refused_by(&self) -> BTreeMap<&'static str, usize> {
        self.0.state.lock().unwrap().refused_by.clone()
    }

    pub fn requests(&self) -> usize {
        self.0.state.lock().unwrap().statuses.values().sum()
    }

    /// Requests that took effect, and how many of them came before an earlier one of their entity.
    pub fn effects(&self) -> (usize, usize) {
        let state = self.0.state.lock().unwrap();
        (state.effects, state.out_of_order)
    }

    pub fn most_under_way(&self) -> usize {
        self.0.state.lock().unwrap().most_under_way
    }

    fn answer(&self, path: &str) -> Result<Reply, TransportFault> {
        let Inner { start, limits, weather, state } = &*self.0;
        let now = start.elapsed();
        let mut state = state.lock().unwrap();
        if weather.outage.is_some_and(|(from, to)| (from..to).contains(&now)) {
            *state.statuses.entry(503).or_default() += 1;
            let message = "told to".to_owned();
            return match state.random.u8(..3) {
                0 => Err(TransportFault { sent: Sent::Unsent, kind: FaultKind::Connection, message }),
                1 => Err(TransportFault { sent: Sent::Maybe, kind: FaultKind::Timeout, message }),
                _ => Ok(Reply { status: 503, headers: Vec::new(), body: Bytes::new() }),
            };
        }
        state.let_others(now, *weather);
        let reply = state.request(now, *limits);
        if reply.status == 200 {
            let (entity, offset) = path.trim_start_matches("/e").split_once('-').unwrap();
            let offset: i64 = offset.parse().unwrap();
            let before = state.last_of_entity.insert(entity.to_owned(), offset);
            state.out_of_order += usize::from(before.is_some_and(|before| before >= offset));
            state.effects += 1;
        }
        Ok(reply)
    }
}

#[async_trait]
impl HttpTransport for Crm {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let (there, back) = {
            let mut state = self.0.state.lock().unwrap();
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            (state.random.u64(5..60), state.random.u64(5..60))
        };
        tokio::time::sleep(Duration::from_millis(there)).await;
        let reply = self.answer(request.url.strip_prefix("https://toy.example").unwrap());
        tokio::time::sleep(Duration::from_millis(back)).await;
        self.0.state.lock().unwrap().under_way -= 1;
        reply
    }
}

/// The toy, which reads what that CRM says of its limits.
#[derive(Debug)]
pub struct Reader(Toy);

impl Reader {
    pub fn new() -> Self {
        Self(toy())
    }
}

impl CrmConnector for Reader {
    fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }

    fn entity_types(&self) -> Vec<&str> {
        self.0.entity_types()
    }

    fn accepts(&self, event: &Event) -> Result<(), Reason> {
        self.0.accepts(event)
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        self.0.begin(batch)
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        self.0.resume(batch, sent, reply)
    }

    fn readings(&self, reply: &Reply) -> Vec<QuotaReading> {
        let number = |name| reply.header(name).and_then(|text| text.parse::<u64>().ok());
        let mut readings = Vec::new();
        if let (Some(limit), Some(reset)) = (number("x-hour-limit"), number("x-hour-reset")) {
            let resets = Some(SystemTime::UNIX_EPOCH + SECOND * u32::try_from(reset).unwrap());
            let remaining = (reply.header("x-refused-by") == Some("hour")).then_some(0);
            readings.push(QuotaReading { name: "hour", limit, remaining, window: HOUR, resets });
        }
        if let (Some(limit), Some(left)) = (number("x-ten-max"), number("x-ten-remaining")) {
            readings.push(QuotaReading { name: "ten", limit, remaining: Some(left), window: TEN, resets: None });
        }
        let usage = reply.header("x-day-usage").and_then(|usage| usage.split_once('/'));
        if let Some((Ok(used), Ok(limit))) = usage.map(|(used, limit)| (used.parse::<u64>(), limit.parse::<u64>())) {
            let remaining = Some(limit.saturating_sub(used));
            readings.push(QuotaReading { name: "day", limit, remaining, window: DAY, resets: None });
        }
        readings
    }
}

//! Facts become log lines and metrics. The names are a contract: `docs/` lists them, a test holds
//! them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use rustc_hash::FxHashMap;
use tracing::{error, info, warn};

use super::quiet::Quiet;
use super::status::Board;
use super::work::LaneRuntime;
use crate::core::{Attempt, BreakerState, Core, Fact, Now, OnStoreOutage, Outcome, PauseReason};
use crate::record::TopicPartition;

/// Entity types that no route names share one label.
const OTHER: &str = "other";
/// Records that never had a destination.
const NO_DESTINATION: &str = "none";

/// Turns facts into log lines and metrics.
pub(super) struct Observer {
    lanes: Vec<LaneMeters>,
    homeless: Counter,
    in_flight_events: Gauge,
    in_flight_bytes: Gauge,
    store_up: Gauge,
    on_store_outage: OnStoreOutage,
    letters_quiet: Quiet,
    board: Arc<Board>,
    /// When ages were told last, and of which partitions.
    ages_at: Option<Duration>,
    /// Whether one of them was more than nothing.
    aged: bool,
    ages: FxHashMap<TopicPartition, Gauge>,
}

/// How often the ages of unfinished records are told.
pub(super) const AGES: Duration = Duration::from_secs(1);

struct LaneMeters {
    destination: Arc<str>,
    /// Events by entity type and outcome.
    events: FxHashMap<String, [Counter; Outcome::ALL.len()]>,
    others: [Counter; Outcome::ALL.len()],
    delivered_attempts: Counter,
    failed_attempts: Counter,
    concurrency_limit: Gauge,
    breaker: Gauge,
}

/// Describes every metric of the engine to the installed recorder.
pub fn describe_metrics() {
    describe_counter!("syncline_events_total", "Events by destination, entity type and outcome");
    describe_counter!("syncline_attempts_total", "Attempts to deliver an event, by destination and result");
    describe_counter!("syncline_attempt_failures_total", "Failed attempts by destination and reason");
    describe_counter!("syncline_dead_letters_total", "Dead letters by destination, kind of failure and reason");
    describe_counter!("syncline_dead_letter_failures_total", "Dead letters that the queue didn't take at once");
    describe_counter!("syncline_state_store_failures_total", "Calls that the state store didn't answer");
    describe_gauge!("syncline_state_store_up", "0 while the state store doesn't answer");
    super::schemas::describe();
    describe_counter!(
        "syncline_unchecked_deliveries_total",
        "Events delivered without the state store, by destination"
    );
    describe_counter!(
        "syncline_key_reuses_total",
        "Events skipped as duplicates that say something else than the first one, by destination"
    );
    describe_counter!(
        "syncline_unexpected_records_total",
        "Records that came twice, or after the end of an assignment"
    );
    describe_counter!("syncline_abandoned_deliveries_total", "Deliveries given up under way, to be redelivered");
    describe_counter!("syncline_connector_panics_total", "Panics in connectors");
    super::tell::describe();
    describe_counter!(
        "syncline_retry_after_not_obeyed_total",
        "Waits that a destination wished and that make no sense or are longer than a day; at most one a minute"
    );
    describe_gauge!("syncline_in_flight_events", "Records that aren't terminal");
    describe_gauge!("syncline_in_flight_bytes", Unit::Bytes, "Bytes of the records that aren't terminal");
    describe_gauge!(
        "syncline_oldest_unfinished_seconds",
        Unit::Seconds,
        "How long a partition's first unfinished record has been here"
    );
    describe_gauge!("syncline_destination_paused", "1 while a destination waits, by reason");
    describe_gauge!(
        "syncline_destination_paused_until_timestamp_seconds",
        Unit::Seconds,
        "Until when a destination waits, since 1970; 0 when it doesn't"
    );
    describe_gauge!("syncline_destination_concurrency_limit", "Conversations that may be under way at a time");
    describe_gauge!("syncline_destination_breaker", "A destination's breaker: 0 closed, 0.5 half open, 1 open");
    describe_gauge!("syncline_quota_limit_requests", "Requests that all programs may make in one window of a quota");
    describe_gauge!("syncline_quota_used_requests", "Requests of it that have been made, as far as is known");
    describe_gauge!("syncline_consumer_lag_records", "Records of a partition that aren't consumed yet");
    describe_counter!(
        "syncline_suspensions_total",
        "Times that the process was suspended and had to find out what is its own"
    );
    describe_counter!("syncline_kafka_rebalances_total", "Partitions assigned, revoked or lost, by event");
    describe_counter!("syncline_kafka_commits_total", "Offsets that the broker has answered about, by outcome");
    describe_counter!("syncline_kafka_poll_exceeded_total", "Times that polling took longer than the group allows");
    describe_counter!("syncline_kafka_offset_gaps_total", "Partitions halted because their next record is gone");
    describe_counter!("syncline_dlq_truncated_total", "Dead letters that the topic took only in part");
    describe_counter!("syncline_token_refreshes_total", "Requests for an access token, by destination and outcome");
    describe_histogram!("syncline_http_request_duration_seconds", Unit::Seconds, "Requests by destination and status");
}

impl Observer {
    pub(super) fn new(lanes: &[Arc<LaneRuntime>], on_store_outage: OnStoreOutage, board: Arc<Board>) -> Self {
        describe_metrics();
        let meters = lanes.iter().map(|lane| LaneMeters::new(lane)).collect();
        let homeless = counter!("syncline_events_total", "destination" => NO_DESTINATION, "entity_type" => OTHER,
            "outcome" => Outcome::DeadLettered.code());
        let in_flight_events = gauge!("syncline_in_flight_events");
        let in_flight_bytes = gauge!("syncline_in_flight_bytes");
        let store_up = gauge!("syncline_state_store_up");
        store_up.set(1.0);
        let observer = Self {
            lanes: meters,
            homeless,
            in_flight_events,
            in_flight_bytes,
            store_up,
            on_store_outage,
            letters_quiet: Quiet::default(),
            board,
            ages_at: None,
            aged: false,
            ages: FxHashMap::default(),
        };
        observer.forget_pauses();
        observer
    }

    /// What an engine before this one has told of its destinations, or this one of its own, is over.
    pub(super) fn forget_pauses(&self) {
        for lane in 0..self.lanes.len() {
            self.resumed(lane);
            self.by_hand_gauge(lane).set(0.0);
        }
    }

    pub(super) fn load(&mut self, core: &mut Core, now: Now) {
        let (records, bytes) = (core.in_flight(), core.in_flight_bytes());
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        {
            self.in_flight_events.set(records as f64);
            self.in_flight_bytes.set(bytes as f64);
        }
        self.board.load(records, bytes);
        // Nothing wakes the loop when there is nothing unfinished, so that is told at once.
        let is_due = self.ages_at.is_none_or(|at| now.mono >= at + AGES);
        if is_due || (records == 0 && self.aged) {
            self.ages_at = Some(now.mono);
            self.aged = records > 0;
            self.ages(core, now);
            self.lane_states(core);
        }
    }

    fn lane_states(&self, core: &mut Core) {
        for ((index, status), lane) in core.lanes().enumerate().zip(&self.lanes) {
            let destination = || lane.destination.to_string();
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            {
                lane.concurrency_limit.set(status.concurrency as f64);
                for budget in &status.budgets {
                    let labels = [("destination", destination()), ("quota", budget.name.to_string())];
                    gauge!("syncline_quota_limit_requests", &labels).set(budget.limit as f64);
                    gauge!("syncline_quota_used_requests", &labels).set(budget.used as f64);
                }
            }
            lane.breaker.set(match status.breaker {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 0.5,
                BreakerState::Open => 1.0,
            });
            self.board.lane(index, status);
        }
    }

    /// How long each partition has been held up. One that is no longer ours is held up by others.
    fn ages(&mut self, core: &Core, now: Now) {
        let mut before = std::mem::take(&mut self.ages);
        let mut oldest = Duration::ZERO;
        for (name, age) in core.unfinished(now) {
            let (name, gauge) = before.remove_entry(name).unwrap_or_else(|| {
                let labels = [("topic", name.topic.to_string()), ("partition", name.partition.to_string())];
                (name.clone(), gauge!("syncline_oldest_unfinished_seconds", &labels))
            });
            gauge.set(age.as_secs_f64());
            oldest = oldest.max(age);
            self.ages.insert(name, gauge);
        }
        before.values().for_each(|gauge| gauge.set(0.0));
        self.board.oldest(oldest);
    }

    pub(super) fn observe(&self, facts: &[Fact]) {
        for fact in facts {
            self.observe_one(fact);
        }
    }

    pub(super) fn destination(&self, lane: usize) -> &str {
        self.lanes.get(lane).map_or(NO_DESTINATION, |lane| &lane.destination)
    }

    fn observe_one(&self, fact: &Fact) {
        match fact {
            Fact::Finished { outcome, lane, event } => {
                let kind = event.as_ref().map_or(OTHER, |event| event.entity().kind.as_str());
                match lane.and_then(|lane| self.lanes.get(lane)) {
                    Some(lane) => lane.finished(kind, *outcome),
                    None => self.homeless.increment(1),
                }
            }
            Fact::AttemptFailed(attempt) => {
                if let Some(lane) = self.lanes.get(attempt.lane) {
                    lane.failed_attempts.increment(1);
                }
                let destination = self.destination(attempt.lane).to_owned();
                counter!("syncline_attempt_failures_total", "destination" => destination, "reason" => attempt.reason.code.to_string())
                    .increment(1);
                log_attempt(attempt, self.destination(attempt.lane));
            }
            Fact::RetryScheduled { attempt, delay } => info!(
                target: "syncline::attempt",
                error_id = %attempt.error_id,
                operation = operation(attempt.method),
                delay_seconds = delay.as_secs_f64(),
                attempt = attempt.number + 1,
                max_attempts = attempt.max,
                destination = self.destination(attempt.lane),
                event_id = attempt.event.id(),
                idempotency_key = attempt.event.idempotency_key(),
                "retrying"
            ),
            Fact::DeadLettering { record, failure } => {
                let destination = failure.target.as_ref().map_or(NO_DESTINATION, |target| &target.destination);
                counter!("syncline_dead_letters_total", "destination" => destination.to_owned(),
                    "failure" => failure.kind.code(), "reason" => failure.reason.code.to_string())
                .increment(1);
                error!(
                    error_id = %failure.error_id,
                    failure = failure.kind.code(),
                    reason = %failure.reason.code,
                    detail = failure.reason.message,
                    status = failure.reason.status,
                    destination,
                    partition = %record.partition,
                    offset = record.offset,
                    attempts = failure.attempts,
                    event_id = failure.event.as_ref().map(|event| event.id()),
                    idempotency_key = failure.event.as_ref().map(|event| event.idempotency_key()),
                    "dead-lettered"
                );
            }
            Fact::LetterRefused { failure, again_in } => {
                let Some(unsaid) = self.letters_quiet.say() else { return };
                warn!(unsaid, error_id = %failure.error_id, again_in_seconds = again_in.as_secs(), "the dead letter waits");
            }
            Fact::StoreDown => {
                self.store_up.set(0.0);
                self.board.store(Some("it does not answer".to_owned()));
                match self.on_store_outage {
                    OnStoreOutage::Hold => {
                        error!("the state store is down: deliveries wait for it, consumption pauses")
                    }
                    OnStoreOutage::Deliver => error!(
                        "the state store is down: events are delivered unchecked, duplicates and older versions too"
                    ),
                }
            }
            Fact::StoreUp => {
                self.store_up.set(1.0);
                self.board.store(None);
                info!("the state store answers again");
            }
            Fact::Unchecked { lane } => {
                let destination = self.destination(*lane).to_owned();
                counter!("syncline_unchecked_deliveries_total", "destination" => destination).increment(1);
            }
            Fact::KeyReused { lane, event } => {
                let destination = self.destination(*lane);
                counter!("syncline_key_reuses_total", "destination" => destination.to_owned()).increment(1);
                warn!(
                    destination,
                    event_id = event.id(),
                    idempotency_key = event.idempotency_key(),
                    "an event has the idempotency key of one that was delivered, and says something else; it is \
                     skipped as a duplicate: its producer should give each change a key of its own"
                );
            }
            Fact::WishNotObeyed { lane, text, shortened } => {
                let (destination, taken_as) = (self.destination(*lane), if *shortened { "day" } else { "none" });
                counter!("syncline_retry_after_not_obeyed_total", "destination" => destination.to_owned(), "taken_as" => taken_as)
                    .increment(1);
                warn!(destination, retry_after = text, taken_as, "the destination wishes a wait that is not obeyed");
            }
            Fact::LanePaused { lane, why, reason, duration } => {
                self.resumed(*lane);
                self.pause_gauge(*lane, *why).set(1.0);
                let until = SystemTime::now().checked_add(*duration);
                let until = until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
                self.until_gauge(*lane).set(until.unwrap_or_default().as_secs_f64());
                let said = reason.message.clone();
                self.board.paused(*lane, until.map(|until| until.as_secs()), Some((*why, said)));
                let (destination, seconds) = (self.destination(*lane), duration.as_secs_f64());
                match why {
                    PauseReason::Outage => error!(
                        destination, seconds, %reason,
                        "the destination fails for everybody and waits; no attempt is used up"
                    ),
                    PauseReason::Throttled => {
                        warn!(destination, seconds, %reason, "the destination is throttled and waits")
                    }
                    PauseReason::Quota => {
                        info!(destination, seconds, %reason, "the destination's budget is used up, it waits")
                    }
                    PauseReason::Unauthenticated => error!(
                        destination, seconds, %reason,
                        "the destination refuses our credentials and waits; nothing is dead-lettered: correct the credentials"
                    ),
                }
            }
            Fact::LaneResumed { lane } => {
                self.resumed(*lane);
                info!(destination = self.destination(*lane), "the destination goes on");
            }
            Fact::LaneHeld { lane } => {
                self.by_hand_gauge(*lane).set(1.0);
                self.board.paused_by_hand(*lane, true);
                warn!(destination = self.destination(*lane), "the destination was paused by hand");
            }
            Fact::LaneReleased { lane } => {
                self.by_hand_gauge(*lane).set(0.0);
                self.board.paused_by_hand(*lane, false);
                info!(destination = self.destination(*lane), "the destination is no longer paused by hand");
            }
            Fact::UnexpectedRecord { .. } => counter!("syncline_unexpected_records_total").increment(1),
            Fact::ConnectorPanicked { lane, message } => {
                let destination = self.destination(*lane);
                counter!("syncline_connector_panics_total", "destination" => destination.to_owned()).increment(1);
                error!(destination, message, "the connector panicked");
            }
            Fact::Awaiting { .. } | Fact::Shadowed { .. } | Fact::BatchSplit { .. } | Fact::Warned { .. } => {
                self.tell(fact);
            }
            Fact::Abandoned { partitions, deliveries } => {
                counter!("syncline_abandoned_deliveries_total").increment(*deliveries as u64);
                let partitions = super::names(partitions);
                warn!(deliveries, partitions, "given up under way; will be redelivered");
            }
        }
    }

    fn resumed(&self, lane: usize) {
        PauseReason::ALL.iter().for_each(|why| self.pause_gauge(lane, *why).set(0.0));
        self.until_gauge(lane).set(0.0);
        self.board.paused(lane, None, None);
    }

    fn pause_gauge(&self, lane: usize, why: PauseReason) -> Gauge {
        gauge!("syncline_destination_paused", "destination" => self.destination(lane).to_owned(), "reason" => why.code())
    }

    fn by_hand_gauge(&self, lane: usize) -> Gauge {
        gauge!("syncline_destination_paused", "destination" => self.destination(lane).to_owned(), "reason" => "by_hand")
    }

    fn until_gauge(&self, lane: usize) -> Gauge {
        let destination = self.destination(lane).to_owned();
        gauge!("syncline_destination_paused_until_timestamp_seconds", "destination" => destination)
    }
}

impl LaneMeters {
    fn new(lane: &LaneRuntime) -> Self {
        let name = &lane.destination;
        let events = |kind: &str| {
            Outcome::ALL.map(|outcome| {
                counter!("syncline_events_total", "destination" => name.to_string(), "entity_type" => kind.to_owned(),
                    "outcome" => outcome.code())
            })
        };
        let attempts = |result: &'static str| counter!("syncline_attempts_total", "destination" => name.to_string(), "result" => result);
        Self {
            destination: Arc::clone(name),
            events: lane.entity_types.iter().map(|kind| (kind.clone(), events(kind))).collect(),
            others: events(OTHER),
            delivered_attempts: attempts("delivered"),
            failed_attempts: attempts("failed"),
            concurrency_limit: gauge!("syncline_destination_concurrency_limit", "destination" => name.to_string()),
            breaker: gauge!("syncline_destination_breaker", "destination" => name.to_string()),
        }
    }

    fn finished(&self, kind: &str, outcome: Outcome) {
        let counters = self.events.get(kind).unwrap_or(&self.others);
        let index = Outcome::ALL.iter().position(|known| *known == outcome).unwrap_or_default();
        if let Some(counter) = counters.get(index) {
            counter.increment(1);
        }
        if matches!(outcome, Outcome::Delivered | Outcome::Unchanged) {
            self.delivered_attempts.increment(1);
        }
    }
}

fn log_attempt(attempt: &Attempt, destination: &str) {
    error!(
        target: "syncline::attempt",
        error_id = %attempt.error_id,
        operation = operation(attempt.method),
        attempt = attempt.number,
        max_attempts = attempt.max,
        error_kind = camel_case(&attempt.reason.code),
        url = attempt.url,
        status = attempt.reason.status,
        destination,
        event_id = attempt.event.id(),
        idempotency_key = attempt.event.idempotency_key(),
        reason = attempt.reason.message,
        "attempt failed"
    );
}

fn operation(method: &str) -> &'static str {
    match method {
        "GET" => "HttpClient.get",
        "POST" => "HttpClient.post",
        "PUT" => "HttpClient.put",
        "PATCH" => "HttpClient.patch",
        _ => "HttpClient.delete",
    }
}

/// `connection_error` → `ConnectionError`.
fn camel_case(code: &str) -> String {
    let mut text = String::with_capacity(code.len());
    for word in code.split('_') {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

//! What goes into the core, and what it wants done.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use syncline_sdk::{Event, Outbound, Reason, Reply};
use uuid::Uuid;

use super::failure::{DeadLetter, Failure, LetterId};
use super::shadow::ShadowOutcome;
use crate::record::{Record, TopicPartition};
use crate::state::{Claim, ClaimRequest, Completed, Completion, Draw, Drawn, EntityName, Release, Token};
use crate::transport::TransportFault;

/// A moment: the core has no clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Time since some fixed moment, never going back. All waiting goes by it.
    pub mono: Duration,
    /// The time of day, for dates that come from outside or go there.
    pub wall: SystemTime,
}

/// Names one event on its way to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub u64);

/// Names a conversation with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

/// A record whose value isn't JSON itself. Dead letters hold the value as it is.
#[derive(Debug)]
pub struct Decoded {
    /// The record.
    pub record: Record,
    /// The JSON that its value stands for, or why there is none.
    pub json: Result<Bytes, Reason>,
}

/// What the core is told.
#[derive(Debug)]
pub enum Input {
    /// These partitions are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// A record of one of our partitions.
    Record(Record),
    /// A record of one of our partitions whose value isn't JSON itself.
    Decoded(Box<Decoded>),
    /// So many records, with so many bytes, wait outside for what they can't be read without: they count
    /// towards the limits at which partitions pause. It holds until it is told anew.
    Held {
        /// How many.
        records: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// These partitions are to be given away: finish, then [`Effects::released`].
    Revoking(Vec<TopicPartition>),
    /// These partitions are someone else's already.
    Lost(Vec<TopicPartition>),
    /// The store's answer to one of [`Effects::tokens`]; `None` where it couldn't answer.
    Token(u64, Option<Token>),
    /// The store's answer to a [`ClaimRequest`] under that token; `None` where it couldn't answer.
    Claimed(DeliveryId, Token, Option<Claim>),
    /// The store's answer to an [`EntityLookUp`], in the order of its entities; `None` where it couldn't answer.
    Resolved(DeliveryId, Option<Vec<Option<String>>>),
    /// The reply to a [`SendRequest`].
    Replied(CallId, Reply),
    /// There is no complete reply to a [`SendRequest`].
    Faulted(CallId, TransportFault),
    /// The store's answer to a [`Completion`]; `None` where it couldn't answer.
    Completed(DeliveryId, Option<Completed>),
    /// Whether a [`DeadLetter`] has been acknowledged by the broker.
    LetterStored(LetterId, bool),
    /// The store's answer to a [`BudgetDraw`] of that lane and budget; `None` where it couldn't answer.
    Drawn(usize, usize, Option<Drawn>),
    /// A person stops a lane. What is under way comes to its end.
    Hold(usize),
    /// A person lets a lane go on, and it is tried at once unless its provider has asked for a wait.
    GoOn(usize),
    /// The secrets of this lane are others than when they were used last: a pause for refused
    /// credentials ends.
    CredentialsChanged(usize),
    /// This member has been silent for so long that its partitions may be someone else's: send
    /// nothing until [`Input::Unfence`].
    Fence,
    /// Our partitions are still ours, or we have heard which aren't.
    Unfence,
    /// Stop: take nothing more, finish what is under way within that time, or as configured, then
    /// [`Effects::drained`].
    Drain(Option<Duration>),
    /// Nothing but the time has changed.
    Tick,
}

/// What the core wants done. Drivers carry it out, all of it, and report back.
#[derive(Debug, Default)]
pub struct Effects {
    /// Requests for fencing tokens, to be answered by [`Input::Token`] with the same number.
    pub tokens: Vec<u64>,
    /// To be answered by [`Input::Claimed`].
    pub claims: Vec<ClaimRequest>,
    /// To be answered by [`Input::Resolved`].
    pub look_ups: Vec<EntityLookUp>,
    /// To be answered by [`Input::Replied`] or [`Input::Faulted`].
    pub sends: Vec<SendRequest>,
    /// To be answered by [`Input::Completed`].
    pub completions: Vec<Completion>,
    /// Not answered.
    pub releases: Vec<Release>,
    /// To be answered by [`Input::Drawn`].
    pub draws: Vec<BudgetDraw>,
    /// To be answered by [`Input::LetterStored`].
    pub letters: Vec<DeadLetter>,
    /// Offsets up to which (exclusively) partitions may be committed.
    pub commits: Vec<(TopicPartition, i64)>,
    /// Partitions to fetch no more from, for now.
    pub pauses: Vec<TopicPartition>,
    /// Partitions to fetch from again.
    pub resumes: Vec<TopicPartition>,
    /// Partitions that are another member's now, with the tokens that we had, for the store.
    pub gone: Vec<(TopicPartition, Token)>,
    /// Partitions that were being revoked and can be let go. Their last commit has been given.
    pub released: Vec<TopicPartition>,
    /// What has happened, for logs and metrics.
    pub facts: Vec<Fact>,
    /// Everything has come to an end after [`Input::Drain`].
    pub drained: Option<Drained>,
}

impl Effects {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            tokens,
            claims,
            look_ups,
            sends,
            completions,
            releases,
            draws,
            letters,
            commits,
            pauses,
            resumes,
            gone,
            released,
            facts,
            drained,
        } = self;
        tokens.is_empty()
            && claims.is_empty()
            && look_ups.is_empty()
            && sends.is_empty()
            && completions.is_empty()
            && releases.is_empty()
            && draws.is_empty()
            && letters.is_empty()
            && commits.is_empty()
            && pauses.is_empty()
            && resumes.is_empty()
            && gone.is_empty()
            && released.is_empty()
            && facts.is_empty()
            && drained.is_none()
    }
}

/// The entities that a delivery's record refers to, whose ids in the CRM are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityLookUp {
    /// By which the answer is reported.
    pub delivery: DeliveryId,
    /// The entities.
    pub entities: Vec<EntityName>,
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// By which the reply is reported.
    pub call: CallId,
    /// The destination's index in [`CoreConfig::lanes`](super::CoreConfig::lanes).
    pub lane: usize,
    /// The request.
    pub request: Arc<Outbound>,
    /// Credentials that were read for an earlier generation are read again.
    pub credential_generation: u64,
}

/// Requests to be drawn from a budget that members share.
#[derive(Debug, Clone)]
pub struct BudgetDraw {
    /// Whose budget, as an index into [`CoreConfig::lanes`](super::CoreConfig::lanes).
    pub lane: usize,
    /// Which of its budgets.
    pub budget: usize,
    /// What is wanted.
    pub draw: Draw,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Deliveries that were given up under way; they will be redelivered.
    pub abandoned: usize,
}

/// How an event ended in a destination (D1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The CRM confirmed it.
    Delivered,
    /// The CRM held it already.
    Unchanged,
    /// Its idempotency key had taken effect before.
    Duplicate,
    /// A newer version had been applied before.
    Stale,
    /// It lies in the dead letter queue.
    DeadLettered,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Unchanged, Self::Duplicate, Self::Stale, Self::DeadLettered];

    /// The name in metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// Something that happened, for logs and metrics. A `lane` is an index into
/// [`CoreConfig::lanes`](super::CoreConfig::lanes).
#[derive(Debug, Clone)]
pub enum Fact {
    /// A delivery ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// Where; `None` for a record that never had a destination.
        lane: Option<usize>,
        /// The event; `None` for a record that is none.
        event: Option<Arc<Event>>,
    },
    /// An attempt failed.
    AttemptFailed(Arc<Attempt>),
    /// A failed attempt will be made again.
    RetryScheduled {
        /// The failed one.
        attempt: Arc<Attempt>,
        /// After how long.
        delay: Duration,
    },
    /// A record goes to the dead letter queue.
    DeadLettering {
        /// The record.
        record: Arc<Record>,
        /// Why.
        failure: Arc<Failure>,
    },
    /// The dead letter queue didn't take a letter. Consumption holds meanwhile.
    LetterRefused {
        /// What the letter is about.
        failure: Arc<Failure>,
        /// When it is offered again.
        again_in: Duration,
    },
    /// The store doesn't answer: everything waits for it, unless it was told not to.
    StoreDown,
    /// The store answers again.
    StoreUp,
    /// A delivery goes on without the store.
    Unchecked {
        /// Its lane.
        lane: usize,
    },
    /// An event has the idempotency key of another one that has taken effect, and says something
    /// else. It is skipped like any duplicate.
    KeyReused {
        /// Whose delivery.
        lane: usize,
        /// The event.
        event: Arc<Event>,
    },
    /// A CRM has wished a wait that makes no sense, or one of more than a day. Told at most once a
    /// minute for each lane.
    WishNotObeyed {
        /// Which lane.
        lane: usize,
        /// The beginning of the wish.
        text: String,
        /// Whether it counts as a day; else as none.
        shortened: bool,
    },
    /// A lane waits.
    LanePaused {
        /// Which.
        lane: usize,
        /// For what.
        why: PauseReason,
        /// What the CRM said.
        reason: Reason,
        /// For how long.
        duration: Duration,
    },
    /// A lane goes on.
    LaneResumed {
        /// Which.
        lane: usize,
    },
    /// A person has stopped a lane.
    LaneHeld {
        /// Which.
        lane: usize,
    },
    /// A person lets a lane go on.
    LaneReleased {
        /// Which.
        lane: usize,
    },
    /// A record came twice within one assignment, or after its end. It is ignored.
    UnexpectedRecord {
        /// Its partition.
        partition: TopicPartition,
        /// Its offset.
        offset: i64,
    },
    /// A connector panicked. The event is treated as refused.
    ConnectorPanicked {
        /// Whose connector.
        lane: usize,
        /// The panic's message.
        message: String,
    },
    /// A record refers to an entity that isn't in the CRM yet. Told once for each delivery.
    Awaiting {
        /// Whose delivery.
        lane: usize,
        /// The event.
        event: Arc<Event>,
        /// What is missing.
        reason: Reason,
    },
    /// A batch was refused as a whole, and its halves are sent apart.
    BatchSplit {
        /// Whose.
        lane: usize,
        /// How many events it had.
        events: usize,
        /// What the CRM said.
        reason: Reason,
    },
    /// What the lane's shadow would have made of an event.
    Shadowed {
        /// Whose delivery.
        lane: usize,
        /// The event.
        event: Arc<Event>,
        /// What.
        outcome: ShadowOutcome,
    },
    /// A connector has something to tell about an event, whatever became of it.
    Warned {
        /// Whose delivery.
        lane: usize,
        /// The event.
        event: Arc<Event>,
        /// What.
        reason: Reason,
    },
    /// Partitions were given up with work under way, which will be done again.
    Abandoned {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// How many deliveries or records were under way.
        deliveries: usize,
    },
}

/// Why a lane waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// The CRM's limits.
    Throttled,
    /// Refused credentials.
    Unauthenticated,
    /// The CRM fails for everybody.
    Outage,
    /// A configured or learned budget is used up.
    Quota,
}

impl PauseReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Throttled, Self::Unauthenticated, Self::Outage, Self::Quota];

    /// The name in metrics and logs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::Outage => "outage",
            Self::Quota => "quota",
        }
    }
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The same through all attempts of one event.
    pub error_id: Uuid,
    /// The destination's index.
    pub lane: usize,
    /// The event.
    pub event: Arc<Event>,
    /// Which attempt it was, from 1 on.
    pub number: u32,
    /// How many there can be.
    pub max: u32,
    /// Why it failed.
    pub reason: Reason,
    /// The request's method, such as `POST`.
    pub method: &'static str,
    /// The URL without its query.
    pub url: String,
}

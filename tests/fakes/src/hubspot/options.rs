//! What an account is like.

use std::time::Duration;

use super::Clock;
use super::quota::Limits;
use super::schema::{self, ObjectType};

/// The private app's token that is accepted from the start.
pub const DEFAULT_TOKEN: &str = "pat-na1-00000000-0000-4000-8000-000000000000";

/// The order of a batch's results. The vendor promises none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultOrder {
    /// Shuffled, and the same from run to run.
    Shuffled,
    /// The last first.
    Reversed,
    /// As the inputs.
    AsSent,
}

/// What an account is like. The default has contacts, companies and deals, each with a unique `sync_key`, and admits
/// every request.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) port: u16,
    pub(super) types: Vec<ObjectType>,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) token: String,
    pub(super) app_id: String,
    pub(super) limits: Limits,
    pub(super) search_lag: Duration,
    pub(super) forbidden: Vec<(String, String, String)>,
    pub(super) behaviour: Behaviour,
}

/// What the facts leave open, or say of some answers only.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    pub(super) order: ResultOrder,
    pub(super) newer_errors: bool,
    pub(super) archives_again: bool,
    pub(super) partial_by_email: bool,
    pub(super) tells_existing_id: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            types: schema::defaults(),
            clock: Clock::default(),
            seed: 0,
            token: DEFAULT_TOKEN.into(),
            app_id: "1160452".into(),
            limits: Limits::default(),
            search_lag: Duration::ZERO,
            forbidden: Vec::new(),
            behaviour: Behaviour {
                order: ResultOrder::Shuffled,
                newer_errors: true,
                archives_again: false,
                partial_by_email: false,
                tells_existing_id: true,
            },
        }
    }
}

impl Options {
    /// Listens on this port; 0, the default, picks a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With this object type, in the place of another of its name.
    #[must_use]
    pub fn object_type(mut self, object_type: ObjectType) -> Self {
        self.types.retain(|other| other.name != object_type.name);
        self.types.push(object_type);
        self
    }

    /// Tells the time. Tokens, windows of limits, locks and the lag of search go by it.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Shuffles results by this seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The private app's token, in the place of [`DEFAULT_TOKEN`].
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = token.into();
        self
    }

    /// The app's id, which its writes carry.
    #[must_use]
    pub fn app_id(mut self, id: &str) -> Self {
        self.app_id = id.into();
        self
    }

    /// The account's limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long search does not see a change.
    #[must_use]
    pub fn search_lag(mut self, lag: Duration) -> Self {
        self.search_lag = lag;
        self
    }

    /// The order of a batch's results.
    #[must_use]
    pub fn result_order(mut self, order: ResultOrder) -> Self {
        self.behaviour.order = order;
        self
    }

    /// A validation rule of the account, which refuses this value on paths of 2026-09 and lets it pass on older ones.
    #[must_use]
    pub fn validation_rule(mut self, object_type: &str, property: &str, value: &str) -> Self {
        self.forbidden.push((object_type.into(), property.into(), value.into()));
        self
    }

    /// Refused values stand in the text alone, as on older answers, and not in `errors` too.
    #[must_use]
    pub fn old_errors(mut self) -> Self {
        self.behaviour.newer_errors = false;
        self
    }

    /// Archiving what is archived is answered with 204, not 404. The vendor's answer is not known.
    #[must_use]
    pub fn archives_again(mut self) -> Self {
        self.behaviour.archives_again = true;
        self
    }

    /// A batch upsert by e-mail can succeed in part, as one by another property. The vendor says that it cannot.
    #[must_use]
    pub fn partial_by_email(mut self) -> Self {
        self.behaviour.partial_by_email = true;
        self
    }

    /// A conflict never names the id that exists.
    #[must_use]
    pub fn hides_existing_id(mut self) -> Self {
        self.behaviour.tells_existing_id = false;
        self
    }
}

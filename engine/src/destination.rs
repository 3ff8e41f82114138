//! What a program says about one CRM.

use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::CrmConnector;

use crate::core::{BreakerOptions, Concurrency, CoreError, LaneConfig, OnOutage, Quota, Rate};

/// A configured connector under a name, and how it is to be treated.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(crate) lane: LaneConfig,
    pub(crate) timeout: Duration,
}

impl Destination {
    /// `name` is what routes, logs and metrics call it.
    pub fn new(name: impl Into<Arc<str>>, connector: Arc<dyn CrmConnector>) -> Self {
        Self { lane: LaneConfig::new(name, connector), timeout: Duration::from_secs(30) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.lane.destination
    }

    /// Whether all of this makes sense. [`EngineBuilder::build`](crate::EngineBuilder::build) checks it,
    /// too.
    ///
    /// # Errors
    /// [`CoreError`] with what is wrong.
    pub fn check(&self) -> Result<(), CoreError> {
        self.lane.check()
    }

    /// What dead letters say about the connector. Default: `custom`, `0`.
    #[must_use]
    pub fn connector_kind(mut self, kind: impl Into<Arc<str>>, version: impl Into<Arc<str>>) -> Self {
        self.lane.connector_kind = kind.into();
        self.lane.connector_version = version.into();
        self
    }

    /// Another configuration of the connector: what it would make of each event is compared with what this one
    /// makes of it, told in logs and metrics, and never sent. Default: none.
    #[must_use]
    pub fn shadow(mut self, connector: Arc<dyn CrmConnector>) -> Self {
        self.lane.shadow = Some(connector);
        self
    }

    /// Conversations under way at a time: so many. Default: as many as the CRM answers without
    /// getting slow, from 1 to the connector's limit.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.lane.concurrency = Concurrency::Fixed(concurrency);
        self
    }

    /// Conversations under way at a time: as many as the CRM answers without getting slow, between
    /// these bounds.
    #[must_use]
    pub fn adaptive_concurrency(mut self, min: usize, max: usize) -> Self {
        self.lane.concurrency = Concurrency::Adaptive { min, max };
        self
    }

    /// How long a batch that isn't full waits for more events while another request is under way. Default: 5 ms.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.lane.linger = linger;
        self
    }

    /// Requests per second, and a burst. Default: no limit.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.lane.pace.rate = Some(rate);
        self
    }

    /// Adds a number of requests in a longer window. Default: none but those that replies tell of.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.lane.pace.quotas.push(quota);
        self
    }

    /// The share of limits that replies tell of, from 0 to 0.95, that is left to people and other
    /// programs. Default: 0.
    #[must_use]
    pub fn reserve(mut self, share: f64) -> Self {
        self.lane.pace.reserve = share;
        self
    }

    /// When it counts as failing for everybody. Default: [`BreakerOptions::default`].
    #[must_use]
    pub fn breaker(mut self, breaker: BreakerOptions) -> Self {
        self.lane.breaker = breaker;
        self
    }

    /// What happens to events while it fails for everybody. Default: they wait.
    #[must_use]
    pub fn on_outage(mut self, on_outage: OnOutage) -> Self {
        self.lane.on_outage = on_outage;
        self
    }

    /// Retries as a share of first attempts, beside ten a second; `None` for no limit. Default: a
    /// fifth.
    #[must_use]
    pub fn retry_budget(mut self, share: Option<f64>) -> Self {
        self.lane.retry_budget = share;
        self
    }

    /// Its provider has asked to be left alone for that long, and has said this: what an engine before
    /// this one was told still holds.
    #[must_use]
    pub fn wait(mut self, wait: Duration, said: impl Into<String>) -> Self {
        self.lane.wait = Some((wait, said.into()));
        self
    }

    /// How long one request may take altogether. Default: 30 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

//! How a destination is treated, whatever its connector is: what a user writes beside the connector's
//! own keys.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use syncline_engine::Destination;
use syncline_engine::core::{BreakerOptions, Quota, Rate};

use super::model::OnOutage;

/// How a destination is treated.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Treatment {
    /// Conversations under way at a time: a number, or the bounds `{ min = 1, max = 16 }` between which
    /// it is found out how many the CRM answers without getting slow. Default: from 1 to what suits the
    /// provider.
    pub(crate) concurrency: Option<Concurrency>,
    /// How long a batch that isn't full waits for more events while another request is under way, such as `5ms`.
    /// Default: 5ms.
    pub(crate) linger: Option<Linger>,
    /// How many requests it takes.
    pub(crate) limits: RequestLimits,
    /// When it counts as failing for everybody.
    pub(crate) breaker: Breaker,
    /// What happens to events while it fails for everybody, if not what `delivery.on_outage` says.
    pub(crate) on_outage: Option<OnOutage>,
    /// Another version of the connector's own keys, to be tried on the same events: what it would write is compared
    /// with what is written, and never sent. Tables in it, such as `entities`, replace the destination's entries of the
    /// same names; other keys replace the destination's.
    pub(crate) shadow: Option<Map<String, Value>>,
}

/// Conversations under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Concurrency {
    /// So many.
    Fixed(#[schemars(range(min = 1, max = 10_000))] usize),
    /// Between two bounds.
    Adaptive(Bounds),
}

/// The bounds of the conversations under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// At least so many.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) min: usize,
    /// At the most so many.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max: usize,
}

fn one() -> usize {
    1
}

/// How many requests a destination takes. What its replies tell of is kept in any case.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestLimits {
    /// Requests per second in the long run; more than 0.
    #[schemars(range(min = 0.000_001, max = 1_000_000.0))]
    pub(crate) requests_per_second: Option<f64>,
    /// Requests at once after a rest. Default: what a second gives, and at least 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) burst: Option<u32>,
    /// The share of each limit, such as `20%`, that is left to people and other programs.
    pub(crate) reserve: Percent,
    /// Requests in longer windows.
    pub(crate) quotas: Vec<QuotaSetting>,
    /// Retries as a share of first attempts, such as `20%`, beside ten a second, or `off` for no limit.
    /// Default: 20%.
    pub(crate) retry_budget: Option<RetryBudget>,
}

/// Requests in a window.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaSetting {
    /// What metrics call it. Default: what `per` says.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) name: Option<String>,
    /// Requests that all programs under this limit together may make.
    #[schemars(range(min = 1))]
    pub(crate) requests: u64,
    /// The window.
    pub(crate) per: Window,
    /// Whether windows begin with the clock's hours or days (UTC). Otherwise any stretch of that length
    /// counts.
    #[serde(default)]
    pub(crate) by_clock: bool,
    /// The share that is left to people and other programs, if not what `limits.reserve` says.
    pub(crate) reserve: Option<Percent>,
}

/// When a destination counts as failing for everybody.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Breaker {
    /// Failures that are older than this count no more.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) window_s: u64,
    /// Different events that must have failed in it, so that one bad event never opens it.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) minimum: usize,
    /// The share of the last conversations that must have failed, such as `50%`.
    pub(crate) failure_rate: Percent,
    /// Conversations that must succeed one after the other to close it again.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) probes: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        let BreakerOptions { window, minimum, failure_rate, probes } = BreakerOptions::default();
        Self { window_s: window.as_secs(), minimum, failure_rate: Percent(failure_rate), probes }
    }
}

/// A share, written as a percentage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Percent(pub(crate) f64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
        let number =
            number.filter(|number| *number <= 100).ok_or_else(|| de::Error::custom("expected a percentage"))?;
        Ok(Self(f64::from(number) / 100.0))
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A whole percentage such as `20%`.",
            "type": "string",
            "pattern": "^(100|[0-9]{1,2})%$"
        })
    }
}

/// Retries as a share of first attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RetryBudget(Option<f64>);

impl<'de> Deserialize<'de> for RetryBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(Self(None));
        }
        let Percent(share) = Percent::deserialize(de::value::StringDeserializer::new(text))?;
        Ok(Self(Some(share)))
    }
}

impl JsonSchema for RetryBudget {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetryBudget".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A whole percentage such as `20%`, or `off`.",
            "type": "string",
            "pattern": "^(off|(100|[0-9]{1,2})%)$"
        })
    }
}

/// A window's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    text: String,
    length: Duration,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("expected a window");
        let (number, unit) = match text.as_str() {
            "second" => ("1", "s"),
            "minute" => ("1", "m"),
            "hour" => ("1", "h"),
            "day" => ("1", "d"),
            other => other.split_at_checked(other.len().saturating_sub(1)).ok_or_else(wrong)?,
        };
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let number = number.parse::<u64>().ok().filter(|number| (1..=1000).contains(number)).ok_or_else(wrong)?;
        Ok(Self { length: Duration::from_secs(number * unit), text })
    }
}

impl JsonSchema for Window {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Window".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`second`, `minute`, `hour`, `day`, or a number of them such as `10s`, `15m`, `4h`, `30d`.",
            "type": "string",
            "pattern": "^(second|minute|hour|day|[1-9][0-9]{0,2}[smhd])$"
        })
    }
}

/// A short time, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Linger(pub(crate) Duration);

impl<'de> Deserialize<'de> for Linger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok());
        millis.map(|millis| Self(Duration::from_millis(millis))).ok_or_else(|| de::Error::custom("expected a time"))
    }
}

impl JsonSchema for Linger {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Linger".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A time from `0ms` to `9999ms`.",
            "type": "string",
            "pattern": "^[0-9]{1,4}ms$"
        })
    }
}

impl Treatment {
    /// Takes its keys out of a destination. They fit the schema.
    pub(crate) fn take(written: &mut Map<String, Value>) -> Option<Self> {
        let own = ["concurrency", "limits", "breaker", "on_outage", "shadow", "linger"];
        let taken = own.iter().filter_map(|key| Some(((*key).to_owned(), written.remove(*key)?)));
        serde_json::from_value(Value::Object(taken.collect())).ok()
    }

    /// Applies all of it to a destination.
    pub(crate) fn apply(&self, mut destination: Destination, on_outage: OnOutage) -> Destination {
        let limits = &self.limits;
        match self.concurrency {
            Some(Concurrency::Fixed(number)) => destination = destination.concurrency(number),
            Some(Concurrency::Adaptive(Bounds { min, max })) => {
                destination = destination.adaptive_concurrency(min, max)
            }
            None => {}
        }
        if let Some(Linger(linger)) = self.linger {
            destination = destination.linger(linger);
        }
        if let Some(per_second) = limits.requests_per_second {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema has a maximum")]
            let a_second = (per_second as u32).max(1);
            destination = destination.rate(Rate { per_second, burst: limits.burst.unwrap_or(a_second) });
        }
        for quota in &limits.quotas {
            destination = destination.quota(Quota {
                name: quota.name.as_deref().unwrap_or(&quota.per.text).into(),
                requests: quota.requests,
                window: quota.per.length,
                aligned: quota.by_clock,
                reserve: quota.reserve.unwrap_or(limits.reserve).0,
            });
        }
        if let Some(RetryBudget(share)) = limits.retry_budget {
            destination = destination.retry_budget(share);
        }
        let Breaker { window_s, minimum, failure_rate, probes } = self.breaker;
        let window = Duration::from_secs(window_s);
        destination
            .reserve(limits.reserve.0)
            .breaker(BreakerOptions { window, minimum, failure_rate: failure_rate.0, probes })
            .on_outage(self.on_outage.unwrap_or(on_outage).into())
    }
}

//! The header `Retry-After`, as data: the clock is the engine's.

use std::time::{Duration, SystemTime};

/// When a provider wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After that long.
    Delay(Duration),
    /// At that moment.
    At(SystemTime),
}

impl RetryAfter {
    /// Parses seconds or an HTTP date (RFC 9110, section 10.2.3). Fractions of a second are
    /// accepted and rounded up. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Self::Delay(Duration::from_secs(seconds)));
        }
        if let Some((whole, fraction)) = text.split_once('.') {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits(whole) && digits(fraction) {
                let seconds = whole.parse::<u64>().ok()?.checked_add(1)?;
                return Some(Self::Delay(Duration::from_secs(seconds)));
            }
        }
        httpdate::parse_http_date(text).ok().map(Self::At)
    }

    /// How long that is from `now` on; zero where the moment has passed.
    #[must_use]
    pub fn from(self, now: SystemTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(moment) => moment.duration_since(now).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_nonsense() {
        assert_eq!(RetryAfter::parse(" 120 "), Some(RetryAfter::Delay(Duration::from_secs(120))));
        assert_eq!(RetryAfter::parse("1.5"), Some(RetryAfter::Delay(Duration::from_secs(2))));
        for nonsense in ["", "-1", "soon", "1e3", "1.", ".5", "99999999999999999999999"] {
            assert_eq!(RetryAfter::parse(nonsense), None, "{nonsense}");
        }
        let date = RetryAfter::parse("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        assert_eq!(date.from(then - Duration::from_secs(60)), Duration::from_secs(60));
        assert_eq!(date.from(then + Duration::from_secs(60)), Duration::ZERO);
    }
}

//! What an HTTP status means by itself. A connector looks at the body first, and falls back on
//! this.

use crate::{Outbound, Reason, Replay, Reply, Scope, Verdict};

/// The verdict that the status of `reply` gives by itself, for every event of the batch.
///
/// | Status | Verdict |
/// |---|---|
/// | 1xx, 2xx, 3xx | `Unknown`: no status proves a write; a connector that can prove one says so before it asks here |
/// | 401 | `Unauthenticated` |
/// | 408, 425 | `Retry` |
/// | 429 | `Throttle` of the whole account |
/// | other 4xx | `Reject` |
/// | 5xx | `Retry` where sending again is safe, else `Unknown`: the write may have happened |
///
/// `message` is what the provider said, for people.
#[must_use]
pub fn default_verdict(sent: &Outbound, reply: &Reply, message: &str) -> Verdict {
    let after = reply.retry_after();
    let reason = |code: &'static str| {
        let text = if message.is_empty() { describe(reply.status) } else { message };
        Reason::new(code, text).with_status(reply.status)
    };
    match reply.status {
        401 => Verdict::Unauthenticated(reason("unauthenticated")),
        408 | 425 => Verdict::Retry { reason: reason("try_later"), after },
        429 => Verdict::Throttle { reason: reason("throttled"), after, scope: Scope::Account, in_doubt: false },
        400..=499 => Verdict::Reject(reason("rejected")),
        500..=599 if sent.replay == Replay::Safe => Verdict::Retry { reason: reason("server_error"), after },
        500..=599 => Verdict::Unknown { reason: reason("server_error"), after },
        _ => Verdict::Unknown { reason: reason("unexpected_status"), after },
    }
}

fn describe(status: u16) -> &'static str {
    match status {
        400 => "bad request",
        401 => "the credentials were refused",
        403 => "forbidden",
        404 => "not found",
        409 => "conflict",
        413 => "the request is too large",
        422 => "the data was refused",
        429 => "too many requests",
        500 => "internal server error",
        502 => "bad gateway",
        503 => "service unavailable",
        504 => "gateway timeout",
        300..=399 => "an unexpected redirect",
        _ => "an unexpected status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Method};

    #[test]
    fn the_table() {
        let get = Outbound::new("read", Method::Get, "/".into(), Replay::Safe);
        let post = Outbound::new("create", Method::Post, "/".into(), Replay::Unsafe);
        for status in 100..=599 {
            let reply = Reply { status, headers: Vec::new(), body: Bytes::new() };
            for sent in [&get, &post] {
                let verdict = default_verdict(sent, &reply, "");
                let expected = match status {
                    401 => matches!(verdict, Verdict::Unauthenticated(_)),
                    408 | 425 => matches!(verdict, Verdict::Retry { .. }),
                    429 => matches!(verdict, Verdict::Throttle { .. }),
                    400..=499 => matches!(verdict, Verdict::Reject(_)),
                    500..=599 if sent.method == Method::Get => matches!(verdict, Verdict::Retry { .. }),
                    _ => matches!(verdict, Verdict::Unknown { .. }),
                };
                assert!(expected, "{status}: {verdict:?}");
            }
        }
    }
}

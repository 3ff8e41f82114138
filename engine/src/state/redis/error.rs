//! From what Redis says to what is wrong, and what to do about it.

use redis::{ErrorKind, RedisError};

use super::super::StoreError;

/// What an error means, where it happened, and what to do. It never repeats what was sent.
pub(super) fn explain(place: &str, error: &RedisError) -> StoreError {
    let code = error.code().unwrap_or_default();
    // Some servers and proxies repeat the arguments of a command that they don't know, a password among them.
    let detail = error.detail().unwrap_or_default().split(", with args").next().unwrap_or_default();
    let detail: String = detail.chars().filter(|char| !char.is_control()).take(200).collect();
    let refused = |why: &str| StoreError::Refused(format!("Redis at {place}: {why}"));
    let unavailable = |why: &str| StoreError::Unavailable(format!("Redis at {place}: {why}"));
    match code {
        "WRONGPASS" | "NOAUTH" => refused(&format!("wrong user name or password, or none ({code})")),
        "NOPERM" => refused(&format!(
            "the user may not do this ({detail}): permit it `~<namespace>:*` and the commands that the documentation names"
        )),
        "WRONGTYPE" => refused(
            "a key under the namespace holds something that isn't Syncline's; nothing has been changed. Use another \
             namespace, or another database",
        ),
        "READONLY" => unavailable("a read-only replica, not the master (READONLY)"),
        "OOM" => unavailable("the memory is full (OOM): raise `maxmemory`, or make room"),
        "MISCONF" => unavailable("can't write to its disk, and accepts no changes (MISCONF): see its log"),
        "NOREPLICAS" => unavailable("has fewer replicas than it needs to accept changes (NOREPLICAS)"),
        "MOVED" | "ASK" | "CROSSSLOT" => refused(&format!("is part of a cluster ({code}): say so in the topology")),
        "LOADING" => unavailable("still reads its data (LOADING)"),
        "BUSY" => unavailable("busy with a script (BUSY)"),
        "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" => unavailable(&format!("not complete at the moment ({code})")),
        "ERR" if detail.contains("max number of clients") => unavailable("has no connection left (`maxclients`)"),
        "ERR" if detail.contains("without any password") || detail.contains("no password is set") => {
            refused("has no password for this user, but one is configured")
        }
        "ERR" if detail.contains("cluster support disabled") => refused("is no cluster: say so in the topology"),
        "ERR" if detail.contains("DB index") => refused("has no database of that number"),
        "" => without_code(place, error),
        // What a script was told is in the detail.
        _ if detail.contains("OOM") => unavailable("the memory is full (OOM): raise `maxmemory`, or make room"),
        _ if detail.contains("WRONGTYPE") => refused("a key under the namespace holds something that isn't Syncline's"),
        _ if detail.contains("READONLY") => unavailable("a read-only replica, not the master (READONLY)"),
        _ if ["NOPERM", "permission", "ACL", "user executing the script"].iter().any(|it| detail.contains(it)) => {
            refused(&format!("the user may not do this ({detail})"))
        }
        _ => refused(&format!("says {code}: {detail}")),
    }
}

/// Whether it is about the state of the server, and not of the connection.
pub(super) fn keeps_the_connection(error: &RedisError) -> bool {
    matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "WRONGTYPE" | "NOSCRIPT" | "NOPERM"))
}

fn without_code(place: &str, error: &RedisError) -> StoreError {
    let text = error.to_string();
    let text: String = text.chars().filter(|char| !char.is_control()).take(200).collect();
    let certificate = ["certificate", "Certificate", "UnknownCA", "UnknownIssuer"].iter().any(|it| text.contains(it));
    match error.kind() {
        ErrorKind::Io if certificate => {
            StoreError::Refused(format!("Redis at {place}: its certificate or ours isn't accepted: {text}"))
        }
        ErrorKind::Io if text.contains("InvalidContentType") => {
            StoreError::Refused(format!("Redis at {place}: doesn't speak TLS"))
        }
        ErrorKind::Parse => StoreError::Refused(format!(
            "Redis at {place}: what is there doesn't speak Redis' protocol; is the address right, and TLS as the server \
             has it?"
        )),
        ErrorKind::InvalidClientConfig => StoreError::Refused(format!("Redis at {place}: {text}")),
        ErrorKind::Io if error.is_connection_refusal() => {
            StoreError::Unavailable(format!("Redis at {place}: nobody answers there (connection refused)"))
        }
        ErrorKind::Io if error.is_timeout() => StoreError::Unavailable(format!("Redis at {place}: no answer in time")),
        ErrorKind::Io if error.is_connection_dropped() => StoreError::Unavailable(format!(
            "Redis at {place}: the connection has ended ({text}); if it always does, see whether the server expects TLS, or \
             has reached its `maxclients`"
        )),
        _ => StoreError::Unavailable(format!("Redis at {place}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn said(code: &str, detail: &str) -> StoreError {
        explain("h:1", &redis::make_extension_error(code.to_owned(), Some(detail.to_owned())))
    }

    #[test]
    fn what_needs_a_person_is_told_from_what_passes() {
        for code in ["WRONGPASS", "NOAUTH", "NOPERM", "WRONGTYPE", "MOVED", "SOMETHING"] {
            assert!(matches!(said(code, "x"), StoreError::Refused(_)), "{code}");
        }
        for code in ["READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "CLUSTERDOWN", "TRYAGAIN"] {
            assert!(matches!(said(code, "x"), StoreError::Unavailable(_)), "{code}");
        }
        assert!(matches!(said("ERR", "max number of clients reached"), StoreError::Unavailable(_)));
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut, io::ErrorKind::BrokenPipe] {
            let error = explain("h:1", &RedisError::from(io::Error::from(kind)));
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        }
    }

    #[test]
    fn nothing_repeats_what_was_sent() {
        let error = said("ERR", "unknown command `AUTH`, with args beginning with: `hunter2`").to_string();
        assert!(error.contains("unknown command") && !error.contains("hunter2"), "{error}");
    }
}

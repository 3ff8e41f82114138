//! What went wrong, in words for a person, and what to do about it: by the program, or by them.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use super::super::StoreError;

/// Why a statement, or a connection, has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another transaction was in the way: the same statement may work at once.
    Conflict(String),
    /// The connection is gone: another one may work.
    Lost(String),
    /// It doesn't work now, and may later.
    Unavailable(String),
    /// It needs a person.
    Refused(String),
}

impl Failure {
    /// Of a statement, or while logging in.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            let text = format!("{} ({})", told.message(), told.code().code());
            return Self::by_code(told.code(), text);
        }
        let text = chain(error);
        if let Some(cause) = caused_by::<rustls::Error>(error) {
            return Self::Refused(format!("TLS failed: {cause}; `tls` has to fit the server's certificate"));
        }
        if let Some(cause) = caused_by::<io::Error>(error) {
            return match cause.kind() {
                io::ErrorKind::PermissionDenied if text.ends_with("does not allow writes") => {
                    Self::Unavailable(READ_ONLY.to_owned())
                }
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Self::Lost(format!("the connection has ended: {text}"))
                }
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => foreign(),
                io::ErrorKind::Other if text.ends_with("bytes remaining on stream") => {
                    Self::Lost("the connection has ended within a message".to_owned())
                }
                _ => Self::Unavailable(text),
            };
        }
        if error.is_closed() {
            return Self::Lost("the connection has ended".to_owned());
        }
        // The library keeps its kinds to itself.
        if text.starts_with("unexpected message") || text.starts_with("error parsing") {
            return foreign();
        }
        if text.starts_with("error performing TLS") {
            return Self::Refused(format!("{text}; set `tls` off, or let the server encrypt"));
        }
        Self::Refused(text)
    }

    /// By the classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn by_code(code: &SqlState, text: String) -> Self {
        let and = |advice: &str| format!("{text}: {advice}");
        match code.code() {
            "40001" | "40P01" => return Self::Conflict(text),
            "28P01" | "28000" => {
                return Self::Refused(and("check `username`, `password` and the server's pg_hba.conf"));
            }
            "3D000" => return Self::Refused(and("create the database, or correct `database`")),
            "42501" => return Self::Refused(and("grant the user what is missing")),
            "25006" => return Self::Unavailable(READ_ONLY.to_owned()),
            "53100" => return Self::Unavailable(and("the server's disk is full")),
            "53300" => return Self::Unavailable(and("lower `pool_size` or raise the server's max_connections")),
            "57014" | "55P03" => return Self::Unavailable(and("the server took too long")),
            "57P01" | "57P02" | "57P05" => return Self::Lost(text),
            "XX001" | "XX002" => return Self::Refused(and("the data are damaged")),
            _ => {}
        }
        match code.code().get(..2) {
            Some("08" | "53" | "55" | "57" | "58" | "40" | "25" | "XX") => Self::Unavailable(text),
            Some("3F" | "42") => Self::Refused(and("the tables aren't as this program has put them in place")),
            _ => Self::Refused(text),
        }
    }

    /// The same, at this place.
    pub(super) fn at(self, place: &str) -> Self {
        let told = |text: String| format!("{place}: {text}");
        match self {
            Self::Conflict(text) => Self::Conflict(told(text)),
            Self::Lost(text) => Self::Lost(told(text)),
            Self::Unavailable(text) => Self::Unavailable(told(text)),
            Self::Refused(text) => Self::Refused(told(text)),
        }
    }

    /// Of several hosts: as long as one may come back, it is worth waiting.
    pub(super) fn of_all(failures: Vec<Self>) -> Self {
        let refused = failures.iter().all(|failure| matches!(failure, Self::Refused(_)));
        let texts: Vec<_> = failures.into_iter().map(Self::into_text).collect();
        if refused { Self::Refused(texts.join("; ")) } else { Self::Unavailable(texts.join("; ")) }
    }

    fn into_text(self) -> String {
        match self {
            Self::Conflict(text) | Self::Lost(text) | Self::Unavailable(text) | Self::Refused(text) => text,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(text) => Self::Refused(text),
            other => Self::Unavailable(other.into_text()),
        }
    }
}

const READ_ONLY: &str = "the server is read-only: a standby, or one that was set so; `hosts` may name several";

fn foreign() -> Failure {
    Failure::Refused("what answers there doesn't speak as PostgreSQL does: is it the right port?".to_owned())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

fn caused_by<E: std::error::Error + 'static>(error: &tokio_postgres::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An I/O error shows what it holds not as its cause, but inside.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inside.and_then(|inside| inside.downcast_ref::<E>()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_to_do() {
        let of = |code: &str| Failure::by_code(&SqlState::from_code(code), String::new());
        for code in ["40001", "40P01"] {
            assert!(matches!(of(code), Failure::Conflict(_)), "{code}");
        }
        for code in ["28P01", "28000", "3D000", "42501", "42P01", "42883", "3F000", "22021", "XX001"] {
            assert!(matches!(of(code), Failure::Refused(_)), "{code}");
        }
        for code in ["25006", "53100", "53200", "53300", "57014", "55P03", "57P03", "58030", "XX000", "08006"] {
            assert!(matches!(of(code), Failure::Unavailable(_)), "{code}");
        }
        assert!(matches!(of("57P01"), Failure::Lost(_)), "an administrator has ended it");
    }

    #[test]
    fn one_host_that_may_come_back_is_worth_waiting_for() {
        let (refused, away) = (Failure::Refused("a".into()), Failure::Unavailable("b".into()));
        assert_eq!(Failure::of_all(vec![refused.clone(), away]), Failure::Unavailable("a; b".into()));
        assert_eq!(Failure::of_all(vec![refused.clone(), refused]), Failure::Refused("a; a".into()));
    }
}

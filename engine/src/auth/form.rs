//! What goes to a token endpoint, and what comes back, as text.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use syncline_sdk::{Bytes, Reply};

/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Larger answers are no tokens.
const LARGEST_ANSWER: usize = 64 << 10;
/// Of each text that an error has.
const LONGEST_TEXT: usize = 200;

/// A form under construction. Zeroed on drop.
#[derive(Default)]
pub(super) struct Form(Vec<Field>);

struct Field {
    name: &'static str,
    value: SecretString,
    is_secret: bool,
}

impl Form {
    /// Adds what anyone may know.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.0.push(Field { name, value: SecretString::from(value.to_owned()), is_secret: false });
    }

    /// Adds what must not come out again.
    pub(super) fn add_secret(&mut self, name: &'static str, value: &str) {
        self.0.push(Field { name, value: SecretString::from(value.to_owned()), is_secret: true });
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|field| field.is_secret).map(|field| field.value.expose_secret())
    }

    /// As the body of a request; its memory is zeroed when the last copy is dropped.
    pub(super) fn body(&self) -> Bytes {
        let pair = |field: &Field| format!("{}={}", field.name, escape(field.value.expose_secret()));
        let pairs: Vec<_> = self.0.iter().map(pair).collect();
        Bytes::from_owner(Body(SecretString::from(pairs.join("&"))))
    }
}

struct Body(SecretString);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// As in a form; a client's id and secret are written so in HTTP Basic, too (RFC 6749, section 2.3.1).
pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// An access token.
pub(super) struct Token {
    pub(super) access: SecretString,
    /// `None`: until it is refused.
    pub(super) lifetime: Option<Duration>,
    /// The refresh token to use from now on, if the endpoint has named one.
    pub(super) refresh: Option<SecretString>,
}

/// What a token endpoint said.
pub(super) enum Answer {
    Token(Token),
    /// No, and the same question will be answered the same.
    Refused {
        /// By RFC 6749, such as `invalid_grant`; empty where there is none.
        code: String,
        message: String,
    },
    /// Neither.
    Unavailable {
        message: String,
        after: Option<Duration>,
    },
}

/// What `error` says where the question may be asked again, although the status is that of a
/// refusal.
const PASSING: [&str; 3] = ["temporarily_unavailable", "slow_down", "rate_limit_exceeded"];

/// Reads an answer. No text of it that has one of `secrets` comes out.
pub(super) fn interpret<'a>(reply: &Reply, secrets: impl Iterator<Item = &'a str>, now: SystemTime) -> Answer {
    let unavailable = |message: String| {
        let after = reply.retry_after().map(|after| after.from(now));
        Answer::Unavailable { message, after }
    };
    let status = reply.status;
    if reply.body.len() > LARGEST_ANSWER {
        return unavailable(format!("status {status} with more than {LARGEST_ANSWER} bytes"));
    }
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok().filter(Value::is_object);
    let secrets: Vec<_> = secrets.collect();
    let text = |key: &str| {
        let text = body.as_ref().and_then(|body| body.get(key)).and_then(Value::as_str);
        text.map(|text| shown(text, &secrets)).filter(|text| !text.is_empty())
    };
    let code = text("error").unwrap_or_default();
    let said: Vec<_> = [text("error"), text("error_description")].into_iter().flatten().collect();
    let said = if said.is_empty() { String::new() } else { format!(": {}", said.join(": ")) };
    match status {
        200..=299 if code.is_empty() => match body.as_ref().and_then(token) {
            Some(token) => Answer::Token(token),
            None => unavailable(format!("status {status} without an access token in JSON")),
        },
        200..=299 | 400 | 401 | 403 if !PASSING.contains(&code.as_str()) => {
            Answer::Refused { code, message: format!("status {status}{said}") }
        }
        _ => unavailable(format!("status {status}{said}")),
    }
}

fn token(body: &Value) -> Option<Token> {
    // What can't go into a header is no token. Nothing else is known of its form or length.
    let is_safe = |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let access = text("access_token").filter(is_safe)?;
    let refresh = text("refresh_token").filter(|token| !token.is_empty());
    Some(Token {
        access: SecretString::from(access.to_owned()),
        lifetime: body.get("expires_in").and_then(lifetime),
        refresh: refresh.map(|token| SecretString::from(token.to_owned())),
    })
}

/// A number, or a number as text. What makes no sense counts as absent.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let seconds = Duration::try_from_secs_f64(seconds.floor()).ok()?;
    (!seconds.is_zero()).then_some(seconds)
}

/// A text of the endpoint's, for people: bounded, on one line, and without any secret in the forms
/// in which it was sent.
fn shown(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    // Longer ones first: a shorter one may be part of them.
    let mut secrets: Vec<_> = secrets.iter().filter(|secret| secret.len() >= 3).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        for form in [(*secret).to_owned(), escape(secret), STANDARD.encode(secret)] {
            text = text.replace(&form, "…");
        }
    }
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let reply = Reply { status, headers: vec![("retry-after".into(), "7".into())], body: body.to_owned().into() };
        interpret(&reply, ["hunter2", "p&w"].into_iter(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn tokens_and_their_lives() {
        for (body, seconds) in [
            (r#"{"access_token":"t","expires_in":1799}"#, Some(1799)),
            (r#"{"access_token":"t","expires_in":"1799"}"#, Some(1799)),
            (r#"{"access_token":"t","expires_in":60.9}"#, Some(60)),
            (r#"{"access_token":"t"}"#, None),
            (r#"{"access_token":"t","expires_in":0}"#, None),
            (r#"{"access_token":"t","expires_in":-5}"#, None),
            (r#"{"access_token":"t","expires_in":1e300}"#, None),
            (r#"{"access_token":"t","expires_in":"soon"}"#, None),
        ] {
            let Answer::Token(token) = answer(200, body) else { panic!("{body}") };
            assert_eq!(token.lifetime, seconds.map(Duration::from_secs), "{body}");
        }
    }

    #[test]
    fn who_refuses_and_who_is_only_away() {
        let refused = |status, body: &str| match answer(status, body) {
            Answer::Refused { code, message } => Some((code, message)),
            _ => None,
        };
        let (code, message) = refused(400, r#"{"error":"invalid_grant","error_description":"expired"}"#).unwrap();
        assert_eq!((code.as_str(), message.as_str()), ("invalid_grant", "status 400: invalid_grant: expired"));
        for (status, body) in [(401, "no JSON"), (403, "{}"), (401, "[]"), (200, r#"{"error":"bad_client"}"#)] {
            assert!(refused(status, body).is_some(), "{status} {body}");
        }
        for (status, body) in [
            (429, r#"{"error":"invalid_client"}"#),
            (503, ""),
            (302, ""),
            (404, ""),
            (400, r#"{"error":"temporarily_unavailable"}"#),
            (200, "<html>log in</html>"),
            (200, r#"{"access_token":""}"#),
            (200, "{\"access_token\":\"a\\nb\"}"),
            (200, r#"{"access_token":5}"#),
        ] {
            let Answer::Unavailable { after, .. } = answer(status, body) else { panic!("{status} {body}") };
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        let large = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(LARGEST_ANSWER));
        assert!(matches!(answer(200, &large), Answer::Unavailable { .. }));
    }

    #[test]
    fn no_secret_is_repeated() {
        let body = r#"{"error":"invalid_client","error_description":"hunter2 p%26w cCZ3 aHVudGVyMg== are\nwrong"}"#;
        let Answer::Refused { message, .. } = answer(401, body) else { panic!() };
        assert_eq!(message, "status 401: invalid_client: … … … … are wrong");
        let long = format!(r#"{{"error":"{}hunter2"}}"#, "x".repeat(LONGEST_TEXT - 3));
        let Answer::Refused { message, .. } = answer(401, &long) else { panic!() };
        assert!(!message.contains("hun"), "not even in part: {message}");
    }

    #[test]
    fn a_form_is_escaped() {
        let mut form = Form::default();
        form.add("a", "x y&z=ä+%");
        form.add("b", "~-._");
        assert_eq!(form.body(), "a=x%20y%26z%3D%C3%A4%2B%25&b=~-._");
    }
}

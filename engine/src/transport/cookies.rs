//! Cookies of a destination, for as long as the process lives: each request has a jar for itself while it is under way, so
//! that no two of them share a session.
//!
//! Whose request ended without a complete reply loses its jar: the server may still be at work in that session. Neither is a
//! session of use any more that the server has refused (401), nor one that began with an earlier credential.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use cookie_store::CookieStore;
use reqwest::Url;
use syncline_sdk::Reply;

/// The header that cookies are sent in.
pub(crate) const COOKIE: &str = "cookie";
const SET_COOKIE: &str = "set-cookie";

/// What a jar may hold, in the bytes of its header. More is no session: servers refuse longer headers, too.
const JAR_BYTES: usize = 8 << 10;
/// And how many cookies, those for other paths included.
const JAR_COOKIES: usize = 64;

/// The jars of one destination that have no request under way.
#[derive(Debug)]
pub(crate) struct CookieJars {
    free: Mutex<Vec<Jar>>,
    /// More aren't kept.
    most: usize,
}

struct Jar {
    cookies: CookieStore,
    /// Of the credential that its session began with.
    generation: u64,
}

impl fmt::Debug for Jar {
    /// Cookies are as good as passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl CookieJars {
    /// For as many requests at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self { free: Mutex::default(), most }
    }

    /// A jar for one request. The one that was used last comes first, so that what is too many is forgotten by the server.
    pub(crate) fn take(&self, url: &str, generation: u64) -> Option<JarInUse<'_>> {
        // A URL that can't be read is the transport's to refuse.
        let url = Url::parse(url).ok()?;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.retain(|jar| jar.generation == generation);
        let jar = free.pop().unwrap_or_else(|| Jar { cookies: CookieStore::default(), generation });
        Some(JarInUse { jars: self, jar, url })
    }

    fn give_back(&self, jar: Jar) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.most {
            free.push(jar);
        }
    }
}

/// A jar whose request is under way. Dropped, it is thrown away.
#[derive(Debug)]
pub(crate) struct JarInUse<'j> {
    jars: &'j CookieJars,
    jar: Jar,
    url: Url,
}

impl JarInUse<'_> {
    /// The header that takes its cookies along.
    pub(crate) fn header(&self) -> Option<(&'static str, Cow<'static, str>)> {
        let cookies = self.jar.cookies.get_request_values(&self.url);
        let cookies: Vec<_> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        (!cookies.is_empty()).then(|| (COOKIE, cookies.join("; ").into()))
    }

    /// The reply is there, and whole: its cookies are kept, and the jar is free.
    pub(crate) fn replied(mut self, reply: &Reply) {
        if reply.status == 401 {
            return;
        }
        for (name, value) in &reply.headers {
            if name == SET_COOKIE {
                // A cookie that is meant for someone else, or is none at all, isn't kept. `parse` logs nothing.
                let _ = self.jar.cookies.parse(value, &self.url);
            }
        }
        let bytes = self.header().map_or(0, |(_, header)| header.len());
        if bytes <= JAR_BYTES && self.jar.cookies.iter_any().count() <= JAR_COOKIES {
            self.jars.give_back(self.jar);
        }
    }
}

/// Takes the cookies out of a reply, which goes on to the connector, and perhaps into a dead letter.
pub(crate) fn remove(reply: &mut Reply) {
    reply.headers.retain(|(name, _)| name != SET_COOKIE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sdk::Bytes;

    const URL: &str = "https://crm.example.com/api/things";

    fn reply(status: u16, cookies: &[&str]) -> Reply {
        let headers = cookies.iter().map(|cookie| (SET_COOKIE.to_owned(), (*cookie).to_owned())).collect();
        Reply { status, headers, body: Bytes::new() }
    }

    fn sent(jar: &JarInUse<'_>) -> String {
        jar.header().map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    #[test]
    fn a_session_is_used_again_and_never_by_two() {
        let jars = CookieJars::new(2);
        let (one, two) = (jars.take(URL, 0).unwrap(), jars.take(URL, 0).unwrap());
        assert_eq!((one.header(), two.header()), (None, None));
        one.replied(&reply(200, &["s=1; Path=/; HttpOnly", "t=2; Secure"]));
        let three = jars.take(URL, 0).unwrap();
        let cookies = sent(&three);
        assert!(cookies == "s=1; t=2" || cookies == "t=2; s=1", "{cookies}");
        two.replied(&reply(200, &["s=7"]));
        assert_eq!(sent(&jars.take(URL, 0).unwrap()), "s=7", "the first one is still under way");
    }

    #[test]
    fn what_may_be_busy_or_void_is_thrown_away() {
        let jars = CookieJars::new(4);
        let begun = || jars.take(URL, 3).unwrap().replied(&reply(200, &["s=1"]));
        begun();
        assert_eq!(sent(&jars.take(URL, 3).unwrap()), "s=1", "and then it was dropped without a reply");
        assert_eq!(sent(&jars.take(URL, 3).unwrap()), "");
        begun();
        jars.take(URL, 3).unwrap().replied(&reply(401, &["s=2"]));
        assert_eq!(sent(&jars.take(URL, 3).unwrap()), "");
        begun();
        assert_eq!(sent(&jars.take(URL, 4).unwrap()), "", "another credential has other sessions");
        jars.take(URL, 3).unwrap().replied(&reply(200, &[&format!("s={}", "x".repeat(JAR_BYTES))]));
        assert_eq!(sent(&jars.take(URL, 3).unwrap()), "", "too much is no session");
        let many: Vec<_> = (0..=JAR_COOKIES).map(|number| format!("c{number}=1; Path=/elsewhere")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        jars.take(URL, 3).unwrap().replied(&reply(200, &many));
        assert!(jars.free.lock().unwrap().is_empty());
        assert!(jars.take("no url", 3).is_none());
    }

    #[test]
    fn cookies_go_where_they_came_from_and_are_not_shown() {
        let jars = CookieJars::new(1);
        let foreign =
            ["a=1; Domain=other.example.com", "b=2; Path=/api", "c=3; Max-Age=0", "canary", "d=canary; Path=/"];
        jars.take(URL, 0).unwrap().replied(&reply(200, &foreign));
        let jar = jars.take(URL, 0).unwrap();
        let cookies = sent(&jar);
        assert!(cookies.contains("b=2") && cookies.contains("d=canary") && cookies.len() == 13, "{cookies}");
        assert!(!format!("{jar:?}").contains("canary"));
        let mut reply = reply(200, &["d=canary"]);
        reply.headers.push(("x".to_owned(), "y".to_owned()));
        remove(&mut reply);
        assert_eq!(reply.headers, [("x".to_owned(), "y".to_owned())]);
        jar.replied(&reply);
        let (one, two) = (jars.take("http://crm.example.com/", 0), jars.take("https://else.example.com/api", 0));
        assert_eq!(one.unwrap().header().unwrap().1, "d=canary");
        assert_eq!(two.unwrap().header(), None);
    }

    #[test]
    fn no_more_are_kept_than_are_used() {
        let jars = CookieJars::new(2);
        let all: Vec<_> = (0..5).map(|_| jars.take(URL, 0).unwrap()).collect();
        all.into_iter().for_each(|jar| jar.replied(&reply(200, &["s=1"])));
        assert_eq!(jars.free.lock().unwrap().len(), 2);
    }
}

//! Replies that a CRM, a proxy or a broken line could give, and that prove nothing.

use syncline_sdk::{Bytes, Reply};

const JSON: &str = "application/json;charset=UTF-8";
const HTML: &str = "text/html; charset=utf-8";

/// A reply without its status.
pub(crate) struct Broken {
    /// For messages.
    pub(crate) name: &'static str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Broken {
    fn new(name: &'static str, content_type: Option<&str>, body: impl Into<Bytes>) -> Self {
        let headers = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
        Self { name, headers: headers.into_iter().collect(), body: body.into() }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_status(&self, status: u16) -> Reply {
        Reply { status, headers: self.headers.clone(), body: self.body.clone() }
    }
}

/// Bodies that are tried with every status.
pub(crate) fn everywhere() -> Vec<Broken> {
    const PAGE: &str = "<!DOCTYPE html><html><body><form action=\"/login.do\">Sign in</form></body></html>";
    let mut all = vec![
        Broken::new("empty body", None, ""),
        Broken::new("empty body, JSON type", Some(JSON), ""),
        Broken::new("HTML", Some(HTML), PAGE),
        Broken::new("HTML, JSON type", Some(JSON), PAGE),
        Broken::new("plain text", Some("text/plain"), "OK"),
        Broken::new("invalid UTF-8", Some(JSON), &b"{\"result\":\"\xff\xfe\"}"[..]),
        Broken::new("invalid bytes", Some(JSON), &b"\x00\xff\xfe\x80"[..]),
        Broken::new("nested arrays", Some(JSON), "[".repeat(600)),
        Broken::new("nested objects", Some(JSON), format!("{}1{}", "{\"result\":".repeat(300), "}".repeat(300))),
        Broken::new("odd headers", Some("; ; ="), "{}")
            .header("retry-after", "99999999999999999999")
            .header("location", "https://login.example/"),
        Broken::new("odd retry-after", None, "").header("retry-after", "soon"),
    ];
    all.extend(
        [
            "{",
            "{\"result\":",
            "{\"result\":[{\"sys_id\":\"",
            "{\"id\":\"1\",\"success\":tr",
            "{} {}",
            "{\"result\":[]} trailing",
            "{\"success\":true}\u{0}",
        ]
        .map(|body| Broken::new("broken JSON", Some(JSON), body)),
    );
    all.extend(
        [
            "null",
            "true",
            "7",
            "1e999",
            "\"text\"",
            "[]",
            "[null]",
            "[{}]",
            "{}",
            "{\"result\":null}",
            "{\"result\":7}",
            "{\"result\":\"\"}",
            "{\"result\":{}}",
            "{\"result\":[]}",
            "{\"result\":[{}]}",
            "{\"result\":[null]}",
            "{\"result\":[],\"result\":[]}",
            "{\"results\":[{}],\"status\":\"COMPLETE\"}",
            "{\"id\":null,\"success\":true,\"errors\":[]}",
            "{\"success\":\"true\"}",
            "{\"error\":{}}",
            "{\"error\":\"text\"}",
            "{\"error\":{\"message\":7,\"detail\":[]},\"status\":\"failure\"}",
        ]
        .map(|body| Broken::new("JSON of another shape", Some(JSON), body)),
    );
    all
}

/// Variations of a good reply, each with the statuses that it is tried with.
pub(crate) fn derived_from(good: &Reply) -> Vec<(Broken, u16)> {
    let mut variations: Vec<Broken> = cuts(good.body.len())
        .into_iter()
        .filter_map(|end| Some(Broken::new("good body, cut short", Some(JSON), good.body.get(..end)?.to_vec())))
        .collect();
    let body = String::from_utf8_lossy(&good.body);
    const ERROR: &str = "\"error\":{\"message\":\"Transaction cancelled: maximum execution time exceeded\",\"detail\":null},\"status\":\"failure\"}";
    let mut vary = |name, content_type, body: String| variations.push(Broken::new(name, content_type, body));
    if let Some(open) = body.strip_suffix('}') {
        vary("good body with an error appended", Some(JSON), format!("{open},{ERROR}"));
        vary("good body with a broken error appended", Some(JSON), format!("{open}{ERROR}"));
    }
    if !body.is_empty() {
        vary("good body with something after it", Some(JSON), format!("{body} x"));
        vary("good body twice", Some(JSON), format!("{body}{body}"));
        vary("good body as HTML", Some(HTML), body.clone().into_owned());
        vary("good body without a type", None, body.clone().into_owned());
    }
    vary("something in place of the good body", Some(JSON), format!("{}[", "[".repeat(100_000)));

    let mut statuses = vec![200, 201, 202, 204, 206, 207, 302, 400, 404, 409, 500];
    if !statuses.contains(&good.status) {
        statuses.push(good.status);
    }
    let mut all: Vec<_> = Vec::new();
    for Broken { name, headers, body } in variations {
        for status in &statuses {
            all.push((Broken { name, headers: headers.clone(), body: body.clone() }, *status));
        }
    }
    let whole = || Broken { name: "good body", headers: good.headers.clone(), body: good.body.clone() };
    all.extend((100..=599).map(|status| (whole(), status)));
    all
}

/// Where a body of that length is cut: everywhere, or evenly spread with the last bytes.
fn cuts(length: usize) -> Vec<usize> {
    const AT_MOST: usize = 64;
    const LAST: usize = 8;
    let step = length.div_ceil(AT_MOST).max(1);
    let mut cuts: Vec<_> = (0..length).step_by(step).chain(length.saturating_sub(LAST)..length).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

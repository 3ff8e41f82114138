//! What is wrong with a configuration: where, what, and what to do. Values are never repeated,
//! because any of them may be a secret in the wrong place.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the file, such as `syncline.toml:12`.
    File(String),
    /// In an environment variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Where values were written, by JSON pointer.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(crate) fn set(&mut self, pointer: &str, origin: Origin) {
        self.0.insert(pointer.to_owned(), origin);
    }

    /// The origin of the value, or of the nearest one around it.
    pub(crate) fn of(&self, pointer: &str) -> Option<&Origin> {
        let mut pointer = pointer;
        loop {
            if let Some(origin) = self.0.get(pointer) {
                return Some(origin);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// JSON pointer to the key; empty where it is about the whole.
    pub(crate) pointer: String,
    pub(crate) origin: Option<Origin>,
    /// What is wrong and what to do, in a sentence.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), origin: None, what: what.into() }
    }

    pub(crate) fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// About a variable that isn't a key.
    pub(crate) fn of_variable(name: &str, what: impl Into<String>) -> Self {
        Self::new("", what).from(Origin::Variable(name.to_owned()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = dotted(&self.pointer);
        match &self.origin {
            Some(origin) if path.is_empty() => write!(f, "{origin}: ")?,
            Some(origin @ Origin::File(_)) => write!(f, "{origin}: {path}: ")?,
            Some(origin @ Origin::Variable(_)) => write!(f, "{origin} ({path}): ")?,
            None if path.is_empty() => {}
            None => write!(f, "{path}: ")?,
        }
        f.write_str(&self.what)
    }
}

/// `/destinations/0/auth/password` → `destinations[0].auth.password`, without control characters.
pub(crate) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{segment}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&crate::logging::neutral(&segment));
    }
    path
}

/// A key as a segment of a JSON pointer.
pub(crate) fn segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Everything that is wrong, at once.
#[derive(Debug)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem:")?,
            number => write!(f, "the configuration has {number} problems:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

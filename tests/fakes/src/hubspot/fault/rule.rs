//! When a fault happens.

use super::{Fault, Seen};

/// A fault, the requests that it is meant for, and how often it happens to them.
///
/// A new rule means every request, every time. Each call narrows it. A batch is one request, about all the keys of its
/// inputs; [`Rule::inputs`] and [`Rule::input`] mean the inputs instead, each about its own. An input can only be
/// refused: faults of the transport do not happen to it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) after_commit: bool,
    pub(super) first: Option<usize>,
    place: Place,
    method: Option<String>,
    writes: bool,
    object_type: Option<String>,
    key: Option<String>,
    path: Option<String>,
    body_text: Option<String>,
    pub(super) nth: Option<u64>,
    pub(super) every: u64,
    pub(super) probability: Option<(f64, u64)>,
    pub(super) each_key: Option<u64>,
    pub(super) at_most: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Request,
    Inputs,
    Input(usize),
}

impl Rule {
    /// A rule for every request.
    pub fn new(fault: Fault) -> Self {
        let (method, object_type, key, path, body_text) = Default::default();
        Self {
            fault,
            after_commit: false,
            first: None,
            place: Place::Request,
            method,
            writes: false,
            object_type,
            key,
            path,
            body_text,
            nth: None,
            every: 1,
            probability: None,
            each_key: None,
            at_most: u64::MAX,
        }
    }

    /// Carries the request or the input out first.
    #[must_use]
    pub fn after_commit(mut self) -> Self {
        self.after_commit = true;
        self
    }

    /// Carries the first `inputs` of a batch out, and no others. Then comes the fault.
    #[must_use]
    pub fn after_inputs(mut self, inputs: usize) -> Self {
        self.first = Some(inputs);
        self.after_commit()
    }

    /// The inputs of batches, and not requests.
    #[must_use]
    pub fn inputs(mut self) -> Self {
        self.place = Place::Inputs;
        self
    }

    /// The `number`th input of a batch, counted from 1.
    #[must_use]
    pub fn input(mut self, number: usize) -> Self {
        self.place = Place::Input(number);
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only requests that ask for a change: no `GET`, search or batch read.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Only requests whose path ends so, as `/batch/upsert`.
    #[must_use]
    pub fn path_ends(mut self, end: &str) -> Self {
        self.path = Some(end.into());
        self
    }

    /// Only requests for this type, by its name.
    #[must_use]
    pub fn object_type(mut self, name: &str) -> Self {
        self.object_type = Some(name.into());
        self
    }

    /// Only requests or inputs about the record with this value in the type's key property, or by this `idProperty`'s
    /// value.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only requests whose body has this text in it.
    #[must_use]
    pub fn body_contains(mut self, text: &str) -> Self {
        self.body_text = Some(text.into());
        self
    }

    /// Only the `n`th of those that are meant, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = Some(n);
        self
    }

    /// Only every `n`th of those that are meant.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = n.max(1);
        self
    }

    /// Each time with this probability (0 to 1). The same seed gives the same series.
    #[must_use]
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some((probability, seed));
        self
    }

    /// Only the first `n` about each key. A request about several keys counts for each, and is meant while one of them
    /// has not had its number.
    #[must_use]
    pub fn each_key(mut self, n: u64) -> Self {
        self.each_key = Some(n);
        self
    }

    /// At most this often.
    #[must_use]
    pub fn at_most(mut self, times: u64) -> Self {
        self.at_most = times;
        self
    }

    /// Whether a request or an input is meant, leaving aside how often.
    pub(super) fn means(&self, seen: &Seen<'_>) -> bool {
        let place = match (self.place, seen.input) {
            (Place::Request, input) => input.is_none(),
            (Place::Inputs, input) => input.is_some(),
            (Place::Input(number), input) => input == Some(number),
        };
        place
            && self.method.as_ref().is_none_or(|method| seen.method == method)
            && (!self.writes || seen.write)
            && self.object_type.as_deref().is_none_or(|name| seen.object_type == Some(name))
            && self.key.as_ref().is_none_or(|key| seen.keys.contains(key))
            && self.path.as_ref().is_none_or(|end| seen.path.ends_with(end.as_str()))
            && self.body_text.as_ref().is_none_or(|text| seen.body.contains(text.as_str()))
            && (self.first.is_none() || seen.batch)
            && (self.each_key.is_none() || !seen.keys.is_empty())
    }
}

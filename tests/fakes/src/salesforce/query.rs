//! SOQL in the simple form that a connector needs: `SELECT a, Parent.b FROM O WHERE … ORDER BY … LIMIT n`, with `=`,
//! `!=`, `<`, `>`, `<=`, `>=`, `IN`, `NOT IN`, `AND`, `OR`, `NOT` and brackets.

use std::cmp::Ordering;

use serde_json::Value;

use super::values::parse_stamp;

/// A query, taken apart.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// `COUNT()` where there are none.
    pub(super) fields: Vec<String>,
    pub(super) object: String,
    pub(super) condition: Option<Condition>,
    /// Field, and whether it falls.
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Is { field: String, operator: String, values: Vec<Value> },
}

impl Query {
    /// Nothing where it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Tokens { tokens: tokens(text)?, at: 0 };
        let mut query = Self::default();
        tokens.word("SELECT")?;
        if tokens.word("COUNT").is_some() {
            tokens.word("(").and(tokens.word(")"))?;
        } else {
            query.fields = tokens.list()?;
        }
        tokens.word("FROM")?;
        query.object = tokens.next()?;
        if tokens.word("WHERE").is_some() {
            query.condition = Some(tokens.any()?);
        }
        if tokens.word("ORDER").is_some() {
            tokens.word("BY")?;
            loop {
                let field = tokens.next()?;
                let falls = tokens.word("DESC").is_some();
                let _ = tokens.word("ASC");
                query.order.push((field, falls));
                if tokens.word(",").is_none() {
                    break;
                }
            }
        }
        if tokens.word("LIMIT").is_some() {
            query.limit = Some(tokens.next()?.parse().ok()?);
        }
        (tokens.at == tokens.tokens.len()).then_some(query)
    }
}

impl Condition {
    /// The fields that it names.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::names).collect(),
            Self::Not(part) => part.names(),
            Self::Is { field, .. } => vec![field],
        }
    }

    /// Whether a record meets it. `value` tells what a field holds.
    pub(super) fn holds(&self, value: &impl Fn(&str) -> Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Not(part) => !part.holds(value),
            Self::Is { field, operator, values } => {
                let found = value(field);
                let is = |wanted: fn(Ordering) -> bool| {
                    values.iter().any(|other| compare(&found, other).is_some_and(wanted))
                };
                match operator.as_str() {
                    "=" | "IN" => is(Ordering::is_eq),
                    "!=" | "NOT IN" => !is(Ordering::is_eq),
                    "<" => is(Ordering::is_lt),
                    ">" => is(Ordering::is_gt),
                    "<=" => is(Ordering::is_le),
                    _ => is(Ordering::is_ge),
                }
            }
        }
    }
}

/// Text is compared without regard to case, points in time as such; null is only equal to null.
pub(super) fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => match (parse_stamp(one), parse_stamp(other)) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ if is_id(one) && is_id(other) => Some(short(one).cmp(short(other))),
            _ => Some(one.to_lowercase().cmp(&other.to_lowercase())),
        },
        _ => None,
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 15 | 18)
        && super::ids::short(text).is_some_and(|id| text.starts_with(&id))
        && text.starts_with('0')
}

fn short(id: &str) -> &str {
    id.get(..15).unwrap_or(id)
}

struct Tokens {
    tokens: Vec<String>,
    at: usize,
}

impl Tokens {
    fn next(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        Some(token)
    }

    /// Takes the next token if it is this one.
    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.tokens.get(self.at).is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found.then_some(())
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut list = vec![self.next()?];
        while self.word(",").is_some() {
            list.push(self.next()?);
        }
        Some(list)
    }

    fn any(&mut self) -> Option<Condition> {
        let mut parts = vec![self.all()?];
        while self.word("OR").is_some() {
            parts.push(self.all()?);
        }
        Some(Condition::Any(parts))
    }

    fn all(&mut self) -> Option<Condition> {
        let mut parts = vec![self.one()?];
        while self.word("AND").is_some() {
            parts.push(self.one()?);
        }
        Some(Condition::All(parts))
    }

    fn one(&mut self) -> Option<Condition> {
        if self.word("NOT").is_some() {
            return Some(Condition::Not(Box::new(self.one()?)));
        }
        if self.word("(").is_some() {
            let inner = self.any()?;
            return self.word(")").map(|()| inner);
        }
        let field = self.next()?;
        let mut operator = self.next()?.to_uppercase();
        if operator == "NOT" {
            self.word("IN")?;
            operator = "NOT IN".into();
        }
        let literals = if operator.ends_with("IN") {
            self.word("(")?;
            let list = self.list()?;
            self.word(")")?;
            list
        } else {
            vec![self.next()?]
        };
        let known = ["=", "!=", "<", ">", "<=", ">=", "IN", "NOT IN"].contains(&operator.as_str());
        let values = literals.iter().map(|token| literal(token)).collect::<Option<Vec<_>>>()?;
        known.then_some(Condition::Is { field, operator, values })
    }
}

fn literal(token: &str) -> Option<Value> {
    if let Some(text) = token.strip_prefix('\'') {
        return Some(text.into());
    }
    match token.to_lowercase().as_str() {
        "null" => Some(Value::Null),
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        number if number.parse::<f64>().is_ok() => number.parse::<f64>().ok().map(Value::from),
        _ if token.starts_with(|first: char| first.is_ascii_digit()) => Some(token.into()),
        _ => None,
    }
}

/// Words, signs and strings; a string keeps its opening quote, and loses its escapes.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        let mut token = String::from(first);
        match first {
            space if space.is_whitespace() => continue,
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    '\\' => token.push(match rest.next()? {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => other,
                    }),
                    other => token.push(other),
                }
            },
            '(' | ')' | ',' | '=' => {}
            '<' | '>' | '!' => token.extend(rest.next_if_eq(&'=')),
            _ => {
                while let Some(next) = rest.next_if(|next| !next.is_whitespace() && !"(),=<>!'".contains(*next)) {
                    token.push(next);
                }
            }
        }
        tokens.push(token);
    }
    Some(tokens)
}

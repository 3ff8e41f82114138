//! One condition of an encoded query: a column, an operator and a value. All three are case sensitive, as documented.

use std::cmp::Ordering;

/// What a column is compared with, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) column: String,
    pub(crate) operator: Operator,
    pub(crate) value: String,
}

/// The operators that a sync uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    StartsWith,
    EndsWith,
    Like,
    NotLike,
    IsEmpty,
    IsNotEmpty,
}

/// A longer operator stands before each shorter one that begins it.
const OPERATORS: [(&str, Operator); 14] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("NOT IN", Operator::NotIn),
    ("NOT LIKE", Operator::NotLike),
    ("ISNOTEMPTY", Operator::IsNotEmpty),
    ("ISEMPTY", Operator::IsEmpty),
    ("IN", Operator::In),
    ("STARTSWITH", Operator::StartsWith),
    ("ENDSWITH", Operator::EndsWith),
    ("LIKE", Operator::Like),
];

impl Condition {
    /// Parses `column<operator>value`. Nothing where there is no column or no known operator.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|character: char| !matches!(character, 'a'..='z' | '0'..='9' | '_' | '.'))?;
        let (column, rest) = text.split_at(end);
        if column.is_empty() {
            return None;
        }
        OPERATORS.iter().find_map(|(sign, operator)| {
            let value = rest.strip_prefix(sign)?;
            Some(Self { column: column.into(), operator: *operator, value: value.into() })
        })
    }

    /// Whether it holds for a column's value, which is empty where the record has none.
    pub(super) fn holds(&self, value: &str) -> bool {
        let asked = self.value.as_str();
        match self.operator {
            Operator::Equal => value == asked,
            Operator::NotEqual => value != asked,
            Operator::Less => compare(value, asked).is_lt(),
            Operator::LessOrEqual => compare(value, asked).is_le(),
            Operator::Greater => compare(value, asked).is_gt(),
            Operator::GreaterOrEqual => compare(value, asked).is_ge(),
            Operator::In => asked.split(',').any(|one| one == value),
            Operator::NotIn => asked.split(',').all(|one| one != value),
            Operator::StartsWith => value.starts_with(asked),
            Operator::EndsWith => value.ends_with(asked),
            Operator::Like => value.contains(asked),
            Operator::NotLike => !value.contains(asked),
            Operator::IsEmpty => value.is_empty(),
            Operator::IsNotEmpty => !value.is_empty(),
        }
    }

    /// The values that satisfy it, where they can be listed. An index can answer such a condition.
    pub(crate) fn exact_values(&self) -> Option<Vec<&str>> {
        match self.operator {
            Operator::Equal => Some(vec![&self.value]),
            Operator::In => Some(self.value.split(',').collect()),
            _ => None,
        }
    }
}

/// Numbers by value, everything else by its text. Dates sort rightly as text.
fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

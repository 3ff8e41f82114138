//! Encoded queries: `name=Acme^ORname=Bolt^status!=closed^ORDERBYname`, parsed.
//!
//! Parsing knows no table. Unknown columns are dropped when the query is [bound](Query::bind) to one, as the vendor
//! does.

mod condition;
mod terms;

pub(crate) use condition::{Condition, Operator};

use terms::terms;

/// Groups joined by OR (`^NQ`), each of clauses joined by AND (`^`), each of conditions joined by OR (`^OR`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query {
    pub(crate) groups: Vec<Group>,
    pub(crate) order: Vec<Order>,
    /// The parts that made no sense, which the vendor drops without a word.
    pub(crate) dropped: Vec<String>,
}

/// Clauses that must all hold. A group with none holds for every record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    pub(crate) clauses: Vec<Clause>,
}

/// Conditions of which one must hold. [Binding](Query::bind) removes the clauses that have none left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) any: Vec<Condition>,
}

/// One column to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: String,
    pub(crate) descending: bool,
}

impl Query {
    /// Parses an encoded query. It cannot fail: what makes no sense is dropped.
    pub(crate) fn parse(encoded: &str) -> Self {
        let mut query = Self { groups: vec![Group::default()], ..Self::default() };
        for term in terms(encoded) {
            query.take(&term);
        }
        query
    }

    /// Drops the parts about columns for which `known` is false, which can widen the result to the whole table.
    pub(crate) fn bind(mut self, known: impl Fn(&str) -> bool) -> Self {
        for group in &mut self.groups {
            for clause in &mut group.clauses {
                let (kept, unknown) = clause.any.drain(..).partition(|condition| known(&condition.column));
                clause.any = kept;
                self.dropped.extend(unknown.into_iter().map(|condition| condition.column));
            }
            group.clauses.retain(|clause| !clause.any.is_empty());
        }
        self.order.retain(|order| known(&order.column));
        self
    }

    /// Whether a record is meant. `value` gives a column's value, empty where there is none.
    pub(crate) fn matches<'r>(&self, value: impl Fn(&str) -> &'r str) -> bool {
        let holds = |clause: &Clause| clause.any.iter().any(|condition| condition.holds(value(&condition.column)));
        self.groups.iter().any(|group| group.clauses.iter().all(holds))
    }

    /// The value that the first `column=value` asks for.
    pub(crate) fn value_of(&self, column: &str) -> Option<&str> {
        let mut conditions = self.groups.iter().flat_map(|group| &group.clauses).flat_map(|clause| &clause.any);
        conditions.find(|found| found.column == column && found.operator == Operator::Equal).map(|found| &*found.value)
    }

    fn take(&mut self, term: &str) {
        // `ORDERBY` before `OR`, because it starts with it.
        if let Some(column) = term.strip_prefix("ORDERBYDESC") {
            self.order.push(Order { column: column.into(), descending: true });
        } else if let Some(column) = term.strip_prefix("ORDERBY") {
            self.order.push(Order { column: column.into(), descending: false });
        } else if let Some(rest) = term.strip_prefix("NQ") {
            self.groups.push(Group::default());
            self.condition(rest, false);
        } else if let Some(rest) = term.strip_prefix("OR") {
            self.condition(rest, true);
        } else if term != "EQ" {
            // `EQ` closes the queries that the vendor's own list view copies out.
            self.condition(term, false);
        }
    }

    fn condition(&mut self, text: &str, or: bool) {
        let Some(group) = self.groups.last_mut() else { return };
        let condition = Condition::parse(text);
        if condition.is_none() && !text.is_empty() {
            self.dropped.push(text.into());
        }
        match group.clauses.last_mut() {
            Some(clause) if or => clause.any.extend(condition),
            // A dropped part still opens a clause, so that an `^OR` after it does not join the clause before it.
            _ => group.clauses.push(Clause { any: condition.into_iter().collect() }),
        }
    }
}

#[cfg(test)]
mod tests;

//! Whether everything that was produced has come to its right end, by evidence that doesn't come
//! from the engine: the CRM's records and write count, the dead letter topic, the group's commits.

use std::collections::{BTreeMap, HashMap};

use super::crm::Books;
use super::events::{Entity, Expected, Sample};

/// What has to be found in the end.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    pub(super) writes: u64,
    pub(super) duplicates: u64,
    pub(super) stale: u64,
    /// Values of records that have to be dead-lettered.
    letters: HashMap<Vec<u8>, ()>,
}

impl Expectations {
    pub(super) fn add(&mut self, sample: &Sample) {
        match sample.expected {
            Expected::Write => self.writes += 1,
            Expected::Duplicate => self.duplicates += 1,
            Expected::Stale => self.stale += 1,
            Expected::Letter => drop(self.letters.insert(sample.value.clone().unwrap_or_default(), ())),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) produced: u64,
    pub(super) log_end: u64,
    pub(super) committed: u64,
    pub(super) letters: Vec<Vec<u8>>,
    pub(super) books: Books,
    /// The engine's own count, which has to agree.
    pub(super) duplicates: u64,
    /// The engine's own count, which has to agree.
    pub(super) stale: u64,
}

/// What follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) delivered: u64,
    pub(super) dead_lettered: u64,
    pub(super) lost: u64,
    /// Anything that doesn't add up, lost or not.
    pub(super) problems: Vec<String>,
}

pub(super) fn audit(expected: &Expectations, entities: &[Entity], found: &Evidence) -> Finding {
    let mut problems = Vec::new();
    let mut note = |number: u64, what: &str| {
        if number > 0 {
            problems.push(format!("{number} {what}"));
        }
    };
    let written_once = found.books.written.saturating_sub(found.books.repeated);
    let missing_writes = expected.writes.saturating_sub(written_once);
    let wrong_records = wrong_records(entities, &found.books);
    let letters: HashMap<&[u8], ()> = found.letters.iter().map(|letter| (letter.as_slice(), ())).collect();
    let missing_letters =
        expected.letters.keys().filter(|letter| !letters.contains_key(letter.as_slice())).count() as u64;
    let unexpected_letters = letters.keys().filter(|letter| !expected.letters.contains_key(**letter)).count() as u64;
    let uncommitted = found.log_end.saturating_sub(found.committed);
    note(missing_writes, "writes never reached the CRM");
    note(written_once.saturating_sub(expected.writes), "writes took effect more often than they should");
    note(wrong_records, "records in the CRM are not what the events say");
    note(missing_letters, "dead letters are missing");
    note(unexpected_letters, "records were dead-lettered that should have been delivered");
    note((found.letters.len() - letters.len()) as u64, "dead letters came twice");
    note(uncommitted, "records are not committed");
    note(found.committed.saturating_sub(found.log_end), "commits are beyond the end of the log");
    note(found.produced.abs_diff(found.log_end), "records differ between what was produced and the log");
    note(expected.duplicates.abs_diff(found.duplicates), "duplicates differ between the engine and the generator");
    note(expected.stale.abs_diff(found.stale), "stale events differ between the engine and the generator");
    // What lies in the dead letter topic against expectation is in the wrong place, but not lost.
    let gone = (missing_letters + missing_writes.max(wrong_records)).saturating_sub(unexpected_letters);
    Finding {
        delivered: written_once,
        dead_lettered: letters.len() as u64,
        lost: gone.max(uncommitted).max(found.produced.saturating_sub(found.log_end)),
        problems,
    }
}

/// Entities whose record is missing, is there although it was deleted, is there twice, or has other
/// values; and records of no entity.
fn wrong_records(entities: &[Entity], books: &Books) -> u64 {
    let mut records: BTreeMap<&str, Vec<&Vec<(String, String)>>> = BTreeMap::new();
    for (id, columns) in &books.records {
        records.entry(id).or_default().push(columns);
    }
    let mut wrong = 0;
    for entity in entities {
        let held = records.remove(entity.id.as_str()).unwrap_or_default();
        let right = match (&entity.fields, held.as_slice()) {
            (None, []) => true,
            (Some(fields), [columns]) => fields
                .iter()
                .all(|(field, value)| columns.iter().any(|(column, held)| column == field && held == value)),
            _ => false,
        };
        wrong += u64::from(!right);
    }
    wrong + records.len() as u64
}

#[cfg(test)]
mod tests {
    use super::super::events::Generator;
    use super::*;

    /// What is found when everything went well.
    fn perfect() -> (Expectations, Vec<Entity>, Evidence) {
        let mut generator = Generator::new("customer".into(), 500, 0);
        let mut expected = Expectations::default();
        let mut found = Evidence { produced: 500, log_end: 500, committed: 500, ..Evidence::default() };
        for sample in generator.by_ref() {
            expected.add(&sample);
            if sample.expected == Expected::Letter {
                found.letters.push(sample.value.unwrap());
            }
        }
        let entities = generator.entities().to_vec();
        (found.duplicates, found.stale) = (expected.duplicates, expected.stale);
        (found.books.written, found.books.repeated) = (expected.writes + 3, 3);
        for entity in &entities {
            if let Some(fields) = &entity.fields {
                let columns = fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
                found.books.records.push((entity.id.clone(), columns));
            }
        }
        (expected, entities, found)
    }

    #[test]
    fn balanced_books_have_no_problems() {
        let (expected, entities, found) = perfect();
        let finding = audit(&expected, &entities, &found);
        assert_eq!((finding.lost, finding.problems.as_slice()), (0, &[][..]));
        assert_eq!(finding.delivered + finding.dead_lettered + found.duplicates + found.stale, 500);
    }

    #[test]
    fn whatever_is_taken_away_is_missed() {
        let lost = |change: fn(&mut Evidence)| {
            let (expected, entities, mut found) = perfect();
            change(&mut found);
            let finding = audit(&expected, &entities, &found);
            assert!(!finding.problems.is_empty());
            finding.lost
        };
        assert_eq!(lost(|found| found.books.written -= 2), 2);
        assert_eq!(lost(|found| drop(found.books.records.pop())), 1);
        assert_eq!(lost(|found| found.books.records[0].1[0].1 = "other".into()), 1);
        assert_eq!(lost(|found| drop(found.letters.pop())), 1);
        assert_eq!(lost(|found| found.letters[0][0] ^= 1), 0, "there, but not with its original bytes");
        assert_eq!(lost(|found| found.committed -= 7), 7);
        assert_eq!(lost(|found| found.log_end -= 1), 1);
    }

    #[test]
    fn what_is_there_too_often_is_a_problem_and_not_a_loss() {
        let extra = |change: fn(&mut Evidence)| {
            let (expected, entities, mut found) = perfect();
            change(&mut found);
            let finding = audit(&expected, &entities, &found);
            (finding.lost, finding.problems.len())
        };
        assert_eq!(extra(|found| found.books.written += 1), (0, 1));
        assert_eq!(extra(|found| found.duplicates += 1), (0, 1));
        assert_eq!(extra(|found| found.letters.push(found.letters[0].clone())), (0, 1));
    }
}

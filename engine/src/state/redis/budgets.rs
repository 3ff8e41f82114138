//! Budgets and notes: a key each, and a script that has the rules.

use redis::Value;

use super::super::terms::{Counting, Terms};
use super::super::{Draw, Drawn};
use super::layout::{foreign, parts, text};
use super::link::strange;
use super::scripts::{Call, DRAW, SET_NOTE};
use super::{RedisStore, StoreError, number};

/// What a note's key begins with.
const NOTE: &[u8] = b"n:";

impl RedisStore {
    pub(super) async fn read_note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.link.names.note(name);
        match self.link.send(&[Call::plain("GET", &[key.as_bytes()])]).await?.pop() {
            Some(Value::Nil) => Ok(None),
            Some(Value::BulkString(bytes)) => match bytes.strip_prefix(NOTE) {
                Some(value) => Ok(Some(value.to_vec())),
                None => Err(foreign(&key)),
            },
            _ => Err(strange("the server")),
        }
    }

    pub(super) async fn write_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let key = self.link.names.note(name);
        let mut calls = vec![Call::Script { lua: &SET_NOTE, keys: vec![key.clone()], arguments: vec![value.to_vec()] }];
        if !self.link.is_cluster() {
            calls.extend(self.confirmation());
        }
        let mut answers = self.link.send(&calls).await?;
        self.confirmed(answers.split_off(1.min(answers.len())).last())?;
        match answers.pop().and_then(text).as_deref() {
            Some("s") if self.link.is_cluster() => self.confirmed_everywhere().await,
            Some("s") => Ok(()),
            Some("x") => Err(foreign(&key)),
            _ => Err(strange("the server")),
        }
    }

    /// A script for each, all sent at once. No replica is waited for: what is lost of a budget isn't worth the time.
    pub(super) async fn draw_all(&self, draws: &[Draw]) -> Result<Vec<Drawn>, StoreError> {
        let mut asked = Vec::with_capacity(draws.len());
        for draw in draws {
            let terms = Terms::of(draw)?;
            let (letter, time) = match terms.counting {
                Counting::Rate => ("r", None),
                Counting::Rolling => ("w", None),
                Counting::Until => ("u", Some(terms.time_ms)),
            };
            asked.push((terms, letter, self.link.names.budget(&draw.destination, &draw.budget, letter, time)));
        }
        let script = |(terms, letter, key): &(Terms, &str, String)| {
            let mut arguments = vec![letter.as_bytes().to_vec(), number(terms.wanted), number(terms.allowed)];
            match terms.counting {
                Counting::Rate => arguments.push(format!("{:e}", terms.per_second).into_bytes()),
                Counting::Rolling | Counting::Until => arguments.push(number(terms.time_ms)),
            }
            arguments.push(number(terms.part_ms));
            Call::Script { lua: &DRAW, keys: vec![key.clone()], arguments }
        };
        let calls: Vec<_> = asked.iter().map(script).collect();
        let answers = self.link.send(&calls).await?;
        asked.iter().zip(answers).map(|((terms, _, key), answer)| drawn(terms, key, answer)).collect()
    }
}

fn drawn(terms: &Terms, key: &str, answer: Value) -> Result<Drawn, StoreError> {
    if let Value::BulkString(_) | Value::SimpleString(_) = answer {
        return Err(foreign(key));
    }
    let numbers: Option<Vec<i64>> = parts(answer).and_then(|parts| {
        let number = |part| if let Value::Int(number) = part { Some(number) } else { None };
        parts.into_iter().map(number).collect()
    });
    let drawn = match numbers.as_deref() {
        Some([granted, valid, again]) => terms.drawn(*granted, *valid, *again),
        _ => None,
    };
    drawn.ok_or_else(|| strange("the server"))
}

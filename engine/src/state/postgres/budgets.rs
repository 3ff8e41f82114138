//! Budgets and notes: a function each.

use tokio_postgres::types::Type;

use super::super::terms::{Counting, Terms};
use super::super::{Draw, Drawn, KeyDigest, StoreError};
use super::pool::{Param, Pool};
use super::text::encode;
use super::{cell, damaged};

/// The statements, with the schema's name.
#[derive(Debug)]
pub(super) struct Statements {
    note: String,
    set_note: String,
    draw: String,
}

impl Statements {
    pub(super) fn new(schema: &str) -> Self {
        Self {
            note: format!("SELECT value FROM \"{schema}\".notes WHERE name = $1"),
            set_note: format!("SELECT \"{schema}\".set_note($1, $2)"),
            draw: format!("SELECT * FROM \"{schema}\".draw($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
        }
    }

    pub(super) async fn note(&self, pool: &Pool, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = pool.query(&self.note, &[(&name, Type::TEXT)]).await?;
        rows.first().map(|row| cell(row, 0)).transpose()
    }

    pub(super) async fn set_note(&self, pool: &Pool, name: &str, value: &[u8]) -> Result<(), StoreError> {
        pool.query(&self.set_note, &[(&name, Type::TEXT), (&value, Type::BYTEA)]).await.map(drop)
    }

    pub(super) async fn draw(&self, pool: &Pool, draws: &[Draw]) -> Result<Vec<Drawn>, StoreError> {
        let terms: Vec<_> = draws.iter().map(Terms::of).collect::<Result<_, _>>()?;
        let digests: Vec<_> = draws.iter().zip(&terms).map(|(draw, terms)| digest(draw, terms)).collect();
        let digests: Vec<_> = digests.iter().map(|digest| digest.0.as_slice()).collect();
        let destinations: Vec<_> = draws.iter().map(|draw| encode(&draw.destination)).collect();
        let budgets: Vec<_> = draws.iter().map(|draw| encode(&draw.budget)).collect();
        let kinds: Vec<_> = terms.iter().map(kind).collect();
        let numbers = |of: fn(&Terms) -> u64| terms.iter().map(|terms| of(terms).cast_signed()).collect::<Vec<_>>();
        let (wanted, allowed) = (numbers(|terms| terms.wanted), numbers(|terms| terms.allowed));
        let (times, parts) = (numbers(|terms| terms.time_ms), numbers(|terms| terms.part_ms));
        let rates: Vec<_> = terms.iter().map(|terms| terms.per_second).collect();
        let params: [Param<'_>; 9] = [
            (&digests, Type::BYTEA_ARRAY),
            (&destinations, Type::TEXT_ARRAY),
            (&budgets, Type::TEXT_ARRAY),
            (&kinds, Type::INT2_ARRAY),
            (&wanted, Type::INT8_ARRAY),
            (&allowed, Type::INT8_ARRAY),
            (&rates, Type::FLOAT8_ARRAY),
            (&times, Type::INT8_ARRAY),
            (&parts, Type::INT8_ARRAY),
        ];
        let rows = pool.query(&self.draw, &params).await?;
        if rows.len() != draws.len() {
            return Err(damaged());
        }
        let mut drawn = vec![None; draws.len()];
        for row in &rows {
            let nth = usize::try_from(cell::<i64>(row, 0)?).ok().and_then(|nth| nth.checked_sub(1));
            let (Some(terms), Some(place)) =
                (nth.and_then(|nth| terms.get(nth)), nth.and_then(|nth| drawn.get_mut(nth)))
            else {
                return Err(damaged());
            };
            *place = terms.drawn(cell(row, 1)?, cell(row, 2)?, cell(row, 3)?);
        }
        drawn.into_iter().collect::<Option<_>>().ok_or_else(damaged)
    }
}

fn kind(terms: &Terms) -> i16 {
    match terms.counting {
        Counting::Rate => 1,
        Counting::Rolling => 2,
        Counting::Until => 3,
    }
}

/// Names a budget's row. Members of different versions share it, so that it must never change.
fn digest(draw: &Draw, terms: &Terms) -> KeyDigest {
    let ends = if terms.counting == Counting::Until { terms.time_ms.to_string() } else { String::new() };
    KeyDigest::of(&[&draw.destination, &draw.budget, &kind(terms).to_string(), &ends])
}

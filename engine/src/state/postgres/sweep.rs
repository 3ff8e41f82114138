//! Removing what has expired, a few blocks of a table at a time, shared by all instances.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;
use tracing::{debug, warn};

use super::calls::millis;
use super::pool::{Param, Pool};
use super::{StoreError, cell, damaged};

/// Blocks (8 KiB each, unless the server was built otherwise) that one statement looks at: it holds
/// its locks for some milliseconds.
const BLOCKS: i64 = 128;
/// Between two statements: 10 MiB a second are read at the most.
const BREATH: Duration = Duration::from_millis(100);
/// Between two looks whether a table's turn has come, at the least and at the most.
const IDLE: Duration = Duration::from_secs(1);
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// A table's turn comes eight times in its time to live, so that an eighth more than needed is kept.
const TURNS: u32 = 8;
const LONGEST_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until it is aborted.
pub(super) async fn run(pool: Pool) {
    let options = pool.connector().options().clone();
    let sql = format!("SELECT * FROM \"{}\".sweep($1, $2, $3, $4)", options.schema);
    let entity_ttl = millis(options.entity_ttl);
    let tables = [("keys", options.ttl), ("entities", options.entity_ttl)].map(|(name, ttl)| {
        let period = (ttl / TURNS).clamp(IDLE, LONGEST_PERIOD);
        (name, millis(period))
    });
    let idle = (options.ttl.min(options.entity_ttl) / TURNS).clamp(IDLE, LONGEST_IDLE);
    let mut failing = false;
    loop {
        let mut more = false;
        let mut failed = false;
        for (name, period) in &tables {
            match sweep(&pool, &sql, name, entity_ttl, *period).await {
                Ok(rest) => more |= rest,
                Err(error) => {
                    failed = true;
                    if !failing {
                        warn!(table = name, %error, "what has expired can't be removed from the state store now");
                    }
                }
            }
        }
        failing = failed;
        sleep(if more { BREATH } else { idle }).await;
    }
}

/// Whether the table's turn goes on.
async fn sweep(pool: &Pool, sql: &str, name: &str, entity_ttl: i64, period: i64) -> Result<bool, StoreError> {
    let params: [Param<'_>; 4] =
        [(&name, Type::TEXT), (&BLOCKS, Type::INT8), (&entity_ttl, Type::INT8), (&period, Type::INT8)];
    let rows = pool.query(sql, &params).await?;
    let row = rows.first().ok_or_else(damaged)?;
    let removed: i64 = cell(row, 0)?;
    if removed > 0 {
        debug!(table = name, removed, "expired entries were removed from the state store");
    }
    cell(row, 1)
}

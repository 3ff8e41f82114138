//! Writes whose transaction is still open: others see them late, with the time at which they were made.

use super::record::Record;
use super::store::{Refusal, Store, Values};

/// A write that is made and not committed. Dropping it rolls it back.
///
/// [`ServiceNow::commit`](super::ServiceNow::commit) makes it visible, with a `sys_updated_on` that may be long past.
#[derive(Debug)]
#[must_use = "it is rolled back unless it is committed"]
pub struct Uncommitted {
    table: String,
    /// None creates.
    sys_id: Option<String>,
    values: Values,
    stamp: String,
}

impl Uncommitted {
    pub(super) fn new(store: &Store, table: &str, sys_id: Option<&str>, values: Values) -> Self {
        Self { table: table.into(), sys_id: sys_id.map(str::to_owned), values, stamp: store.now() }
    }

    pub(super) fn commit(self, store: &mut Store) -> Result<Record, Refusal> {
        store.stamp_with(Some(self.stamp));
        let written = match &self.sys_id {
            Some(sys_id) => store.update(&self.table, sys_id, self.values, "admin"),
            None => store.insert(&self.table, self.values, "admin"),
        };
        store.stamp_with(None);
        written
    }
}

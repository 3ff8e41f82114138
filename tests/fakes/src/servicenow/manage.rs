//! What an administrator does while the instance runs.

use super::late::Uncommitted;
use super::record::Record;
use super::rights::Operation;
use super::{ServiceNow, owned};

impl ServiceNow {
    /// Denies a user one kind of access to a table from now on.
    pub fn deny(&self, user: &str, table: &str, operation: Operation) {
        self.instance.state.lock().store.denied.insert((user.into(), table.into(), operation));
    }

    /// Takes a denial back.
    pub fn allow(&self, user: &str, table: &str, operation: Operation) {
        self.instance.state.lock().store.denied.remove(&(user.into(), table.into(), operation));
    }

    /// Creates a record behind the API's back, and leaves the transaction open: nobody sees the record yet.
    pub fn insert_uncommitted(&self, table: &str, values: &[(&str, &str)]) -> Uncommitted {
        Uncommitted::new(&self.instance.state.lock().store, table, None, owned(values))
    }

    /// Updates a record behind the API's back, and leaves the transaction open: nobody sees the new values yet.
    pub fn update_uncommitted(&self, table: &str, sys_id: &str, values: &[(&str, &str)]) -> Uncommitted {
        Uncommitted::new(&self.instance.state.lock().store, table, Some(sys_id), owned(values))
    }

    /// Makes a write visible. Its `sys_updated_on` says when it was made. Returns nothing where the write is refused.
    pub fn commit(&self, write: Uncommitted) -> Option<Record> {
        let written = write.commit(&mut self.instance.state.lock().store);
        self.changed(written.ok())
    }

    /// Brings a record back that was deleted from an audited table. Its `sys_audit` row says `RECOVERED`.
    pub fn undelete(&self, table: &str, sys_id: &str) -> Option<Record> {
        let restored = self.instance.state.lock().store.undelete(table, sys_id);
        self.changed(restored.ok())
    }

    /// Imports all rows that `insertMultiple` has brought and that still wait. Returns how many requests' rows it was.
    pub fn run_imports(&self) -> usize {
        let instance = &self.instance;
        let ran = instance.state.lock().run_imports(&instance.base_url, &instance.unclear, None);
        instance.changes.send_replace(());
        ran
    }

    /// Forgets the rows of a staging table, as the platform's clean-up does: their outcomes are not found any more.
    pub fn purge_imports(&self, staging: &str) {
        let mut state = self.instance.state.lock();
        let super::instance::State { imports, store, .. } = &mut *state;
        imports.purge(store, staging);
    }
}

//! What users may do to tables.

/// One kind of access to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Denied: lists show no rows, though they count in the total, and a record is not found.
    Read,
    /// Denied: 403 `ACL Exception Insert Failed due to security constraints`.
    Create,
    /// Denied: 403, the same with `Update`.
    Write,
    /// Denied: 403, the same with `Delete`.
    Delete,
}

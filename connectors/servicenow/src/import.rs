//! The Import Set API: a row of a staging table, which the platform transforms into a record. It
//! looks for the record by itself (coalesce), so that one request creates or updates.

use serde::Deserialize;
use serde_json::{Map, Value};
use syncline_sdk::{Event, Method, Outbound, Reason, Replay, Reply, Verdict, escape_path_segment};

use crate::encode::{request, step, unmappable};
use crate::interpret::Next;
use crate::keys::is_path_safe;
use crate::model;

/// Empty values are skipped, and this one clears a field ("Import Set API", ServiceNow's documentation).
const CLEARED: &str = "NULL";

/// A staging table: a proven [`ImportSetConfig`](crate::ImportSetConfig).
#[derive(Debug)]
pub(crate) struct StagingTable {
    pub(crate) name: String,
    pub(crate) key: String,
    /// Of the records that it is transformed into.
    target: String,
}

/// A row of the answer: what became of the staged row in one transform map.
#[derive(Debug, Deserialize)]
struct Transformed {
    status: Option<String>,
    table: Option<String>,
    sys_id: Option<String>,
    error_message: Option<String>,
    status_message: Option<String>,
}

impl StagingTable {
    /// `table`, `key` and `target` are names that the configuration has checked.
    pub(crate) fn new(table: &str, key: &str, target: &str) -> Self {
        Self { name: table.to_owned(), key: key.to_owned(), target: target.to_owned() }
    }

    /// The row for these columns. A second one with the same key updates the record that the first one has
    /// made, so that it may be sent again.
    ///
    /// # Errors
    /// A value that the API takes for something else.
    pub(crate) fn import(&self, event: &Event, record: &Map<String, Value>) -> Result<Outbound, Reason> {
        let mut row = Map::new();
        for (column, value) in record {
            let value = match value.as_str().unwrap_or_default() {
                "" => CLEARED,
                CLEARED => return Err(unmappable(column, "holds the text `NULL`, which would clear the field")),
                text => text,
            };
            row.insert(column.clone(), value.into());
        }
        row.insert(self.key.clone(), event.external_key().into());
        let path = format!("/api/now/import/{}", escape_path_segment(&self.name).unwrap_or_default());
        Ok(request(step::IMPORT, Method::Post, path, Replay::Safe).json(&Value::Object(row)))
    }

    /// Success is decided by the rows' statuses, not by the reply's.
    pub(crate) fn imported(&self, reply: &Reply) -> Option<Next> {
        let rows: Vec<Transformed> = model::result(reply, 201).or_else(|| model::result(reply, 200))?;
        if let Some(verdict) = rows.iter().find_map(|row| row.failure(reply)) {
            return Some(verdict.into());
        }
        let first = rows.first()?;
        // A transform script can ignore a row, too, and then there may be no record: it isn't remembered.
        if rows.iter().all(|row| row.status() == "ignored") {
            let warning = first.status_message.as_ref().map(|said| {
                Reason::new("import_ignored", format!("ServiceNow has ignored the row: {said}"))
                    .with_status(reply.status)
            });
            return Some(Next::Done(Verdict::Unchanged { remote_id: None }, warning));
        }
        let ours = rows.iter().find(|row| row.table.as_deref() == Some(&self.target));
        let remote_id = ours.and_then(|row| row.sys_id.clone()).filter(|id| is_path_safe(id));
        Some(Verdict::Delivered { remote_id }.into())
    }
}

impl Transformed {
    fn status(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    /// The verdict, unless it has worked.
    fn failure(&self, reply: &Reply) -> Option<Verdict> {
        let said = self.error_message.as_deref().or(self.status_message.as_deref()).unwrap_or("no reason was given");
        let reason = |code: &'static str| Reason::new(code, said).with_status(reply.status);
        let lower = said.to_ascii_lowercase();
        match self.status() {
            "inserted" | "updated" | "ignored" => None,
            "skipped" => Some(Verdict::Reject(reason("import_skipped"))),
            "error" if lower.contains("unique key violation") => {
                Some(Verdict::Retry { reason: reason("duplicate_key"), after: None })
            }
            "error" if lower.contains("transaction cancelled") => {
                Some(Verdict::Unknown { reason: reason("cancelled"), after: None })
            }
            "error" => Some(Verdict::Reject(reason("import_failed"))),
            _ => Some(Verdict::Unknown { reason: reason("unproven"), after: None }),
        }
    }
}

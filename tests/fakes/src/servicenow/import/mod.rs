//! The Import Set API: rows for a staging table, which transform maps turn into records.
//!
//! `sys_import_set` rows and the staging rows' own columns are kept as far as a client could ask for them.

mod definition;
mod transform;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use self::definition::{Background, ImportSet, TransformMap};
use self::transform::{Setting, look_up, transform};
use super::api::{self, Context, not_an_object};
use super::call::{Call, Target};
use super::options::{InvalidStaging, Unclear};
use super::record::Record;
use super::reply::{Reply, invalid_table, no_record, unreadable};
use super::rights::Operation;
use super::schema::{Column, IMPORT_SETS};
use super::store::{Change, Store, Values};

/// All staging tables, and what was brought into them.
#[derive(Debug)]
pub(super) struct Imports {
    sets: BTreeMap<String, ImportSet>,
    /// By the staging row's `sys_id`.
    outcomes: HashMap<String, Value>,
    jobs: VecDeque<Job>,
    /// The import set that takes a staging table's single rows: `sys_id` and number.
    open: BTreeMap<String, (String, String)>,
    made: u64,
}

/// Rows that wait in the background.
#[derive(Debug)]
pub(super) struct Job {
    /// The request that brought them.
    pub(super) request: u64,
    user: String,
    staging: String,
    import_set: String,
    rows: Vec<String>,
    /// None for rows that wait until they are told.
    due: Option<Duration>,
}

/// What an import found when its request arrived: for each map the record to update. None where imports are serialised,
/// and look only when it is their turn.
#[derive(Debug, Default)]
pub(super) struct LookedUp(Option<Vec<Option<String>>>);

impl Imports {
    pub(super) fn new(sets: Vec<ImportSet>) -> Self {
        let sets = sets.into_iter().map(|set| (set.name().to_owned(), set)).collect();
        let (outcomes, jobs, open) = Default::default();
        Self { sets, outcomes, jobs, open, made: 0 }
    }

    /// The target tables of an import with the rows' keys there, empty where a row has none. The first is the first
    /// row's by the first map.
    pub(super) fn subjects(&self, store: &Store, call: &Call) -> Vec<(String, String)> {
        let (Some(set), Some(object)) = (call.table().and_then(|table| self.sets.get(table)), call.object()) else {
            return Vec::new();
        };
        let rows = match &call.target {
            Target::Import { sys_id: None, .. } => vec![staged(set, object, true)],
            Target::ImportMany { .. } => records(object).map(|row| staged(set, row, set.keys_are_names)).collect(),
            _ => return Vec::new(),
        };
        let subject = |row: &Values, map: &TransformMap| {
            let key = store.table(&map.table).map_or("", |table| &table.key);
            let field = map.fields.iter().find(|(_, target)| target == key);
            let given = field.and_then(|(source, _)| row.iter().find(|(column, _)| column == source));
            let known = || look_up(store, map, &record(row)).and_then(|sys_id| store.get(&map.table, &sys_id));
            let key = match given {
                Some((_, value)) if !value.is_empty() => value.clone(),
                _ => known().map(|record| record.value(key).to_owned()).unwrap_or_default(),
            };
            (map.table.clone(), key)
        };
        rows.iter().flat_map(|row| set.maps.iter().map(move |map| subject(row, map))).collect()
    }

    /// What an import that is not serialised finds at its arrival.
    pub(super) fn look_up(&self, store: &Store, call: &Call) -> LookedUp {
        let set = call.imports_row_into().and_then(|staging| self.sets.get(staging)).filter(|set| !set.serialised);
        let row = set.zip(call.object()).map(|(set, object)| (set, record(&staged(set, object, true))));
        LookedUp(row.map(|(set, row)| set.maps.iter().map(|map| look_up(store, map, &row)).collect()))
    }

    /// `POST /api/now/import/{staging}`
    pub(super) fn create(&mut self, store: &mut Store, call: &Call, context: &Context<'_>) -> (Reply, Vec<Change>) {
        let set = match self.staging(store, call, context) {
            Ok(set) => set.clone(),
            Err(refusal) => return (refusal, Vec::new()),
        };
        let Some(object) = call.object() else { return (not_an_object(), Vec::new()) };
        let (import_set, number) = match self.open.get(set.name()) {
            Some(open) => open.clone(),
            None => {
                let made = self.open_set(store, &set, "loading");
                self.open.insert(set.name().to_owned(), made.clone());
                made
            }
        };
        let Some(row) = stage(store, &set, staged(&set, object, true), &import_set, context.user) else {
            return (no_record(), Vec::new());
        };
        let setting = Setting {
            base_url: context.base_url,
            user: context.user,
            unclear: context.unclear,
            row_error: context.row_error,
        };
        let (result, changes) = import(store, &set, &row, context.found, setting);
        let body = json!({ "import_set": number, "staging_table": set.name(), "result": result });
        let location = format!("{}/api/now/import/{}/{}", context.base_url, set.name(), row.sys_id());
        self.outcomes.insert(row.sys_id().to_owned(), body.clone());
        let reply = if set.hidden_rows { Reply::empty(201) } else { Reply::json(201, &body) };
        (reply.with("location", location), changes)
    }

    /// `GET /api/now/import/{staging}/{sys_id}`
    pub(super) fn reread(&self, store: &Store, call: &Call, sys_id: &str, context: &Context<'_>) -> Reply {
        let Some(set) = call.table().and_then(|table| self.sets.get(table)) else {
            return invalid(store, call, InvalidStaging::Refused(400));
        };
        let known = store.get(set.name(), sys_id).and_then(|_| self.outcomes.get(sys_id));
        let visible = !set.hidden_rows && store.allows(context.user, set.name(), Operation::Read);
        known.filter(|_| visible).map_or_else(no_record, |outcome| Reply::json(200, outcome))
    }

    /// `POST /api/now/import/{staging}/insertMultiple`
    pub(super) fn create_many(
        &mut self,
        store: &mut Store,
        call: &Call,
        context: &Context<'_>,
    ) -> (Reply, Vec<Change>) {
        let set = match self.staging(store, call, context) {
            Ok(set) => set.clone(),
            Err(refusal) => return (refusal, Vec::new()),
        };
        let Some(object) = call.object().filter(|object| object.get("records").is_some_and(Value::is_array)) else {
            return (unreadable("The payload has no records."), Vec::new());
        };
        let (import_set, _) = self.open_set(store, &set, "loaded");
        let rows = records(object).filter_map(|row| {
            let row = staged(&set, row, set.keys_are_names);
            stage(store, &set, row, &import_set, context.user).map(|row| row.sys_id().to_owned())
        });
        let rows = rows.collect();
        let due = match set.background {
            Background::AtOnce => Some(context.now),
            Background::After(wait) => Some(context.now.saturating_add(wait)),
            Background::WhenTold => None,
        };
        let multi = call.param("multi_import_set_id").map_or_else(|| import_set.clone(), str::to_owned);
        let body = json!({ "import_set_id": import_set, "multi_import_set_id": multi });
        let (request, user, staging) = (context.request, context.user.to_owned(), set.name().to_owned());
        let job = Job { request, user, staging, import_set, rows, due };
        let changes = match set.background {
            Background::AtOnce => self.run(store, &job, context.base_url, context.unclear),
            Background::After(_) | Background::WhenTold => {
                self.jobs.push_back(job);
                Vec::new()
            }
        };
        (Reply::json(201, &body), changes)
    }

    /// Whether rows of this request wait in the background.
    pub(super) fn waits(&self, request: u64) -> bool {
        self.jobs.iter().any(|job| job.request == request)
    }

    /// The next rows to import in the background: of those that are due at `now`, or of all.
    pub(super) fn next_job(&mut self, now: Option<Duration>) -> Option<Job> {
        let is_due = |job: &Job| now.is_none_or(|now| job.due.is_some_and(|due| due <= now));
        let next = self.jobs.iter().position(is_due)?;
        self.jobs.remove(next)
    }

    /// Imports rows that have waited.
    pub(super) fn run(&mut self, store: &mut Store, job: &Job, base_url: &str, unclear: &Unclear) -> Vec<Change> {
        let Some(set) = self.sets.get(&job.staging).cloned() else { return Vec::new() };
        let setting = Setting { base_url, user: &job.user, unclear, row_error: None };
        let mut changes = Vec::new();
        for sys_id in &job.rows {
            let Some(row) = store.get(set.name(), sys_id).cloned() else { continue };
            let (result, changed) = import(store, &set, &row, &LookedUp::default(), setting);
            let number = store.get(IMPORT_SETS, &job.import_set).map(|set| set.value("number").to_owned());
            let body = json!({ "import_set": number, "staging_table": set.name(), "result": result });
            self.outcomes.insert(sys_id.clone(), body);
            changes.extend(changed);
        }
        store.annotate(IMPORT_SETS, &job.import_set, &[("state", "processed")]);
        changes
    }

    /// Forgets the rows of a staging table, as the platform's clean-up does.
    pub(super) fn purge(&mut self, store: &mut Store, staging: &str) {
        for row in store.all(staging) {
            self.outcomes.remove(row.sys_id());
        }
        store.purge(staging);
    }

    /// The staging table that a call names, if its user may bring rows into it.
    fn staging(&self, store: &Store, call: &Call, context: &Context<'_>) -> Result<&ImportSet, Reply> {
        let set = call.table().and_then(|table| self.sets.get(table));
        let set = set.ok_or_else(|| invalid(store, call, context.unclear.invalid_staging))?;
        if store.allows(context.user, set.name(), Operation::Create) {
            Ok(set)
        } else {
            Err(api::denied_by_acl("POST"))
        }
    }

    fn open_set(&mut self, store: &mut Store, set: &ImportSet, state: &str) -> (String, String) {
        self.made += 1;
        let number = format!("ISET{:07}", 10_000 + self.made);
        let row = [("number", number.as_str()), ("state", state), ("table_name", set.name())];
        (store.plant(IMPORT_SETS, &row).unwrap_or_default(), number)
    }
}

/// Runs every map over a row, and writes down in the row what became of it.
fn import(
    store: &mut Store,
    set: &ImportSet,
    row: &Record,
    found: &LookedUp,
    setting: Setting<'_>,
) -> (Vec<Value>, Vec<Change>) {
    let (mut result, mut changes) = (Vec::new(), Vec::new());
    for (index, map) in set.maps.iter().enumerate() {
        let at_arrival = found.0.as_ref().and_then(|found| found.get(index));
        let target = at_arrival.cloned().unwrap_or_else(|| look_up(store, map, row));
        let outcome = transform(store, map, row, target.as_deref(), setting);
        let [state, target, comment] = &outcome.state;
        let columns = [
            ("sys_import_state", state.as_str()),
            ("sys_import_state_comment", comment),
            ("sys_target_table", &map.table),
            ("sys_target_sys_id", target),
        ];
        store.annotate(set.name(), row.sys_id(), &columns);
        result.push(outcome.element);
        changes.extend(outcome.change);
    }
    (result, changes)
}

fn stage(store: &mut Store, set: &ImportSet, row: Values, import_set: &str, user: &str) -> Option<Record> {
    let row = store.insert(set.name(), row, user).ok()?;
    if set.hidden_rows {
        store.hide(set.name(), row.sys_id());
    }
    store.annotate(set.name(), row.sys_id(), &[("sys_import_set", import_set), ("sys_import_state", "pending")]);
    Some(row)
}

/// A row's values by the names of its columns. Others are ignored.
fn staged(set: &ImportSet, object: &Map<String, Value>, by_name: bool) -> Values {
    let columns = &set.staging().columns;
    let named = object.iter().filter_map(|(name, value)| {
        let named = |column: &&_| {
            let column: &Column = column;
            if by_name { column.name == *name } else { column.shown_label() == *name }
        };
        Some((columns.iter().find(named)?.name.clone(), flat(value)))
    });
    named.collect()
}

/// A value as the platform's import takes it: strings as they are, and anything nested as a text in which `=` stands
/// in the place of each `:`.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string().replace(':', "="),
        other => other.to_string(),
    }
}

fn records(object: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    object.get("records").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn record(values: &Values) -> Record {
    let mut record = Record::default();
    for (column, value) in values {
        record.set(column, value.as_str());
    }
    record
}

fn invalid(store: &Store, call: &Call, shown: InvalidStaging) -> Reply {
    let table = call.table().unwrap_or_default();
    let known = store.table(table).is_some();
    let message = if known { "Invalid staging table" } else { "Invalid table" };
    match shown {
        InvalidStaging::Refused(_) if !known => invalid_table(table),
        InvalidStaging::Refused(status) => Reply::error(status, message, None),
        InvalidStaging::InRow => {
            let row = json!({ "transform_map": "", "table": "", "status": "error", "error_message": message });
            Reply::json(201, &json!({ "import_set": "", "staging_table": table, "result": [row] }))
        }
    }
}

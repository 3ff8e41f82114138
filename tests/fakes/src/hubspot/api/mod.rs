//! What a request means. Nothing here knows of rules' timing, of tokens or of connections.

mod batch;
mod describe;
mod links;
mod rows;
mod search;
mod single;

use std::collections::HashMap;

use axum::http::Method;
use serde_json::{Map, Value};

use super::call::{Call, Rest, Target};
use super::fault::Fired;
use super::ledger::EffectKind;
use super::options::Behaviour;
use super::record::Record;
use super::refusal::Refusal;
use super::reply::Reply;
use super::schema::ObjectType;
use super::store::{Store, Writer};

/// The most inputs of a batch.
const MOST_INPUTS: usize = 100;

/// What a request is carried out with.
pub(super) struct Context<'a> {
    pub(super) store: &'a mut Store,
    pub(super) writer: Writer,
    pub(super) behaviour: &'a Behaviour,
    pub(super) dice: &'a mut fastrand::Rng,
    /// What happens to each input.
    pub(super) struck: &'a [Option<Fired>],
    pub(super) locks: &'a HashMap<(usize, u64), u64>,
    /// How many inputs are carried out.
    pub(super) first: Option<usize>,
    pub(super) scopes: Option<&'a [String]>,
    /// What took effect: what, where, the record after it, and the input.
    pub(super) effects: Vec<(EffectKind, usize, Record, Option<usize>)>,
    pub(super) singular: &'a str,
}

/// Carries a request out.
pub(super) fn carry_out(context: &mut Context<'_>, call: &Call) -> Result<Reply, Refusal> {
    let (singular, told) = (context.singular, context.behaviour.tells_existing_id);
    dispatch(context, call).map_err(|refusal| match refusal.status {
        409 if !told => Refusal::exists(singular, None),
        _ => refusal,
    })
}

fn dispatch(context: &mut Context<'_>, call: &Call) -> Result<Reply, Refusal> {
    let Some(name) = call.object_type() else { return Ok(Reply::not_found(false)) };
    let at = context.store.place(name).ok_or_else(|| Refusal::unknown_type(name))?;
    context.check_scope(at, call)?;
    if matches!(call.method, Method::POST | Method::PATCH) && call.object().is_none() {
        return Err(Refusal::validation("Invalid input JSON on line 1, column 1"));
    }
    match (&call.target, call.method.as_str()) {
        (Target::Properties { name, .. }, "GET") => describe::properties(context, at, name.as_deref()),
        (Target::Associations { to, verb, .. }, "POST") => links::batch(context, at, to, verb, call),
        (Target::Objects { rest, .. }, method) => match (rest, method) {
            (Rest::Collection, "GET") => single::list(context, at, call),
            (Rest::Collection, "POST") => single::create(context, at, call),
            (Rest::One(id), "GET") => single::read(context, at, id, call),
            (Rest::One(id), "PATCH") => single::update(context, at, id, call),
            (Rest::One(id), "DELETE") => single::archive(context, at, id, call),
            (Rest::Batch(verb), "POST") => batch::serve(context, at, verb, call),
            (Rest::Search, "POST") => search::search(context, at, call),
            (Rest::Merge, "POST") => single::merge(context, at, call),
            (Rest::GdprDelete, "POST") => single::gdpr_delete(context, at, call),
            _ => Ok(Reply::empty(405)),
        },
        _ => Ok(Reply::empty(405)),
    }
}

/// The keys of the records that a request is about: of each input, or of the one record.
pub(super) fn keys(store: &Store, at: usize, call: &Call) -> Vec<Option<String>> {
    let Some(key) = store.tables.get(at).map(|table| table.definition.key.as_str()) else { return Vec::new() };
    let key_of = |id: Option<&str>, by: Option<&str>, properties: Option<&Value>| {
        let given = properties.and_then(|properties| properties.get(key)?.as_str());
        let found = id.and_then(|id| match by {
            None | Some("hs_object_id") => store.by_id(at, id, true),
            Some(by) => store.by_value(at, by, id),
        });
        let held = found.map(|record| record.value(key)).filter(|held| !held.is_empty());
        held.or(given).or(id.filter(|_| by.is_some())).map(str::to_owned)
    };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    match &call.target {
        Target::Objects { rest: Rest::One(id), .. } => {
            vec![key_of(Some(id), call.param("idProperty"), call.object().and_then(|body| body.get("properties")))]
        }
        Target::Objects { rest: Rest::Collection, .. } => {
            vec![key_of(None, None, call.object().and_then(|body| body.get("properties")))]
        }
        Target::Objects { rest: Rest::Batch(_), .. } => {
            let common = call.body.as_deref().and_then(|body| text(body, "idProperty"));
            let inputs = call.inputs().unwrap_or_default().iter();
            let one = |input: &Value| {
                let by = text(input, "idProperty").or_else(|| common.clone());
                key_of(text(input, "id").as_deref(), by.as_deref(), input.get("properties"))
            };
            inputs.map(one).collect()
        }
        _ => Vec::new(),
    }
}

impl Context<'_> {
    fn definition(&self, at: usize) -> Result<&ObjectType, Refusal> {
        self.store.tables.get(at).map(|table| &table.definition).ok_or_else(|| Refusal::unknown_type(""))
    }

    fn check_scope(&self, at: usize, call: &Call) -> Result<(), Refusal> {
        let Some(granted) = self.scopes else { return Ok(()) };
        let definition = self.definition(at)?;
        let name = if definition.type_id.starts_with("0-") { definition.name.as_str() } else { "custom" };
        let kind = if matches!(call.target, Target::Properties { .. }) { "schemas" } else { "objects" };
        let right = if call.is_write() { "write" } else { "read" };
        let needed = format!("crm.{kind}.{name}.{right}");
        if granted.contains(&needed) { Ok(()) } else { Err(Refusal::scopes(&[needed])) }
    }

    /// The id of a live record; none where there is none. A merged id leads on where `follow`.
    fn find(&self, at: usize, id: &str, by: Option<&str>, follow: bool, verb: &str) -> Result<Option<u64>, Refusal> {
        let definition = self.definition(at)?;
        let found = match by {
            None | Some("hs_object_id") => self.store.by_id(at, id, follow),
            Some(by) if definition.is_unique(by) => self.store.by_value(at, by, id),
            Some(by) => return Err(Refusal::not_unique(verb, &definition.type_id, by)),
        };
        Ok(found.map(|record| record.id))
    }

    fn check_lock(&self, at: usize, id: u64) -> Result<(), Refusal> {
        let locked = self.locks.get(&(at, id)).is_some_and(|until| self.writer.now < *until);
        if locked { Err(Refusal::locked()) } else { Ok(()) }
    }

    fn create(&mut self, at: usize, body: &Map<String, Value>, input: Option<usize>) -> Result<Record, Refusal> {
        let links = links::of_new(self, at, body)?;
        let record = self.store.create(at, &properties(body)?, &self.writer)?;
        let from = self.definition(at)?.name.clone();
        self.store.links.extend(links.into_iter().map(|(to, id, kind)| (from.clone(), record.id, to, id, kind)));
        self.effects.push((EffectKind::Created, at, record.clone(), input));
        Ok(record)
    }

    fn update(
        &mut self,
        at: usize,
        id: u64,
        values: &Map<String, Value>,
        input: Option<usize>,
    ) -> Result<Record, Refusal> {
        self.check_lock(at, id)?;
        let record = self.store.update(at, id, values, &self.writer)?;
        self.effects.push((EffectKind::Updated, at, record.clone(), input));
        Ok(record)
    }

    fn archive(&mut self, at: usize, id: u64, for_good: bool, input: Option<usize>) -> Result<(), Refusal> {
        self.check_lock(at, id)?;
        let kind = if for_good { EffectKind::Deleted } else { EffectKind::Archived };
        if let Some(record) = self.store.archive(at, id, self.writer.now, for_good) {
            self.store.tell(at, id, "deletion", None, &self.writer);
            self.effects.push((kind, at, record, input));
        }
        Ok(())
    }
}

fn properties(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    match body.get("properties") {
        None => Ok(Map::new()),
        Some(Value::Object(properties)) => Ok(properties.clone()),
        Some(_) => Err(Refusal::validation("Invalid input JSON: properties must be an object")),
    }
}

//! The REST API as a function of the data and a call. What comes before it (faults, sessions, limits) is in `instance`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::error::ApiError;
use super::read;
use super::rule::Rules;
use super::schema::Object;
use super::store::{Change, Record, Store, text_of};
use super::write::{Intent, Locks, Refusal, Writer, check_types, is_foreign_creation, write};
use super::{EffectKind, bulk, collections, describe};
use crate::http::Reply;

/// The last version in which an upsert that updates has no body.
const LAST_SILENT_UPSERT: u32 = 45;
/// Keys that end so are taken for a format or a host, and not found.
const MISTAKEN_ENDINGS: [&str; 5] = [".inc", ".json", ".xml", ".html", ".csv"];

/// What a call works with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) call: &'a Call,
    pub(super) store: &'a mut Store,
    pub(super) locks: &'a mut Locks,
    pub(super) rules: &'a mut Rules,
    pub(super) jobs: &'a mut bulk::Jobs,
    pub(super) locators: &'a mut BTreeMap<String, Vec<Value>>,
    pub(super) writer: Writer,
    pub(super) changes: Vec<Change>,
    /// Calls used of the day's.
    pub(super) usage: (u64, u64),
    /// Whether a collection all of whose rows failed is a 400.
    pub(super) failed_rows_as_400: bool,
}

/// Carries a call out.
pub(super) fn serve(context: &mut Context<'_>) -> Reply {
    route(context).unwrap_or_else(|error| error.reply())
}

fn route(context: &mut Context<'_>) -> Result<Reply, ApiError> {
    let call = context.call;
    match (call.method.as_str(), call.parts().as_slice()) {
        ("GET", ["limits"]) => {
            let (used, most) = context.usage;
            Ok(Reply::json(
                200,
                &json!({ "DailyApiRequests": { "Max": most, "Remaining": most.saturating_sub(used) } }),
            ))
        }
        ("GET", ["sobjects"]) => Ok(Reply::json(200, &describe::global(context.store, &base(call)))),
        ("GET", ["sobjects", object, "describe"]) => {
            Ok(Reply::json(200, &describe::object(&known(context.store, object)?, &base(call))))
        }
        ("GET", [kind @ ("query" | "queryAll")]) => read::query(context, *kind == "queryAll"),
        ("GET", ["query" | "queryAll", locator]) => read::more(context, locator),
        (_, ["sobjects", object, rest @ ..]) => {
            let object = known(context.store, object)?;
            single(context, &object, rest)
        }
        (_, ["jobs", "ingest", rest @ ..]) => bulk::ingest(context, rest),
        ("POST", ["composite", "sobjects"]) => collections::create(context),
        ("PATCH", ["composite", "sobjects"]) => collections::update(context),
        ("PATCH", ["composite", "sobjects", object, field]) => collections::upsert(context, object, field),
        ("DELETE", ["composite", "sobjects"]) => collections::delete(context),
        ("POST", ["composite", "sobjects", object]) => collections::retrieve(context, object),
        (_, ["limits" | "sobjects" | "query" | "queryAll"]) => Err(ApiError::documented("METHOD_NOT_ALLOWED")),
        _ => Err(ApiError::not_found()),
    }
}

fn single(context: &mut Context<'_>, object: &Object, rest: &[&str]) -> Result<Reply, ApiError> {
    let intent = match (context.call.method.as_str(), rest) {
        ("POST", []) => Intent::Create,
        ("GET", [id]) => {
            let record = super::write::by_id(context.store, object, id)?;
            return read::one(context, object, record);
        }
        ("PATCH", [id]) => Intent::Update((*id).to_owned()),
        ("DELETE", [id]) => Intent::Delete((*id).to_owned()),
        (_, [_, value]) if MISTAKEN_ENDINGS.iter().any(|ending| value.ends_with(ending)) => {
            return Err(ApiError::not_found());
        }
        ("PATCH", [field, value]) => {
            let update_only = context.call.param("updateOnly") == Some("true");
            Intent::Upsert { field: (*field).to_owned(), value: (*value).to_owned(), update_only }
        }
        (method @ ("GET" | "DELETE"), [field, value]) => {
            let known = object.find(field).filter(|field| field.external_id && !field.hidden);
            let field = known.ok_or_else(|| ApiError::no_such_key(field))?;
            let found = context.store.holding(object, field, value);
            let seen: Vec<_> =
                found.into_iter().filter(|one| !is_foreign_creation(context.locks, one, &context.writer)).collect();
            match (method, seen.as_slice()) {
                (_, []) => return Err(ApiError::not_found()),
                ("GET", [one]) => return read::one(context, object, one),
                (_, [one]) => Intent::Delete(one.id().to_owned()),
                (_, several) => return Ok(choices(context.call, object, several.iter().map(|one| one.id()))),
            }
        }
        _ => return Err(ApiError::documented("METHOD_NOT_ALLOWED")),
    };
    let empty = Map::new();
    let body = match (&intent, context.call.object()) {
        (Intent::Delete(_), _) => &empty,
        (_, Some(body)) => body,
        (_, None) => return Err(ApiError::documented("JSON_PARSER_ERROR")),
    };
    refuse_body(object, &intent, body)?;
    check_types(object, body)?;
    refuse_outdated(context, object, &intent)?;
    match write(context.store, context.locks, object, &intent, body, &context.writer) {
        Ok(change) => {
            let reply = written(context.call, &intent, &change);
            context.changes.push(change);
            Ok(reply)
        }
        Err(Refusal::Error(error)) => Err(error),
        Err(Refusal::Several(ids)) => Ok(choices(context.call, object, ids.iter().map(String::as_str))),
    }
}

/// An object by its name, in whatever case.
pub(super) fn known(store: &Store, name: &str) -> Result<Object, ApiError> {
    store.object(name).cloned().ok_or_else(ApiError::not_found)
}

/// `/services/data/v62.0`
pub(super) fn base(call: &Call) -> String {
    format!("/services/data/v{}.0", call.version.unwrap_or_default())
}

/// The objects and keys that a call is about.
pub(super) fn subjects(store: &Store, call: &Call) -> (Vec<String>, Vec<String>) {
    let (mut objects, mut keys) = (Vec::new(), Vec::new());
    let mut about = |object: Option<&Object>, key: Option<String>| {
        if let Some(object) = object.filter(|object| !objects.contains(&object.name)) {
            objects.push(object.name.clone());
        }
        keys.extend(key);
    };
    let by_id = |object: Option<&Object>, id: &str| {
        let object = object?;
        store.key_of(&object.name, store.get(&object.name, id)?)
    };
    match call.parts().as_slice() {
        ["sobjects", object, rest @ ..] => {
            let object = store.object(object);
            let key = match rest {
                [id] if super::ids::short(id).is_some() => by_id(object, id),
                [field, value] => object
                    .and_then(Object::key)
                    .filter(|key| key.is(field))
                    .map(|_| (*value).to_owned())
                    .or_else(|| object.zip(call.object()).and_then(|(object, body)| key_in(object, body))),
                _ => object.zip(call.object()).and_then(|(object, body)| key_in(object, body)),
            };
            about(object, key);
        }
        ["composite", "sobjects", rest @ ..] => {
            for row in call.rows().into_iter().flatten().filter_map(Value::as_object) {
                let named = rest.first().copied().or_else(|| row.get("attributes")?.get("type")?.as_str());
                let object = named.and_then(|name| store.object(name));
                let given = object.and_then(|object| key_in(object, row));
                about(object, given.or_else(|| by_id(object, row.get("id").or_else(|| row.get("Id"))?.as_str()?)));
            }
            for id in call.param("ids").into_iter().flat_map(|ids| ids.split(',')) {
                let object = store.object_of(id);
                about(object, by_id(object, id));
            }
        }
        _ => {}
    }
    (objects, keys)
}

/// The value of the object's key field that a body gives.
pub(super) fn key_in(object: &Object, body: &Map<String, Value>) -> Option<String> {
    let key = object.key()?;
    body.iter().find(|(name, _)| key.is(name)).and_then(|(_, value)| text_of(value))
}

/// Neither the id nor the external id of the path may stand in a body.
fn refuse_body(object: &Object, intent: &Intent, body: &Map<String, Value>) -> Result<(), ApiError> {
    let keyed = match intent {
        Intent::Upsert { field, .. } => {
            object.find(field).filter(|field| field.external_id).map(|field| field.name.as_str())
        }
        _ => None,
    };
    let named = ["Id"].into_iter().chain(keyed).find(|name| body.keys().any(|given| given.eq_ignore_ascii_case(name)));
    let refusal = |name| {
        let message = format!("The {name} field should not be specified in the sobject data.");
        Err(ApiError::new(400, "INVALID_FIELD", message).fields(&[name]))
    };
    named.map_or(Ok(()), refusal)
}

/// `If-Unmodified-Since`, in whole seconds.
fn refuse_outdated(context: &Context<'_>, object: &Object, intent: &Intent) -> Result<(), ApiError> {
    let Some(since) = context.call.header("if-unmodified-since").and_then(|date| httpdate::parse_http_date(date).ok())
    else {
        return Ok(());
    };
    let record = match intent {
        Intent::Update(id) => context.store.get(&object.name, id),
        Intent::Upsert { field, value, .. } => {
            object.find(field).and_then(|field| context.store.holding(object, field, value).first().copied())
        }
        _ => None,
    };
    let modified = record.and_then(|record| super::values::parse_stamp(record.text("LastModifiedDate")));
    let since = since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    match modified {
        Some(at) if u64::try_from(at.as_second()).is_ok_and(|at| at > since) => {
            Err(ApiError::documented("PRECONDITION_FAILED"))
        }
        _ => Ok(()),
    }
}

fn written(call: &Call, intent: &Intent, change: &Change) -> Reply {
    let created = change.kind == EffectKind::Created;
    let mut body = json!({ "id": change.record.id(), "success": true, "errors": [] });
    match intent {
        Intent::Create => Reply::json(201, &body).with("location", url(call, &change.object, &change.record)),
        Intent::Upsert { .. } if !created && call.version.is_some_and(|version| version <= LAST_SILENT_UPSERT) => {
            Reply::empty(204)
        }
        Intent::Upsert { .. } => {
            if let Some(body) = body.as_object_mut() {
                body.insert("created".into(), created.into());
            }
            Reply::json(if created { 201 } else { 200 }, &body)
        }
        Intent::Update(_) | Intent::Delete(_) => Reply::empty(204),
    }
}

fn url(call: &Call, object: &str, record: &Record) -> String {
    format!("{}/sobjects/{object}/{}", base(call), record.id())
}

/// 300, with the addresses of the records that share a key.
fn choices<'i>(call: &Call, object: &Object, ids: impl Iterator<Item = &'i str>) -> Reply {
    let urls: Vec<_> = ids.map(|id| format!("{}/sobjects/{}/{id}", base(call), object.name)).collect();
    Reply::json(300, &json!(urls))
}

//! The same events by the Table API, by import sets and by batches.

use std::collections::BTreeMap;

use syncline_fakes::servicenow::{Entry, ImportSet, Options, ServiceNow, TransformMap};

use super::*;

const EVENTS: usize = 10_000;
const COMPANIES: u64 = 300;
const CONTACTS: u64 = 1200;
const CONTACT_TABLE: &str = "customer_contact";

/// A table's records: columns by key.
type Records = BTreeMap<String, BTreeMap<&'static str, String>>;

/// What the CRM has to hold in the end, as the events have it.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    companies: Records,
    contacts: Records,
}

/// Creates, partial updates, cleared fields, deletes and records that come again, of two types of which one
/// refers to the other. A company that contacts refer to is never deleted.
fn events(state: &mut State) -> Vec<(i32, String)> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut events = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let is_contact = random.u8(..3) > 0;
        let (kind, id) = if is_contact {
            ("contact", format!("p{}", random.u64(..CONTACTS)))
        } else {
            ("company", format!("c{}", random.u64(..COMPANIES)))
        };
        let records = if is_contact { &mut state.contacts } else { &mut state.companies };
        let may_go = is_contact || id.trim_start_matches('c').parse::<u64>().unwrap() >= COMPANIES / 2;
        let (operation, payload) = if may_go && random.u8(..10) == 0 {
            records.remove(&id);
            ("deleted", "{}".to_owned())
        } else {
            let record = records.entry(id.clone()).or_default();
            let mut payload = vec![format!(r#""name":"Name {number} ^ \"ä\"""#)];
            record.insert("name", format!("Name {number} ^ \"ä\""));
            match random.u8(..3) {
                0 => {
                    payload.push(r#""phone":null"#.to_owned());
                    record.remove("phone");
                }
                1 => {
                    payload.push(format!(r#""phone":{number}"#));
                    record.insert("phone", number.to_string());
                }
                _ => {}
            }
            if is_contact && random.bool() {
                let company = format!("c{}", random.u64(..COMPANIES / 2));
                payload.push(format!(r#""company":"{company}""#));
                record.insert("account", company);
            }
            ("updated", format!("{{{}}}", payload.join(",")))
        };
        let partition = i32::try_from(id.bytes().map(u32::from).sum::<u32>() % 3).unwrap();
        events.push((
            partition,
            format!(
                r#"{{"event_id":"e{number}","idempotency_key":"k{number}","event_type":"record.{operation}",
                    "entity":{{"type":"{kind}","id":"{id}","version":"{number}"}},"payload":{payload}}}"#
            ),
        ));
    }
    // Every company that is referred to comes, if late.
    for company in 0..COMPANIES / 2 {
        let (id, number) = (format!("c{company}"), EVENTS + usize::try_from(company).unwrap());
        state.companies.entry(id.clone()).or_default().insert("name", format!("Name {number}"));
        let event = format!(
            r#"{{"event_id":"e{number}","idempotency_key":"k{number}","entity":{{"type":"company","id":"{id}",
                "version":"{number}"}},"payload":{{"name":"Name {number}"}}}}"#
        );
        let partition = i32::try_from(id.bytes().map(u32::from).sum::<u32>() % 3).unwrap();
        events.push((partition, event));
    }
    events
}

/// What a fake holds; references by the key of what they refer to.
fn held(crm: &ServiceNow) -> State {
    let mut keys = BTreeMap::new();
    let mut read = |table: &str, columns: [&'static str; 3]| -> Records {
        let mut records = Records::new();
        for record in crm.records(table) {
            keys.insert(record.sys_id().to_owned(), record.value("correlation_id").to_owned());
            let filled = columns.into_iter().filter(|column| !record.value(column).is_empty());
            let values = filled.map(|column| {
                let value = record.value(column);
                (column, keys.get(value).filter(|_| column == "account").map_or_else(|| value.to_owned(), Clone::clone))
            });
            let before = records.insert(record.value("correlation_id").to_owned(), values.collect());
            assert_eq!(before, None, "two records with one key");
        }
        records
    };
    let companies = read(TABLE, ["name", "phone", "account"]);
    State { companies, contacts: read(CONTACT_TABLE, ["name", "phone", "account"]) }
}

fn options() -> Options {
    let text = |name: &str| syncline_fakes::servicenow::Column::text(name).indexed();
    Options::default().column(TABLE, text("correlation_id")).column(CONTACT_TABLE, text("correlation_id"))
}

fn import(name: &str, target: &str) -> ImportSet {
    let map = TransformMap::new(name, target).field("u_key", "correlation_id").field("u_name", "name");
    ImportSet::new(name).map(map.field("u_phone", "phone").field("u_account", "account").coalesce("u_key"))
}

fn destination(name: &str, base_url: &str, more: &str, import: bool) -> String {
    let entity = |kind: &str, table: &str, fields: &[(&str, &str)]| {
        let prefix = if import { "u_" } else { "" };
        let fields: Vec<_> = fields.iter().map(|(column, rule)| format!("{prefix}{column} = {rule}")).collect();
        let staging = if import {
            format!("import_set = {{ table = \"u_sync_{kind}\", key = \"u_key\" }}\n")
        } else {
            String::new()
        };
        format!(
            "[destinations.entities.{kind}]\ntable = \"{table}\"\n{staging}fields = {{ {} }}\n\n",
            fields.join(", ")
        )
    };
    let own = [("name", "\"/name\""), ("phone", "\"/phone\"")];
    let with_company = [own[0], own[1], ("account", "{ reference = \"/company\", entity = \"company\" }")];
    format!(
        "[[destinations]]\nname = \"{name}\"\ntype = \"servicenow\"\nbase_url = \"{base_url}\"\n\
         auth = {{ type = \"basic\", username = \"env:CRM_USER\", password = \"env:CRM_PASSWORD\" }}\n{more}\n\n{}{}",
        entity("company", TABLE, &own),
        entity("contact", CONTACT_TABLE, &with_company)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mixed_events_end_in_the_same_state_by_table_import_set_and_batch() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = guest::in_a_file(&mut scene, folder.path());
    let imports = [import("u_sync_company", TABLE), import("u_sync_contact", CONTACT_TABLE)];
    let crms = [
        ServiceNow::start(options()).await.unwrap(),
        ServiceNow::start(imports.into_iter().fold(options(), Options::import_set)).await.unwrap(),
        ServiceNow::start(options()).await.unwrap(),
    ];
    let [table, import, batch] = [0, 1, 2].map(|index: usize| crms[index].base_url().to_owned());
    let routes = "[[routes]]\nentity = \"company\"\nto = [\"table\", \"import\", \"batch\"]\n\n\
                  [[routes]]\nentity = \"contact\"\nto = [\"table\", \"import\", \"batch\"]\n";
    let text = [
        destination("table", &table, "", false),
        destination("import", &import, "", true),
        destination("batch", &batch, "batch = { events = 50 }", false),
        routes.to_owned(),
    ];
    std::fs::write(&file, text.concat()).unwrap();
    let mut expected = State::default();
    let events = events(&mut expected);
    scene.broker.produce_all(events.into_iter()).await;
    let service = scene.run();
    for (crm, name) in crms.iter().zip(["table", "import", "batch"]) {
        let there = crm.wait_until(|crm| crm.totals().in_flight == 0 && held(crm) == expected, PATIENCE * 3).await;
        let held = held(crm);
        assert!(there, "{name}: {} and {} records", held.companies.len(), held.contacts.len());
        // A parent may be looked up while it is written.
        let overlaps = crm.overlaps().into_iter().filter(|(one, other)| one.method != "GET" && other.method != "GET");
        assert_eq!(overlaps.count(), 0, "{name}: one entity at a time");
    }
    assert_eq!(scene.broker.dead_letter_count().await, 0);
    service.stop().await;
    let [table, import, batch] = [0, 1, 2].map(|index: usize| crms[index].totals().requests);
    let by_import = |entry: &Entry| !entry.imports.is_empty();
    assert!(crms[1].ledger().iter().any(by_import) && crms[2].totals().items > 0);
    assert!(batch * 5 < table, "{batch} requests by batches, {table} one by one, {import} with import sets");
    println!("requests: {table} by the Table API, {import} with import sets, {batch} by batches");
}

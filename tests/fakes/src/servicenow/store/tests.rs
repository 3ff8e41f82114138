use std::time::{Duration, UNIX_EPOCH};

use super::super::query::Query;
use super::super::record::Record;
use super::super::schema::{Column, Table};
use super::{Refusal, Store, Values};
use crate::clock::Clock;

fn store() -> Store {
    let table = Table::new("account", ["name", "status"])
        .numbered("ACCT")
        .column(Column::text("code").unique())
        .column(Column::text("score").write_protected())
        .column(Column::text("short").max_length(3))
        .column(Column::choice("state"))
        .column(Column::journal("notes"));
    Store::new(vec![table], 7, Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_795_000_504)))
}

fn values<const N: usize>(values: [(&str, &str); N]) -> Values {
    values.map(|(column, value)| (column.to_owned(), value.to_owned())).into()
}

fn insert<const N: usize>(store: &mut Store, given: [(&str, &str); N]) -> Record {
    store.insert("account", values(given), "svc").unwrap()
}

fn names(store: &Store, encoded: &str) -> Vec<String> {
    let query = Query::parse(encoded).bind(|column| store.table("account").unwrap().knows(column));
    let mut found = store.find("account", &query, 0, 100, 0).records;
    if query.order.is_empty() {
        found.sort_by(|left, right| left["name"].cmp(&right["name"]));
    }
    found.iter().map(|record| record["name"].to_owned()).collect()
}

#[test]
fn an_insert_sets_the_system_columns() {
    let mut store = store();
    let record = insert(&mut store, [("name", "Acme"), ("sys_id", "mine"), ("sys_mod_count", "9")]);
    assert_eq!(record.sys_id().len(), 32);
    assert!(record.sys_id().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(&record["sys_created_on"], "2026-11-18 11:15:04");
    assert_eq!((&record["sys_mod_count"], &record["sys_updated_by"], &record["number"]), ("0", "svc", "ACCT0010001"));
}

#[test]
fn an_update_sets_the_named_columns_only() {
    let mut store = store();
    let id = insert(&mut store, [("name", "Acme"), ("status", "open")]).sys_id().to_owned();
    let record = store.update("account", &id, values([("status", "closed")]), "other").unwrap();
    assert_eq!((&record["name"], &record["status"]), ("Acme", "closed"));
    assert_eq!((&record["sys_mod_count"], &record["sys_updated_by"]), ("1", "other"));
    assert_eq!(store.update("account", "no such", values([]), "svc"), Err(Refusal::NoRecord));
}

#[test]
fn what_may_not_be_written_is_dropped_silently() {
    let mut store = store();
    let given = [("unknown", "x"), ("score", "9"), ("short", "äöüß"), ("state", "1"), ("name", "Acme")];
    let id = insert(&mut store, given).sys_id().to_owned();
    let record = store.update("account", &id, values([("state", ""), ("name", "")]), "svc").unwrap();
    assert_eq!((&record["unknown"], &record["score"], &record["short"]), ("", "", "äöü"));
    assert_eq!((&record["state"], &record["name"]), ("1", ""), "a choice is not cleared");
}

#[test]
fn a_journal_appends_each_time() {
    let mut store = store();
    let id = insert(&mut store, [("notes", "one")]).sys_id().to_owned();
    let record = store.update("account", &id, values([("notes", "one")]), "svc").unwrap();
    assert_eq!(&record["notes"], "one\none");
}

#[test]
fn a_unique_column_refuses_a_second_record_and_frees_its_value() {
    let mut store = store();
    let first = insert(&mut store, [("code", "a")]);
    let refused = Refusal::Duplicate { column: "code".into(), value: "a".into() };
    assert_eq!(store.insert("account", values([("code", "a")]), "svc"), Err(refused));
    insert(&mut store, [("code", "")]);
    insert(&mut store, [("code", "")]);
    store.update("account", first.sys_id(), values([("code", "a"), ("name", "x")]), "svc").unwrap();
    store.update("account", first.sys_id(), values([("code", "b")]), "svc").unwrap();
    insert(&mut store, [("code", "a")]);
    store.delete("account", first.sys_id()).unwrap();
    insert(&mut store, [("code", "b")]);
}

#[test]
fn the_index_finds_what_a_scan_would() {
    let mut store = store();
    for (name, key) in [("a", "1"), ("b", "2"), ("c", "2"), ("d", "3")] {
        insert(&mut store, [("name", name), ("correlation_id", key)]);
    }
    assert_eq!(names(&store, "correlation_id=2"), ["b", "c"]);
    assert_eq!(names(&store, "correlation_idIN1,3"), ["a", "d"]);
    assert_eq!(names(&store, "correlation_id=1^ORcorrelation_id=2^name!=b"), ["a", "c"]);
    assert_eq!(names(&store, "correlation_id=1^ORname=d"), ["a", "d"]);
    assert_eq!(names(&store, "correlation_id=1^NQname=d"), ["a", "d"]);
    assert_eq!(names(&store, "correlation_id=9"), [""; 0]);
    assert_eq!(names(&store, "korrelation_id=9"), ["a", "b", "c", "d"], "a typing error widens to the whole table");
    assert_eq!(names(&store, "nameISNOTEMPTY^ORDERBYDESCcorrelation_id^ORDERBYDESCname"), ["d", "c", "b", "a"]);
}

#[test]
fn pages_count_hidden_records_and_have_no_order_of_their_own() {
    let mut store = store();
    let ids: Vec<_> = ["a", "b", "c"].map(|name| insert(&mut store, [("name", name)]).sys_id().to_owned()).into();
    store.hide("account", &ids[1]);
    assert!(store.visible("account", &ids[1]).is_none());
    let everything = Query::parse("");
    let page = |offset, limit, turn| {
        let found = store.find("account", &everything, offset, limit, turn);
        (found.total, found.records.iter().map(|record| record["name"].to_owned()).collect::<String>())
    };
    assert_eq!(page(0, 2, 0), (3, "a".into()));
    assert_eq!(page(2, 2, 0), (3, "c".into()));
    assert_eq!(page(0, 3, 2), (3, "ca".into()));
}

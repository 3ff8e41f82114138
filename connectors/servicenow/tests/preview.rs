//! What people are shown before anything is sent.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use syncline_sdk::{Bytes, ConnectorConfig, CrmConnector, Event, Outbound, Reply};
    use syncline_servicenow as _;

    const SYS_ID: &str = "7f3c2b9a1b0e4d10a1c2d3e4f5061728";

    fn connector() -> Arc<dyn CrmConnector> {
        let config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "bearer", "token": "env:T" },
            "entities": {
                "company": {
                    "table": "core_company",
                    "fields": {
                        "name": "/name", "active": "/active", "city": "/city", "comments": "/note",
                        "parent": { "reference": "/parent", "entity": "company" },
                        "u_tier": { "from": "/tier", "map": { "gold": "1" }, "default": "3" },
                    },
                },
                "asset": { "table": "cmdb_ci", "on_delete": { "set": { "active": "false" } }, "on_update": "update_only" },
                "visit": { "table": "u_visit", "on_create": "create_only", "on_update": "ignore" },
            },
        });
        serde_json::from_value::<Box<dyn ConnectorConfig>>(config).unwrap().connect().unwrap()
    }

    fn event(kind: &str, operation: Option<&str>, payload: &Value) -> Event {
        serde_json::from_value(json!({
            "event_id": "e", "idempotency_key": "k", "event_type": operation,
            "entity": { "type": kind, "id": "c-1" }, "payload": payload,
        }))
        .unwrap()
    }

    fn reply(status: u16, body: &Value) -> Reply {
        let headers = vec![("content-type".into(), "application/json".into())];
        Reply { status, headers, body: Bytes::from(body.to_string()) }
    }

    /// `method target`, without the query.
    fn writes(event: &Event) -> Vec<String> {
        let told = |write: &Outbound| {
            format!("{} {}", write.method.as_str(), write.target.split('?').next().unwrap_or_default())
        };
        connector().possible_writes(event).iter().map(told).collect()
    }

    fn differences(write: &Outbound, before: Option<&Reply>) -> Vec<(String, Option<Value>, Option<Value>)> {
        let differences = connector().differences(write, before).unwrap();
        differences.into_iter().map(|one| (one.field, one.before, one.after)).collect()
    }

    #[test]
    fn a_preview_says_where_each_value_is_from() {
        let payload = json!({ "name": "Acme", "city": null, "parent": 7, "tier": "gold" });
        let preview = connector().preview(&event("company", None, &payload)).unwrap();
        assert_eq!(preview.target, "core_company");
        let fields: Vec<_> = preview.fields.iter().map(|one| (&*one.name, &*one.from, one.value.clone())).collect();
        let expected = [
            ("correlation_id", "entity.id", json!("c-1")),
            ("city", "/city", Value::Null),
            ("name", "/name", json!("Acme")),
            ("parent", "/parent refers to company", json!("{sys_id of company 7}")),
            ("u_tier", "/tier through `map`", json!("1")),
        ];
        let mut sorted = fields;
        sorted[1..].sort_by_key(|(name, ..)| *name);
        assert_eq!(sorted, expected);
        assert!(connector().preview(&event("company", Some("record.deleted"), &json!({}))).unwrap().fields.is_empty());
        let set = connector().preview(&event("asset", Some("record.deleted"), &json!({}))).unwrap();
        assert_eq!((set.fields[0].from.as_str(), &set.fields[0].value), ("on_delete.set", &json!("false")));
        assert!(connector().preview(&event("stranger", None, &json!({}))).is_none());
    }

    #[test]
    fn the_writes_of_an_event_are_those_that_its_policy_allows() {
        let payload = json!({ "name": "Acme", "parent": "c-9" });
        let (create, update) = ("POST /api/now/table/core_company", "PATCH /api/now/table/core_company/{sys_id}");
        assert_eq!(writes(&event("company", None, &payload)), [create, update]);
        assert_eq!(writes(&event("company", None, &json!({ "tier": null }))).len(), 2);
        assert_eq!(
            writes(&event("company", Some("record.deleted"), &json!({}))),
            ["DELETE /api/now/table/core_company/{sys_id}"]
        );
        assert_eq!(
            writes(&event("asset", Some("record.updated"), &payload_of_asset())),
            ["PATCH /api/now/table/cmdb_ci/{sys_id}"]
        );
        assert_eq!(
            writes(&event("asset", Some("record.deleted"), &json!({}))),
            ["PATCH /api/now/table/cmdb_ci/{sys_id}"]
        );
        assert_eq!(writes(&event("visit", Some("record.created"), &json!({}))), ["POST /api/now/table/u_visit"]);
        assert!(writes(&event("visit", Some("record.updated"), &json!({ "a": 1 }))).is_empty());
    }

    fn payload_of_asset() -> Value {
        json!({ "name": "vm-1" })
    }

    /// An update of a record as it could be sent.
    fn update(payload: &Value) -> Outbound {
        let writes = connector().possible_writes(&event("company", None, payload));
        let mut update = writes.into_iter().next_back().unwrap();
        assert_eq!(connector().read_before(&update), None, "there is no record `{{sys_id}}`");
        update.target = update.target.replace("{sys_id}", SYS_ID);
        update
    }

    #[test]
    fn an_update_is_compared_with_what_is_there() {
        let write = update(&json!({ "name": "Acme", "active": true, "city": null, "tier": "gold", "note": "seen" }));
        let read = connector().read_before(&write).unwrap();
        assert_eq!(read.method.as_str(), "GET");
        let path = format!("/api/now/table/core_company/{SYS_ID}?sysparm_fields=");
        assert!(read.target.starts_with(&path) && read.target.contains("city"), "{}", read.target);
        let before = reply(
            200,
            &json!({ "result": { "name": "Acme Inc.", "active": "true", "city": "Bonn", "u_tier": "1", "comments": "" } }),
        );
        let mut found = differences(&write, Some(&before));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [
            ("city".to_owned(), Some(json!("Bonn")), Some(json!(""))),
            ("comments".to_owned(), None, Some(json!("seen"))),
            ("name".to_owned(), Some(json!("Acme Inc.")), Some(json!("Acme"))),
        ];
        assert_eq!(found, expected);
        let gone = json!({ "error": { "message": "No Record found", "detail": "" }, "status": "failure" });
        assert_eq!(connector().differences(&write, Some(&reply(404, &gone))).unwrap_err().code, "rejected");
        assert_eq!(connector().differences(&write, Some(&reply(200, &json!({})))).unwrap_err().code, "unproven");
    }

    #[test]
    fn creates_and_deletes_show_what_comes_and_goes() {
        let create = connector().possible_writes(&event("company", None, &json!({ "name": "Acme" }))).remove(0);
        assert_eq!(connector().read_before(&create), None);
        let mut found = differences(&create, None);
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let fields: Vec<_> = found.iter().map(|(field, before, _)| (field.as_str(), before.is_none())).collect();
        assert_eq!(fields, [("correlation_id", true), ("name", true), ("u_tier", true)]);

        let mut delete = connector().possible_writes(&event("company", Some("record.deleted"), &json!({}))).remove(0);
        delete.target = delete.target.replace("{sys_id}", SYS_ID);
        assert!(!connector().read_before(&delete).unwrap().target.contains("sysparm_fields"));
        let before = reply(200, &json!({ "result": { "name": "Acme", "city": "", "sys_mod_count": "2" } }));
        assert_eq!(differences(&delete, Some(&before)), [("name".to_owned(), Some(json!("Acme")), None)]);
    }
}

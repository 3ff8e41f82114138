//! Which events can be sent, and what becomes of their fields.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use syncline_sdk::{Batch, ConnectorConfig, CrmConnector, Event, Item, Remembered};
    use syncline_servicenow as _;

    const SYS_ID: &str = "7f3c2b9a1b0e4d10a1c2d3e4f5061728";

    fn connector() -> Arc<dyn CrmConnector> {
        with(&json!({}))
    }

    /// A connector whose configuration has `more`.
    fn with(more: &Value) -> Arc<dyn CrmConnector> {
        let mut config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "bearer", "token": "env:T" },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<Box<dyn ConnectorConfig>>(config).unwrap().connect().unwrap()
    }

    fn event(id: &str, payload: &Value) -> Event {
        let entity = json!({ "type": "customer", "id": id });
        serde_json::from_value(json!({ "event_id": "e", "idempotency_key": "k", "entity": entity, "payload": payload }))
            .unwrap()
    }

    /// The code of the refusal, or nothing.
    fn refusal(event: &Event) -> Option<String> {
        connector().accepts(event).err().map(|reason| reason.code.into())
    }

    #[test]
    fn keys_that_servicenow_would_not_take_literally_are_refused() {
        for key in [
            "a\nb",
            "a\0b",
            "\u{7f}",
            " a",
            "a ",
            "=a",
            "!=a",
            "<a",
            ">a",
            "NULL",
            "null",
            "javascript:gs.now()",
            "x JavaScript:y",
        ] {
            assert_eq!(refusal(&event(key, &json!({}))).as_deref(), Some("unusable_key"), "{key:?}");
        }
        assert_eq!(refusal(&event(&"x".repeat(256), &json!({}))).as_deref(), Some("unusable_key"));
        assert_eq!(refusal(&Event::tombstone("customer", "", "x")).as_deref(), Some("unusable_key"));
        for key in ["a", "a=b", "a^ORb", "ä b", "a,b", "nullable", "a@b.example", &"x".repeat(255)] {
            assert_eq!(refusal(&event(key, &json!({}))), None, "{key:?}");
        }
    }

    #[test]
    fn carets_in_a_key_are_doubled() {
        let event = event("a^ORsys_idISNOTEMPTY", &json!({}));
        let items = [Item { event: &event, remembered: Remembered::default() }];
        let target = connector().begin(&Batch::new(&items)).target;
        assert!(target.contains("sysparm_query=correlation_id%3Da%5E%5EORsys_idISNOTEMPTY&"), "{target}");
    }

    #[test]
    fn fields_that_a_column_cannot_hold_are_refused() {
        for payload in
            [json!({ "a": {} }), json!({ "a": [1] }), json!({ "sys_id": SYS_ID }), json!({ "correlation_id": "x" })]
        {
            assert_eq!(refusal(&event("c-1", &payload)).as_deref(), Some("unmappable_field"), "{payload}");
        }
        let reason = connector().accepts(&event("c-1", &json!({ "address": { "city": "Bonn" } }))).unwrap_err();
        assert!(reason.message.contains("`address`") && reason.message.contains("`fields`"), "{reason}");
        assert!(!reason.message.contains("Bonn"), "{reason}");
        assert_eq!(refusal(&event("c-1", &json!({ "correlation_id": "c-1" }))), None);
        assert_eq!(refusal(&event("c-1", &json!({ "a": "x".repeat(10_485_760) }))).as_deref(), Some("too_large"));
        assert_eq!(refusal(&Event::tombstone("order", "1", "x")).as_deref(), Some("unmapped_entity"));
    }

    #[test]
    fn only_a_sure_id_spares_the_look_up() {
        let event = event("c-1", &json!({ "name": "A" }));
        for (remote_id, in_doubt, step) in [
            (Some(SYS_ID), false, "update_remembered"),
            (Some(SYS_ID), true, "look_up"),
            (Some("../../x"), false, "look_up"),
            (Some("001ak000004QmXrAAK"), false, "look_up"),
            (None, false, "look_up"),
        ] {
            let items =
                [Item { event: &event, remembered: Remembered { remote_id, in_doubt, ..Remembered::default() } }];
            assert_eq!(connector().begin(&Batch::new(&items)).step, step, "{remote_id:?}");
        }
    }

    #[test]
    fn numbers_and_booleans_become_text() {
        let event = event("c-1", &json!({ "n": 1.5, "i": -3, "b": true, "none": null, "s": "a\0b" }));
        let remembered = Remembered { remote_id: Some(SYS_ID), in_doubt: false, ..Remembered::default() };
        let items = [Item { event: &event, remembered }];
        let body = connector().begin(&Batch::new(&items)).body.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({ "n": "1.5", "i": "-3", "b": "true", "none": "", "s": "ab" }));
    }

    #[test]
    fn a_payload_names_only_tables_that_are_allowed() {
        let table = json!({ "from": "/class", "allow": ["cmdb_ci_server", "cmdb_ci_vm"] });
        let connector =
            with(&json!({ "entities": { "customer": { "table": (table), "fields": { "name": "/name" } } } }));
        let accepts = |payload: &Value| connector.accepts(&event("c-1", payload)).map_err(|reason| reason.to_string());
        assert_eq!(accepts(&json!({ "class": "cmdb_ci_vm" })), Ok(()));
        for other in
            [json!({ "class": "sys_user" }), json!({ "class": ["cmdb_ci_vm"] }), json!({}), json!({ "class": "" })]
        {
            let error = accepts(&other).unwrap_err();
            assert!(error.starts_with("table_not_allowed: ") && error.contains("`/class`"), "{error}");
            assert!(!error.contains("sys_user"), "{error}");
        }
        let tombstone = Event::tombstone("customer", "c-1", "x");
        assert_eq!(connector.accepts(&tombstone).unwrap_err().code, "table_not_allowed");
        let ignoring = with(&json!({ "entities": { "customer": { "table": table, "on_delete": "ignore" } } }));
        assert_eq!(ignoring.accepts(&tombstone), Ok(()), "an event that does nothing needs no table");
    }

    #[test]
    fn a_reference_has_to_be_an_id_that_can_be_looked_up() {
        let fields = json!({ "parent": { "reference": "/parent", "entity": "customer" } });
        let connector = with(&json!({ "entities": { "customer": { "table": "t", "fields": fields } } }));
        let refused =
            |parent: Value| connector.accepts(&event("c-1", &json!({ "parent": parent }))).map_err(|e| e.code);
        assert_eq!(refused(json!("c-2")), Ok(()));
        assert_eq!(refused(json!(null)), Ok(()));
        assert_eq!(refused(json!("javascript:x")), Err("unusable_key".into()));
        assert_eq!(refused(json!({ "id": 1 })), Err("wrong_format".into()));
        assert!(connector.references(&Event::tombstone("customer", "c-1", "x")).is_empty(), "a delete needs none");
        let told = connector.references(&event("c-1", &json!({ "parent": 7 })));
        assert_eq!(
            told.iter().map(|one| (one.kind.as_str(), one.id.as_str())).collect::<Vec<_>>(),
            [("customer", "7")]
        );
    }

    /// What the engine remembers may be of another form, and is looked up then.
    #[test]
    fn a_remembered_reference_that_is_no_sys_id_is_looked_up() {
        let fields = json!({ "parent": { "reference": "/parent", "entity": "customer" } });
        let connector = with(&json!({ "entities": { "customer": { "table": "t", "fields": fields } } }));
        let event = event("c-1", &json!({ "parent": "c-2" }));
        for (known, step) in
            [(Some(SYS_ID), "update_remembered"), (Some("../x"), "look_up_parent"), (None, "look_up_parent")]
        {
            let references = [known.map(str::to_owned)];
            let remembered = Remembered { remote_id: Some(SYS_ID), in_doubt: false, references: &references };
            assert_eq!(connector.begin(&Batch::new(&[Item { event: &event, remembered }])).step, step, "{known:?}");
        }
    }

    /// The list of columns travels in the URL.
    #[test]
    fn a_write_of_very_many_columns_asks_for_the_whole_record() {
        let payload: Value = (0..300).map(|index| (format!("column_{index}"), json!("x"))).collect();
        let event = event("c-1", &payload);
        let remembered = Remembered { remote_id: Some(SYS_ID), ..Remembered::default() };
        let write = connector().begin(&Batch::new(&[Item { event: &event, remembered }]));
        assert!(!write.target.contains("sysparm_fields") && write.target.len() < 2000, "{}", write.target);
        let some = self::event("c-1", &json!({ "name": "A", "a,b": "x" }));
        let write = connector().begin(&Batch::new(&[Item { event: &some, remembered }]));
        assert!(write.target.contains("sys_updated_on%2Cname&"), "{}", write.target);
    }

    #[test]
    fn events_are_ignored_as_their_kind_says() {
        let ignored = |policies: Value| {
            let mut entity = json!({ "table": "t" });
            entity.as_object_mut().unwrap().extend(policies.as_object().unwrap().clone());
            let connector = with(&json!({ "entities": { "customer": entity } }));
            let kinds = [Some("record.created"), Some("record.updated"), Some("record.deleted"), None];
            kinds.map(|kind| {
                let event = serde_json::from_value(json!({
                    "event_id": "e", "idempotency_key": "k", "event_type": kind,
                    "entity": { "type": "customer", "id": " odd" }, "payload": { "list": [] },
                }));
                let event: Event = event.unwrap();
                assert_eq!(
                    connector.ignores(&event),
                    connector.accepts(&event).is_ok(),
                    "only what is sent is refused"
                );
                assert!(!connector.ignores(&event) || connector.possible_writes(&event).is_empty());
                connector.ignores(&event)
            })
        };
        assert_eq!(ignored(json!({})), [false; 4]);
        assert_eq!(ignored(json!({ "on_create": "create_only", "on_update": "update_only" })), [false; 4]);
        let all = json!({ "on_create": "ignore", "on_update": "ignore", "on_delete": "ignore" });
        assert_eq!(ignored(all), [true, true, true, false], "an event without a type is never ignored");
    }
}

//! What a configuration may say.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use syncline_sdk::{ConnectorConfig, Cookies, CrmConnector};
    use syncline_servicenow as _;

    /// Joins `more` to the least that is needed.
    fn config(more: &Value) -> Value {
        let mut config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "basic", "username": "env:U", "password": "env:P" },
        });
        let fields = config.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        config
    }

    fn connect(more: &Value) -> Result<Arc<dyn CrmConnector>, String> {
        let config =
            serde_json::from_value::<Box<dyn ConnectorConfig>>(config(more)).map_err(|error| error.to_string());
        config?.connect().map_err(|error| error.to_string())
    }

    #[test]
    fn url_and_credentials_are_enough() {
        let connector = connect(&json!({})).unwrap();
        assert_eq!(connector.entity_types(), ["customer"]);
        assert_eq!(connector.endpoint().limits.batch_events, 1);
        assert!(connector.endpoint().capabilities.look_up);
    }

    #[test]
    fn sessions_are_kept_where_every_request_would_begin_one() {
        let cookies = |auth: Value| connect(&json!({ "auth": auth })).unwrap().endpoint().cookies;
        assert_eq!(
            cookies(json!({ "type": "basic", "username": "env:U", "password": "env:P" })),
            Cookies::JarPerWorker
        );
        assert_eq!(cookies(json!({ "type": "bearer", "token": "env:T" })), Cookies::Discard);
    }

    #[test]
    fn oauth_tokens_come_from_the_instance_unless_said_otherwise() {
        let token_url = |auth: Value| connect(&json!({ "auth": auth })).unwrap().endpoint().auth.token_url().cloned();
        let auth = json!({ "type": "oauth2_client_credentials", "client_id": "env:I", "client_secret": "env:S" });
        assert_eq!(token_url(auth.clone()).unwrap().as_str(), "https://acme.service-now.com/oauth_token.do");
        let mut elsewhere = auth;
        elsewhere["token_url"] = json!("https://id.example/token");
        assert_eq!(token_url(elsewhere).unwrap().as_str(), "https://id.example/token");
        for auth in [
            json!({ "type": "api_key", "header": "x-sn-apikey", "key": "env:K" }),
            json!({ "type": "client_certificate", "certificate": "file:/c", "key": "file:/k" }),
        ] {
            assert_eq!(token_url(auth), None);
        }
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for more in [
            json!({ "surplus": 1 }),
            json!({ "auth": { "type": "bearer", "token": "env:T", "surplus": 1 } }),
            json!({ "entities": { "customer": { "table": "t", "surplus": 1 } } }),
        ] {
            let error = connect(&more).unwrap_err();
            assert!(error.contains("surplus"), "{error}");
        }
        let rule =
            json!({ "entities": { "customer": { "table": "t", "fields": { "a": { "from": "/a", "surplus": 1 } } } } });
        assert!(connect(&rule).is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_path() {
        let entity = |fields: Value| json!({ "entities": { "customer": fields } });
        for (more, path) in [
            (json!({ "auth": { "type": "none" } }), "auth: "),
            (json!({ "entities": {} }), "entities: "),
            (entity(json!({ "table": "" })), "entities.customer.table: "),
            (entity(json!({ "table": "../x" })), "entities.customer.table: "),
            (entity(json!({ "table": "t", "key": "k^ORx" })), "entities.customer.key: "),
            (entity(json!({ "table": "t", "key": "sys_id" })), "entities.customer.key: "),
            (entity(json!({ "table": "t", "fields": { "A": "/a" } })), "entities.customer.fields.A: "),
            (entity(json!({ "table": "t", "fields": { "a": "a" } })), "entities.customer.fields.a: "),
            (entity(json!({ "table": "t", "fields": { "a": { "value": [] } } })), "entities.customer.fields.a: "),
            (
                entity(json!({ "table": "t", "fields": { "a": { "from": "/a", "default": {} } } })),
                "entities.customer.fields.a: ",
            ),
            (entity(json!({ "table": { "from": "class", "allow": ["t"] } })), "entities.customer.table.from: "),
            (entity(json!({ "table": { "from": "/class", "allow": [] } })), "entities.customer.table.allow: "),
            (
                entity(json!({ "table": { "from": "/class", "allow": ["t", "../t"] } })),
                "entities.customer.table.allow[1]: ",
            ),
            (entity(json!({ "table": "t", "write_only": ["A"] })), "entities.customer.write_only[0]: "),
            (entity(json!({ "table": "t", "missing_record": "ignore" })), "entities.customer.missing_record: "),
            (entity(json!({ "table": "t", "fields": { "a": { "jq": "nope" } } })), "entities.customer.fields.a.jq: "),
            (
                entity(json!({ "table": "t", "fields": { "a": { "reference": "/a", "entity": "order" } } })),
                "entities.customer.fields.a.entity: the destination has no entity type `order`; its `entities` are customer",
            ),
            (
                entity(json!({ "table": "t", "fields": { "a": { "reference": "a", "entity": "customer" } } })),
                "entities.customer.fields.a.reference: ",
            ),
            (
                entity(json!({ "table": { "from": "/class", "allow": ["t"] },
                    "fields": { "a": { "reference": "/a", "entity": "customer" } } })),
                "entities.customer.fields.a.entity: ",
            ),
            (
                entity(json!({ "table": "t", "input_display_value": true,
                    "fields": { "a": { "reference": "/a", "entity": "customer" } } })),
                "entities.customer.fields.a: ",
            ),
            (entity(json!({ "table": "t", "fields": { "sys_id": "/id" } })), "entities.customer.fields.sys_id: "),
            (
                entity(json!({ "table": "t", "fields": { "correlation_id": "/id" } })),
                "entities.customer.fields.correlation_id: ",
            ),
        ] {
            let error = connect(&more).unwrap_err();
            assert!(error.starts_with(path), "{error}");
        }
    }

    #[test]
    fn a_conversation_has_room_for_so_many_references_only() {
        let with = |count: usize| {
            let rule = |index| (format!("a{index}"), json!({ "reference": "/a", "entity": "customer" }));
            let fields: serde_json::Map<_, _> = (0..count).map(rule).collect();
            connect(&json!({ "entities": { "customer": { "table": "t", "fields": fields } } }))
        };
        assert!(with(8).is_ok());
        assert!(with(9).unwrap_err().starts_with("entities.customer.fields: at most 8 "));
    }
}

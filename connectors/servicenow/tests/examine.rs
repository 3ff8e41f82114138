//! What an examination finds, against an instance that is a table of answers.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use syncline_sdk::{
        Answered, Bytes, ConnectorConfig, CrmConnector, Examination, Finding, Level, Method, Outbound, Reply,
    };
    use syncline_servicenow as _;

    fn connector(more: &Value) -> Arc<dyn CrmConnector> {
        let mut company = json!({
            "table": "core_company", "key": "u_sync_key",
            "fields": { "name": "/name", "parent": { "reference": "/parent", "entity": "company" } },
        });
        company.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = json!({
            "type": "servicenow",
            "base_url": "https://acme.service-now.com",
            "auth": { "type": "bearer", "token": "env:T" },
            "entities": { "company": company },
        });
        serde_json::from_value::<Box<dyn ConnectorConfig>>(config).unwrap().connect().unwrap()
    }

    fn reply(status: u16, body: &Value) -> Reply {
        let headers = vec![("content-type".into(), "application/json".into())];
        Reply { status, headers, body: Bytes::from(body.to_string()) }
    }

    fn column(table: &str, name: &str, kind: &str) -> Value {
        json!({
            "name": table, "element": name, "internal_type": kind, "max_length": "100", "read_only": "false",
            "unique": (name == "u_sync_key").to_string(),
            "reference": if kind == "reference" { "core_company" } else { "" },
        })
    }

    /// Whose rows are answered. A list that is missing is a table that may not be read.
    struct Instance {
        records: Option<Value>,
        classes: Option<Value>,
        columns: Option<Vec<Value>>,
        users: Option<Value>,
    }

    impl Instance {
        fn healthy() -> Self {
            let columns = [("sys_id", "GUID"), ("u_sync_key", "string"), ("name", "string"), ("parent", "reference")];
            Self {
                records: Some(json!([{ "sys_id": "7f3c2b9a1b0e4d10a1c2d3e4f5061728", "u_sync_key": "" }])),
                classes: Some(json!([{ "sys_id": "c1", "name": "core_company", "super_class": "" }])),
                columns: Some(columns.map(|(name, kind)| column("core_company", name, kind)).to_vec()),
                users: Some(json!([{ "user_name": "sync", "time_zone": "GMT" }])),
            }
        }

        /// Changes one key of a column.
        fn with(mut self, name: &str, key: &str, value: &str) -> Self {
            let columns = self.columns.as_mut().unwrap();
            columns.iter_mut().find(|column| column["element"] == name).unwrap()[key] = json!(value);
            self
        }

        fn answer(&self, asked: &Outbound) -> Reply {
            let path = asked.target.split('?').next().unwrap();
            let rows = match path.rsplit('/').next().unwrap() {
                "sys_db_object" => self.classes.clone(),
                "sys_dictionary" => self.columns.clone().map(Value::from),
                "sys_user" => self.users.clone(),
                _ => self.records.clone(),
            };
            let hidden = json!({ "error": { "message": "User Not Authorized", "detail": null }, "status": "failure" });
            rows.map_or_else(|| reply(403, &hidden), |rows| reply(200, &json!({ "result": rows })))
        }

        fn examine(&self, connector: &dyn CrmConnector) -> Vec<Finding> {
            let mut answered: Vec<Answered> = Vec::new();
            for _ in 0..20 {
                match connector.examine(&answered) {
                    Examination::Done(findings) => return findings,
                    Examination::Ask(reads) => {
                        assert!(!reads.is_empty() && reads.iter().all(|read| read.method == Method::Get));
                        for asked in reads {
                            assert!(answered.iter().all(|other| other.asked != asked), "asked twice: {asked:?}");
                            answered.push(Answered { reply: self.answer(&asked), asked });
                        }
                    }
                }
            }
            panic!("no end");
        }

        /// What isn't fine, as level, subject and message.
        fn trouble(&self, more: &Value) -> Vec<(Level, String, String)> {
            let findings = self.examine(connector(more).as_ref()).into_iter();
            let trouble = findings.filter(|finding| finding.level != Level::Fine);
            trouble
                .inspect(|finding| assert!(finding.remedy.is_some(), "{finding:?}"))
                .map(|finding| (finding.level, finding.subject, finding.message))
                .collect()
        }

        /// There is one trouble, with these words.
        #[track_caller]
        fn has(&self, more: &Value, level: Level, subject: &str, says: &str) {
            let trouble = self.trouble(more);
            let [(found, about, message)] = trouble.as_slice() else { panic!("{trouble:?}") };
            assert!(*found == level && about == subject && message.contains(says), "{trouble:?}");
        }
    }

    const KEY: &str = "column `core_company.u_sync_key`";
    const NAME: &str = "column `core_company.name`";
    const PARENT: &str = "column `core_company.parent`";
    const TABLE: &str = "table `core_company`";
    const ZONE: &str = "the integration user's time zone";

    #[test]
    fn a_healthy_instance_is_fine() {
        let findings = Instance::healthy().examine(connector(&json!({})).as_ref());
        assert!(findings.len() == 3 && findings.iter().all(|finding| finding.level == Level::Fine), "{findings:?}");
    }

    #[test]
    fn a_table_that_cannot_be_read_is_wrong() {
        let nothing = Instance { records: None, ..Instance::healthy() };
        nothing.has(&json!({}), Level::Wrong, TABLE, "can't be read: User Not Authorized");
        let keyless = Instance { records: Some(json!([{ "sys_id": "7f" }])), ..Instance::healthy() };
        keyless.has(&json!({}), Level::Wrong, KEY, "may not be read");
        let empty = Instance { records: Some(json!([])), ..Instance::healthy() };
        assert_eq!(empty.trouble(&json!({})), []);
    }

    #[test]
    fn columns_are_held_against_the_dictionary() {
        let plain = json!({});
        let mut lacking = Instance::healthy();
        lacking.columns.as_mut().unwrap().retain(|column| column["element"] != "name");
        lacking.has(&plain, Level::Wrong, NAME, "does not exist");
        Instance::healthy().with("u_sync_key", "unique", "false").has(&plain, Level::Warning, KEY, "unique");
        Instance::healthy().with("u_sync_key", "max_length", "20").has(&plain, Level::Warning, KEY, "20 characters");
        Instance::healthy().with("name", "read_only", "true").has(&plain, Level::Warning, NAME, "read-only");
        let constant = json!({ "fields": { "name": { "value": "Acme" } } });
        Instance::healthy().with("name", "max_length", "3").has(&constant, Level::Wrong, NAME, "has a value of 4");
        Instance::healthy().with("parent", "internal_type", "string").has(&plain, Level::Wrong, PARENT, "`string`");
        Instance::healthy().with("parent", "reference", "cmn_location").has(
            &plain,
            Level::Wrong,
            PARENT,
            "`cmn_location`",
        );
    }

    #[test]
    fn columns_are_inherited() {
        let mut instance = Instance::healthy();
        instance.classes = Some(json!([
            { "sys_id": "c1", "name": "core_company", "super_class": "c2" },
            { "sys_id": "c2", "name": "u_party", "super_class": "" },
        ]));
        for column in instance.columns.as_mut().unwrap() {
            column["name"] = json!("u_party");
        }
        assert_eq!(instance.trouble(&json!({})), []);
        // What the table itself says of a column wins.
        let mut own = column("core_company", "name", "string");
        own["read_only"] = json!("true");
        instance.columns.as_mut().unwrap().push(own);
        instance.has(&json!({}), Level::Warning, NAME, "read-only");
        // A reference to a table that ours extends takes our records.
        let instance = instance.with("parent", "reference", "u_party").with("name", "read_only", "false");
        assert!(instance.trouble(&json!({})).iter().all(|(.., message)| !message.contains("u_party")));
    }

    /// ServiceNow drops what it can't read of a query, and answers with rows that weren't asked for.
    #[test]
    fn rows_that_were_not_asked_for_are_not_believed() {
        let mut instance = Instance::healthy();
        instance.columns.as_mut().unwrap().retain(|column| column["element"] != "name");
        instance.columns.as_mut().unwrap().push(column("incident", "name", "string"));
        instance.has(&json!({}), Level::Wrong, NAME, "does not exist");
        let users = json!([{ "user_name": "a", "time_zone": "GMT" }, { "user_name": "b", "time_zone": "GMT" }]);
        let several = Instance { users: Some(users), ..Instance::healthy() };
        several.has(&json!({}), Level::Warning, ZONE, "couldn't be found out");
    }

    #[test]
    fn what_may_not_be_read_is_a_warning() {
        let plain = json!({});
        let warns =
            |instance: &Instance, subject: &str, says: &str| instance.has(&plain, Level::Warning, subject, says);
        warns(
            &Instance { columns: None, ..Instance::healthy() },
            TABLE,
            "couldn't be checked for its columns u_sync_key, name, parent",
        );
        warns(&Instance { columns: Some(Vec::new()), ..Instance::healthy() }, TABLE, "couldn't be checked");
        warns(&Instance { users: None, ..Instance::healthy() }, ZONE, "couldn't be found out");
        // Without knowing what a table extends, a column that it lacks may be inherited.
        let mut hidden = Instance { classes: None, ..Instance::healthy() };
        hidden.columns.as_mut().unwrap().retain(|column| column["element"] == "u_sync_key");
        warns(&hidden, TABLE, "columns name, parent:");
        let hidden = Instance { classes: None, ..Instance::healthy() }.with("parent", "reference", "u_party");
        warns(&hidden, PARENT, "couldn't be checked");
    }

    #[test]
    fn the_time_zone_matters_more_where_values_are_written_as_people_see_them() {
        let users = |zone: &str| Some(json!([{ "user_name": "sync", "time_zone": zone }]));
        let paris = Instance { users: users("Europe/Paris"), ..Instance::healthy() };
        paris.has(&json!({}), Level::Warning, ZONE, "is Europe/Paris, not GMT");
        let displayed = json!({ "input_display_value": true, "fields": { "name": "/name" } });
        paris.has(&displayed, Level::Warning, ZONE, "date-times are read in it");
        Instance { users: users(""), ..Instance::healthy() }.has(&json!({}), Level::Warning, ZONE, "the instance's");
    }

    #[test]
    fn a_table_that_extends_itself_ends_the_examination() {
        let classes = Some(json!([{ "sys_id": "c1", "name": "core_company", "super_class": "c1" }]));
        assert_eq!(Instance { classes, ..Instance::healthy() }.trouble(&json!({})), []);
    }
}

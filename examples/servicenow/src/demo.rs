//! The fake ServiceNow behind `demo`, and its faults.

use std::io;

use serde_json::{Value, json};
use syncline_fakes::servicenow::{DEFAULT_PASSWORD, DEFAULT_USER, Fault, Keep, Options, Rule, RuleId, ServiceNow};
use syncline_service::demo::{Books, DemoCrm, FakeCrm, Script};

inventory::submit! {
    DemoCrm { kind: "servicenow", start: |script| Box::pin(async move { Ok(Box::new(start(script).await?) as Box<dyn FakeCrm>) }) }
}

/// Where the connector puts customers by default.
const TABLE: &str = "customer_account";
const KEY: &str = "correlation_id";

struct Fake {
    crm: ServiceNow,
    /// Writes that take effect although they are answered with 500.
    committed_and_failed: Vec<RuleId>,
}

async fn start(script: Script) -> io::Result<Fake> {
    // Totals are enough for the books, and a long demo stays small.
    let crm = ServiceNow::start(Options::default().unique(TABLE, KEY).keep(Keep::Last(1000))).await?;
    crm.add_rule(Rule::new(Fault::status(400)).writes().body_contains(script.refuse));
    let mut committed_and_failed = Vec::new();
    for rule in
        [Rule::new(Fault::status(500)).method("POST").nth(7), Rule::new(Fault::status(500)).method("POST").every(211)]
    {
        committed_and_failed.push(crm.add_rule(rule.after_commit()));
    }
    for rule in [
        // Which retries heal after two seconds …
        Rule::new(Fault::status(503)).writes().every(97),
        // … or after two and four: the first event about a key fails twice.
        Rule::new(Fault::status(503)).writes().share_of_keys(0.01, 1).each_key(2),
        Rule::new(Fault::Reset).writes().nth(29),
        Rule::new(Fault::Reset).writes().every(397),
        // Which stops the whole lane for a second, and costs no attempt.
        Rule::new(Fault::throttle(1)).nth(script.events.max(40) / 2).at_most(1),
    ] {
        crm.add_rule(rule);
    }
    Ok(Fake { crm, committed_and_failed })
}

impl FakeCrm for Fake {
    fn base_url(&self) -> String {
        self.crm.base_url().to_owned()
    }

    fn destination(&self) -> Value {
        json!({
            "type": "servicenow",
            "base_url": self.crm.base_url(),
            "auth": { "type": "basic", "username": "env:DEMO_USERNAME", "password": "env:DEMO_PASSWORD" },
        })
    }

    fn entity_type(&self) -> String {
        "customer".to_owned()
    }

    fn secrets(&self) -> Vec<(String, String)> {
        [("DEMO_USERNAME", DEFAULT_USER), ("DEMO_PASSWORD", DEFAULT_PASSWORD)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    fn books(&self) -> Books {
        let records = self.crm.records(TABLE).into_iter().map(|record| {
            let columns = record.iter().map(|(column, value)| (column.to_owned(), value.to_owned())).collect();
            (record.value(KEY).to_owned(), columns)
        });
        let totals = self.crm.totals();
        Books {
            records: records.collect(),
            written: totals.created + totals.updated + totals.deleted,
            repeated: self.committed_and_failed.iter().map(|rule| self.crm.fired(*rule)).sum(),
            faults: totals.faults,
            requests: totals.requests,
        }
    }
}

//! The shipped service against Kafka (the mock cluster, or a real one where
//! `KAFKA_BOOTSTRAP_SERVERS` points to it) and a fake ServiceNow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod admin;
mod bad_input;
mod crashes;
mod delivery;
mod guest;
mod headers;
mod mock_faults;
mod modes;
mod oauth;
mod odd_json;
mod process;
#[cfg(feature = "real-kafka")]
mod real;
#[cfg(feature = "real-kafka")]
mod real_faults;
mod registry;
mod schemas;
mod secrets;
mod sessions;
mod state;
#[cfg(feature = "real-stores")]
mod stores;
mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use syncline_fakes::servicenow::{Options, ServiceNow};
use syncline_kafka_tests::{Broker, Service};

const TABLE: &str = "customer_account";
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with topics of its own, and a CRM.
struct Scene {
    broker: Broker,
    crm: ServiceNow,
    variables: BTreeMap<&'static str, String>,
}

impl Scene {
    async fn new() -> Self {
        let broker = Broker::new(3).await;
        let crm = ServiceNow::start(Options::default()).await.unwrap();
        let variables = Service::variables(&broker, crm.base_url(), "secret");
        Self { broker, crm, variables }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.variables.insert(name, value.to_owned());
    }

    fn run(&self) -> Service {
        Service::start(env!("CARGO_BIN_EXE_servicenow-service"), &["run"], &self.variables)
    }

    async fn wait_for_records(&self, count: usize) {
        let there = self.crm.wait_until(|crm| crm.count(TABLE) >= count, PATIENCE).await;
        assert!(there, "only {} of {count} records: {:#?}", self.crm.count(TABLE), self.crm.ledger());
    }
}

/// A customer's event; the name is the number's.
fn customer(number: usize, event_type: &str) -> String {
    format!(
        r#"{{"event_id":"event-{number}-{event_type}","idempotency_key":"key-{number}-{event_type}",
            "event_type":"record.{event_type}","entity":{{"type":"customer","id":"customer-{number}"}},
            "payload":{{"name":"Customer {number}","email":"c{number}@example.com","status":"active"}}}}"#
    )
}

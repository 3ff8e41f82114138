//! Limits and capabilities make sense, and stay as they are.

use std::collections::HashSet;

use syncline_sdk::{CrmConnector, Registration};

use crate::{Report, Rule};

pub(crate) fn check(connector: &dyn CrmConnector, registration: &Registration, report: &mut Report) {
    let mut fail = |at: &str, message: &str| report.fail(Rule::Endpoint, at, message);
    let endpoint = connector.endpoint();
    if endpoint.limits.batch_events == 0 {
        fail("limits.batch_events", "must be at least 1");
    }
    if endpoint.limits.concurrency == 0 {
        fail("limits.concurrency", "must be at least 1");
    }
    if endpoint.limits.body_bytes < 1024 {
        fail("limits.body_bytes", "must be at least 1024");
    }
    if endpoint.capabilities != registration.capabilities {
        fail("capabilities", "differ from the registration's");
    }
    if endpoint != connector.endpoint() {
        fail("endpoint", "must be constant");
    }
    let types = connector.entity_types();
    if types.is_empty() {
        fail("entity_types", "must name at least one");
    }
    if types.iter().collect::<HashSet<_>>().len() != types.len() {
        fail("entity_types", "must name each once");
    }
}

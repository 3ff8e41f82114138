//! The reference service: record-change events from Kafka become records in ServiceNow.

mod demo;

// A connector that no code names is not linked.
use syncline_servicenow as _;

fn main() -> std::process::ExitCode {
    syncline_service::main()
}

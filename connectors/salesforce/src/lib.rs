//! The Salesforce connector of Syncline. In this version it reserves the kind `salesforce` and reads its
//! configuration, but sends nothing, and so it refuses to connect. What replies say about limits can be read already.

mod config;
mod limits;

use syncline_sdk::{Capabilities, Registration};

pub use config::SalesforceConfig;
pub use limits::readings;

inventory::submit! {
    Registration {
        kind: "salesforce",
        crate_name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        summary: "Salesforce: registered only, sends nothing in this version",
        capabilities: Capabilities { look_up: false },
        config_schema: || schemars::schema_for!(SalesforceConfig).to_value(),
        sample_config: config::SAMPLE,
    }
}

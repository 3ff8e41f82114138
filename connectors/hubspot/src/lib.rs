//! The HubSpot connector of Syncline. In this version it reserves the kind `hubspot` and reads its
//! configuration, but sends nothing, and so it refuses to connect. What replies say about limits can be read already.

mod config;
mod limits;

use syncline_sdk::{Capabilities, Registration};

pub use config::HubSpotConfig;
pub use limits::readings;

inventory::submit! {
    Registration {
        kind: "hubspot",
        crate_name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        summary: "HubSpot: registered only, sends nothing in this version",
        capabilities: Capabilities { look_up: false },
        config_schema: || schemars::schema_for!(HubSpotConfig).to_value(),
        sample_config: config::SAMPLE,
    }
}

//! Registrations that no connector should have.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syncline_sdk::{BaseUrl, Capabilities, ConfigError, ConnectorConfig, CrmConnector, Registration};

/// Takes any key, and never connects.
#[derive(Debug, Deserialize, JsonSchema)]
struct LaxConfig {
    /// The server.
    #[allow(dead_code, reason = "read by Debug only")]
    base_url: BaseUrl,
}

#[typetag::deserialize(name = "lax")]
impl ConnectorConfig for LaxConfig {
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError> {
        Err(ConfigError::new("type", "this toy never connects"))
    }
}

const fn registration(kind: &'static str, crate_name: &'static str) -> Registration {
    Registration {
        kind,
        crate_name,
        version: "1",
        summary: "",
        capabilities: Capabilities { look_up: false },
        config_schema: schema,
        sample_config: "= no TOML",
    }
}

fn schema() -> Value {
    schemars::schema_for!(LaxConfig).to_value()
}

inventory::submit! { registration("lax", "lax") }
inventory::submit! { registration("twice", "one") }
inventory::submit! { registration("twice", "other") }

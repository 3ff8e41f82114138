//! What a user writes about a HubSpot destination.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_sdk::{Auth, BaseUrl, ConfigError, ConnectorConfig, CrmConnector};

/// A destination as it will look; this version refuses to connect to it.
pub(crate) const SAMPLE: &str = r#"# The HubSpot connector sends nothing in this version: a destination with it is refused at start.
[[destinations]]
name = "hubspot-prod"
type = "hubspot"
base_url = "https://api.hubapi.com"
auth = { type = "bearer", token = "env:HUBSPOT_TOKEN" }
"#;

/// A HubSpot account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HubSpotConfig {
    /// HubSpot's API, `https://api.hubapi.com`.
    pub base_url: BaseUrl,
    /// The access token: `bearer`.
    pub auth: Auth,
}

#[typetag::deserialize(name = "hubspot")]
impl ConnectorConfig for HubSpotConfig {
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError> {
        Err(ConfigError::new(
            "type",
            "the HubSpot connector sends nothing in this version and cannot be used yet: remove this destination and \
             the routes to it",
        ))
    }
}

//! What a user writes about a Salesforce destination.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_sdk::{Auth, BaseUrl, ConfigError, ConnectorConfig, CrmConnector};

/// A destination as it will look; this version refuses to connect to it.
pub(crate) const SAMPLE: &str = r#"# The Salesforce connector sends nothing in this version: a destination with it is refused at start.
[[destinations]]
name = "salesforce-prod"
type = "salesforce"
base_url = "https://acme.my.salesforce.com"
auth = { type = "bearer", token = "env:SALESFORCE_TOKEN" }
"#;

/// A Salesforce account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalesforceConfig {
    /// The organization's own domain, such as `https://acme.my.salesforce.com`.
    pub base_url: BaseUrl,
    /// The access token: `bearer`.
    pub auth: Auth,
}

#[typetag::deserialize(name = "salesforce")]
impl ConnectorConfig for SalesforceConfig {
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError> {
        Err(ConfigError::new(
            "type",
            "the Salesforce connector sends nothing in this version and cannot be used yet: remove this destination and \
             the routes to it",
        ))
    }
}

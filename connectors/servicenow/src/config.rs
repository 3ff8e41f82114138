//! What a user writes about a ServiceNow destination, and the proof that it can work.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use syncline_mapping::{FieldMap, FieldRule};
use syncline_sdk::{Auth, BaseUrl, ConfigError, ConnectorConfig, Cookies, CrmConnector, Endpoint, Limits};

use crate::encode::Mapping;
use crate::{CAPABILITIES, ServiceNow};

/// A complete destination that people can copy.
pub(crate) const SAMPLE: &str = r#"[[destinations]]
name = "servicenow-prod"
type = "servicenow"
base_url = "https://acme.service-now.com"
auth = { type = "basic", username = "env:SERVICENOW_USERNAME", password = "env:SERVICENOW_PASSWORD" }

[destinations.entities.customer]
table = "customer_account"
key = "correlation_id"
fields = { name = "/name", email = "/email", u_tier = { from = "/tier", map = { gold = "1", silver = "2" }, default = "3" } }
"#;

/// `glide.rest.max_content_length` is 10 MiB unless an administrator changed it (KB0747638).
const BODY_BYTES: usize = 10_485_760;

/// A node serves few REST transactions at a time and queues the others (KB0635398).
const CONCURRENCY: usize = 8;

/// Where an instance gives OAuth tokens, for all grants (OAuth API request parameters).
const TOKEN_PATH: &str = "/oauth_token.do";

/// A ServiceNow instance and where entities go in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceNowConfig {
    /// The instance, such as `https://acme.service-now.com`.
    pub base_url: BaseUrl,
    /// The integration user's credentials: any type but `none`.
    pub auth: Auth,
    /// The table of each entity type. Absent: `customer` goes to `customer_account`.
    #[serde(default = "default_entities")]
    pub entities: BTreeMap<String, EntityConfig>,
}

/// Where the entities of one type go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityConfig {
    /// The table's name, such as `customer_account`.
    pub table: String,
    /// The text column that holds the entity's id, by which its record is found. Give it a unique
    /// index.
    #[serde(default = "default_key")]
    pub key: String,
    /// The record's columns and where their values come from. Empty: every top-level field of the
    /// payload goes to the column of the same name.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRule>,
    /// What a delete does: `delete`, or `{ set = { active = "false" } }`, which keeps the record and sets
    /// columns.
    #[serde(default)]
    pub on_delete: OnDelete,
}

/// What a delete does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The record is deleted.
    #[default]
    Delete,
    /// The record stays, and these columns get these values.
    Set(BTreeMap<String, String>),
}

fn default_entities() -> BTreeMap<String, EntityConfig> {
    let customer = EntityConfig {
        table: "customer_account".into(),
        key: default_key(),
        fields: BTreeMap::new(),
        on_delete: OnDelete::Delete,
    };
    BTreeMap::from([("customer".into(), customer)])
}

fn default_key() -> String {
    "correlation_id".into()
}

#[typetag::deserialize(name = "servicenow")]
impl ConnectorConfig for ServiceNowConfig {
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError> {
        if matches!(self.auth, Auth::None {}) {
            return Err(ConfigError::new("auth", "ServiceNow needs credentials: use another type than `none`"));
        }
        let auth = self.auth.clone().or_token_url(&self.base_url, TOKEN_PATH);
        auth.check()?;
        if self.entities.is_empty() {
            return Err(ConfigError::new("entities", "name the table of at least one entity type"));
        }
        let limits = Limits { batch_events: 1, body_bytes: BODY_BYTES, concurrency: CONCURRENCY };
        // One transaction at a time is carried out for a session, and requests that wait for it can be dropped with 202;
        // a new session for every request piles them up on the node [KB0552064]. A token begins none.
        let cookies = if matches!(self.auth, Auth::Basic { .. }) { Cookies::JarPerWorker } else { Cookies::Discard };
        let endpoint = Endpoint { base_url: self.base_url.clone(), auth, limits, capabilities: CAPABILITIES, cookies };
        let entities = self.entities.iter().map(|(kind, entity)| Ok((kind.clone(), entity.prove(kind)?)));
        Ok(Arc::new(ServiceNow { endpoint, entities: entities.collect::<Result<_, _>>()? }))
    }
}

impl EntityConfig {
    fn prove(&self, kind: &str) -> Result<Mapping, ConfigError> {
        let path = |key: &str| format!("entities.{kind}.{key}");
        check_name(&self.table, path("table"))?;
        check_name(&self.key, path("key"))?;
        if self.key == "sys_id" {
            return Err(ConfigError::new(
                path("key"),
                "ServiceNow assigns sys_id itself: name a text column of your own, such as correlation_id",
            ));
        }
        for (field, rule) in &self.fields {
            let path = path(&format!("fields.{field}"));
            check_name(field, path.clone())?;
            if *field == self.key {
                return Err(ConfigError::new(path, "this is the key column, which the connector fills in itself"));
            }
            if field == "sys_id" {
                return Err(ConfigError::new(path, "ServiceNow assigns sys_id itself: remove this field"));
            }
            check_constants(rule, path)?;
        }
        let fields = FieldMap::new(&self.fields)
            .map_err(|error| ConfigError { path: path(&error.path), message: error.message })?;
        Ok(Mapping::new(&self.table, &self.key, fields, self.deactivation(kind)?))
    }
}

impl EntityConfig {
    /// The columns that a delete sets, where it deletes nothing.
    fn deactivation(&self, kind: &str) -> Result<Option<Map<String, Value>>, ConfigError> {
        let OnDelete::Set(columns) = &self.on_delete else { return Ok(None) };
        let path = format!("entities.{kind}.on_delete.set");
        if columns.is_empty() {
            return Err(ConfigError::new(path, "name at least one column, such as `active = \"false\"`"));
        }
        for column in columns.keys() {
            check_name(column, format!("{path}.{column}"))?;
            if *column == self.key || column == "sys_id" {
                let what = "a delete must not change what the record is found by";
                return Err(ConfigError::new(format!("{path}.{column}"), what));
            }
        }
        Ok(Some(columns.iter().map(|(column, value)| (column.clone(), Value::from(value.as_str()))).collect()))
    }
}

/// Table and column names hold nothing else, which also keeps them harmless in a query.
fn check_name(name: &str, path: String) -> Result<(), ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(ConfigError::new(path, "expected a name of lower-case letters, digits and `_`"));
    }
    Ok(())
}

/// A column holds text, so a list or an object written in the configuration could never be sent.
fn check_constants(rule: &FieldRule, path: String) -> Result<(), ConfigError> {
    let constant = match rule {
        FieldRule::Pointer(_) | FieldRule::Template(_) | FieldRule::Expression(_) | FieldRule::Reference(_) => None,
        FieldRule::Mapped(mapped) => mapped.default.as_ref(),
        FieldRule::Constant(constant) => Some(&constant.value),
    };
    if constant.is_some_and(|value| value.is_array() || value.is_object()) {
        return Err(ConfigError::new(path, "a column takes text, a number, true, false or null"));
    }
    Ok(())
}

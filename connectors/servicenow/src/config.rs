//! What a user writes about a ServiceNow destination, and the proof that it can work.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use syncline_mapping::{FieldMap, FieldRule, Format};
use syncline_sdk::{Auth, BaseUrl, ConfigError, ConnectorConfig, Cookies, CrmConnector, Endpoint, Limits};

use crate::echo::Input;
use crate::encode::{Mapping, Parent};
use crate::import::StagingTable;
use crate::policy::{MissingRecord, OnCreate, OnDelete, OnDifference, OnUpdate, Policies, Removal};
use crate::table::{Table, TableRule, check_name};
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
    /// Sends several events in one request, by the Batch API. Absent: each goes alone.
    #[serde(default)]
    pub batch: Option<BatchConfig>,
}

/// How events travel together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// How many at the most. ServiceNow works on them one after the other, within 30 seconds.
    #[serde(default = "default_batch_events")]
    #[schemars(range(min = 2, max = 200))]
    pub events: usize,
}

fn default_batch_events() -> usize {
    50
}

/// A staging table and its transform map, which has to coalesce on what the key becomes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportSetConfig {
    /// The staging table's name, such as `u_sync_customer`.
    pub table: String,
    /// Its column that takes the entity's id.
    pub key: String,
}

/// Where the entities of one type go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityConfig {
    /// The table: its name, such as `customer_account`, or `{ from = "/class", allow = ["cmdb_ci_server"] }`
    /// where the payload names one of a list.
    pub table: TableRule,
    /// The text column that holds the entity's id, by which its record is found. Give it a unique
    /// index.
    #[serde(default = "default_key")]
    pub key: String,
    /// Creates and updates records by way of an import set: `fields` are then the staging table's columns.
    /// Records are removed, and referred to, in `table` by `key`.
    #[serde(default)]
    pub import_set: Option<ImportSetConfig>,
    /// The record's columns and where their values come from. Empty: every top-level field of the
    /// payload goes to the column of the same name.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRule>,
    /// What `record.created` does.
    #[serde(default)]
    pub on_create: OnCreate,
    /// What `record.updated` does.
    #[serde(default)]
    pub on_update: OnUpdate,
    /// What becomes of an update without a record, with `on_update = "update_only"`: `reject`, unless said
    /// otherwise.
    #[serde(default)]
    pub missing_record: Option<MissingRecord>,
    /// What a delete does: `delete`, `{ set = { active = "false" } }`, which keeps the record and sets
    /// columns, or `ignore`.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// What happens where ServiceNow answers a write with other values than were sent.
    #[serde(default)]
    pub on_difference: OnDifference,
    /// Columns that don't come back as they were sent, such as passwords and journals other than `comments`
    /// and `work_notes`: they aren't compared.
    #[serde(default)]
    pub write_only: Vec<String>,
    /// Whether values are written as people see them: choices and references by their display names, and
    /// date-times in the integration user's time zone.
    #[serde(default)]
    pub input_display_value: bool,
}

fn default_entities() -> BTreeMap<String, EntityConfig> {
    let customer = EntityConfig {
        table: TableRule::Name("customer_account".into()),
        key: default_key(),
        import_set: None,
        fields: BTreeMap::new(),
        on_create: OnCreate::default(),
        on_update: OnUpdate::default(),
        missing_record: None,
        on_delete: OnDelete::default(),
        on_difference: OnDifference::default(),
        write_only: Vec::new(),
        input_display_value: false,
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
        let batch_events = match &self.batch {
            Some(BatchConfig { events }) if !(2..=200).contains(events) => {
                return Err(ConfigError::new("batch.events", "expected a number from 2 to 200"));
            }
            Some(BatchConfig { events }) => *events,
            None => 1,
        };
        let limits = Limits { batch_events, body_bytes: BODY_BYTES, concurrency: CONCURRENCY };
        // One transaction at a time is carried out for a session, and requests that wait for it can be dropped with 202;
        // a new session for every request piles them up on the node [KB0552064]. A token begins none.
        let cookies = if matches!(self.auth, Auth::Basic { .. }) { Cookies::JarPerWorker } else { Cookies::Discard };
        let endpoint = Endpoint { base_url: self.base_url.clone(), auth, limits, capabilities: CAPABILITIES, cookies };
        let entities = self.entities.iter().map(|(kind, entity)| Ok((kind.clone(), entity.prove(kind)?)));
        let mut entities = entities.collect::<Result<BTreeMap<_, _>, _>>()?;
        connect_references(&mut entities)?;
        Ok(Arc::new(ServiceNow { endpoint, entities }))
    }
}

/// How many entities a record can refer to: each may take a request, and the record itself three of the 16
/// that a conversation has.
const REFERENCES: usize = 8;

/// Tells each entity where those are that its fields refer to.
fn connect_references(entities: &mut BTreeMap<String, Mapping>) -> Result<(), ConfigError> {
    let tables = |mapping: &Mapping| (mapping.table.clone(), mapping.key.clone());
    let places: BTreeMap<_, _> = entities.iter().map(|(kind, mapping)| (kind.clone(), tables(mapping))).collect();
    for (kind, mapping) in entities {
        let refers = |field: &str| Some((field.to_owned(), mapping.fields.refers_to(field)?.to_owned()));
        let rules: Vec<_> = mapping.fields.fields().filter_map(refers).collect();
        if rules.len() > REFERENCES {
            let what = format!("at most {REFERENCES} fields of a record can refer to other entities");
            return Err(ConfigError::new(format!("entities.{kind}.fields"), what));
        }
        for (field, other) in rules {
            let wrong = |what: String| Err(ConfigError::new(format!("entities.{kind}.fields.{field}.entity"), what));
            let parent = match places.get(&other) {
                Some((Table::Fixed(table), key)) => Parent { table: table.clone(), key: key.clone() },
                Some((Table::Chosen { .. }, _)) => {
                    return wrong(format!(
                        "records of `{other}` can't be referred to: their payload names their table"
                    ));
                }
                None => {
                    let known: Vec<_> = places.keys().map(String::as_str).collect();
                    return wrong(format!(
                        "the destination has no entity type `{other}`; its `entities` are {}",
                        known.join(", ")
                    ));
                }
            };
            mapping.parents.insert(other, parent);
        }
    }
    Ok(())
}

impl EntityConfig {
    fn prove(&self, kind: &str) -> Result<Mapping, ConfigError> {
        let path = |key: &str| format!("entities.{kind}.{key}");
        let table = self.table.prove(&path("table"))?;
        check_name(&self.key, path("key"))?;
        if self.key == "sys_id" {
            return Err(ConfigError::new(
                path("key"),
                "ServiceNow assigns sys_id itself: name a text column of your own, such as correlation_id",
            ));
        }
        for (field, rule) in &self.fields {
            self.check_field(field, rule, path(&format!("fields.{field}")))?;
        }
        for (index, column) in self.write_only.iter().enumerate() {
            check_name(column, path(&format!("write_only[{index}]")))?;
        }
        let fields = FieldMap::new(&self.fields)
            .map_err(|error| ConfigError { path: path(&error.path), message: error.message })?;
        Ok(Mapping {
            table,
            key: self.key.clone(),
            fields,
            policies: self.policies(kind)?,
            input: if self.input_display_value { Input::Displayed } else { Input::Stored },
            write_only: self.write_only.clone(),
            parents: BTreeMap::new(),
            import: self.staging(kind)?,
        })
    }

    fn check_field(&self, field: &str, rule: &FieldRule, path: String) -> Result<(), ConfigError> {
        check_name(field, path.clone())?;
        if field == self.key {
            return Err(ConfigError::new(path, "this is the key column, which the connector fills in itself"));
        }
        if field == "sys_id" {
            return Err(ConfigError::new(path, "ServiceNow assigns sys_id itself: remove this field"));
        }
        if self.input_display_value && matches!(rule, FieldRule::Reference(_)) {
            let what = "a reference is written as a sys_id, which `input_display_value` makes ServiceNow read as a \
                        display name: use one or the other";
            return Err(ConfigError::new(path, what));
        }
        check_constants(rule, path)
    }

    fn policies(&self, kind: &str) -> Result<Policies, ConfigError> {
        if self.missing_record.is_some() && self.on_update != OnUpdate::UpdateOnly {
            return Err(ConfigError::new(
                format!("entities.{kind}.missing_record"),
                "this says what `on_update = \"update_only\"` does without a record: set that, too, or remove this",
            ));
        }
        Ok(Policies {
            on_create: self.on_create,
            on_update: self.on_update,
            missing_record: self.missing_record.unwrap_or_default(),
            removal: self.removal(kind)?,
            on_difference: self.on_difference,
        })
    }

    fn staging(&self, kind: &str) -> Result<Option<StagingTable>, ConfigError> {
        let Some(ImportSetConfig { table, key }) = &self.import_set else { return Ok(None) };
        let path = format!("entities.{kind}.import_set");
        check_name(table, format!("{path}.table"))?;
        check_name(key, format!("{path}.key"))?;
        let TableRule::Name(target) = &self.table else {
            let what = "a transform map writes to one table: give `table` its name";
            return Err(ConfigError::new(path, what));
        };
        if self.on_create == OnCreate::CreateOnly || self.on_update == OnUpdate::UpdateOnly {
            let what =
                "an import set always creates or updates: leave `on_create` and `on_update` at `upsert` or `ignore`";
            return Err(ConfigError::new(path, what));
        }
        if self.input_display_value {
            let what = "the transform map decides how values are read: remove `input_display_value`";
            return Err(ConfigError::new(path, what));
        }
        if let Some(field) = self.fields.keys().find(|field| *field == key) {
            let what = "this is the staging table's key, which the connector fills in itself";
            return Err(ConfigError::new(format!("entities.{kind}.fields.{field}"), what));
        }
        Ok(Some(StagingTable::new(table, key, target)))
    }

    fn removal(&self, kind: &str) -> Result<Removal, ConfigError> {
        let columns = match &self.on_delete {
            OnDelete::Delete => return Ok(Removal::Delete),
            OnDelete::Ignore => return Ok(Removal::Ignore),
            OnDelete::Set(columns) => columns,
        };
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
        let columns = columns.iter().map(|(column, value)| (column.clone(), Value::from(value.as_str())));
        Ok(Removal::Set(columns.collect::<Map<_, _>>()))
    }
}

/// A column holds text, so a list or an object written in the configuration could never be sent.
fn check_constants(rule: &FieldRule, path: String) -> Result<(), ConfigError> {
    let constant = match rule {
        FieldRule::Pointer(_) | FieldRule::Template(_) | FieldRule::Expression(_) | FieldRule::Reference(_) => None,
        FieldRule::Mapped(mapped) if mapped.format == Some(Format::Json) => None,
        FieldRule::Mapped(mapped) => mapped.default.as_ref(),
        FieldRule::Constant(constant) => Some(&constant.value),
    };
    if constant.is_some_and(|value| value.is_array() || value.is_object()) {
        return Err(ConfigError::new(path, "a column takes text, a number, true, false or null"));
    }
    Ok(())
}

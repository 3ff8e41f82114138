//! What a user writes about a field.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Where a record's field gets its value from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldRule {
    /// A JSON pointer (RFC 6901) into the payload, such as `/address/city`.
    Pointer(String),
    /// A JSON pointer with a table of values, or with a format.
    Mapped(MappedField),
    /// A text with pointers in it.
    Template(TemplateField),
    /// A jq expression.
    Expression(ExpressionField),
    /// Another entity of the same destination.
    Reference(ReferenceField),
    /// Always the same value.
    Constant(ConstantField),
}

/// A JSON pointer with a table of values, or with a format.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedField {
    /// A JSON pointer (RFC 6901) into the payload.
    pub from: String,
    /// The record's value for each of the payload's values, both as text.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// The record's value where the payload has none, or one that the table lacks.
    #[serde(default)]
    pub default: Option<Value>,
    /// What the value is turned into.
    #[serde(default, rename = "as")]
    pub format: Option<Format>,
    /// What happens to null.
    #[serde(default)]
    pub null: Null,
    /// What happens where there is nothing.
    #[serde(default)]
    pub missing: Missing,
}

/// A text with pointers in it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateField {
    /// Text in which `{/pointer}` stands for a value of the payload, `{{` and `}}` for braces. Where one
    /// of the values is missing or null, so is the whole.
    pub template: String,
    /// What the text is turned into.
    #[serde(default, rename = "as")]
    pub format: Option<Format>,
    /// What happens where one of the values is null.
    #[serde(default)]
    pub null: Null,
    /// What happens where one of the values is missing.
    #[serde(default)]
    pub missing: Missing,
}

/// A jq expression.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressionField {
    /// The expression: `.` is the payload, `$event` the event without it. Its first result counts; none
    /// means that the value is missing.
    pub jq: String,
    /// What the result is turned into.
    #[serde(default, rename = "as")]
    pub format: Option<Format>,
    /// What happens to null.
    #[serde(default)]
    pub null: Null,
    /// What happens where there is no result.
    #[serde(default)]
    pub missing: Missing,
}

/// Another entity of the same destination, whose id in the CRM the field takes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceField {
    /// A JSON pointer (RFC 6901) to the other entity's id, as in its own events: text or a whole number.
    /// Empty text counts as null.
    pub reference: String,
    /// The other entity's type: one of the destination's `entities`.
    pub entity: String,
    /// What happens to null.
    #[serde(default)]
    pub null: Null,
    /// What happens where there is nothing.
    #[serde(default)]
    pub missing: Missing,
}

/// Always the same value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantField {
    /// The value.
    pub value: Value,
}

/// What a value is turned into. A value that can't be is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text: numbers and booleans as JSON writes them.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false; also of `true`, `false`, `yes`, `no`, `1` and `0`, in any case.
    Boolean,
    /// `YYYY-MM-DD`, of a date or of an RFC 3339 timestamp's day in UTC.
    Date,
    /// An RFC 3339 timestamp in UTC, to the second, such as `2026-01-20T17:16:48Z`.
    DateTime,
    /// `YYYY-MM-DD HH:MM:SS` in UTC, without saying so.
    NaiveUtc,
    /// Milliseconds since 1970, of an RFC 3339 timestamp.
    EpochMs,
    /// The value's JSON as text: for lists and objects in a field that holds text.
    Json,
}

/// What happens to a value that is null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Null {
    /// The record's field is emptied.
    #[default]
    Clear,
    /// The record's field stays as it is.
    Omit,
    /// The event is refused.
    Reject,
}

/// What happens where there is no value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The record's field stays as it is, so that a partial update stays partial.
    #[default]
    Omit,
    /// The record's field is emptied.
    Clear,
    /// The event is refused.
    Reject,
}

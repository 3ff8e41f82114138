//! From an event's payload to the fields of a record, by rules that a user declares: pointers, tables
//! of values, templates, constants, other entities, and jq for what these can't say. Rules are compiled when the
//! configuration is read; applying them is pure, and says of a payload that it refuses which field
//! is wrong and why, without repeating what is in it.

mod expression;
mod field_map;
mod format;
mod reference;
mod rule;
mod template;

pub use field_map::{FieldMap, Mapped};
pub use reference::Unknown;
pub use rule::{
    ConstantField, ExpressionField, FieldRule, Format, MappedField, Missing, Null, ReferenceField, TemplateField,
};

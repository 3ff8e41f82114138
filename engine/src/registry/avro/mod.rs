//! Avro's binary encoding, decoded by the schema that it was written with, straight into JSON text.
//!
//! | File | What |
//! |---|---|
//! | `schema` | a schema's JSON, as a list of types |
//! | `decode` | values |
//! | `text` | dates, times, decimals and the like as text |
//!
//! Why not with a crate: `docs/decisions/0017-wire-format.md`.

mod decode;
mod schema;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use decode::{Misfit, decode};
pub(crate) use schema::Schema;

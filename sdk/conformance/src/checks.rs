//! The rules, one file for each subject that they are about.

pub(crate) mod acceptance;
pub(crate) mod config;
pub(crate) mod coverage;
pub(crate) mod encoding;
pub(crate) mod endpoint;
pub(crate) mod explore;
pub(crate) mod golden;
pub(crate) mod inspection;
pub(crate) mod interpretation;
pub(crate) mod readings;
pub(crate) mod refusal;
pub(crate) mod registration;
pub(crate) mod schema;
pub(crate) mod secrets;

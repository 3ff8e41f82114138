//! From references to credentials: read when a request is sent, exchanged for tokens where the
//! provider wants that, kept for a while, renewed when they change, end or are refused.
//!
//! | File | What |
//! |---|---|
//! | `cache` | the one place that decides when to read or to fetch |
//! | `reading`, `secrets` | secrets, and whether they have changed |
//! | `oauth`, `form`, `jwt`, `note` | a token request and its answer, assertions, rotated refresh tokens |

mod cache;
mod credential;
mod form;
mod jwt;
mod note;
mod oauth;
mod reading;
mod secrets;
#[cfg(test)]
mod tests;

pub(crate) use cache::{Credentials, Seams};
pub use credential::Credential;
pub use secrets::{EnvAndFiles, SecretError, SecretSource};

//! CRMs that can refuse, with ledgers, for tests and demos.
//!
//! A fake answers over a real socket on the loopback interface, from the vendor's documented facts, and it can be told
//! to misbehave in each way that the vendor is known to: refuse, lie, hang, cut an answer short, or commit a write and
//! then say that it failed. Its [ledger](servicenow::Entry) tells what reached it, what took effect, and in which
//! order.
//!
//! ```
//! use syncline_fakes::servicenow::{Fault, Options, Rule, ServiceNow};
//!
//! # async fn example() -> std::io::Result<()> {
//! let crm = ServiceNow::start(Options::default().unique("customer_account", "correlation_id")).await?;
//! crm.add_rule(Rule::new(Fault::status(500)).after_commit().method("POST").nth(3));
//! // … point a client at `crm.base_url()` …
//! assert!(crm.duplicates("customer_account", "correlation_id").is_empty());
//! crm.stop().await;
//! # Ok(())
//! # }
//! ```

mod clock;
mod http;
pub mod hubspot;
pub mod salesforce;
pub mod servicenow;
mod sync;

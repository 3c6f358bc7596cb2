//! A BrokerCluster: from what the user wrote to brokers that run.
//!
//! ```text
//!   observe ──► validate ──► plan (pure) ──► apply ──► report
//!   children,   Blueprint    children,       server-    status,
//!   pods,                    one restart     side       conditions,
//!   brokers                  at most         apply      events
//! ```
//!
//! Promise: a pass may be abandoned anywhere and the next one goes on; at most one broker is restarted at a time, and
//! only while all others serve; what somebody else changed is put back and counted; nothing of another owner is touched.
//! Limit: groups are never removed, because nothing drains them yet.

mod apply;
pub mod controller;
mod observe;
mod plan;
mod status;

pub use apply::ApplyError;
pub use observe::{BrokerView, ChildMeta, ClaimView, Observed, PodView};
pub use plan::{Growth, Plan, Problem, Restart, plan};
pub use status::{Report, report};

#[cfg(test)]
mod tests;

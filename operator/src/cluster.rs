//! A BrokerCluster: from what the user wrote to brokers that run.
//!
//! ```text
//!   observe ──► validate ──► plan (pure) ──► apply ──► report
//!   children,   Blueprint    Leases,         server-    status,
//!   pods,                    children,       side       conditions,
//!   records,                 one restart     apply      events
//!   brokers                  at most
//! ```
//!
//! Promise: a pass may be abandoned anywhere and the next one goes on; at most one broker is restarted at a time, and
//! only while all others serve; what somebody else changed is put back and counted; nothing of another owner is touched.
//! The operator is not needed for a failover: brokers agree by themselves, in the Leases that it makes and guards.
//! Clients are sent to a new group once it can answer them (`join`). A group leaves once nothing in it waits for anybody
//! (`leave`); no message moves from one group to another.

mod apply;
pub mod controller;
mod disks;
mod fence;
mod group;
mod join;
mod leave;
mod listener;
mod observe;
mod plan;
mod problem;
mod record;
pub mod release;
mod removals;
mod roll;
mod status;

pub use apply::ApplyError;
pub use observe::{BrokerView, ChildMeta, ClaimView, Member, Observed, PodView};
pub use plan::{Found, Growth, LeaseStep, Plan, Refresh, Removal, Restart, plan};
pub use problem::Problem;
pub use record::{LeaseView, MemberReport, reseed};
pub use status::{Report, report};

#[cfg(test)]
mod tests;

//! Topics and ConsumerGroups: one reconciler for both, in bulk, one worker per cluster.
//!
//! ```text
//!   watches ──► World (index in memory) ──► dirty clusters ──► worker of the cluster ──► pass
//!
//!   pass:  list what the brokers hold (one call per kind and group)
//!          decide per object (pure): fits, apply, delete, refuse
//!          apply in bulk, then write the statuses that changed, a bounded number at a time
//! ```
//!
//! Promise: a pass that finds nothing to do makes one list call per kind and group and writes nothing. Of two objects
//! that name the same topic the older one wins. A refused change leaves the broker as it was. A cluster that does not
//! exist makes its objects wait and nothing else. Finalizers exist only where something is to be deleted, and go when
//! the cluster is gone or going.
//! Limit: a broker's whole list of topics is held in memory during a pass, about 200 B each.

mod condition;
mod consumer_group;
mod decide;
mod dispatch;
mod index;
mod kind;
mod pass;
mod topic;
mod view;
mod world;
mod write;

pub use consumer_group::ConsumerGroups;
pub use decide::{Decision, Verdict, Why, decide};
pub use dispatch::run;
pub use index::{ClusterKey, Index, ObjectKey};
pub use kind::{Common, Kind, Progress};
pub use pass::{Pass, pass};
pub use topic::Topics;
pub use view::ClusterView;

#[cfg(test)]
mod tests;

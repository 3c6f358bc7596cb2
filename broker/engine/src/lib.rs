//! Meaning: topics, consumer groups, leases, attempts and dead letters, all folded from the records of one log.
//!
//! ```text
//!   gateway --submit--> Inbox --Pen, Writer::step--> log --commit, fold--> Catalog, topics' queues, Deliveries
//!      ^                                                                  |
//!      +---- Ticket (stored), Waiter (something to read) <-------wake-----+
//! ```
//!
//! Promise: every change of state that survives a restart is a record; delete the checkpoint and the same state
//! comes back. Nothing is folded before it is agreed among the log's copies, so nothing is ever taken back.
//! Limit: one `Writer` per `Group`. Not here: bytes on disk (`store`), protocols (`gateway`), who leads and what is
//! agreed, threads, clocks: time comes in as `now_ms`.
#![forbid(unsafe_code)]

pub mod catalog;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod group;
pub mod inbox;
pub mod lease;
pub mod mailbox;
pub mod pen;
pub mod setting;
pub mod traffic;
pub mod waiter;
pub mod writer;

mod batch;
mod halves;
mod handed;
mod pending;
mod records;
mod state;
mod timers;
mod topic;

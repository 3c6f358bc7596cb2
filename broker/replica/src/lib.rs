//! How the members of a group agree: the protocol as a state machine without clock, network, disk or entropy.
//!
//! ```text
//!   record read, message received, bytes written, somebody is silent
//!        │ Event                                             Effect ▲
//!        └──────────► Member::on_event(&mut self, Event) ───────────┘
//!   the driver (`peer`) carries effects out in their order; the model checker and the simulation do the same
//! ```
//!
//! One record per group (`crds::group_record`), changed only by compare-and-swap, says who leads in which epoch and who
//! is in sync. Promise: whatever was committed is in the log of every member that is in sync, so whoever of them leads
//! next has it; two leaders never both commit. No clock takes part in that: [`Detector`](detector) only decides when
//! to try.
//!
//! | Rule | Where |
//! |---|---|
//! | R1 committed = held by the record's in-sync set and by the one that is proposed | `member/commit.rs` |
//! | R2 a proposed set counts alone only once the record is known to hold it | `member/propose.rs` |
//! | R3 in sync only with everything committed, and with the leader's start | `member/wish.rs`, `member/propose.rs` |
//! | R4 only members that are in sync may lead | `member/campaign.rs` |
//! | R5 a promise is on the disk before it counts; lower epochs are refused | `member/follow.rs` |
//! | R6 nobody goes on leading after a restart: another epoch, another election | `member/campaign.rs` |
//! | R7 a log is cut where it leaves the leader's, never below what was committed | `member/follow.rs` |
//! | R8 who may have lost its tail does not lead until a leader that does not count it has taken it up | `member/campaign.rs`, `member/lead.rs`, `member/follow.rs` |
//!
//! `tests/model` visits every state of small groups, and shows for each rule how the promise is broken without it.
//!
//! R9 (nothing uncommitted is visible) and R10 (offsets come from the log) are the engine's.
#![forbid(unsafe_code)]

pub mod detector;
pub mod event;
pub mod history;
pub mod member;
mod settings;

//! One running copy of a group: its connections to the others, its promises on the disk, and the driver that carries
//! out what the protocol (`replica`) decides.
//!
//! ```text
//!   arbiter ─Seen──► ┌────────┐ ◄──Inbound── mesh (one TCP connection each way)
//!                    │ driver │
//!   clock ──tick───► └────────┘ ──effects──► log (engine), MEMBER file, mesh, arbiter, gateway
//! ```
//!
//! A member runs on one thread with one single-threaded runtime; the log has its own threads ([`log_thread`]). A broker
//! without replication uses only those. Not here: the rules (`replica`), what records mean (`engine`), where the record
//! of the group is kept (`arbiter`).
#![forbid(unsafe_code)]

pub mod clock;
mod codec;
pub mod copy;
mod driver;
pub mod log_thread;
mod mesh;
pub mod running;
pub mod standing;
pub mod vow;

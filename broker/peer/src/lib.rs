//! One running copy of a group: its connections to the others, its promises on the disk, and the driver that carries
//! out what the protocol (`replica`) decides.
//!
//! ```text
//!   arbiter ─Seen──► ┌────────┐ ◄──Inbound── mesh (one TCP connection each way)
//!                    │ driver │
//!   clock ──tick───► └────────┘ ──effects──► log (engine), MEMBER file, mesh, arbiter, gateway
//! ```
//!
//! Everything here runs on one thread with one single-threaded runtime. Not here: the rules (`replica`), what records
//! mean (`engine`), where the record of the group is kept (`arbiter`).
#![forbid(unsafe_code)]

mod codec;
mod mesh;
pub mod vow;

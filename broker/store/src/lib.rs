//! Bytes and positions: one append-only log, its queue index and its checkpoints.
//!
//! ```text
//!   Draft --append--> [ segment | segment | segment ]  <--read-- LogReader
//!                            |  fold, in log order
//!                            v
//!                     Index: (queue, offset) -> position      checkpoint: how far the folds have come
//! ```
//!
//! Promise: what `Log::sync` covered survives a power cut; bytes that do not verify are never returned.
//! Limit: one writer per log. Not here: what a topic, a consumer group or a lease is (`engine`).

pub mod checkpoint;
mod checksum;
pub mod disk;
pub mod index;
mod leb128;
pub mod log;
pub mod timeline;
mod units;

pub use units::{Epoch, Offset, Position, QueueId};

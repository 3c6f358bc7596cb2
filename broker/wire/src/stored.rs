//! A message of the RocketMQ 5 protocol as a log record keeps it (encoding tag 1), and its way back to a consumer.
//!
//! ```text
//!   head  = user_bytes u32 LE ‖ user_properties ‖ system_properties
//!            length of ──────▶   entries as sent,  content of the field, without its tag and length,
//!                                tags included     and without what the server owns
//!   body  = the body as sent, beside the head
//!
//!   delivered Message = 1 topic ‖ user_properties ‖ 3 { system_properties ‖ server's fields } ‖ 4 body
//! ```
//!
//! Promise: what a client sent comes back byte for byte, fields this broker does not know included; what the server owns
//! (store time, queue, offset, receipt, attempt, digest, …) is never the client's. One `system_properties` is sent
//! and not two to be merged, because one widespread protobuf library for JavaScript does not merge.
//! Cost: `scan` reads the bytes once without an allocation; `head` and `encode_delivery` copy each byte once.
//! Not here: topic and queue of a message (the record names its queue), limits (`validate`).

mod delivery;
mod head;
mod scan;
mod system;

pub use delivery::{DeadLetter, DeliveryParts, encode_check, encode_delivery};
pub use head::{Head, Pair, UserProperties};
pub use scan::{Defaults, Scanned, scan, split_messages};
pub use system::System;

/// The encoding tag of records whose head has this module's layout.
pub const ENCODING: u8 = 1;

#[cfg(test)]
mod tests;

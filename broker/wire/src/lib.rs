//! What travels over the network, and how a message's network form is kept in the log.
//!
//! ```text
//!   SendMessageRequest ──split──▶ Message bytes ──scan──▶ Scanned ──head──▶ head ‖ body  (log record)
//!   ReceiveMessageResponse ◀──encode_delivery── head ‖ body + what the broker adds
//! ```
//!
//! Promise: nothing here does I/O, keeps state or trusts its input; every decoder returns a typed error and never
//! panics. The send and receive path never builds a generated `Message`: it walks the client's bytes once, and copies
//! a body once.
//! Not here: what a queue or a lease means (`engine`), sessions and routes (the gateways).
#![forbid(unsafe_code)]

pub mod digest;
mod fields;
pub mod frame;
pub mod receipt;
pub mod stored;
pub mod tag;
pub mod traceparent;
pub mod validate;

pub use fields::Malformed;

/// The RocketMQ 5 protocol, `apache.rocketmq.v2`: messages, and a client for its services.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v2 {
    tonic::include_proto!("apache.rocketmq.v2");
}

/// Our own administration protocol, `millpond.admin.v1`: messages, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod admin {
    tonic::include_proto!("millpond.admin.v1");
}

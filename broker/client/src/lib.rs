//! What a program in Rust needs to talk to a broker: the administration, a producer and a simple consumer.
//!
//! ```text
//!   AdminClient ── millpond.admin.v1 ──▶ topics, consumer groups, state of a broker
//!   Producer, SimpleConsumer ── apache.rocketmq.v2 ──▶ any RocketMQ 5 endpoint
//! ```
//!
//! Promise: each call ends within its time limit and with an error that says whether trying again can help. A lost connection
//! is made anew by the next call. Nothing is retried behind the caller's back except a send, as its config says.
//! Not here: push consumers.
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
mod consumer;
mod dial;
mod endpoint;
mod id;
mod message;
mod producer;
mod session;
mod status;
mod transaction;
mod transport;

pub use clock::now_ms;
pub use consumer::{ConsumerConfig, Filter, RECEIVE_MAX, SimpleConsumer};
pub use dial::{DialError, Trust};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use message::{Delivered, Message, SendReceipt};
pub use producer::{Producer, ProducerConfig, SendError};
pub use session::{ClientConfig, StartError};
pub use status::{AskError, Refused};
pub use transaction::{Checker, Resolution, Transaction, Undecided};
pub use transport::CallError;
pub use wire::v2::Code;

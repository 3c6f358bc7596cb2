//! The client of Millpond, and of any other server of the RocketMQ 5 gRPC protocol: a producer, three kinds of consumer, and the
//! administration of a broker.
//!
//! ```text
//!   Producer                                                      send, send later, in order, in a transaction
//!   PushConsumer      ── apache.rocketmq.v2 ──▶ any endpoint      messages come to a listener
//!   SimpleConsumer                                                receives when it likes, acknowledges by itself
//!   PullConsumer                                                  reads by offset, commits offsets
//!   admin::AdminClient ── millpond.admin.v1 ──▶ a broker          topics, consumer groups, state
//! ```
//!
//! # Install
//! `client = { git = "...", package = "client" }` and tokio: everything here runs on its runtime. There is no C in it; TLS is
//! rustls.
//!
//! # Send
//! ```no_run
//! use client::{Message, Producer};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let producer = Producer::builder("shop:8081").topic("orders").start().await?;
//! let receipt = producer.send(Message::new("orders", "number 1").tag("new").key("1")).await?;
//! println!("stored {}", receipt.message_id);
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Be called with each message
//! ```no_run
//! use client::{Consumed, Delivered, PushConsumer};
//!
//! async fn bill(message: Delivered) -> Consumed {
//!     match std::str::from_utf8(&message.body) {
//!         Ok(text) => println!("{text}"),
//!         Err(_) => return Consumed::Retry,
//!     }
//!     Consumed::Done
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let consumer = PushConsumer::builder("shop:8081", "billing")
//!     .subscribe("orders", "new || paid")
//!     .concurrency(8)
//!     .listener(bill)
//!     .start()
//!     .await?;
//! tokio::signal::ctrl_c().await?;
//! consumer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Receive when it suits
//! ```no_run
//! use client::{Filter, SimpleConsumer};
//! use std::time::Duration;
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let consumer = SimpleConsumer::builder("shop:8081", "audit")
//!     .subscribe("orders", Filter::Sql("price > 100".to_owned()))
//!     .start()
//!     .await?;
//! let messages = consumer.receive(16, Duration::from_secs(30)).await?;
//! consumer.ack_all(&messages).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Read by offset
//! ```no_run
//! use client::{Place, PullConsumer};
//! use std::time::Duration;
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let consumer = PullConsumer::builder("shop:8081", "report").subscribe("orders", "*").start().await?;
//! let queues = consumer.queues("orders").await?;
//! let mut reader = consumer.reader(queues, Place::Beginning).await?;
//! loop {
//!     for message in reader.next(32, Duration::from_secs(20)).await? {
//!         println!("{} {:?}", message.offset, message.body);
//!     }
//!     reader.commit().await?;
//! }
//! # }
//! ```
//!
//! # Configuration
//! A builder collects, `build` checks everything once and lists all that is wrong ([`InvalidConfig`]), `start` builds and
//! connects. What was built does not change. How to reach the servers is a text, or a [`ClientBuilder`] for TLS, time limits,
//! a namespace or more connections.
//!
//! # Errors
//! | type | of | kinds |
//! |---|---|---|
//! | [`StartError`] | `start` | wrong configuration, TLS, a topic or group that the server does not have |
//! | [`SendError`] | a send | refused, not sent, unknown: only after the last one may the message be stored |
//! | [`AskError`] | any other request | no answer ([`CallError`]), refused ([`Refused`], with the protocol's [`Code`]), no queue |
//! | [`PullError`] | a pull, a commit | an offset that is not in the queue, with the nearest that is; an [`AskError`] |
//!
//! [`Refused::is_retryable`] and [`CallError::is_not_sent`] say whether trying again can help. Only two things are tried again
//! by themselves: a send, as often as `attempts_max` says, with one message id; and what a push consumer says about a message.
//!
//! # What is promised
//! * A message with a receipt is stored as the topic's cluster keeps it. A send that was tried again may be stored twice.
//! * Delivery is at least once: a message comes until it is acknowledged, or to the dead letters after the group's attempts.
//! * Each call ends within its time limit. A lost connection is made anew by the next call, a session after a second.
//! * A server is not used before it has taken the client's settings; routes are asked for every 30 s.
//!
//! # Limits
//! A receive or a pull brings up to 32 messages. A push consumer's lease is renewed for 3 h. A push consumer with a panic strategy of
//! `abort` does not survive its listener's panics. Not here: lite topics, metrics export, access keys.
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
mod config;
mod dial;
mod endpoint;
mod filter;
mod id;
mod message;
mod producer;
mod pull;
mod push;
mod receive;
mod session;
mod simple;
mod status;
mod transaction;
mod transport;

pub use clock::now_ms;
pub use config::{ClientBuilder, InvalidConfig, Problem};
pub use dial::{DialError, Trust};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use filter::Filter;
pub use id::made_ms;
pub use message::{Delivered, Message, SendReceipt};
pub use producer::{Producer, ProducerBuilder, ProducerConfig, SendError};
pub use pull::{Place, PullBuilder, PullConfig, PullConsumer, PullError, PullQueue, Pulled, Reader};
pub use push::{Consumed, Held, PushBuilder, PushConfig, PushConsumer};
pub use receive::RECEIVE_MAX;
pub use session::StartError;
pub use simple::{SimpleBuilder, SimpleConfig, SimpleConsumer};
pub use status::{AskError, Refused};
pub use transaction::{Checker, Resolution, Transaction, Undecided};
pub use transport::CallError;
pub use wire::v2::Code;

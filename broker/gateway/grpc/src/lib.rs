//! The gRPC gateway: `apache.rocketmq.v2` in front of a broker group.
//!
//! ```text
//!   connection (serve) -> frames (frame) -> Call + Method -> Gateway -> engine
//!                                  \-> this broker does not lead: hold, relay or refuse (steer, relay)
//! ```
#![forbid(unsafe_code)]

mod ack;
pub mod admin;
pub mod authorize;
mod broadcast;
pub mod call;
pub mod census;
pub mod connection;
pub mod endpoints;
mod exchange;
pub mod figures;
mod filter;
mod frame;
pub mod gateway;
mod handle;
pub mod handout;
mod heartbeat;
pub mod leader;
pub mod listener;
pub mod members;
pub mod method;
mod offsets;
mod outgoing;
mod pending_id;
mod pull;
mod recall;
mod receive;
pub mod refusal;
pub mod relay;
pub mod renew;
mod reply;
pub mod rocketmq_admin;
mod route;
mod send;
pub mod serve;
pub mod session;
mod settings;
pub mod spans;
mod steer;
mod telemetry;
mod topic_type;
mod transaction;
mod unary;

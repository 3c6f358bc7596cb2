//! The gRPC gateway: `apache.rocketmq.v2` in front of a broker group.
//!
//! ```text
//!   connection (serve) -> frames (frame) -> Call + Method -> Gateway -> engine
//! ```
#![forbid(unsafe_code)]

mod ack;
pub mod admin;
pub mod authorize;
pub mod call;
pub mod endpoints;
pub mod figures;
mod frame;
pub mod gateway;
mod handle;
pub mod handout;
mod heartbeat;
pub mod method;
mod receive;
pub mod refusal;
pub mod renew;
mod reply;
mod route;
mod send;
pub mod serve;
pub mod session;
mod settings;
mod telemetry;
mod unary;

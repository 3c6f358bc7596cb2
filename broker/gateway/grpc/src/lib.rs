//! The gRPC gateway: `apache.rocketmq.v2` in front of a broker group.
//!
//! ```text
//!   connection (serve) -> frames (frame) -> Call + Method -> Gateway -> engine
//! ```
#![forbid(unsafe_code)]

pub mod call;
mod frame;
pub mod gateway;
pub mod method;
pub mod serve;

//! gRPC as this client needs it, on HTTP/2 directly: one message out, one or several back, or both ways for a session.
//!
//! ```text
//!   Link (one per address in the routes) ──▶ slots ──▶ Connection ──▶ call: Frames in, Frames out
//! ```
//!
//! Promise: a call ends within its time limit; its error tells what was certainly not sent from what may have arrived. A connection
//! that ended is made anew by the next call.
//! Cost: a call has no task and no queue of its own; the caller writes into the connection's buffers. A benchmark's load
//! generator shares the machine with the broker, so what is spent here is missing there.

mod connection;
mod frames;
mod link;
mod rpc;

pub(crate) use link::Link;
pub(crate) use rpc::{CLIENT_VERSION, Identity, Rpc};

use std::time::Duration;

use crate::dial::DialError;

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no connection; the request was not sent.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke; the request may have arrived.
    #[error("connection lost: {0}")]
    Lost(String),
    /// No answer in time; the request may have arrived.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// An error of gRPC instead of an answer.
    #[error("gRPC status {code}: {message}")]
    Grpc {
        /// Number of the status.
        code: u32,
        /// Its text.
        message: String,
    },
    /// An answer that is none of this protocol.
    #[error("answer cannot be read: {0}")]
    Unreadable(String),
}

impl CallError {
    /// Whether the server certainly has not seen the request.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, Self::Dial(_))
    }
}

impl From<h2::Error> for CallError {
    fn from(error: h2::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<prost::DecodeError> for CallError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

//! Every call against a real engine on a simulated disk.
//!
//! Time is tokio's paused clock: it jumps to the next timer when nothing else is left to do, so waits of hours take no
//! time. The log thread's work is done by whoever waits for it (`Broker::drive`).

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unnecessary_wraps, reason = "fields of the protocol are optional")]

mod ack;
mod admin;
mod admin_clients;
mod admin_messages;
mod admin_progress;
mod admin_service;
mod batch;
mod broadcast;
mod broker;
mod census;
mod delay;
mod fifo;
mod filter;
mod gap;
mod handover;
mod leaving;
mod limits;
mod member;
mod network;
mod noise;
mod priority;
mod promote;
mod pull;
mod receive;
mod relay;
mod renew;
mod route;
mod send;
mod spans;
mod taken;
mod telemetry;
mod trace;
mod transaction;
mod types;

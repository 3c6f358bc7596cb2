//! End-to-end tests: real brokers, a real Kubernetes, and the official SDKs.
//!
//! ```text
//!   tests/standalone ──► broker::Broker (a process)  ◄──┐
//!                    ──► members::Members (several)  ◄──┤◄── traffic::Traffic ──► history::History, checks itself
//!   tests/cluster    ──► cluster::Cluster (kube)     ◄──┤ sdk::Call ──► e2e/sdk/run.sh java|go|python|node
//!   tests/disruption ──► cluster::copies, ::nodes    ◄── traffic::Traffic, as above
//!   tests/scenarios  ──► scenarios::site::Site, any of these ◄── scenarios: each feature, judged with and without kills
//!   bin/sdk-matrix   ──► matrix::run on any endpoint ◄──┘                   └► sdk::Report, checked by verify
//! ```
//!
//! Promise: what an SDK says about itself is not believed: every delivery it reports is compared with the message
//! that the rules of `e2e/sdk/README.md` prescribe.
//! Limits: `make test` provides what the tests need (programs, SDKs, a cluster); without it they fail and say so.

#![forbid(unsafe_code)]

pub mod bench;
pub mod blows;
pub mod broker;
pub mod cells;
pub mod cluster;
pub mod history;
pub mod http;
pub mod kinds;
pub mod matrix;
pub mod members;
pub mod network;
#[cfg(test)]
mod peer_bugs;
pub mod place;
pub mod promql;
pub mod scenarios;
pub mod sdk;
pub mod traffic;
pub mod verify;
pub mod wait;

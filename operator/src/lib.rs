//! The operator: makes Kubernetes and brokers hold what custom resources say.
//!
//! ```text
//!   BrokerCluster ──────────► cluster ──► StatefulSets, Services, ConfigMaps … in Kubernetes
//!   Topic, ConsumerGroup ───► objects ──► admin API of the brokers
//! ```
//!
//! It is never in the way of a message: brokers serve without it.
#![forbid(unsafe_code)]

pub mod admin;
pub mod backoff;
pub mod children;
pub mod cli;
pub mod cluster;
pub mod context;
pub mod events;
pub mod fingerprint;
pub mod fleet;
pub mod holding;
pub mod http;
pub mod kubernetes;
pub mod leadership;
pub mod metrics;
pub mod nodes;
pub mod objects;
mod process;
pub mod settings;
pub mod written;

#[cfg(test)]
mod testing;

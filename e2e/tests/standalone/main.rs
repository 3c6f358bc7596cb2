//! A broker without Kubernetes, and the official SDKs: what a user of a laptop or an edge device sees.

mod admin_service;
mod batches;
mod copies_figures;
mod cut;
mod delay;
mod delay_sdks;
mod docs;
mod failover;
mod failover_figures;
mod failover_sdk;
mod fifo;
mod filters;
mod kill;
mod kinds;
mod monitoring;
mod noise;
mod priority;
mod pull;
mod push;
mod sdks;
mod start;
mod trace;
mod tracing;
mod transactions;
mod usage;

//! A broker without Kubernetes, and the official SDKs: what a user of a laptop or an edge device sees.

mod failover;
mod kill;
mod noise;
mod sdks;
mod start;

//! Copies of one log: leading, following, changing places.
#![allow(clippy::unwrap_used, reason = "tests")]

mod closing;
mod follow;
mod harness;
mod lead;
mod model;
mod plan;
mod plant;

//! The protocol under a model checker: every order of every event and fault within the bounds.
//!
//! ```text
//!   config.rs   what is checked, within which bounds      action.rs     what can happen next
//!   world.rs    members, disks, record, links             carry.rs      effects, as driver and engine carry them out
//!   check.rs    the checker                               invariant.rs  what must hold after every step
//!   heal.rs     a run without faults, from anywhere       step.rs       what becomes of an action
//! ```
//!
//! Promise: within the bounds nothing acknowledged is lost, and each rule is needed: without it the checker finds a way
//! to break the promise. Not here: what a person forces, and the bytes of the log (`store`).
#![allow(clippy::print_stdout, reason = "the numbers of states are a result")]
#![allow(unreachable_pub, reason = "one test binary")]

mod action;
mod carry;
mod check;
mod config;
mod heal;
mod holds;
mod invariant;
mod needed;
mod step;
mod walk;
mod world;

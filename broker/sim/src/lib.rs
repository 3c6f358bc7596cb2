//! A broker group on a disk that fails, with producers and consumers, in one thread: the same seed, the same story.
//!
//! ```text
//!   Story (what happens next, by seed) --> World { SimDisk, Group, Writer, clients, clock }
//!                                             | events: what clients were told
//!                                             v
//!                                          invariants, one file each; the first one broken ends the story
//! ```
//!
//! Promise: a seed that fails fails again. A story has two parts: trouble, then peace, in which everything that is
//! left must be delivered. Limits: one broker group; no network: clients call the engine.
#![forbid(unsafe_code)]

mod background;
mod backoff;
mod broker;
mod clients;
pub mod cluster;
mod ending;
pub mod event;
mod fleeting;
mod invariant;
mod members;
mod moves;
mod pollers;
mod pulls;
mod story;
mod trace;
mod transactions;
mod world;

pub use story::{Failure, Figures, run};

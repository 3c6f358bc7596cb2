//! The engine through its public face, on the simulated disk, without threads: the test takes each step by hand.

// The workspace exempts tests; helpers of test crates are not seen as such.
#![allow(clippy::unwrap_used, reason = "a test program: helpers fail as tests do")]

mod batches;
mod broadcast;
mod catalog;
mod census;
mod crash;
mod dead_letters;
mod delivery;
mod forgetting;
mod harness;
mod history;
mod offsets;
mod order;
mod priority;
mod pulling;
mod real_disk;
mod restart;
mod search;
mod threads;
mod timers;
mod transactions;
mod trouble;
mod waiting;

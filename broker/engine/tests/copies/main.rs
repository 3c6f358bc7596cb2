//! Several copies of one log, without threads and without a network: who leads, who follows, what is visible when.

// The workspace exempts tests; helpers of test crates are not seen as such.
#![allow(clippy::unwrap_used, reason = "a test program: helpers fail as tests do")]

mod closing;
mod following;
mod harness;
mod history;
mod leading;
mod planning;
mod planting;
mod refusing;

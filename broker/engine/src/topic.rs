//! One topic's queues as its readers see them: tails, and per consumer group the deliveries and who waits.
//!
//! ```text
//!   Queues --one short lock--> Reading { tails, group 7: Subscription { Deliveries per queue, waiters }, ... }
//! ```
//!
//! Promise: whoever finds nothing is registered under the lock that found nothing, so no message is missed; as long as
//! there is something for a group, as many of its waiters are woken as it takes. No I/O happens under the lock.
//! Not here: what a receipt means (`lease`), reading records (`group::receive`).

mod levels;
mod pullers;
mod reading;
mod reentry;
mod search;
mod subscription;

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

pub(crate) use reading::{Ask, Granted, Look, Reading, Unseen};

use crate::traffic::Inflow;

/// The state that all values of one topic share.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) topic: u32,
    turn: AtomicU32,
    pub(crate) inflow: Inflow,
    reading: Mutex<Reading>,
}

impl Queues {
    pub(crate) fn new(topic: u32) -> Self {
        Self { topic, turn: AtomicU32::new(0), inflow: Inflow::default(), reading: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock()
    }

    /// The number of the queue for the next request, in turn.
    pub(crate) fn next_turn(&self, queues: usize) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize % queues.max(1)
    }
}

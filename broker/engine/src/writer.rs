//! The log thread's work: one batch per step, folded and published.

use std::sync::Arc;

use store::log::{Log, Poisoned};

use crate::group::Group;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was written and published.
    Wrote,
    /// Nothing waited.
    Idle,
}

/// The only one who writes; owned by the log thread.
pub struct Writer {
    group: Arc<Group>,
    log: Log,
}

impl Writer {
    /// Writes what waits as one batch, folds it, answers tickets and wakes waiters.
    pub fn step(&mut self, now_ms: u64) -> Result<Step, Poisoned> {
        todo!()
    }

    /// Blocks until something arrives, at most `wait_ms`; the log thread's loop is `step`, then `park` when idle.
    pub fn park(&self, wait_ms: u64) {
        todo!()
    }

    /// Deletes segments that are over the retention and covered by the last checkpoint.
    pub fn retain(&mut self, now_ms: u64) -> Result<(), Poisoned> {
        todo!()
    }

    /// Ends the log in good order: refuses what comes from now on, writes what waits, syncs.
    pub fn close(self, now_ms: u64) -> Result<(), Poisoned> {
        todo!()
    }
}

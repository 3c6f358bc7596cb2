//! The timeline: messages that wait for their time, near ones in memory, far ones in run files.
//!
//! ```text
//!   insert --> memory, by (due, position) --due--> the caller fires, and the log's record removes
//!                |                  ^
//!              flush            load_ahead
//!                v                  |
//!              run files: [ read already | removed, pending, ... by (due, position) ]   merged in the background
//! ```
//!
//! Promise: a timer that was inserted and not removed is found, is due in its time and is told by `below`; bytes of
//! runs that do not verify are an error and never a timer. It is a fold of the log: deleted, it comes back by replay;
//! what a replay repeats is harmless.
//! Cost: up to 80 B per timer in memory; 40 B per timer on disk, plus 0.4 B in memory, each written 4 times until 10
//! million have been merged; 32 B per removal that is not looked up yet (64 Ki make a flush worth while).
//! Limits: any due time, any number at the same; a flush leaves at most 512 Ki timers in memory, `load_ahead` fills
//! it up to the next 256 Ki; three runs per power of four, so about 20 at 10 million. One thread at a time flushes,
//! loads, searches with `below` or takes a snapshot (others wait: a merge at 10 million takes seconds, so load a
//! minute ahead). Files of merged runs stay until `checkpointed` was told of two checkpoints without them.
//! Not here: the bytes of a message and when it may go (`log`), what firing means (`engine`).

mod below;
mod bits;
mod flush;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod load;
mod memory;
mod merge;
mod restore;
mod run;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::disk::Disk;
use crate::{Position, QueueId};

use self::restore::Dropped;
use self::state::State;

/// Timers copied or moved per lock.
const LOCKED: usize = 256;

/// A message that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it is to be delivered.
    pub due_ms: u64,
    /// Where its record lies in the log.
    pub position: Position,
    /// Length of the record.
    pub bytes: u32,
    /// The queue it will go to.
    pub queue: QueueId,
    /// Java hash of its tag, for filters.
    pub tag_hash: u32,
    /// Whatever else the caller wants to know when it fires.
    pub lane: u32,
    /// When it was stored.
    pub stored_ms: u64,
}

/// Timers are told apart, and sorted, by this.
pub(crate) type Key = (u64, Position);

impl Timer {
    pub(crate) fn key(&self) -> Key {
        (self.due_ms, self.position)
    }
}

/// Why timers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// Bytes of a run file do not verify; without the checkpoint the timeline is rebuilt from the log.
    #[error("{file} is corrupt at byte {at}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where in it.
        at: u64,
    },
    /// A run file that the checkpoint knows is gone; remedy as above.
    #[error("{file} is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// The checkpoint's section is not one of ours.
    #[error("timeline section is corrupt at byte {at}")]
    Section {
        /// Where in the section.
        at: usize,
    },
    /// The disk refused; the call may be tried again.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

/// All timers of a broker group; shared between threads.
pub struct Timeline {
    disk: Arc<dyn Disk>,
    limits: Limits,
    state: Mutex<State>,
    /// Held by whoever flushes, loads, searches or takes a snapshot, across I/O; the log thread never waits for it.
    background: Mutex<Background>,
}

/// When to flush, and how much to hold. Tests have smaller ones.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Timers inserted since the last flush that make one worth while.
    gathered: usize,
    /// Removals that make a flush worth while.
    removals: usize,
    /// Timers in memory that make a flush necessary, and that it leaves at most, however near they are.
    memory: usize,
    /// Timers up to the next on disk that `load_ahead` fills memory with; what a flush leaves when there are too many.
    loaded: usize,
    /// Timers per run that a flush writes.
    run: usize,
    /// Runs with fewer timers are all alike for merging.
    small_run: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gathered: 128 << 10,
            removals: 64 << 10,
            memory: 512 << 10,
            loaded: 256 << 10,
            run: 128 << 10,
            small_run: 4 << 10,
        }
    }
}

/// What background work knows, one at a time.
pub(crate) struct Background {
    /// Number of the next run file.
    next_number: u32,
    /// Files of runs that are no longer needed but for older checkpoints.
    dropped: Vec<Dropped>,
}

impl Timeline {
    /// Opens the timeline as a checkpoint left it, or empty; run files that the checkpoint does not know are removed.
    pub fn open(disk: Arc<dyn Disk>, section: Option<&[u8]>) -> Result<Self, TimelineError> {
        Self::restored(disk, section, Limits::default())
    }

    /// Timers that are pending. Removals of timers that never were are taken for others until the next flush.
    pub fn len(&self) -> u64 {
        self.state.lock().len()
    }

    /// Whether no timer is pending, as far as `len` tells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory, roughly.
    pub fn memory_bytes(&self) -> u64 {
        self.state.lock().memory_bytes()
    }

    /// No timer is due earlier; `None` if none is pending.
    pub fn next_due_ms(&self) -> Option<u64> {
        let state = self.state.lock();
        let on_disk = state.first_on_disk().map(|(key, _)| key);
        state.memory.first_key().into_iter().chain(on_disk).min().map(|(due_ms, _)| due_ms)
    }

    /// No pending timer's message lies below; `None` if none is pending. Rises at last by `below`.
    pub fn oldest_position(&self) -> Option<Position> {
        self.state.lock().floor()
    }

    /// Copies up to `max` timers in memory that are due at `now_ms` and come after `after` into `out`, in order of
    /// due time and position; the last one's is the next `after`.
    ///
    /// Returns a place before all those that are due too but only on disk, if there may be any: then `load_ahead`.
    pub fn due(
        &self,
        now_ms: u64,
        after: Option<(u64, Position)>,
        max: usize,
        out: &mut Vec<Timer>,
    ) -> Option<(u64, Position)> {
        let first_on_disk = || self.state.lock().first_on_disk().map(|(key, _)| key);
        // Timers move both ways meanwhile: those that leave memory are seen here, those that leave the disk there.
        let before = first_on_disk();
        let end = out.len() + max;
        let mut after = after;
        while out.len() < end {
            let room = (end - out.len()).min(LOCKED);
            let from = out.len();
            self.state.lock().memory.copy(after, now_ms, room, out);
            if out.len() == from {
                break;
            }
            after = out.last().map(Timer::key);
        }
        let first = before.into_iter().chain(first_on_disk()).min();
        first.filter(|(due_ms, _)| *due_ms <= now_ms)
    }

    /// The pending timer with this due time and position; may read a block of each of a few runs.
    pub fn find(&self, due_ms: u64, position: Position) -> Result<Option<Timer>, TimelineError> {
        let key = (due_ms, position);
        loop {
            let (changes, runs) = {
                let state = self.state.lock();
                let known = state.memory.get(key);
                if known.is_some() || state.removals.contains(&key) {
                    return Ok(known);
                }
                let runs = state.runs.iter().filter(|on_disk| on_disk.may_hold(key));
                (state.changes, runs.map(|on_disk| Arc::clone(&on_disk.run)).collect::<Vec<_>>())
            };
            for run in runs {
                if let Some((ordinal, timer)) = run.find(key)?
                    && self.state.lock().is_pending(run.number, ordinal, key)
                {
                    return Ok(Some(timer));
                }
            }
            // It may have moved meanwhile: into memory, or on into another run.
            let state = self.state.lock();
            let known = state.memory.get(key);
            if known.is_some() || state.changes == changes {
                return Ok(known);
            }
        }
    }

    /// Whether `flush` has work worth while.
    pub fn wants_flush(&self) -> bool {
        let Limits { gathered, removals, memory, .. } = self.limits;
        let state = self.state.lock();
        state.gathered >= gathered || state.removals.len() >= removals || state.memory.len() > memory
    }

    /// Adds a timer; one that is known already is ignored, so replay is harmless.
    pub fn insert(&self, timer: Timer) {
        self.state.lock().insert(timer);
    }

    /// Removes a timer, wherever it is; if there is none, nothing happens.
    pub fn remove(&self, due_ms: u64, position: Position) {
        self.state.lock().remove((due_ms, position));
    }

    /// Reads timers that are due up to `until_ms` from runs into memory, nearest first. Does nothing while 256 Ki that
    /// come before the next are in memory: those have to be fired first.
    ///
    /// After an error what was read is there, and the next call tries again.
    pub fn load_ahead(&self, until_ms: u64) -> Result<(), TimelineError> {
        self.load_in_turn(&mut self.background.lock(), until_ms)
    }

    /// Moves timers that are due after `keep_until_ms` from memory into synced runs, or nearer ones too if there are
    /// too many; looks up removals; merges runs. The log thread and readers go on meanwhile.
    ///
    /// After an error nothing is lost, and the next call tries again.
    pub fn flush(&self, keep_until_ms: u64) -> Result<(), TimelineError> {
        let mut background = self.background.lock();
        self.flush_in_turn(&mut background, keep_until_ms)?;
        while self.merge_in_turn(&mut background)? {
            // A merge may take seconds: whoever wants to load ahead comes in between.
            MutexGuard::bump(&mut background);
        }
        Ok(())
    }

    /// Calls `seen` with every pending timer whose message lies below `head`, in no order; it must not call for
    /// background work here. Reads the runs that may have some.
    ///
    /// Once it has found none, `oldest_position` is not below `head`.
    pub fn below(&self, head: Position, seen: impl FnMut(Timer)) -> Result<(), TimelineError> {
        self.below_in_turn(&mut self.background.lock(), head, seen)
    }

    /// The checkpoint's section: runs and what of them is pending, and the timers that are only in memory.
    ///
    /// The log must be synced up to what was inserted or removed when this returns before the checkpoint is written.
    pub fn snapshot(&self) -> Vec<u8> {
        self.snapshot_in_turn(&self.background.lock())
    }

    /// A checkpoint with this section is on disk: run files that neither it nor the one before needs are removed.
    pub fn checkpointed(&self, section: &[u8]) -> Result<(), TimelineError> {
        self.remove_dropped(&mut self.background.lock(), section)
    }

    /// Calls `seen` with the timers in memory after `after`, outside the lock, until it answers false.
    fn walk(&self, after: Option<Key>, mut seen: impl FnMut(&Timer) -> bool) {
        let mut after = after;
        let mut timers = Vec::with_capacity(LOCKED);
        loop {
            timers.clear();
            self.state.lock().memory.copy(after, u64::MAX, LOCKED, &mut timers);
            after = timers.last().map(Timer::key);
            if after.is_none() || !timers.iter().all(&mut seen) {
                return;
            }
        }
    }
}

//! What the lock protects: timers in memory, what is pending in runs, and removals whose place is not known yet.
//!
//! ```text
//!   a key that is in memory                       is pending
//!                 in a run, unread, bit unset     is pending, unless it is among the removals
//!                 among the removals              is pending in no run, whatever the runs say
//! ```
//!
//! Invariant: a key that is in memory and not among the removals is pending in no run; so none is pending twice.
//! `insert` and `remove` read no files: where a run may hold the key, they put it among the removals, and a flush
//! looks up which timers that means.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Position;

use super::bits::Bits;
use super::memory::{Memory, TIMER_BYTES};
use super::run::{Run, first_ordinal};
use super::{Key, Timer};

/// Removals that are forgotten per lock once no run can hold them.
const FORGOTTEN: usize = 512;
/// What a removal takes, with what the tree adds.
const REMOVAL_BYTES: u64 = 32;

/// A run, and which of its timers are pending there.
#[derive(Clone)]
pub(crate) struct OnDisk {
    pub(crate) run: Arc<Run>,
    /// Blocks before this one were read into memory.
    pub(crate) next_block: usize,
    /// Timers before this ordinal have left memory; above it they are still there while the run is published.
    pub(crate) published: usize,
    /// Timers that were removed.
    pub(crate) removed: Bits,
    /// Timers that are published, not read and not removed.
    pub(crate) pending: u64,
    /// A search found nothing pending below.
    pub(crate) searched: Position,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) removals: BTreeSet<Key>,
    pub(crate) runs: Vec<OnDisk>,
    /// Timers inserted since the last flush.
    pub(crate) gathered: usize,
    /// How often runs came or went.
    pub(crate) changes: u64,
}

impl OnDisk {
    /// A run of which nothing was read or removed.
    pub(crate) fn whole(run: Arc<Run>) -> Self {
        let count = run.count();
        Self {
            next_block: 0,
            published: count,
            removed: Bits::none_of(count),
            pending: count as u64,
            searched: Position(0),
            run,
        }
    }

    /// The first timer that was not read, whether removed or not.
    pub(crate) fn next_key(&self) -> Option<Key> {
        self.run.marks.get(self.next_block).map(|mark| mark.key)
    }

    pub(crate) fn next_ordinal(&self) -> usize {
        first_ordinal(self.next_block)
    }

    /// Timers that were not read, whether removed or not.
    pub(crate) fn unread(&self) -> u64 {
        self.run.count().saturating_sub(self.next_ordinal()) as u64
    }

    /// Nothing pending here lies below.
    pub(crate) fn floor(&self) -> Option<Position> {
        let mark = self.run.marks.get(self.next_block).filter(|_| self.pending > 0)?;
        Some(mark.floor.max(self.searched))
    }

    pub(crate) fn may_hold(&self, key: Key) -> bool {
        self.run.may_hold(key) && self.next_key().is_some_and(|next| next <= key)
    }

    pub(crate) fn is_pending(&self, ordinal: usize) -> bool {
        (self.next_ordinal()..self.published).contains(&ordinal) && !self.removed.has(ordinal)
    }

    fn set_removed(&mut self, ordinal: usize) {
        let was_pending = self.is_pending(ordinal);
        self.removed.set(ordinal);
        self.pending -= u64::from(was_pending);
    }
}

impl State {
    pub(crate) fn len(&self) -> u64 {
        let on_disk: u64 = self.runs.iter().map(|on_disk| on_disk.pending).sum();
        // A removal may be of a timer that was not there.
        self.memory.len() as u64 + on_disk.saturating_sub(self.removals.len() as u64)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let of_run = |on_disk: &OnDisk| on_disk.run.memory_bytes() + on_disk.removed.memory_bytes();
        let runs: u64 = self.runs.iter().map(of_run).sum();
        self.memory.len() as u64 * TIMER_BYTES + self.removals.len() as u64 * REMOVAL_BYTES + runs
    }

    /// Nothing pending lies below.
    pub(crate) fn floor(&self) -> Option<Position> {
        self.runs.iter().filter_map(OnDisk::floor).chain(self.memory.floor()).min()
    }

    /// No timer that is only on disk comes before.
    pub(crate) fn first_on_disk(&self) -> Option<(Key, &OnDisk)> {
        let unread = self.runs.iter().filter(|on_disk| on_disk.pending > 0);
        unread.filter_map(|on_disk| Some((on_disk.next_key()?, on_disk))).min_by_key(|(key, _)| *key)
    }

    /// Whether this timer of a run is pending there.
    pub(crate) fn is_pending(&self, number: u32, ordinal: usize, key: Key) -> bool {
        let mut runs = self.runs.iter();
        !self.removals.contains(&key)
            && runs.any(|on_disk| on_disk.run.number == number && on_disk.is_pending(ordinal))
    }

    /// A search found nothing below `head` pending in this run.
    pub(crate) fn set_searched(&mut self, number: u32, head: Position) {
        if let Some(on_disk) = self.runs.iter_mut().find(|on_disk| on_disk.run.number == number) {
            on_disk.searched = on_disk.searched.max(head);
        }
    }

    pub(crate) fn insert(&mut self, timer: Timer) {
        if !self.memory.insert(timer) {
            return;
        }
        self.gathered += 1;
        // A replay brings what a run may hold already: from now on the one in memory counts.
        if self.may_be_on_disk(timer.key()) {
            self.removals.insert(timer.key());
        }
    }

    pub(crate) fn remove(&mut self, key: Key) {
        if !self.memory.remove(key) && self.may_be_on_disk(key) {
            self.removals.insert(key);
        }
    }

    /// A synced run has come, with timers that are still in memory.
    pub(crate) fn add_unpublished(&mut self, run: Arc<Run>) {
        self.changes += 1;
        self.runs.push(OnDisk { published: 0, pending: 0, ..OnDisk::whole(run) });
    }

    /// These timers, which are the next of the newest run, leave memory.
    pub(crate) fn publish(&mut self, timers: &[Timer]) {
        let on_disk = self.runs.last_mut().expect("a run is being published");
        for key in timers.iter().map(Timer::key) {
            let ordinal = on_disk.published;
            on_disk.published += 1;
            // Among the removals it came again, and the one in memory counts; gone from memory it was removed.
            if !self.removals.contains(&key) && self.memory.remove(key) {
                on_disk.pending += 1;
            } else {
                on_disk.removed.set(ordinal);
            }
        }
    }

    /// The timers of the next block of a run come into memory.
    pub(crate) fn take_block(&mut self, number: u32, timers: &[Timer]) {
        let on_disk = self.runs.iter_mut().find(|on_disk| on_disk.run.number == number);
        let on_disk = on_disk.expect("runs go only in the background's turn");
        for (ordinal, timer) in (on_disk.next_ordinal()..).zip(timers) {
            if !on_disk.is_pending(ordinal) {
                continue;
            }
            on_disk.pending -= 1;
            if !self.removals.remove(&timer.key()) {
                self.memory.insert(*timer);
            }
        }
        on_disk.next_block += 1;
        self.forget_removals();
    }

    /// These removals mean these timers.
    pub(crate) fn resolve(&mut self, keys: &[Key], found: &[(u32, usize)]) {
        for (number, ordinal) in found {
            if let Some(on_disk) = self.runs.iter_mut().find(|on_disk| on_disk.run.number == *number) {
                on_disk.set_removed(*ordinal);
            }
        }
        for key in keys {
            self.removals.remove(key);
        }
    }

    /// Replaces runs by one that holds what was pending in them.
    pub(crate) fn replace(&mut self, numbers: &[u32], merged: Option<Arc<Run>>) -> Vec<OnDisk> {
        self.changes += 1;
        let gone: Vec<_> =
            self.runs.extract_if(.., |on_disk| numbers.contains(&on_disk.run.number)).collect();
        self.runs.extend(merged.map(OnDisk::whole));
        gone
    }

    fn may_be_on_disk(&self, key: Key) -> bool {
        self.runs.iter().any(|on_disk| on_disk.may_hold(key))
    }

    /// Removals before everything that is only on disk are of timers that were not there.
    fn forget_removals(&mut self) {
        let first = self.first_on_disk().map(|(key, _)| key);
        for _ in 0..FORGOTTEN {
            match self.removals.first() {
                Some(key) if first.is_none_or(|first| *key < first) => self.removals.pop_first(),
                Some(_) | None => return,
            };
        }
    }
}

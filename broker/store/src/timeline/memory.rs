//! The timers that are in memory, by due time.
//!
//! Cost: 40 B of content per timer, 63-80 B with what the tree adds; 0.13-0.45 us to insert into a million, 0.1 us to
//! take out the first.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use crate::{Position, QueueId};

use super::{Key, Timer};

/// What a timer in memory takes on average, with what the tree adds; the example measures it.
pub(crate) const TIMER_BYTES: u64 = 80;

/// A timer without its key.
#[derive(Clone, Copy)]
struct Detail {
    stored_ms: u64,
    bytes: u32,
    queue: QueueId,
    tag_hash: u32,
    lane: u32,
}

const _: () = assert!(size_of::<Detail>() == 24);

#[derive(Default)]
pub(crate) struct Memory {
    timers: BTreeMap<Key, Detail>,
    floor: Floor,
}

/// A lower bound of the positions in memory. It falls with every insert and rises only by a survey of all.
#[derive(Default)]
struct Floor {
    /// No timer in memory lies below.
    low: Position,
    /// Nor was any below inserted since the survey began.
    since: Position,
}

impl Memory {
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    pub(crate) fn get(&self, key: Key) -> Option<Timer> {
        self.timers.get(&key).map(|detail| detail.timer(key))
    }

    pub(crate) fn first_key(&self) -> Option<Key> {
        self.timers.first_key_value().map(|(key, _)| *key)
    }

    /// Copies up to `max` timers after `after` into `out`, up to and with those that are due at `until_ms`.
    pub(crate) fn copy(&self, after: Option<Key>, until_ms: u64, max: usize, out: &mut Vec<Timer>) {
        let last = (until_ms, Position(u64::MAX));
        // A range that ends before it begins is a panic and not an empty one.
        if after.is_some_and(|after| after >= last) {
            return;
        }
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Included(last));
        out.extend(self.timers.range(range).take(max).map(|(key, detail)| detail.timer(*key)));
    }

    /// No timer in memory lies below; `None` if there are none.
    pub(crate) fn floor(&self) -> Option<Position> {
        (!self.timers.is_empty()).then_some(self.floor.low)
    }

    /// Whether it was not there yet.
    pub(crate) fn insert(&mut self, timer: Timer) -> bool {
        if self.timers.is_empty() {
            self.floor.low = Position(u64::MAX);
        }
        let Entry::Vacant(place) = self.timers.entry(timer.key()) else {
            return false;
        };
        let Timer { bytes, queue, tag_hash, lane, stored_ms, position, .. } = timer;
        place.insert(Detail { stored_ms, bytes, queue, tag_hash, lane });
        self.floor.low = self.floor.low.min(position);
        self.floor.since = self.floor.since.min(position);
        true
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        self.timers.remove(&key).is_some()
    }

    /// Somebody begins to look at all timers one after another.
    pub(crate) fn begin_survey(&mut self) {
        self.floor.since = Position(u64::MAX);
    }

    /// The survey has found nothing below `lowest`.
    pub(crate) fn end_survey(&mut self, lowest: Position) {
        self.floor.low = lowest.min(self.floor.since);
    }
}

impl Detail {
    fn timer(&self, (due_ms, position): Key) -> Timer {
        let Self { stored_ms, bytes, queue, tag_hash, lane } = *self;
        Timer { due_ms, position, bytes, queue, tag_hash, lane, stored_ms }
    }
}

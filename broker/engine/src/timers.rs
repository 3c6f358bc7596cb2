//! Messages that wait for their time, and how they become entries of their queues.
//!
//! ```text
//!   Timed record --fold--> Timeline --due--> [ Link, Link, ..., Settled ] --fold--> queues; the timeline forgets them
//!                             \--recall--> [ Settled ] ----------------------^
//! ```
//!
//! Promise: never before its time, and once: whoever fires or recalls a message has it to himself until the record of
//! that is folded or refused. Only a leader fires; a follower folds what was fired.
//! Limits: a pending message keeps the log from being trimmed below it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use store::Position;
use store::log::Entry;
use store::timeline::{Timeline, Timer};

/// Searching runs reads them.
const SEARCH_EVERY_MS: u64 = 60_000;

/// A timer's name: when it is due, and where its message lies.
pub(crate) type Key = (u64, Position);

/// The timeline, and what of it is being settled.
pub(crate) struct Timers {
    pub(crate) line: Timeline,
    in_flight: Mutex<InFlight>,
    /// Nothing is to be fired before.
    look_at_ms: AtomicU64,
    /// It came earlier since it was asked for.
    is_sooner: AtomicBool,
    /// When runs may be searched for old messages again.
    search_at_ms: AtomicU64,
}

/// Timers whose settling is on its way.
#[derive(Debug, Default)]
pub(crate) struct InFlight(BTreeMap<Key, Weak<()>>);

impl Timers {
    pub(crate) fn new(line: Timeline) -> Self {
        let look_at_ms = AtomicU64::new(0);
        Self {
            line,
            in_flight: Mutex::default(),
            look_at_ms,
            is_sooner: AtomicBool::new(false),
            search_at_ms: AtomicU64::new(0),
        }
    }

    /// Applies a record of a message that waits.
    pub(crate) fn fold_timed(&self, entry: &Entry<'_>) {
        let due_ms = entry.offset.0;
        self.line.insert(Timer {
            due_ms,
            position: entry.position,
            bytes: entry.bytes,
            queue: entry.queue,
            tag_hash: entry.tag_hash,
            lane: entry.lane,
            stored_ms: entry.stored_ms,
        });
        self.look_at(due_ms);
    }

    /// The part of `wait_ms` that may pass before the next timer is due.
    pub(crate) fn shorten(&self, wait_ms: u64, now_ms: u64) -> u64 {
        wait_ms.min(self.look_at_ms.load(Ordering::Relaxed).saturating_sub(now_ms))
    }

    /// Whether there may be something to fire.
    pub(crate) fn may_be_due(&self, now_ms: u64) -> bool {
        self.look_at_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// Whether the next look has come earlier since this was asked last: whoever sleeps until then has to know.
    pub(crate) fn take_sooner(&self) -> bool {
        self.is_sooner.swap(false, Ordering::Relaxed)
    }

    /// The next look is at `at_ms` at the latest.
    pub(crate) fn look_at(&self, at_ms: u64) {
        if self.look_at_ms.fetch_min(at_ms, Ordering::Relaxed) > at_ms {
            self.is_sooner.store(true, Ordering::Relaxed);
        }
    }

    /// The next look is at `at_ms`, unless something comes in earlier from now on.
    pub(crate) fn next_look(&self, at_ms: u64) {
        self.look_at_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Whether it is long enough ago that runs were searched; then it is now.
    pub(crate) fn may_search(&self, now_ms: u64) -> bool {
        let may = self.search_at_ms.load(Ordering::Relaxed) <= now_ms;
        if may {
            self.search_at_ms.store(now_ms.saturating_add(SEARCH_EVERY_MS), Ordering::Relaxed);
        }
        may
    }

    /// What is on its way, without what has arrived or was refused.
    pub(crate) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        let mut in_flight = self.in_flight.lock();
        in_flight.0.retain(|_, waiting| waiting.strong_count() > 0);
        in_flight
    }
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.0.contains_key(&key)
    }

    /// These are on their way until nobody has `waiting` any more.
    pub(crate) fn add(&mut self, keys: &[Key], waiting: &Arc<()>) {
        self.0.extend(keys.iter().map(|&key| (key, Arc::downgrade(waiting))));
    }
}

/// The name of a timer.
pub(crate) fn key_of(timer: &Timer) -> Key {
    (timer.due_ms, timer.position)
}

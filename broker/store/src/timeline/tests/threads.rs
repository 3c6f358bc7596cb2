//! The log thread inserts and removes while others fire, look up and do the background's work.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{small, timer};
use crate::Position;
use crate::disk::sim::SimDisk;
use crate::timeline::{Timeline, Timer};

const TIMERS: u64 = 30_000;

/// Dues that go back and forth, and so do the flushes.
fn nth(number: u64) -> Timer {
    timer(number / 10 + number * 7919 % 2000, number * 8)
}

/// Runs with the inserts; in the end everything is due.
fn now_ms(inserted: &AtomicU64) -> u64 {
    let inserted = inserted.load(Ordering::SeqCst);
    if inserted < TIMERS { inserted / 10 } else { u64::MAX }
}

/// Ends all threads when one has failed.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(std::thread::panicking(), Ordering::SeqCst);
    }
}

#[test]
fn every_timer_fires_once_and_is_found_until_then() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    let inserted = AtomicU64::new(0);
    let fired = Mutex::new(BTreeSet::new());
    let failed = AtomicBool::new(false);
    let goes_on = || fired.lock().len() < TIMERS as usize && !failed.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..TIMERS {
                timeline.insert(nth(number));
                inserted.store(number + 1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let _alarm = Alarm(&failed);
            while goes_on() {
                let now_ms = now_ms(&inserted);
                timeline.load_ahead(now_ms).unwrap();
                timeline.flush(now_ms.saturating_add(50)).unwrap();
                timeline.checkpointed(&timeline.snapshot()).unwrap();
                timeline.below(Position(now_ms.saturating_mul(40)), |_| ()).unwrap();
            }
        });
        scope.spawn(|| {
            let _alarm = Alarm(&failed);
            while goes_on() {
                fire(&timeline, &inserted, &fired);
            }
        });
        scope.spawn(|| {
            let _alarm = Alarm(&failed);
            let mut number = 0;
            while goes_on() {
                number = (number + 7919) % TIMERS;
                let timer = nth(number);
                let is_due_to_be_there =
                    number < inserted.load(Ordering::SeqCst) && !fired.lock().contains(&timer.key());
                let found = timeline.find(timer.due_ms, timer.position).unwrap();
                assert!(found.is_none_or(|found| found == timer));
                // Who fires notes it first and removes then.
                if is_due_to_be_there && !fired.lock().contains(&timer.key()) {
                    assert_eq!(found, Some(timer));
                }
            }
        });
    });
    assert!(timeline.is_empty());
}

fn fire(timeline: &Timeline, inserted: &AtomicU64, fired: &Mutex<BTreeSet<(u64, Position)>>) {
    let mut due = Vec::new();
    timeline.due(now_ms(inserted), None, 500, &mut due);
    for timer in due {
        assert!(fired.lock().insert(timer.key()), "{timer:?} fires twice");
        timeline.remove(timer.due_ms, timer.position);
    }
}

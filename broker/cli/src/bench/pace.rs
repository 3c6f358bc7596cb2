//! An open loop: requests fall due by the clock, whether or not somebody is free to send them.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

const TICK: Duration = Duration::from_millis(1);

/// Requests that are due and not yet taken.
pub(crate) struct Pace {
    due: Mutex<VecDeque<Instant>>,
    ready: Semaphore,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { due: Mutex::default(), ready: Semaphore::new(0) }
    }

    /// Lets requests fall due until `end`, `per_s` a second.
    pub(crate) async fn run(&self, per_s: f64, end: Instant) {
        let begin = Instant::now();
        let mut ticks = interval(TICK);
        // A tick that comes late brings all that has fallen due by then.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut given = 0.0;
        loop {
            ticks.tick().await;
            let now = Instant::now();
            if now >= end {
                return self.ready.close();
            }
            let owed = (now - begin).as_secs_f64() * per_s;
            let mut due = self.due.lock();
            while given + 1.0 <= owed {
                given += 1.0;
                due.push_back(now);
                self.ready.add_permits(1);
            }
        }
    }

    /// When the next request was due; none after the end.
    pub(crate) async fn next(&self) -> Option<Instant> {
        self.ready.acquire().await.ok()?.forget();
        self.due.lock().pop_front()
    }
}

//! Real time, the only place that reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// If the machine's clock is behind by less, this one stands still until it is not.
const STEP_MS: u64 = 1000;

/// Unix time in milliseconds that never goes back, whatever is done to the machine's clock. While that one is behind by more
/// than a second, because it was set back, this one goes on at half the speed: leases still end, and the two meet again.
#[derive(Debug)]
pub struct Clock {
    latest_ms: AtomicU64,
    begin: Instant,
    slow: Mutex<Option<Slow>>,
}

/// This clock goes slowly.
#[derive(Clone, Copy, Debug)]
struct Slow {
    from_ms: u64,
    /// Of the time since the begin, which nobody sets back.
    since: Duration,
    /// What it said last; if somebody else said more, this is over.
    latest_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the program hands time to everything else from here")]
        let begin = Instant::now();
        Self { latest_ms: AtomicU64::new(0), begin, slow: Mutex::default() }
    }
}

impl Clock {
    /// The time now.
    pub fn now_ms(&self) -> u64 {
        #[allow(clippy::disallowed_methods, reason = "as above")]
        let now = SystemTime::now();
        let machine_ms =
            now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.at(machine_ms, || self.begin.elapsed())
    }

    /// The time when the machine's clock says `machine_ms`, and so much has passed since the begin.
    fn at(&self, machine_ms: u64, since_begin: impl FnOnce() -> Duration) -> u64 {
        // Nearly always somebody else was here in the same millisecond: then nobody writes to the shared line.
        let latest_ms = self.latest_ms.load(Ordering::Relaxed);
        if machine_ms > latest_ms {
            return self.latest_ms.fetch_max(machine_ms, Ordering::Relaxed).max(machine_ms);
        }
        if latest_ms - machine_ms < STEP_MS {
            return latest_ms;
        }
        let since_begin = since_begin();
        let mut slow = self.slow.lock();
        let latest_ms = self.latest_ms.load(Ordering::Relaxed);
        let begun = Slow { from_ms: latest_ms, since: since_begin, latest_ms };
        let going = slow.filter(|going| going.latest_ms == latest_ms).unwrap_or(begun);
        let passed = since_begin.saturating_sub(going.since);
        let now_ms = going.from_ms + passed.as_millis() as u64 / 2;
        let now_ms = self.latest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms);
        *slow = Some(Slow { latest_ms: now_ms, ..going });
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_waited_for_at_half_the_speed() {
        let clock = Clock::default();
        let hour_ms = 3_600_000;
        let start_ms = 1_700_000_000_000;
        let mut before_ms = clock.at(start_ms, || Duration::ZERO);
        assert_eq!(before_ms, start_ms);
        for _ in 0..2 {
            // Set back by an hour, twice.
            let (set_back_ms, from_ms) = (before_ms, before_ms);
            for passed_ms in (0..3 * hour_ms).step_by(60_000) {
                let now_ms = clock
                    .at(set_back_ms - hour_ms + passed_ms, || Duration::from_millis(set_back_ms + passed_ms));
                assert!(now_ms >= before_ms, "it went back");
                let caught_up_ms = set_back_ms - hour_ms + passed_ms;
                // Where both meet, it stands still until it is asked again.
                let meant_ms = (from_ms + passed_ms / 2).max(caught_up_ms);
                assert!((meant_ms - 30_000..=meant_ms).contains(&now_ms), "after {passed_ms} ms: {now_ms}");
                before_ms = now_ms;
            }
        }
    }

    #[test]
    fn a_clock_that_is_a_little_behind_is_waited_for() {
        let clock = Clock::default();
        assert_eq!(clock.at(5000, || Duration::ZERO), 5000);
        assert_eq!(clock.at(4001, || panic!("nobody asks")), 5000);
        assert_eq!(clock.at(5001, || panic!("nobody asks")), 5001);
    }
}

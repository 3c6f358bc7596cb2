//! Real time, the only place that reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Unix time in milliseconds that never goes back, whatever is done to the machine's clock.
#[derive(Debug, Default)]
pub struct Clock {
    latest_ms: AtomicU64,
}

impl Clock {
    /// The time now.
    pub fn now_ms(&self) -> u64 {
        #[allow(clippy::disallowed_methods, reason = "the program hands time to everything else from here")]
        let now = SystemTime::now();
        let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        // Nearly always somebody else was here in the same millisecond: then nobody writes to the shared line.
        let latest_ms = self.latest_ms.load(Ordering::Relaxed);
        if now_ms <= latest_ms {
            return latest_ms;
        }
        self.latest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}

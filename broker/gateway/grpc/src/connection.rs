//! The connection that a call came on: a client's own, or that of the member that relays for it.
//!
//! Why: a reply that was written may have been lost with the connection; only one that lived on for a while has carried it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Longer than a connection takes to notice that its peer is dead (`serve` asks every 30 s and waits for 20 s).
const SURE_AFTER_MS: u64 = 60_000;
const LIVES: u64 = u64::MAX;

/// One connection, open or ended.
#[derive(Debug)]
pub struct Connection {
    ended_ms: AtomicU64,
}

impl Default for Connection {
    fn default() -> Self {
        Self { ended_ms: AtomicU64::new(LIVES) }
    }
}

impl Connection {
    /// It ended now (unix ms).
    pub fn end(&self, now_ms: u64) {
        self.ended_ms.fetch_min(now_ms, Ordering::Relaxed);
    }

    /// Whether what was written at this time may have been lost, because the connection ended too soon after that.
    pub(crate) fn may_have_lost(&self, written_ms: u64) -> bool {
        self.ended_ms.load(Ordering::Relaxed) < written_ms.saturating_add(SURE_AFTER_MS)
    }
}

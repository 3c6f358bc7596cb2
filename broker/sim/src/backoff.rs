//! How long a consumer that failed with a message waits, as the protocol tells clients.

use engine::catalog::Backoff;

/// The wait after the attempt with this number, from 1.
pub(crate) fn wait_ms(backoff: &Backoff, attempt: u16) -> u64 {
    let failures = usize::from(attempt.max(1)) - 1;
    match backoff {
        Backoff::Custom(times_ms) => times_ms[failures.min(times_ms.len() - 1)],
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
            let grow = |ms: u64, _| ms.saturating_mul(u64::from(*multiplier_permille)) / 1000;
            // It has reached the longest wait long before.
            (0..failures.min(64)).fold(*initial_ms, grow).min(*max_ms)
        }
    }
}

//! How long to wait after an error: twice as long each time, up to half a minute, and not all at the same moment.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::fingerprint;

/// The first wait.
const WAIT_MIN_MS: u64 = 500;
/// The longest wait.
const WAIT_MAX_MS: u64 = 30_000;

/// Errors in a row, by object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Backoff {
    /// The key of an object.
    pub fn key(kind: &str, namespace: &str, name: &str) -> String {
        format!("{kind}/{namespace}/{name}")
    }

    /// Counts one more error and tells how long to wait.
    pub fn next(&self, key: &str) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(key.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        wait(key, *count)
    }

    /// Forgets the errors of an object that is fine.
    pub fn forget(&self, key: &str) {
        self.failures.lock().remove(key);
    }
}

/// Three quarters of the doubled time, and up to a quarter more by key: a thousand objects that failed together do not
/// come back together.
fn wait(key: &str, failures: u32) -> Duration {
    let full = (WAIT_MIN_MS << failures.saturating_sub(1).min(10)).min(WAIT_MAX_MS);
    let spread = fingerprint::number(&format!("{key}{failures}")) % (full / 4 + 1);
    Duration::from_millis(full - full / 4 + spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_over_after_success() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..40).map(|_| backoff.next("a").as_millis() as u64).collect();
        assert!(waits[0] <= WAIT_MIN_MS && waits[4] > waits[0]);
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX_MS && *wait >= WAIT_MIN_MS / 2));
        assert!(waits[39] >= WAIT_MAX_MS / 4 * 3);
        backoff.forget("a");
        assert_eq!(backoff.next("a").as_millis() as u64, waits[0]);
    }

    #[test]
    fn objects_that_fail_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> = (0..100).map(|n| wait(&format!("t{n}"), 8)).collect();
        assert!(waits.len() > 90);
    }
}

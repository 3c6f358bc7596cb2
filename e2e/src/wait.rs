//! Real time, in the one place of the tests that may read it: waiting for something with a deadline.

use std::time::{Duration, Instant};

/// A moment from which time is measured.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "end-to-end tests run in real time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Milliseconds since 1970, to compare with what another process of this machine wrote down.
#[expect(clippy::disallowed_methods, reason = "end-to-end tests run in real time")]
pub fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

/// Looks every 20 ms until `look` finds something.
///
/// # Panics
/// When `limit` has passed; `what` is what was waited for.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for outside of this process")]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(watch.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As `until`, for questions that are asked over the network: every 200 ms.
///
/// # Panics
/// When `limit` has passed; the text names `what` and the last reason that `look` gave.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut look: F) -> T
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let watch = Stopwatch::start();
    loop {
        let reason = match look().await {
            Ok(found) => return found,
            Err(reason) => reason,
        };
        assert!(watch.elapsed() < limit, "{what}: not within {limit:?}; last seen: {reason}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

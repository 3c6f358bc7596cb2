//! When leaders were killed while programs ran, and what nobody can know because of that.

use std::ops::Range;

use crate::sdk::report::{Report, Sent};

/// What rides in the log's next batch is recorded within this time.
const RECORDED_MS_MAX: u64 = 1_000;

/// Each from before a kill until somebody leads again, in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Blows(Vec<Range<u64>>);

impl Blows {
    /// Nobody was killed: then everything comes once.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One more.
    pub fn add(&mut self, blow_ms: Range<u64>) {
        self.0.push(blow_ms);
    }

    /// When each began.
    pub fn began_ms(&self) -> Vec<u64> {
        self.0.iter().map(|blow_ms| blow_ms.start).collect()
    }

    /// Whether what came then came at a blow, or so shortly before that its record may be lost.
    pub fn met(&self, came_ms: u64) -> bool {
        self.0.iter().any(|blow_ms| came_ms + RECORDED_MS_MAX > blow_ms.start && came_ms <= blow_ms.end)
    }

    /// Whether a send was under way: then it may be stored once more, by a try whose answer got lost.
    pub fn doubt(&self, report: &Report, sent: &Sent) -> bool {
        let [began_ms, acked_ms] = [sent.at_ms, sent.acked_ms].map(|at_ms| report.began_ms + at_ms);
        self.0.iter().any(|blow_ms| began_ms <= blow_ms.end && blow_ms.start <= acked_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_send_that_was_under_way_is_in_doubt() {
        let text = serde_json::json!({
            "sdk": "go", "version": "", "run": "", "ok": true, "failures": 0, "elapsedMs": 0, "beganMs": 1000,
            "sent": [{"id": "", "index": 0, "atMs": 20, "ackedMs": 30}],
        });
        let report: Report = serde_json::from_value(text).unwrap();
        let doubts = |from_ms, to_ms| {
            let mut blows = Blows::default();
            blows.add(from_ms..to_ms);
            blows.doubt(&report, &report.sent[0])
        };
        assert!(doubts(1025, 1026) && doubts(1010, 1020) && doubts(1030, 1090));
        assert!(!doubts(1010, 1019) && !doubts(1031, 1090));
    }
}

//! Holds reports against delivery times: nothing is early, nothing that was taken back comes.
//!
//! Promise: both times are of the same clock, the broker's and the program's machine is one; how late is not judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::sdk::report::Report;

/// How often a message may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Once.
    None,
    /// Again, if its acknowledgement was lost.
    Some,
}

/// What is wrong with the deliveries of `count` messages.
pub fn problems(report: &Report, count: usize, copies: Copies) -> Vec<String> {
    let mut wrong = Vec::new();
    if !report.ok || report.sent.len() != count {
        let errors = report.errors.join("; ");
        wrong.push(format!("did not come to its end, {} of {count} sent: {errors}", report.sent.len()));
    }
    let dues: BTreeMap<usize, u64> =
        report.sent.iter().filter_map(|sent| Some((sent.index, sent.due_ms?))).collect();
    for delivery in &report.received {
        let due_ms = dues.get(&delivery.index).copied();
        if delivery.due_ms != due_ms || due_ms.is_none_or(|due_ms| delivery.came_ms < due_ms) {
            wrong.push(format!("due at {due_ms:?}, and came as {delivery:?}"));
        }
    }
    let mut got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
    got.sort_unstable();
    if copies == Copies::Some {
        got.dedup();
    }
    let recalled: BTreeSet<usize> = report.recalled.iter().copied().collect();
    let wanted: Vec<usize> = (0..count).filter(|index| !recalled.contains(index)).collect();
    if got != wanted {
        wrong.push(format!("received {got:?}, and not taken back are {wanted:?}"));
    }
    wrong
}

/// How late the last message was, of those that were due in the future.
pub fn latest_ms(report: &Report) -> u64 {
    let late = report.received.iter().filter_map(|delivery| {
        let sent = report.sent.iter().find(|sent| sent.index == delivery.index)?;
        let due_ms = sent.due_ms.filter(|due_ms| report.began_ms + sent.at_ms < *due_ms)?;
        Some(delivery.came_ms.saturating_sub(due_ms))
    });
    late.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three messages that are due at 100, 200 and 300, and the last is taken back; these came, and when.
    fn report(came: &[(usize, u64)]) -> Report {
        let due_ms = |index: usize| 100 * index + 100;
        let sent: Vec<_> =
            (0..3).map(|n| serde_json::json!({"id": "", "index": n, "dueMs": due_ms(n)})).collect();
        let received = came.iter().map(|(index, came_ms)| {
            serde_json::json!({
                "id": "", "topic": "t", "index": index, "tag": null, "keys": [], "properties": {}, "attempt": 1,
                "group": null, "offset": index, "bytes": 0, "sha256": "", "verdict": "ack", "atMs": 0,
                "dueMs": due_ms(*index), "cameMs": came_ms,
            })
        });
        let text = serde_json::json!({
            "sdk": "go", "version": "", "run": "", "ok": true, "failures": 0, "elapsedMs": 0,
            "sent": sent, "received": received.collect::<Vec<_>>(), "recalled": [2],
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn each_message_comes_once_at_its_time_or_later() {
        assert_eq!(problems(&report(&[(1, 200), (0, 170)]), 3, Copies::None), Vec::<String>::new());
        assert_eq!(latest_ms(&report(&[(1, 200), (0, 170)])), 70);
    }

    #[test]
    fn early_missing_double_and_taken_back_messages_are_wrong() {
        let double = [(0, 100), (1, 200), (1, 210)];
        for came in [&[(0, 99), (1, 200)][..], &[(0, 100)], &double, &[(0, 100), (1, 200), (2, 300)]] {
            assert_eq!(problems(&report(came), 3, Copies::None).len(), 1, "{came:?}");
        }
        assert_eq!(problems(&report(&double), 3, Copies::Some), Vec::<String>::new());
    }
}

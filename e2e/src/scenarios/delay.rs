//! Topics of type DELAY: nothing is early, nothing that was taken back comes.
//!
//! Promise: both times are of the same clock, the broker's and the program's machine is one; how late is not judged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::blows::Blows;
use crate::scenarios::Stage;
use crate::sdk::report::{Report, Sent};

/// Messages of a round.
pub const COUNT: usize = 20;

pub(super) fn play(stage: &Stage<'_>) -> Result<Vec<String>> {
    let options = ["--count", &COUNT.to_string(), "--seconds", "5"];
    let (report, blows) = stage.run("delay", &options, "100")?;
    println!("{}: at most {} ms late", stage.play.name(), latest_ms(&report));
    if blows.is_none() {
        return Ok([problems(&report, COUNT, &blows), kept(&report), unrefused(&report)].concat());
    }
    Ok(problems(&report, report.sent.len(), &blows))
}

/// Whether it was tried to take a message back.
fn is_recalled(index: usize) -> bool {
    index % 5 == 3
}

/// Messages that could not be taken back, though it was in time.
fn kept(report: &Report) -> Vec<String> {
    let tried = (0..COUNT).filter(|index| is_recalled(*index));
    let kept: Vec<usize> = tried.filter(|index| !report.recalled.contains(index)).collect();
    (!kept.is_empty())
        .then(|| format!("{kept:?} were not taken back: {:?}", report.errors))
        .into_iter()
        .collect()
}

/// Messages that the SDK took back a second time, or whose sender it does not tell why it is too late.
fn unrefused(report: &Report) -> Vec<String> {
    let is_told = |text: &String| text.contains("it was delivered or recalled");
    let told = report.refusals.iter().filter(|text| is_told(text)).count();
    let text = || format!("taken back twice: {:?}, {:?}", report.refusals, report.errors);
    (told != report.recalled.len()).then(text).into_iter().collect()
}

/// What is wrong with the deliveries of `count` messages.
pub fn problems(report: &Report, count: usize, blows: &Blows) -> Vec<String> {
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
    if !blows.is_none() {
        got.dedup();
    }
    let recalled: BTreeSet<usize> = report.recalled.iter().copied().collect();
    // Of what was under way at a blow, another copy than the one that was taken back may be stored; of a recall that was, the
    // sender may not know what became of it.
    let in_doubt = |sent: &&Sent| is_recalled(sent.index) && blows.doubt(report, sent);
    let in_doubt: BTreeSet<usize> = report.sent.iter().filter(in_doubt).map(|sent| sent.index).collect();
    got.retain(|index| !in_doubt.contains(index));
    let wanted: Vec<usize> =
        (0..count).filter(|index| !recalled.contains(index) && !in_doubt.contains(index)).collect();
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
        assert_eq!(problems(&report(&[(1, 200), (0, 170)]), 3, &Blows::default()), Vec::<String>::new());
        assert_eq!(latest_ms(&report(&[(1, 200), (0, 170)])), 70);
    }

    #[test]
    fn early_missing_double_and_taken_back_messages_are_wrong() {
        let double = [(0, 100), (1, 200), (1, 210)];
        for came in [&[(0, 99), (1, 200)][..], &[(0, 100)], &double, &[(0, 100), (1, 200), (2, 300)]] {
            assert_eq!(problems(&report(came), 3, &Blows::default()).len(), 1, "{came:?}");
        }
        let mut blows = Blows::default();
        blows.add(1000..1001);
        assert_eq!(problems(&report(&double), 3, &blows), Vec::<String>::new());
    }
}

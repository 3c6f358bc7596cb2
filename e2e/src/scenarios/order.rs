//! Topics of type FIFO and ordered consumer groups: message `index` is of group `index % groups`, and each group's messages
//! are sent in rising order, one after the other.
//!
//! Promise: what counts is the first delivery of a message that the program finished. Copies may come at any time.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::blows::Blows;
use crate::cells::Cell;
use crate::matrix;
use crate::scenarios::{Play, Stage};
use crate::sdk::report::{Received, Report, Verdict};
use crate::sdk::{Mode, Sdk};

/// Deliveries that a group of the scenario allows.
pub const ATTEMPTS: u32 = 10;
const GROUPS: usize = 6;
const CONSUMERS: usize = 2;

/// A FIFO topic and an ordered group. The waiting times are of the form that the play's SDK does not know, so that the broker
/// has to tell it another.
pub fn objects(play: Play, attempts: u32, yaml: &mut String, cluster: &str) {
    let name = play.name();
    let exponential = "exponential: {initial: 1s, max: 1s, multiplier: 1}";
    let wait = if play.cell.0 == Sdk::Python { exponential } else { "custom: [1s]" };
    let group = format!("ordered: true\n  retry: {{maxAttempts: {attempts}, backoff: {{{wait}}}}}");
    matrix::object(yaml, "Topic", &name, cluster, "type: FIFO\n  queues: {perGroup: 2}");
    matrix::object(yaml, "ConsumerGroup", &name, cluster, &group);
    matrix::object(yaml, "ConsumerGroup", &format!("{name}-dlq"), cluster, "consumeFrom: Earliest");
}

/// The Go SDK's push consumer goes on with the next message while a failed one waits for its next attempt.
pub fn retries_in_order(cell: Cell) -> bool {
    cell != (Sdk::Go, Mode::Push)
}

pub(super) fn play(stage: &Stage<'_>) -> Result<Vec<String>> {
    let scenario = if retries_in_order(stage.play.cell) { "fifo-retry" } else { "fifo" };
    let [groups, consumers] = [GROUPS, CONSUMERS].map(|number| number.to_string());
    let options = ["--groups", &groups, "--producers", "3", "--consumers", &consumers, "--count", "60"];
    // Every fifth message of a group waits for a second: it has to keep up.
    let (report, blows) = stage.run(scenario, &options, "400")?;
    Ok([problems(&report, GROUPS, None), unshared(&report), came_back(&report, &blows)].concat())
}

/// Consumers that got nothing.
fn unshared(report: &Report) -> Vec<String> {
    let idle = |consumer: &usize| report.received.iter().all(|delivery| delivery.consumer != *consumer);
    (0..CONSUMERS).filter(idle).map(|consumer| format!("consumer {consumer} got nothing")).collect()
}

/// What is wrong with the order in which each message group was finished; `dead` is the message that never is.
pub fn problems(report: &Report, groups: usize, dead: Option<usize>) -> Vec<String> {
    let mut wrong = Vec::new();
    if !report.ok {
        wrong.push(format!("did not come to its end: {}", report.errors.join("; ")));
    }
    for delivery in &report.received {
        let group = format!("g{}", delivery.index % groups);
        if delivery.group.as_ref() != Some(&group) {
            wrong.push(format!("message {} is of group {:?}, not {group}", delivery.index, delivery.group));
        }
    }
    for group in 0..groups {
        let sent = report.sent.iter().map(|sent| sent.index);
        let sent: Vec<usize> = sent.filter(|index| index % groups == group && Some(*index) != dead).collect();
        let finished = finished(report, group, groups);
        // A send whose outcome nobody knows may have been stored.
        let known: Vec<usize> = finished.iter().copied().filter(|index| sent.contains(index)).collect();
        if known != sent || !finished.is_sorted() {
            wrong.push(format!("group g{group} was finished as {finished:?}, and sent as {sent:?}"));
        }
    }
    wrong
}

/// The messages of a group, in the order in which the first delivery of each was finished.
fn finished(report: &Report, group: usize, groups: usize) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let done = report.received.iter().filter(|delivery| {
        delivery.index % groups == group && delivery.verdict == Verdict::Ack && !is_dead(delivery)
    });
    done.map(|delivery| delivery.index).filter(|index| seen.insert(*index)).collect()
}

/// Whether it came from a dead letter topic.
pub fn is_dead(delivery: &Received) -> bool {
    delivery.topic.starts_with("%DLQ%")
}

/// Messages that came again after a `kill -9`, though the broker must have known that they were done: it had answered
/// the acknowledgement before a send began, whose answer came before the kill. What was acknowledged later than that may
/// come again.
pub fn came_back(report: &Report, blows: &Blows) -> Vec<String> {
    let mut wrong = Vec::new();
    for kill_ms in blows.began_ms().into_iter().map(|kill_ms| kill_ms.saturating_sub(report.began_ms)) {
        let stored = report.sent.iter().filter(|sent| sent.acked_ms < kill_ms).map(|sent| sent.at_ms).max();
        let known: BTreeSet<(usize, u64)> = report
            .confirmed
            .iter()
            .filter(|done| Some(done.at_ms) < stored)
            .filter_map(|done| Some((done.index, done.offset?)))
            .collect();
        for delivery in report.received.iter().filter(|delivery| delivery.at_ms > kill_ms) {
            if delivery.offset.is_some_and(|offset| known.contains(&(delivery.index, offset))) {
                wrong.push(format!("message {} came again at {} ms", delivery.index, delivery.at_ms));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups, sent as 0 to 5; deliveries as (index, is finished), and those are confirmed 1 ms later.
    fn report(deliveries: &[(usize, bool)]) -> Report {
        let sent: Vec<_> = (0..6)
            .map(|n| serde_json::json!({"id": "", "index": n, "atMs": 10 * n, "ackedMs": 10 * n + 1}))
            .collect();
        let received = deliveries.iter().zip(1..).map(|((index, is_done), n)| {
            serde_json::json!({
                "id": "", "topic": "t", "index": index, "tag": null, "keys": [], "properties": {}, "attempt": 1,
                "group": format!("g{}", index % 2), "offset": index, "bytes": 0, "sha256": "",
                "verdict": if *is_done { "ack" } else { "fail" }, "atMs": 10 * n,
            })
        });
        let received: Vec<_> = received.collect();
        let confirmed = deliveries
            .iter()
            .zip(1..)
            .map(|((index, _), n)| serde_json::json!({"index": index, "offset": index, "atMs": 10 * n + 1}));
        let confirmed: Vec<_> = confirmed.collect();
        let text = serde_json::json!({
            "sdk": "go", "version": "", "run": "", "ok": true, "failures": 0, "elapsedMs": 0, "beganMs": 1000,
            "sent": sent, "received": received, "confirmed": confirmed,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn groups_in_order_are_right_whatever_is_between_them_and_comes_again() {
        let order = [(1, true), (0, true), (2, false), (3, true), (2, true), (0, true), (4, true), (5, true)];
        assert_eq!(problems(&report(&order), 2, None), Vec::<String>::new());
    }

    #[test]
    fn a_message_that_overtakes_or_is_missing_is_wrong() {
        let overtakes = [(2, true), (0, true), (4, true), (1, true), (3, true), (5, true)];
        assert_eq!(problems(&report(&overtakes), 2, None).len(), 1);
        let missing = [(0, true), (2, true), (4, true), (1, true), (3, false), (5, true)];
        assert_eq!(problems(&report(&missing), 2, None).len(), 1);
        assert_eq!(problems(&report(&missing), 2, Some(3)), Vec::<String>::new());
    }

    #[test]
    fn a_message_that_was_known_to_be_done_must_not_come_again() {
        // 0 is confirmed at 11 ms, before the send that began at 20 ms and was answered at 21 ms; 2 is so at 21 ms.
        let again = report(&[(0, true), (2, true), (0, true), (2, true)]);
        let blow_at = |at_ms| {
            let mut blows = Blows::default();
            blows.add(at_ms..at_ms + 1);
            blows
        };
        assert_eq!(came_back(&again, &blow_at(1025)), ["message 0 came again at 30 ms"]);
        assert_eq!(came_back(&again, &blow_at(1015)), Vec::<String>::new());
    }
}

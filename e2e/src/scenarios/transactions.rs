//! Topics of type TRANSACTION: message `index` is committed or rolled back by a rule, whoever decides it, its sender or a
//! checker.
//!
//! ```text
//!   index % 3:  0 committed   1 rolled back   2 left to the checker: committed and rolled back in turn
//! ```
//!
//! Promise: what was committed is received once, what was not is never received, and every question shows the message.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::blows::Blows;
use crate::cells::Cell;
use crate::scenarios::Stage;
use crate::sdk::Sdk;
use crate::sdk::report::{Received, Report, Verdict};
use crate::verify;

/// Messages of a round.
pub const COUNT: usize = 24;

/// The property by which a delivery names its transaction.
const PROPERTY: &str = "__transactionId__";
/// What an SDK shows as the type of such a message, if it shows one.
const MESSAGE_TYPE: u32 = 4;

pub(super) fn play(stage: &Stage<'_>) -> Result<Vec<String>> {
    let count = COUNT.to_string();
    let options = ["--count", &count, "--producers", producers(stage.play.cell)];
    if !stage.is_disturbed() {
        let (report, blows) = stage.run("transaction", &options[..2], "0")?;
        let found = [problems(&report, COUNT, &blows), unasked(&report, COUNT), unanswered(&report)];
        return Ok(found.concat());
    }
    let (report, blows) = stage.run("transaction-held", &options, "100")?;
    Ok([problems(&report, report.sent.len(), &blows), refused(&report)].concat())
}

/// How many a program needs if the broker goes away before the decisions: of Go's and Python's only a new one is asked soon
/// after that, for theirs come back after up to 5 minutes.
pub fn producers(cell: Cell) -> &'static str {
    if matches!(cell.0, Sdk::Go | Sdk::Python) { "2" } else { "1" }
}

/// Decisions of the sender that the broker did not answer.
fn unanswered(report: &Report) -> Vec<String> {
    let all = (0..COUNT).filter(|index| !is_left(*index));
    let is_answered = all.clone().eq(report.decided.iter().copied());
    (!is_answered)
        .then(|| format!("decided only {:?}: {:?}", report.decided, report.errors))
        .into_iter()
        .collect()
}

/// Decisions that the broker refused: all of them agree, so it may refuse none.
pub fn refused(report: &Report) -> Vec<String> {
    let is_refused = |text: &&String| text.contains("transaction is") || text.contains("transaction was");
    report.errors.iter().filter(is_refused).cloned().collect()
}

/// Whether message `index` is committed in the end.
pub fn commits(index: usize) -> bool {
    index.is_multiple_of(3) || index % 6 == 2
}

/// Whether its sender leaves it to the checker.
pub fn is_left(index: usize) -> bool {
    index % 3 == 2
}

/// What is wrong with the deliveries of `count` messages, and with the questions about them.
pub fn problems(report: &Report, count: usize, blows: &Blows) -> Vec<String> {
    let mut wrong = Vec::new();
    if !report.ok {
        wrong.push(format!("did not come to its end: {}", report.errors.join("; ")));
    }
    let mut got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
    got.sort_unstable();
    if !blows.is_none() {
        got.dedup();
    }
    let committed: Vec<usize> = (0..count).filter(|index| commits(*index)).collect();
    if got != committed {
        wrong.push(format!("received {got:?}, and committed are {committed:?}"));
    }
    let known: BTreeMap<usize, (&str, &str)> = report
        .sent
        .iter()
        // Its sender knows only the last of the tries that may be stored.
        .filter(|sent| !blows.doubt(report, sent))
        .filter_map(|sent| Some((sent.index, (sent.id.as_str(), sent.transaction.as_deref()?))))
        .collect();
    for message in report.received.iter().chain(&report.checks) {
        wrong.extend(content(message, known.get(&message.index).copied()));
    }
    for check in &report.checks {
        let decision = if commits(check.index) { Verdict::Commit } else { Verdict::Rollback };
        assert!(
            [decision, Verdict::Unknown].contains(&check.verdict),
            "the program breaks its rule: {check:?}"
        );
    }
    wrong
}

/// What is wrong with a message as a consumer or a checker sees it; its sender knows it by these ids.
fn content(message: &Received, ids: Option<(&str, &str)>) -> Option<String> {
    let body = format!("message {}", message.index);
    let named = message.properties.get(PROPERTY).map(String::as_str);
    let is_right = message.bytes == body.len()
        && message.sha256 == verify::sha256(body.as_bytes())
        && message.tag == Some(format!("t{}", message.index % 3))
        && message.message_type.is_none_or(|shown| shown == MESSAGE_TYPE)
        && named.is_some_and(|named| named.ends_with(&message.id))
        && ids.is_none_or(|ids| ids == (message.id.as_str(), named.unwrap_or_default()));
    (!is_right).then(|| format!("sent as {ids:?}, shown as {message:?}"))
}

/// Messages that the checker was not asked about until it knew, or not for the first, second, third time in turn.
pub fn unasked(report: &Report, count: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for index in (0..count).filter(|index| is_left(*index)) {
        let asked: Vec<&Received> = report.checks.iter().filter(|check| check.index == index).collect();
        let turns: Vec<u32> = asked.iter().map(|check| check.attempt).collect();
        let knew = asked.last().is_some_and(|check| check.verdict != Verdict::Unknown);
        if !knew || !turns.iter().copied().eq(1..=turns.len() as u32) {
            wrong.push(format!(
                "message {index} was asked about as {turns:?}, and it was known in the end: {knew}"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: usize, verdict: &str, attempt: u32) -> serde_json::Value {
        let body = format!("message {index}");
        serde_json::json!({
            "id": format!("id{index}"), "topic": "t", "index": index, "tag": format!("t{}", index % 3), "keys": [],
            "properties": {PROPERTY: format!("1-id{index}")}, "attempt": attempt, "group": null, "offset": index,
            "bytes": body.len(), "sha256": verify::sha256(body.as_bytes()), "verdict": verdict, "atMs": 0,
        })
    }

    /// Three messages were sent; these were received, and asked about with this answer for the nth time.
    fn report(received: &[usize], checks: &[(usize, &str, u32)]) -> Report {
        let sent: Vec<_> = (0..3)
            .map(|n| serde_json::json!({"id": format!("id{n}"), "index": n, "transaction": format!("1-id{n}")}))
            .collect();
        let received: Vec<_> = received.iter().map(|index| message(*index, "ack", 1)).collect();
        let checks: Vec<_> =
            checks.iter().map(|(index, answer, turn)| message(*index, answer, *turn)).collect();
        let text = serde_json::json!({
            "sdk": "go", "version": "", "run": "", "ok": true, "failures": 0, "elapsedMs": 0,
            "sent": sent, "received": received, "checks": checks,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_was_committed_comes_once_and_nothing_else_does() {
        let calm = Blows::default();
        assert_eq!(problems(&report(&[2, 0], &[]), 3, &calm), Vec::<String>::new());
        for wrong in [&[0][..], &[0, 2, 2], &[0, 1, 2]] {
            assert_eq!(problems(&report(wrong, &[]), 3, &calm).len(), 1, "{wrong:?}");
        }
        let mut blows = Blows::default();
        blows.add(1000..1001);
        assert_eq!(problems(&report(&[0, 2, 2], &[]), 3, &blows), Vec::<String>::new());
        assert_eq!(problems(&report(&[0, 1, 2], &[]), 3, &blows).len(), 1);
    }

    #[test]
    fn a_delivery_that_names_another_transaction_is_wrong() {
        let mut other = report(&[0, 2], &[]);
        other.received[1].properties.insert(PROPERTY.to_owned(), "2-id2".to_owned());
        assert_eq!(problems(&other, 3, &Blows::default()).len(), 1);
    }

    #[test]
    fn questions_come_in_turn_until_the_answer_is_known() {
        let asked = report(&[0, 2], &[(2, "unknown", 1), (2, "commit", 2)]);
        assert_eq!((problems(&asked, 3, &Blows::default()), unasked(&asked, 3)), (Vec::new(), Vec::new()));
        for checks in [&[][..], &[(2, "unknown", 1)], &[(2, "commit", 2)]] {
            assert_eq!(unasked(&report(&[0, 2], checks), 3).len(), 1, "{checks:?}");
        }
    }
}

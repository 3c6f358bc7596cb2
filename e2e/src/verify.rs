//! Holds a report against the rules of the scenario: every message as it has to be, every delivery as it has to come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::blows::Blows;
use crate::sdk::report::{Received, Report, Verdict};
use crate::sdk::{Call, Scenario};

/// Everything that is wrong with the report of `count` messages; empty: nothing.
pub fn problems(call: &Call, scenario: Scenario, count: usize, report: &Report) -> Vec<String> {
    disturbed_problems(call, scenario, count, report, &Blows::default())
}

/// As `problems`, of a run with blows, which sends `count` messages or more.
pub fn disturbed_problems(
    call: &Call,
    scenario: Scenario,
    count: usize,
    report: &Report,
    blows: &Blows,
) -> Vec<String> {
    let count = if blows.is_none() { count } else { count.max(report.sent.len()) };
    let mut wrong = Vec::new();
    if !report.ok {
        wrong.push(format!("did not come to its end: {}", report.errors.join("; ")));
    }
    let mut ids: BTreeMap<usize, &str> =
        report.sent.iter().map(|sent| (sent.index, sent.id.as_str())).collect();
    if scenario != Scenario::Receive && (ids.len() != count || report.sent.len() != count) {
        wrong.push(format!("{} of {count} messages were sent", report.sent.len()));
    }
    // Its sender knows only the last of the tries that may be stored.
    let in_doubt = report.sent.iter().filter(|sent| blows.doubt(report, sent)).map(|sent| sent.index);
    let in_doubt: BTreeSet<usize> = in_doubt.collect();
    ids.retain(|index, _| !in_doubt.contains(index));
    for delivery in &report.received {
        let id = ids.get(&delivery.index).copied();
        let about = format!("message {} attempt {}", delivery.index, delivery.attempt);
        wrong
            .extend(content(call, scenario, delivery, id).into_iter().map(|text| format!("{about}: {text}")));
    }
    let mut deliveries: BTreeMap<usize, Vec<&Received>> = BTreeMap::new();
    for delivery in &report.received {
        deliveries.entry(delivery.index).or_default().push(delivery);
    }
    for index in 0..count {
        let seen = deliveries.get(&index).map(Vec::as_slice).unwrap_or_default();
        let text = if blows.is_none() {
            course(call, scenario, index, seen)
        } else {
            let tries = || disturbed_attempts(call, scenario, seen, blows);
            let is_in_doubt = in_doubt.contains(&index);
            disturbed_course(scenario, index, seen).or_else(|| if is_in_doubt { None } else { tries() })
        };
        if let Some(text) = text {
            wrong.push(format!("message {index}: {text}"));
        }
    }
    wrong
}

/// The body of message `index`, as the SDK programs make it.
pub fn body(call: &Call, scenario: Scenario, index: usize) -> Vec<u8> {
    let pattern = |bytes: usize| (0..bytes).map(|j| (j * 31 + 7) as u8).collect();
    let awkward = matches!(scenario, Scenario::Roundtrip | Scenario::Send | Scenario::Receive);
    match index {
        0 if awkward => b"x".to_vec(),
        1 if awkward => pattern(1024),
        2 if awkward => "Grüße, 世界 🌍".as_bytes().to_vec(),
        3 if awkward => pattern(call.sdk.body_bytes_max()),
        4 if awkward => b"crc 31".to_vec(),
        5 if awkward => b"crc 432".to_vec(),
        _ => format!("message {index}").into_bytes(),
    }
}

/// The SHA-256 as the programs write it.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // cannot fail
        text
    })
}

fn tag(scenario: Scenario, index: usize) -> Option<String> {
    match (scenario, index % 4) {
        (Scenario::Tagfilter, 0) => Some("a".to_owned()),
        (Scenario::Tagfilter, 1) => Some("b".to_owned()),
        (Scenario::Tagfilter, 2) => Some("c".to_owned()),
        (Scenario::Tagfilter, _) => None,
        _ => Some(format!("t{}", index % 3)),
    }
}

/// What is wrong with a delivered message itself.
fn content(call: &Call, scenario: Scenario, delivery: &Received, id: Option<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |what: &str, is: &dyn std::fmt::Debug, should: &dyn std::fmt::Debug| {
        let (is, should) = (format!("{is:?}"), format!("{should:?}"));
        if is != should {
            wrong.push(format!("{what} is {is}, not {should}"));
        }
    };
    let body = body(call, scenario, delivery.index);
    hold("length", &delivery.bytes, &body.len());
    hold("SHA-256", &delivery.sha256, &sha256(&body));
    hold("tag", &delivery.tag, &tag(scenario, delivery.index));
    let keys: BTreeSet<&str> = delivery.keys.iter().map(String::as_str).collect();
    hold("keys", &keys, &BTreeSet::from([format!("k{}", delivery.index).as_str(), "schlüssel"]));
    hold("property index", &delivery.properties.get("index"), &Some(delivery.index.to_string()));
    hold("property note", &delivery.properties.get("note"), &Some("Grüße, 世界"));
    if let Some(id) = id {
        hold("id", &delivery.id, &id);
    }
    let dead = scenario == Scenario::Dlq && delivery.verdict == Verdict::Ack;
    let topic = if dead { format!("%DLQ%{}", call.group) } else { call.topic.clone() };
    hold("topic", &delivery.topic, &topic);
    wrong
}

/// What is wrong with the deliveries of one message, in the order of their arrival.
fn course(call: &Call, scenario: Scenario, index: usize, seen: &[&Received]) -> Option<String> {
    let attempts: Vec<u32> = seen.iter().map(|delivery| delivery.attempt).collect();
    let gap_ms = |from: usize| seen[from + 1].at_ms - seen[from].at_ms;
    match scenario {
        Scenario::Send => (!seen.is_empty()).then(|| "was received".to_owned()),
        Scenario::Roundtrip | Scenario::Receive => expect(&attempts, &[1]),
        Scenario::Redeliver => expect(&attempts, if index.is_multiple_of(2) { &[1, 2] } else { &[1] }),
        Scenario::Tagfilter => expect(&attempts, if index % 4 < 2 { &[1] } else { &[] }),
        Scenario::ChangeInvisible => expect(&attempts, &[1, 2]).or_else(|| {
            // 3 s were asked for instead of 60 s; an early delivery is wrong, a late one only within reason
            (!(2_900..30_000).contains(&gap_ms(0)))
                .then(|| format!("came back after {} ms, not 3 s", gap_ms(0)))
        }),
        Scenario::Dlq => {
            let dead = seen.iter().filter(|delivery| delivery.verdict == Verdict::Ack).count();
            let failed = attempts.len() - dead;
            let ok = dead == 1 && failed == crate::matrix::DLQ_ATTEMPTS as usize;
            (!ok).then(|| format!("{failed} deliveries failed and {dead} came from %DLQ%{}", call.group))
        }
    }
}

/// As `course`, while leaders were killed: a delivery may get lost on its way, or come again.
fn disturbed_course(scenario: Scenario, index: usize, seen: &[&Received]) -> Option<String> {
    let done = seen.iter().filter(|delivery| delivery.verdict == Verdict::Ack).count();
    let is_wanted = scenario != Scenario::Tagfilter || index % 4 < 2;
    let told = || seen.iter().map(|delivery| (delivery.attempt, delivery.came_ms)).collect::<Vec<_>>();
    ((done > 0) != is_wanted).then(|| format!("{done} deliveries were done, of (attempt, when) {:?}", told()))
}

/// What is wrong with the attempts of a message that is stored once, while leaders were killed.
fn disturbed_attempts(call: &Call, scenario: Scenario, seen: &[&Received], blows: &Blows) -> Option<String> {
    let (own, dead): (Vec<&Received>, Vec<&Received>) =
        seen.iter().partition(|delivery| delivery.topic == call.topic);
    // A first delivery is not recorded: what was held when a leader died comes again as if for the first time. Of a later one
    // the record may be lost.
    let lost = own.iter().filter(|delivery| delivery.attempt > 1 && blows.met(delivery.came_ms)).count();
    let most = crate::matrix::DLQ_ATTEMPTS as usize + blows.count() + lost;
    let is_over = scenario == Scenario::Dlq && own.len() > most;
    let falls = |pair: &[&Received]| pair[0].attempt > pair[1].attempt && !blows.met(pair[0].came_ms);
    let is_wrong = is_over || own.windows(2).any(falls) || dead.windows(2).any(falls);
    let attempts = |seen: &[&Received]| seen.iter().map(|delivery| delivery.attempt).collect::<Vec<u32>>();
    is_wrong.then(|| {
        format!("delivery attempts were {:?}, of dead letters {:?}", attempts(&own), attempts(&dead))
    })
}

fn expect(attempts: &[u32], wanted: &[u32]) -> Option<String> {
    (attempts != wanted).then(|| format!("delivery attempts were {attempts:?}, not {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::{Mode, Sdk};

    const BLOW_MS: u64 = 100_000;

    /// Problems of one message, whose leader was killed; deliveries as (attempt, when it came, whether it was done).
    fn problems(scenario: Scenario, index: usize, deliveries: &[(u32, u64, bool)]) -> Option<String> {
        let call = Call::new(Sdk::Go, Mode::Simple, "", "t", "g");
        let delivery = |(attempt, came_ms, is_done): &(u32, u64, bool)| {
            let is_dead = scenario == Scenario::Dlq && *is_done;
            let text = serde_json::json!({
                "id": "", "topic": if is_dead { "%DLQ%g" } else { "t" }, "index": index, "tag": null, "keys": [],
                "properties": {}, "attempt": attempt, "group": null, "offset": 0, "bytes": 0, "sha256": "",
                "verdict": if *is_done { "ack" } else { "fail" }, "atMs": 0, "cameMs": came_ms,
            });
            serde_json::from_value(text).unwrap()
        };
        let seen: Vec<Received> = deliveries.iter().map(delivery).collect();
        let mut blows = Blows::default();
        blows.add(BLOW_MS..BLOW_MS + 500);
        let seen: Vec<&Received> = seen.iter().collect();
        disturbed_course(scenario, index, &seen)
            .or_else(|| disturbed_attempts(&call, scenario, &seen, &blows))
    }

    #[test]
    fn what_a_filter_wants_comes_after_a_blow_too_and_nothing_else_does() {
        assert_eq!(problems(Scenario::Tagfilter, 0, &[(1, 0, true), (2, BLOW_MS + 1, true)]), None);
        assert!(problems(Scenario::Tagfilter, 1, &[]).is_some());
        assert!(problems(Scenario::Tagfilter, 2, &[(1, 0, true)]).is_some());
    }

    #[test]
    fn a_message_is_tried_once_more_for_each_blow_and_no_more() {
        let tries = [(1, 0, false), (1, BLOW_MS + 600, false), (2, BLOW_MS + 700, false), (1, 0, true)];
        assert_eq!(problems(Scenario::Dlq, 0, &tries), None);
        assert!(problems(Scenario::Dlq, 0, &tries[..3]).is_some());
        let more = [&[(1, 0, false)], &tries[..]].concat();
        assert!(problems(Scenario::Dlq, 0, &more).is_some());
        let lost = [&[(1, 0, false), (2, BLOW_MS - 10, false)], &tries[1..]].concat();
        assert_eq!(problems(Scenario::Dlq, 0, &lost), None);
    }

    #[test]
    fn the_count_of_attempts_falls_back_only_where_its_record_may_be_lost() {
        let again = |came_ms| [(1, 0, false), (2, came_ms, false), (1, BLOW_MS + 600, true)];
        assert_eq!(problems(Scenario::Redeliver, 0, &again(BLOW_MS - 10)), None);
        assert!(problems(Scenario::Redeliver, 0, &again(BLOW_MS - 2_000)).is_some());
        assert!(problems(Scenario::Redeliver, 0, &again(BLOW_MS + 550)).is_some());
    }
}

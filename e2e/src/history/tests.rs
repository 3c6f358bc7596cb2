//! Each violation is found, and a history without one is sound.

use super::{Delivery, History, Key, Outcome, Send};

fn key(number: usize) -> Key {
    Key { sender: 0, number, attempt: 0 }
}

fn delivery(queue: i32, offset: i64, number: usize) -> Delivery {
    Delivery { queue, offset, body: key(number).to_string(), attempt: 1, at_ms: 100 * number as u64 + 50 }
}

fn send(number: usize, outcome: Outcome) -> Send {
    let start = 100 * number as u64;
    Send { key: key(number), span_ms: start..start + 10, outcome, may_repeat: false }
}

/// Eight messages in two queues, in turn, all acknowledged and delivered.
fn sound() -> History {
    let place = |number: usize| [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)][number];
    let sends = (0..8).map(|number| send(number, Outcome::Acknowledged(place(number).1))).collect();
    let log: Vec<Delivery> =
        (0..8).map(|number| delivery(place(number).0, place(number).1, number)).collect();
    History { sends, deliveries: log.clone(), log, ..History::default() }
}

/// What a spoiled history is told.
fn told(spoil: impl FnOnce(&mut History)) -> String {
    let mut history = sound();
    spoil(&mut history);
    history.check().problems.join("\n")
}

fn assert_told(expected: &str, spoil: impl FnOnce(&mut History)) {
    let told = told(spoil);
    assert!(told.contains(expected), "`{told}` should say `{expected}`");
}

#[test]
fn a_history_without_a_violation_is_sound() {
    let findings = sound().check();
    findings.assert_sound();
    assert_eq!((findings.acknowledged, findings.delivered_again), (8, 0));
}

#[test]
fn a_lost_message_is_found() {
    assert_told("0.7.0 was acknowledged at offset 3 and is lost", |history| {
        history.log.pop();
        history.deliveries.pop();
    });
}

#[test]
fn a_message_at_another_place_than_its_receipt_said_is_found() {
    assert_told("0.3.0 was acknowledged at offset 9 and lies at [(1, 1)]", |history| {
        history.sends[3].outcome = Outcome::Acknowledged(9);
    });
}

#[test]
fn two_receipts_for_one_place_are_found() {
    assert_told("0.8.0 was acknowledged at offset 3 and is lost", |history| {
        history.sends.push(send(8, Outcome::Acknowledged(3)));
    });
}

#[test]
fn a_message_that_is_stored_twice_is_found_unless_its_client_tried_again() {
    let spoil = |history: &mut History| {
        history.log.push(delivery(0, 4, 7));
        history.deliveries.push(Delivery { at_ms: 900, ..delivery(0, 4, 7) });
    };
    assert_told("0.7.0 is stored more than once: [(1, 3), (0, 4)]", spoil);
    let mut history = sound();
    spoil(&mut history);
    history.sends[7].may_repeat = true;
    let findings = history.check();
    findings.assert_sound();
    assert_eq!(findings.stored_again, 1);
}

#[test]
fn a_refused_message_that_is_stored_is_found() {
    assert_told("0.7.0 was refused (no) and lies at [(1, 3)]", |history| {
        history.sends[7].outcome = Outcome::Refused("no".to_owned());
    });
}

#[test]
fn a_message_without_an_answer_may_be_stored_or_not() {
    let mut history = sound();
    history.sends[7].outcome = Outcome::Unknown("lost".to_owned());
    let findings = history.check();
    findings.assert_sound();
    assert_eq!((findings.unknown, findings.stored_without_answer), (1, 1));
    history.log.pop();
    history.deliveries.pop();
    let findings = history.check();
    findings.assert_sound();
    assert_eq!((findings.unknown, findings.stored_without_answer), (1, 0));
}

#[test]
fn a_message_that_nobody_sent_is_found() {
    assert_told("(0, 4) holds `junk`, which nobody sent", |history| {
        history.log.push(Delivery { body: "junk".to_owned(), ..delivery(0, 4, 8) });
    });
}

#[test]
fn a_place_that_named_two_messages_is_found() {
    assert_told("(1, 3) named {\"0.5.0\", \"0.7.0\"}", |history| {
        history.deliveries.insert(7, delivery(1, 3, 5));
        history.disturbed_ms.push(0..1000);
    });
}

#[test]
fn a_hole_is_found() {
    assert_told("queue 1 has nothing from offset 2 to 3", |history| {
        history.sends.remove(5);
        history.log.remove(5);
        history.deliveries.remove(5);
    });
    assert_told("queue 0 has nothing from offset 0 to 1", |history| {
        history.sends.remove(0);
        history.log.remove(0);
        history.deliveries.remove(0);
    });
}

#[test]
fn what_was_shown_and_taken_back_is_found() {
    assert_told("`0.8.0` was delivered from (0, 4) and is not stored", |history| {
        history.sends.push(send(8, Outcome::Unknown("lost".to_owned())));
        history.deliveries.push(delivery(0, 4, 8));
    });
}

#[test]
fn messages_that_lie_against_the_order_of_their_sends_are_found() {
    assert_told("0.4.0 at 1 was sent after 0.2.0 at 2 of queue 0 was acknowledged", |history| {
        history.sends[2].outcome = Outcome::Acknowledged(2);
        history.sends[4].outcome = Outcome::Acknowledged(1);
        for read in [&mut history.log, &mut history.deliveries] {
            let (two, four) = (read[2].body.clone(), read[4].body.clone());
            (read[2].body, read[4].body) = (four, two);
        }
    });
}

#[test]
fn a_first_delivery_out_of_order_is_found() {
    assert_told("offset 1 of queue 0 was delivered first at 250 ms, after offset 2", |history| {
        history.deliveries.swap(2, 4);
    });
    let mut history = sound();
    history.deliveries.swap(2, 4);
    history.deliveries[4].attempt = 2;
    history.check().assert_sound();
    history.deliveries[4].attempt = 1;
    history.deliveries[4].at_ms = 900;
    history.disturbed_ms.push(500..700);
    // begun after the later message had come, it cannot have held the earlier one
    history.lost_receives_ms.push(500..600);
    assert!(!history.check().problems.is_empty());
    history.lost_receives_ms.push(400..600);
    history.check().assert_sound();
    history.disturbed_ms.clear();
    assert!(!history.check().problems.is_empty());
    // 20 s after the receive was given up, and 15 s after the cut that had kept it on its way
    history.deliveries[4].at_ms = 20_700;
    history.disturbed_ms.push(500..700);
    assert!(!history.check().problems.is_empty());
    history.disturbed_ms.push(500..5_700);
    history.check().assert_sound();
}

#[test]
fn a_message_that_is_never_delivered_is_found() {
    assert_told("0.7.0 is stored and was never delivered", |history| {
        history.deliveries.pop();
    });
}

#[test]
fn a_delivery_that_comes_again_needs_a_reason() {
    let again = |attempt| Delivery { attempt, at_ms: 900, ..delivery(1, 3, 7) };
    assert_told("(1, 3) was delivered at 750 ms as attempt 1 and at 900 ms as attempt 1", |history| {
        history.deliveries.push(again(1));
        history.disturbed_ms = vec![0..700, 1000..2000];
    });
    let mut history = sound();
    history.deliveries.push(again(2));
    history.check().assert_sound();
    history.deliveries.pop();
    history.deliveries.push(again(1));
    history.disturbed_ms.push(800..850);
    let findings = history.check();
    findings.assert_sound();
    assert_eq!(findings.delivered_again, 1);
}

#[test]
fn times_are_measured_from_what_was_acknowledged() {
    let mut history = sound();
    // 4 and 5 are tried again, and 5 takes longest
    history.sends[4].outcome = Outcome::Unknown("lost".to_owned());
    history.sends[5].outcome = Outcome::Refused("no".to_owned());
    let again =
        Send { key: Key { attempt: 1, ..key(5) }, span_ms: 640..660, ..send(5, Outcome::Acknowledged(9)) };
    history.sends.push(again);
    assert_eq!(history.first_acknowledged_after(310), Some(300));
    assert_eq!(history.longest_gap_ms(&(310..500)), 300);
    assert_eq!(history.longest_gap_ms(&(0..90)), 100);
    assert_eq!(history.slowest_message_ms(&(500..600)), 160);
    assert_eq!(history.slowest_message_ms(&(700..710)), 10);
}

//! Messages that wait for their time.

use engine::catalog::TopicType;
use engine::group::{GroupConfig, RecallError};
use store::Position;
use store::disk::Disk;
use store::log::{Draft, Kind, Placed, Retention};

use crate::harness::{Broker, INVISIBLE_MS, config, message, texts};

fn at(due_ms: u64, text: &str) -> Draft {
    Draft { kind: Kind::Timed, due_ms, ..message(text, 7) }
}

fn broker(config: GroupConfig) -> Broker {
    Broker::of_type(config, TopicType::Delay)
}

fn send(broker: &mut Broker, due_ms: u64, text: &str) -> Placed {
    broker.send_drafts(vec![at(due_ms, text)]).unwrap()[0]
}

#[test]
fn a_message_comes_at_its_time_and_not_a_millisecond_before() {
    let mut broker = broker(config());
    let start_ms = broker.now_ms;
    for (after_ms, text) in [(3000, "c"), (1000, "a"), (2000, "b"), (2000, "B")] {
        send(&mut broker, start_ms + after_ms, text);
    }
    assert_eq!(broker.group.pending_timers(), 4);
    for (now_ms, comes) in
        [(999, vec![]), (1000, vec!["a"]), (1999, vec![]), (2000, vec!["B", "b"]), (9000, vec!["c"])]
    {
        broker.now_ms = start_ms + now_ms;
        assert_eq!(broker.take(), comes, "after {now_ms} ms");
    }
    assert_eq!(broker.group.pending_timers(), 0);
}

#[test]
fn it_is_an_entry_like_any_other_then() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 500;
    let lane = Draft { lane: 9, attempt: 0, ..at(due_ms, "later") };
    let sent = broker.send_drafts(vec![lane]).unwrap()[0];
    broker.now_ms = due_ms + 20;
    broker.step();
    let received = broker.receive(1);
    let delivery = &received.deliveries[0];
    assert_eq!((delivery.attempt, delivery.stored_ms, delivery.offset.0), (1, due_ms + 20, 0));
    assert!(delivery.position > sent.position, "a pointer, not the message itself");
    assert!(delivery.origin.is_none(), "it is no dead letter");
    assert_eq!(
        delivery.record.as_ref().unwrap().entry().position,
        sent.position,
        "and the body lies where it lay"
    );
    assert!(broker.receive_with(1, Some(&[8]), None).deliveries.is_empty());
}

#[test]
fn many_that_are_due_at_once_all_come() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    for n in 0..3000 {
        send(&mut broker, due_ms, &n.to_string());
    }
    broker.now_ms = due_ms;
    let mut got = Vec::new();
    while got.len() < 3000 {
        let some = broker.take();
        assert!(!some.is_empty(), "{} came", got.len());
        got.extend(some);
    }
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 3000);
}

#[test]
fn a_restart_forgets_none_and_repeats_none() {
    for checkpoints in [false, true] {
        let mut broker = broker(config());
        let start_ms = broker.now_ms;
        for n in 1..=6 {
            send(&mut broker, start_ms + n * 1000, &n.to_string());
        }
        broker.now_ms = start_ms + 2500;
        assert_eq!(broker.take(), ["1", "2"]);
        if checkpoints {
            broker.group.checkpoint().unwrap();
        }
        broker.now_ms = start_ms + 3500;
        assert_eq!(broker.take(), ["3"]);
        let mut broker = broker.restart();
        assert_eq!(broker.group.pending_timers(), 3);
        assert_eq!(broker.take(), Vec::<String>::new());
        // Away while two of them were due.
        broker.now_ms = start_ms + 5500;
        let mut broker = broker.restart();
        assert_eq!(broker.take(), ["4", "5"]);
        broker.now_ms = start_ms + 6000;
        assert_eq!(broker.take(), ["6"]);
    }
}

#[test]
fn a_message_for_the_day_after_next_month_comes_although_nobody_was_there_until_then() {
    let mut broker = broker(config());
    let day_ms = 24 * 3600 * 1000;
    let due_ms = broker.now_ms + 50 * day_ms;
    send(&mut broker, due_ms, "M");
    broker.group.flush_timers(broker.now_ms).unwrap();
    broker.group.checkpoint().unwrap();
    broker.now_ms = due_ms + 20 * day_ms;
    let mut broker = broker.restart();
    broker.group.work_timers(broker.now_ms).unwrap();
    assert_eq!(broker.take(), ["M"]);
}

#[test]
fn a_recalled_message_never_comes() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    let (gone, stays) = (send(&mut broker, due_ms, "gone"), send(&mut broker, due_ms, "stays"));
    let (topic, record) = broker.group.pending_message(due_ms, gone.position).unwrap().unwrap();
    assert_eq!((topic.spec.name.as_str(), &record.body()[..]), ("orders", &b"gone"[..]));
    let ticket = broker.group.recall(due_ms, gone.position, &broker.mailbox).unwrap();
    let again = broker.group.recall(due_ms, gone.position, &broker.mailbox);
    assert!(matches!(again, Err(RecallError::NotPending)), "while the first is on its way");
    broker.settle(Some(ticket));
    for position in [gone.position, Position(8)] {
        let late = broker.group.recall(due_ms, position, &broker.mailbox);
        assert!(matches!(late, Err(RecallError::NotPending)));
    }
    let mut broker = broker.restart();
    broker.now_ms = due_ms;
    assert_eq!(broker.take(), ["stays"]);
    let late = broker.group.recall(due_ms, stays.position, &broker.mailbox);
    assert!(matches!(late, Err(RecallError::NotPending)), "what was delivered cannot be recalled");
}

#[test]
fn what_is_on_its_way_to_its_queue_cannot_be_recalled() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    let sent = send(&mut broker, due_ms, "M");
    let recall = broker.group.recall(due_ms, sent.position, &broker.mailbox).unwrap();
    // The recall waits in the inbox when its time comes: it wins.
    broker.now_ms = due_ms;
    broker.settle(Some(recall));
    assert_eq!(broker.take(), Vec::<String>::new());
    assert_eq!(broker.group.pending_timers(), 0);
}

#[test]
fn on_a_full_disk_a_message_waits_until_there_is_room() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    send(&mut broker, due_ms, "M");
    broker.disk.set_capacity_bytes(Some(0));
    broker.now_ms = due_ms;
    for _ in 0..3 {
        broker.writer.step(broker.now_ms).unwrap();
        broker.now_ms += 1000;
    }
    assert!(broker.receive(1).deliveries.is_empty(), "there was no room for its pointer");
    broker.disk.set_capacity_bytes(None);
    broker.now_ms += 1000;
    assert_eq!(broker.take(), ["M"]);
}

#[test]
fn the_log_keeps_what_waits_and_an_old_message_is_copied_when_it_comes() {
    let retention = Retention { max_age_ms: 10_000, max_bytes: None };
    let small = store::log::LogConfig { segment_bytes: 64 << 10, ..config().log };
    let mut broker = broker(GroupConfig { retention: retention.into(), log: small, ..config() });
    let due_ms = broker.now_ms + 100_000;
    let sent = send(&mut broker, due_ms, "patient");
    let filling = "x".repeat(8 << 10);
    for _ in 0..40 {
        broker.now_ms += 2000;
        broker.send(&[filling.as_str()]);
        broker.group.checkpoint().unwrap();
        broker.writer.retain(broker.now_ms).unwrap();
        broker.group.work_timers(broker.now_ms).unwrap();
    }
    assert!(broker.group.log_state().head <= sent.position);
    broker.now_ms = due_ms;
    broker.step();
    for _ in 0..2 {
        broker.now_ms += 60_000;
        broker.group.checkpoint().unwrap();
        broker.group.work_timers(broker.now_ms).unwrap();
    }
    broker.writer.retain(broker.now_ms).unwrap();
    assert!(broker.group.log_state().head > sent.position, "nothing keeps it any more");
    broker.group.trim_index().unwrap();
    let received = broker.receive(32);
    assert!(texts(&received).contains(&"patient".to_owned()));
}

#[test]
fn a_delayed_message_that_fails_is_a_dead_letter_of_its_topic() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    send(&mut broker, due_ms, "bad");
    broker.now_ms = due_ms;
    broker.step();
    for _ in 0..4 {
        broker.receive(1);
        broker.step();
        broker.now_ms += INVISIBLE_MS;
    }
    broker.apply_group(&crate::harness::group_spec("undertaker", 3));
    let letters = broker.receive_from("%DLQ%billing", "undertaker", 8);
    assert_eq!(texts(&letters), ["bad"]);
    assert_eq!(letters.deliveries[0].origin.as_ref().unwrap().topic, "orders");
}

#[test]
fn a_message_of_a_deleted_topic_is_dropped() {
    let mut broker = broker(config());
    let due_ms = broker.now_ms + 1000;
    send(&mut broker, due_ms, "M");
    let (_, ticket) = broker.group.delete_topics(&["orders".to_owned()], None, &broker.mailbox).unwrap();
    broker.settle(ticket);
    broker.now_ms = due_ms;
    broker.step();
    assert_eq!(broker.group.pending_timers(), 0);
}

/// The disk fails at each call in turn; afterwards the message is there once.
#[test]
fn wherever_the_power_is_cut_a_message_that_was_answered_comes_once() {
    let mut cuts = 0;
    for call in 1.. {
        let mut broker = broker(config());
        let due_ms = broker.now_ms + 1000;
        send(&mut broker, due_ms, "M");
        let before = broker.disk.clone();
        broker.disk.crash_at(call);
        broker.now_ms = due_ms;
        let _ = broker.writer.step(due_ms);
        let _ = broker.group.checkpoint();
        let _ = broker.writer.step(due_ms);
        if !before.has_crashed() {
            break;
        }
        cuts += 1;
        let mut broker = broker.restart();
        broker.now_ms = due_ms;
        broker.step();
        let mut all = texts(&broker.receive(32));
        broker.now_ms += INVISIBLE_MS / 2;
        all.extend(broker.take());
        assert_eq!(all, ["M"], "cut at call {call}");
    }
    assert!(cuts > 3, "only {cuts} calls");
}

#[test]
fn timers_on_the_disk_come_in_time_too() {
    let mut broker = broker(config());
    let start_ms = broker.now_ms;
    let hour_ms = 3_600_000;
    for n in 0..50 {
        send(&mut broker, start_ms + (n % 10) * hour_ms + 1, &format!("{n:02}"));
    }
    // As if there were many: what is due later than in 20 minutes leaves memory.
    let files = |broker: &Broker| broker.disk.list("timeline").map_or(0, |names| names.len());
    broker.group.flush_timers(start_ms).unwrap();
    assert!(files(&broker) > 0);
    let mut broker = {
        broker.group.checkpoint().unwrap();
        broker.restart()
    };
    let mut got = Vec::new();
    for hour in 0..10 {
        broker.now_ms = start_ms + hour * hour_ms + 1;
        broker.group.work_timers(broker.now_ms).unwrap();
        let came = broker.take();
        assert_eq!(came.len(), 5, "hour {hour}");
        got.extend(came);
    }
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 50);
}

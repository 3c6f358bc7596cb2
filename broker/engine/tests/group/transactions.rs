//! Messages that become visible with the outcome of a transaction.

use engine::catalog::{ABANDONED_TRANSACTIONS_TOPIC, TopicSpec, TopicType};
use engine::group::{DecideError, Decision, GroupConfig, Received, TransactionId, transaction_of};
use engine::inbox::StoreError;
use store::log::{Draft, Flush, Kind, Placed, Retention};

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, text, texts, topic_spec};

/// Time from a half to its first check.
const FIRST_MS: u64 = 6000;

fn broker(config: GroupConfig) -> Broker {
    Broker::of_type(config, TopicType::Transaction)
}

fn half(broker: &mut Broker, text: &str) -> TransactionId {
    let check_ms = broker.now_ms + FIRST_MS;
    let draft = Draft { kind: Kind::Half, due_ms: check_ms, ..message(text, 7) };
    let Placed { position, .. } = broker.send_drafts(vec![draft]).unwrap()[0];
    TransactionId { check_ms, position }
}

fn decide(broker: &mut Broker, id: TransactionId, decision: Decision) -> Result<(), DecideError> {
    let ticket = broker.group.decide(&broker.topic(), id, decision, broker.now_ms, &broker.mailbox)?;
    broker.step();
    ticket.try_outcome().expect("answered by the step").unwrap();
    Ok(())
}

#[test]
fn a_message_is_seen_once_it_is_committed() {
    let mut broker = broker(config());
    let (stays, goes) = (half(&mut broker, "stays"), half(&mut broker, "goes"));
    assert_eq!(broker.take(), Vec::<String>::new());
    assert_eq!(broker.group.open_transactions(), 2);
    broker.now_ms += 500;
    decide(&mut broker, goes, Decision::RollBack).unwrap();
    assert_eq!(broker.take(), Vec::<String>::new());
    decide(&mut broker, stays, Decision::Commit).unwrap();
    let received = broker.receive(32);
    assert_eq!(texts(&received), ["stays"]);
    let delivery = &received.deliveries[0];
    assert_eq!((delivery.attempt, delivery.stored_ms), (1, broker.now_ms), "stored when it was committed");
    let entry = delivery.record.as_ref().unwrap().entry();
    assert_eq!((entry.kind, entry.position), (Kind::Half, stays.position), "and its body lies where it lay");
    assert!(delivery.origin.is_none(), "it is no dead letter");
    assert_eq!(broker.group.open_transactions(), 0);
}

#[test]
fn the_first_decision_stands_also_after_a_restart() {
    for checkpoints in [false, true] {
        let mut broker = broker(config());
        let (yes, no, open) = (half(&mut broker, "yes"), half(&mut broker, "no"), half(&mut broker, "open"));
        decide(&mut broker, yes, Decision::Commit).unwrap();
        if checkpoints {
            broker.group.checkpoint().unwrap();
        }
        decide(&mut broker, no, Decision::RollBack).unwrap();
        for _ in 0..2 {
            decide(&mut broker, yes, Decision::Commit).unwrap();
            decide(&mut broker, no, Decision::RollBack).unwrap();
            let late = decide(&mut broker, yes, Decision::RollBack).unwrap_err();
            assert!(matches!(late, DecideError::Decided(Decision::Commit)), "{late}");
            let late = decide(&mut broker, no, Decision::Commit).unwrap_err();
            assert!(matches!(late, DecideError::Decided(Decision::RollBack)), "{late}");
            broker = broker.restart();
            assert_eq!(broker.group.open_transactions(), 1);
        }
        assert_eq!(broker.take(), ["yes"]);
        decide(&mut broker, open, Decision::Commit).unwrap();
        assert_eq!(broker.restart().take(), ["open"]);
    }
}

#[test]
fn nobody_decides_while_another_decision_is_on_its_way() {
    let mut broker = broker(config());
    let id = half(&mut broker, "M");
    let (topic, mailbox, now_ms) = (broker.topic(), broker.mailbox.clone(), broker.now_ms);
    let first = broker.group.decide(&topic, id, Decision::Commit, now_ms, &mailbox).unwrap();
    for decision in [Decision::Commit, Decision::RollBack] {
        let second = broker.group.decide(&topic, id, decision, now_ms, &mailbox);
        assert!(matches!(second, Err(DecideError::Deciding)), "{second:?}");
    }
    broker.settle(Some(first));
    assert_eq!(broker.take(), ["M"]);
}

#[test]
fn what_was_never_there_cannot_be_decided() {
    let mut broker = broker(config());
    broker.apply_topic(&TopicSpec { topic_type: TopicType::Transaction, ..topic_spec("other", 1) });
    let id = half(&mut broker, "M");
    let elsewhere = TransactionId { position: store::Position(id.position.0 + 8), ..id };
    let other_time = TransactionId { check_ms: id.check_ms + 1, ..id };
    for wrong in [elsewhere, other_time] {
        let answer = decide(&mut broker, wrong, Decision::Commit);
        assert!(matches!(answer, Err(DecideError::NotOpen)), "{answer:?}");
    }
    let other = broker.group.topic("other").unwrap();
    let answer = broker.group.decide(&other, id, Decision::Commit, broker.now_ms, &broker.mailbox);
    assert!(matches!(answer, Err(DecideError::NotOpen)), "of another topic");
    decide(&mut broker, id, Decision::Commit).unwrap();
    assert_eq!(broker.take(), ["M"]);
}

#[test]
fn a_decision_that_found_no_room_can_be_made_again() {
    let mut broker = broker(config());
    let id = half(&mut broker, "M");
    broker.disk.set_capacity_bytes(Some(0));
    let ticket = broker.group.decide(&broker.topic(), id, Decision::Commit, broker.now_ms, &broker.mailbox);
    broker.step();
    assert_eq!(ticket.unwrap().try_outcome().unwrap(), Err(StoreError::DiskFull));
    broker.disk.set_capacity_bytes(None);
    decide(&mut broker, id, Decision::RollBack).unwrap();
    assert_eq!(broker.take(), Vec::<String>::new());
}

#[test]
fn senders_are_asked_in_time_and_a_message_that_nobody_decides_is_put_aside() {
    let mut broker = broker(config());
    let sent_ms = broker.now_ms;
    let id = half(&mut broker, "lost");
    let decided = half(&mut broker, "decided");
    decide(&mut broker, decided, Decision::Commit).unwrap();
    assert_eq!(broker.take(), ["decided"]);
    // The harness says: every second, three times.
    for (after_ms, check) in
        [(5999, None), (6000, Some(1)), (6500, None), (7000, Some(2)), (8000, Some(3)), (9000, None)]
    {
        broker.now_ms = sent_ms + after_ms;
        let checks = broker.group.due_checks(broker.now_ms).due;
        assert_eq!(checks.first().map(|check| check.check), check, "after {after_ms} ms");
        for check in checks {
            broker.group.asked(&check);
            assert_eq!((check.id, check.topic.spec.name.as_str()), (id, "orders"));
            assert_eq!(&check.record.body()[..], b"lost");
        }
        broker.step();
    }
    assert_eq!(broker.group.open_transactions(), 0);
    assert_eq!(broker.take(), Vec::<String>::new());
    broker.apply_group(&group_spec("inspectors", 3));
    let aside = broker.receive_from(ABANDONED_TRANSACTIONS_TOPIC, "inspectors", 8);
    assert_eq!(texts(&aside), ["lost"]);
    assert_eq!(aside.deliveries[0].origin.as_ref().unwrap().topic, "orders");
    let late = decide(&mut broker, id, Decision::Commit);
    assert!(matches!(late, Err(DecideError::Decided(Decision::RollBack))), "{late:?}");
}

#[test]
fn an_outage_uses_up_no_check() {
    let mut broker = broker(config());
    let id = half(&mut broker, "M");
    broker.now_ms += 1_000_000;
    let mut broker = broker.restart();
    let checks = broker.group.due_checks(broker.now_ms).due;
    assert_eq!(checks.iter().map(|check| (check.id, check.check)).collect::<Vec<_>>(), [(id, 1)]);
    decide(&mut broker, id, Decision::Commit).unwrap();
    assert_eq!(broker.take(), ["M"]);
}

#[test]
fn while_there_is_nobody_to_ask_nothing_is_given_up_before_retention_wants_it() {
    let mut broker = broker(config());
    let sent_ms = broker.now_ms;
    let id = half(&mut broker, "M");
    // The harness keeps messages for 1,000,000 ms; a pointer is good for half of that.
    for after_ms in (FIRST_MS..500_000).step_by(5000) {
        broker.now_ms = sent_ms + after_ms;
        let checks = broker.group.due_checks(broker.now_ms).due;
        assert_eq!(checks.iter().map(|check| (check.id, check.check)).collect::<Vec<_>>(), [(id, 1)]);
    }
    broker.now_ms = sent_ms + 510_000;
    assert!(broker.group.due_checks(broker.now_ms).due.is_empty());
    broker.step();
    assert_eq!(broker.group.open_transactions(), 0);
    broker.apply_group(&group_spec("inspectors", 3));
    assert_eq!(texts(&broker.receive_from(ABANDONED_TRANSACTIONS_TOPIC, "inspectors", 8)), ["M"]);
}

#[test]
fn a_half_of_a_deleted_topic_is_dropped() {
    let mut broker = broker(config());
    half(&mut broker, "M");
    let (_, ticket) = broker.group.delete_topics(&["orders".to_owned()], None, &broker.mailbox).unwrap();
    broker.settle(ticket);
    broker.now_ms += FIRST_MS;
    assert!(broker.group.due_checks(broker.now_ms).due.is_empty());
    broker.step();
    assert_eq!(broker.group.open_transactions(), 0);
    assert!(broker.group.topic(ABANDONED_TRANSACTIONS_TOPIC).is_none());
}

#[test]
fn the_log_keeps_what_is_not_decided_and_an_old_message_is_copied_when_it_is() {
    let retention = Retention { max_age_ms: 10_000, max_bytes: None };
    let small = store::log::LogConfig { segment_bytes: 64 << 10, ..config().log };
    let mut broker = broker(GroupConfig { retention: retention.into(), log: small, ..config() });
    let id = half(&mut broker, "patient");
    let filling = "x".repeat(8 << 10);
    for _ in 0..40 {
        broker.now_ms += 2000;
        broker.send(&[filling.as_str()]);
        broker.group.checkpoint().unwrap();
        broker.writer.retain(broker.now_ms).unwrap();
    }
    assert!(broker.group.log_state().head <= id.position);
    decide(&mut broker, id, Decision::Commit).unwrap();
    assert_eq!(broker.group.open_transactions(), 0, "a copy decides too");
    for _ in 0..2 {
        broker.now_ms += 60_000;
        broker.group.checkpoint().unwrap();
    }
    broker.writer.retain(broker.now_ms).unwrap();
    assert!(broker.group.log_state().head > id.position, "nothing keeps it any more");
    broker.group.trim_index().unwrap();
    let copy_of = |received: &Received| {
        let copy = received.deliveries.iter().find(|delivery| text(delivery) == "patient");
        transaction_of(copy.expect("it is there").record.as_ref().unwrap())
    };
    assert_eq!(copy_of(&broker.receive(32)), Some(id));
    for _ in 0..3 {
        broker.now_ms += INVISIBLE_MS;
        broker.receive(32);
        broker.step();
    }
    broker.apply_group(&group_spec("undertaker", 2));
    let letters = broker.receive_from("%DLQ%billing", "undertaker", 32);
    assert_eq!(copy_of(&letters), Some(id), "a copy of the copy");
}

#[test]
fn what_a_power_cut_opens_again_can_be_decided_again() {
    let retention = Retention { max_age_ms: 10_000, max_bytes: None };
    let small = store::log::LogConfig { segment_bytes: 64 << 10, flush: Flush::Async, ..config().log };
    let filling = "x".repeat(8 << 10);
    let mut opened = 0;
    for cut in 0..8 {
        let mut broker = broker(GroupConfig { retention: retention.into(), log: small, ..config() });
        let id = half(&mut broker, "M");
        for _ in 0..40 {
            broker.now_ms += 2000;
            broker.send(&[filling.as_str()]);
        }
        for _ in 0..2 {
            broker.group.checkpoint().unwrap();
        }
        decide(&mut broker, id, Decision::RollBack).unwrap();
        // The decision is in memory, and not on the disk yet.
        broker.writer.retain(broker.now_ms).unwrap();
        let Broker { disk, config, group, writer, now_ms, .. } = broker;
        drop((group, writer));
        disk.power_cut(cut);
        let mut broker = Broker { now_ms, ..Broker::open(disk, config) };
        let checks = broker.group.due_checks(broker.now_ms);
        assert!(checks.unreadable.is_empty(), "{:?}", checks.unreadable);
        opened += checks.due.len();
        // As it was, if it stands.
        decide(&mut broker, id, Decision::RollBack).unwrap();
        assert_eq!(broker.group.open_transactions(), 0);
    }
    assert!(opened > 0, "no power cut took the decision");
}

/// The disk fails at each call in turn; a commit that was answered is seen once, one that was not at most once.
#[test]
fn wherever_the_power_is_cut_a_decision_holds_or_can_be_made() {
    let mut cuts = 0;
    for call in 1.. {
        let mut broker = broker(config());
        let id = half(&mut broker, "M");
        let before = broker.disk.clone();
        broker.disk.crash_at(call);
        let (topic, mailbox, now_ms) = (broker.topic(), broker.mailbox.clone(), broker.now_ms);
        let ticket = broker.group.decide(&topic, id, Decision::Commit, now_ms, &mailbox).unwrap();
        let _ = broker.writer.step(now_ms);
        let answered = matches!(ticket.try_outcome(), Some(Ok(_)));
        let _ = broker.group.checkpoint();
        let _ = broker.writer.step(now_ms);
        if !before.has_crashed() {
            break;
        }
        cuts += 1;
        let mut broker = broker.restart();
        if answered {
            assert_eq!(broker.group.open_transactions(), 0, "cut at call {call}");
        }
        decide(&mut broker, id, Decision::Commit).unwrap();
        let mut all = texts(&broker.receive(32));
        broker.now_ms += INVISIBLE_MS / 2;
        all.extend(broker.take());
        assert_eq!(all, ["M"], "cut at call {call}");
    }
    assert!(cuts > 3, "only {cuts} calls");
}

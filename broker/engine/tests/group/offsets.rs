//! Moving consumer groups to other places, and where they start.

use engine::catalog::{Adopt, ApplyOutcome, ConsumeFrom, ConsumerGroupSpec, Reset};
use engine::group::{MoveError, Place};
use engine::inbox::StoreError;
use engine::lease::LeaseError;
use store::Offset;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, texts, topic_spec};

/// Ten messages, stored one second apart, from `now_ms` on.
fn ten_messages(broker: &mut Broker) {
    for n in 0..10 {
        broker.send(&[&n.to_string()]);
        broker.now_ms += 1000;
    }
}

fn move_to(broker: &mut Broker, place: Place) -> Result<(), MoveError> {
    let (topic, group) = (broker.topic(), broker.billing());
    let queues = 0..topic.queues.len() as u32;
    let places = broker.group.places(&topic, queues, place, broker.now_ms)?;
    let ticket = broker.group.move_offsets(&group, &[(&topic, &places)], &broker.mailbox)?;
    broker.settle(Some(ticket));
    Ok(())
}

fn floor(broker: &Broker) -> Option<Offset> {
    broker.group.floor(&broker.topic(), &broker.billing(), 0)
}

fn with_reset(id: &str, topics: &[&str], to: ConsumeFrom) -> ConsumerGroupSpec {
    let topics = topics.iter().map(|&name| name.to_owned()).collect();
    ConsumerGroupSpec { reset: Some(Reset { id: id.to_owned(), topics, to }), ..group_spec("billing", 3) }
}

#[test]
fn a_group_that_is_moved_back_gets_everything_again_as_if_for_the_first_time() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    assert_eq!(broker.take().len(), 10);
    move_to(&mut broker, Place::Offset(Offset(4))).unwrap();
    assert_eq!(floor(&broker), Some(Offset(4)));
    let again = broker.receive(32);
    assert_eq!(texts(&again), ["4", "5", "6", "7", "8", "9"]);
    assert!(again.deliveries.iter().all(|delivery| delivery.attempt == 1));
}

#[test]
fn a_group_that_is_moved_ahead_passes_over_what_lies_between() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    let before = broker.receive(3);
    move_to(&mut broker, Place::Offset(Offset(7))).unwrap();
    assert_eq!(broker.take(), ["7", "8", "9"]);
    let late = broker.group.ack(&before.deliveries[0].receipt, broker.now_ms, &broker.mailbox);
    assert!(late.is_ok(), "what it says is so already: {late:?}");
    broker.now_ms += 2 * INVISIBLE_MS;
    assert!(broker.take().is_empty());
}

#[test]
fn receipts_from_before_a_move_are_no_good_for_what_comes_again() {
    let mut broker = Broker::new(1);
    broker.send(&["one", "two"]);
    let before = broker.receive(2);
    move_to(&mut broker, Place::Earliest).unwrap();
    let ack =
        |broker: &Broker| broker.group.ack(&before.deliveries[0].receipt, broker.now_ms, &broker.mailbox);
    assert!(matches!(ack(&broker), Err(LeaseError::NotDelivered(_))));
    let again = broker.receive(1);
    assert_eq!(ack(&broker), Err(LeaseError::Superseded));
    broker.ack_all(&again);
    assert_eq!(broker.take(), ["two"]);
}

#[test]
fn receipts_from_before_a_move_are_no_good_in_a_later_epoch_either() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    let before = broker.receive(10).deliveries.remove(9).receipt;
    move_to(&mut broker, Place::Earliest).unwrap();
    broker.group.checkpoint().unwrap();
    for _ in 0..2 {
        broker = broker.restart();
        let late = broker.group.ack(&before, broker.now_ms, &broker.mailbox);
        assert_eq!(late, Err(LeaseError::Expired));
    }
    assert_eq!(broker.take().len(), 10);
}

#[test]
fn a_move_right_after_the_first_receive_stands() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    assert_eq!(broker.receive(1).deliveries.len(), 1);
    let places = [(0, Offset(7))];
    let moved = broker.group.move_offsets(&broker.billing(), &[(&broker.topic(), &places)], &broker.mailbox);
    broker.settle(Some(moved.unwrap()));
    assert_eq!(floor(&broker.restart()), Some(Offset(7)));
}

#[test]
fn a_move_survives_a_restart_with_all_that_was_done_since() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    broker.take();
    move_to(&mut broker, Place::Offset(Offset(5))).unwrap();
    let some = broker.receive(2);
    broker.ack_all(&some);
    broker.step();
    let before = broker.summary();
    let mut broker = broker.restart();
    assert_eq!(floor(&broker), Some(Offset(7)));
    assert_eq!(broker.take(), ["7", "8", "9"]);
    broker.group.checkpoint().unwrap();
    let broker = broker.restart();
    assert_ne!(broker.summary(), before);
    assert_eq!(floor(&broker), Some(Offset(10)));
}

#[test]
fn a_replay_over_a_checkpoint_from_after_a_move_changes_nothing() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    broker.take();
    move_to(&mut broker, Place::Offset(Offset(2))).unwrap();
    broker.ack_all(&broker.receive(3));
    broker.step();
    broker.group.checkpoint().unwrap();
    broker.ack_all(&broker.receive(1));
    broker.step();
    let before = floor(&broker);
    assert_eq!(before, Some(Offset(6)));
    assert_eq!(floor(&broker.restart()), before);
}

#[test]
fn times_find_their_messages_and_the_future_is_refused() {
    let mut broker = Broker::new(1);
    let start_ms = broker.now_ms;
    ten_messages(&mut broker);
    broker.take();
    move_to(&mut broker, Place::Time(start_ms + 6500)).unwrap();
    assert_eq!(floor(&broker), Some(Offset(7)));
    move_to(&mut broker, Place::Time(0)).unwrap();
    assert_eq!(floor(&broker), Some(Offset(0)));
    let now_ms = broker.now_ms;
    let refused = move_to(&mut broker, Place::Time(now_ms + 1));
    assert!(matches!(refused, Err(MoveError::InFuture { .. })), "{refused:?}");
    let refused = move_to(&mut broker, Place::Offset(Offset(11)));
    assert!(matches!(refused, Err(MoveError::BeyondTail { tail: Offset(10), .. })), "{refused:?}");
    let (topic, group) = (broker.topic(), broker.billing());
    let refused = broker.group.move_offsets(&group, &[(&topic, &[(1, Offset(0))])], &broker.mailbox);
    assert!(matches!(refused, Err(MoveError::NoSuchQueue { queue: 1, .. })));
    assert_eq!(floor(&broker), Some(Offset(0)), "what is refused changes nothing");
}

#[test]
fn a_group_that_never_read_starts_with_its_first_move() {
    let mut broker = Broker::new(2);
    ten_messages(&mut broker);
    assert_eq!(floor(&broker), None);
    let (topic, group) = (broker.topic(), broker.billing());
    let ticket = broker.group.move_offsets(&group, &[(&topic, &[(0, Offset(4))])], &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    let floors =
        |broker: &Broker| [0, 1].map(|queue| broker.group.floor(&broker.topic(), &broker.billing(), queue));
    let expected = [Some(Offset(4)), Some(Offset(0))];
    assert_eq!(floors(&broker), expected, "the other queue as its definition says");
    assert_eq!(floors(&broker.restart()), expected);
}

#[test]
fn a_move_back_wakes_those_who_wait_and_frees_an_ordered_line() {
    let mut broker = Broker::new(1);
    broker.apply_group(&ConsumerGroupSpec { ordered: true, ..group_spec("billing", 3) });
    ten_messages(&mut broker);
    // Held and never acked: the line is blocked.
    assert_eq!(broker.receive(1).deliveries.len(), 1);
    let waiter = engine::waiter::Waiter::new(&broker.mailbox);
    assert!(broker.receive_with(1, None, Some(&waiter)).deliveries.is_empty());
    move_to(&mut broker, Place::Earliest).unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut woken = std::pin::pin!(waiter.woken());
    assert!(woken.as_mut().poll(&mut context).is_ready());
    assert_eq!(texts(&broker.receive_with(1, None, Some(&waiter))), ["0"]);
}

#[test]
fn a_definition_moves_its_group_once_for_each_id() {
    let mut broker = Broker::new(2);
    ten_messages(&mut broker);
    assert_eq!(broker.take().len(), 10);
    let back = with_reset("again", &[], ConsumeFrom::Earliest);
    assert_eq!(broker.apply_group(&back), ApplyOutcome::Changed);
    assert_eq!(broker.take().len(), 10);
    assert_eq!(broker.apply_group(&back), ApplyOutcome::Unchanged);
    let other = ConsumerGroupSpec { ordered: true, ..back.clone() };
    assert_eq!(broker.apply_group(&other), ApplyOutcome::Changed);
    let mut broker = broker.restart();
    assert!(broker.take().is_empty(), "the same id, also after a restart");
    assert_eq!(broker.apply_group(&other), ApplyOutcome::Unchanged);
    let half = with_reset("half", &["orders"], ConsumeFrom::Time(6000));
    assert_eq!(broker.apply_group(&half), ApplyOutcome::Changed);
    assert_eq!(broker.take(), ["5", "6", "7", "8", "9"]);
}

#[test]
fn a_definition_that_is_applied_again_while_it_is_on_its_way_moves_its_group_once() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    broker.take();
    let back = with_reset("again", &[], ConsumeFrom::Earliest);
    let apply = |broker: &Broker, spec: &ConsumerGroupSpec| {
        let specs = std::slice::from_ref(spec);
        broker.group.apply_consumer_groups(specs, Adopt::IfCompatible, &broker.mailbox).unwrap()
    };
    let (_, first) = apply(&broker, &back);
    for spec in [&back, &ConsumerGroupSpec { trace: true, ..back.clone() }] {
        let (outcomes, second) = apply(&broker, spec);
        assert!(matches!(outcomes[..], [ApplyOutcome::Pending(_)]) && second.is_none(), "{outcomes:?}");
    }
    broker.settle(first);
    assert_eq!(broker.take().len(), 10);
    assert_eq!(broker.apply_group(&back), ApplyOutcome::Unchanged);
    assert!(broker.take().is_empty());
}

#[test]
fn a_move_that_the_disk_refused_is_made_by_the_next_one_who_asks() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    broker.take();
    let back = with_reset("again", &[], ConsumeFrom::Earliest);
    broker.disk.set_capacity_bytes(Some(0));
    let specs = std::slice::from_ref(&back);
    let (_, first) = broker.group.apply_consumer_groups(specs, Adopt::IfCompatible, &broker.mailbox).unwrap();
    let first = first.unwrap();
    broker.step();
    assert_eq!(first.try_outcome(), Some(Err(StoreError::DiskFull)));
    broker.disk.set_capacity_bytes(None);
    assert_eq!(broker.apply_group(&back), ApplyOutcome::Changed);
    assert_eq!(broker.take().len(), 10);
}

#[test]
fn a_move_that_cannot_be_made_refuses_the_definition() {
    let mut broker = Broker::new(1);
    ten_messages(&mut broker);
    broker.take();
    let now_ms = broker.now_ms;
    for (reset, says) in [
        (with_reset("x", &["nothing"], ConsumeFrom::Earliest), "`nothing` does not exist"),
        (with_reset("x", &[], ConsumeFrom::Time(now_ms + 60_000)), "in the future"),
        (with_reset("", &[], ConsumeFrom::Earliest), "1 to 64"),
        (with_reset("x", &[], ConsumeFrom::Time(0)), "time to start at is missing"),
    ] {
        let ApplyOutcome::Invalid(why) = broker.apply_group(&reset) else { panic!("{reset:?}") };
        assert!(why.contains(says), "{why}");
    }
    assert!(broker.take().is_empty());
    assert_eq!(broker.billing().spec, group_spec("billing", 3));
}

#[test]
fn one_request_moves_what_it_can_and_refuses_the_rest() {
    let mut broker = Broker::new(1);
    broker.apply_group(&group_spec("audit", 3));
    ten_messages(&mut broker);
    broker.take();
    let audit =
        ConsumerGroupSpec { name: "audit".to_owned(), ..with_reset("x", &["no"], ConsumeFrom::Latest) };
    let specs = [audit, with_reset("x", &["orders"], ConsumeFrom::Earliest)];
    let (outcomes, ticket) =
        broker.group.apply_consumer_groups(&specs, Adopt::IfCompatible, &broker.mailbox).unwrap();
    broker.settle(ticket);
    assert!(matches!(outcomes[..], [ApplyOutcome::Invalid(_), ApplyOutcome::Changed]), "{outcomes:?}");
    assert_eq!(broker.take().len(), 10);
}

#[test]
fn a_group_that_is_created_with_a_move_starts_where_it_says_and_is_not_moved_later() {
    let mut broker = Broker::open(store::disk::sim::SimDisk::new(1), crate::harness::config());
    broker.apply_topic(&topic_spec("orders", 1));
    ten_messages(&mut broker);
    let spec = with_reset("first", &["orders"], ConsumeFrom::Latest);
    assert_eq!(broker.apply_group(&spec), ApplyOutcome::Created);
    assert_eq!(broker.apply_group(&spec), ApplyOutcome::Unchanged);
    assert_eq!(broker.take().len(), 10);
}

#[test]
fn a_group_can_start_at_a_time() {
    let mut broker = Broker::new(1);
    let start_ms = broker.now_ms;
    ten_messages(&mut broker);
    let spec =
        ConsumerGroupSpec { consume_from: ConsumeFrom::Time(start_ms + 8000), ..group_spec("late", 3) };
    broker.apply_group(&spec);
    assert_eq!(texts(&broker.receive_from("orders", "late", 9)), ["8", "9"]);
    broker.step();
    let broker = broker.restart();
    assert_eq!(broker.group.consumer_group("late").unwrap().spec, spec);
}

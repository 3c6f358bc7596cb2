//! Consumer groups that stop to read a topic, and what is told about those that read it.

use engine::group::Backlog;
use store::Offset;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, texts};

fn forget(broker: &mut Broker) -> bool {
    let (topic, group) = (broker.topic(), broker.billing());
    let Some(submitted) = broker.group.forget(&topic, &group, &broker.mailbox) else { return false };
    broker.settle(Some(submitted.unwrap()));
    true
}

fn backlog(broker: &Broker) -> Backlog {
    let (topic, group) = (broker.topic(), broker.billing());
    let mut all = broker.group.backlog(&topic, &group, broker.now_ms);
    assert_eq!(all.len(), 1, "one queue");
    all.remove(0)
}

#[test]
fn a_group_that_stopped_to_read_starts_anew_when_it_reads_again() {
    let mut broker = Broker::new(1);
    broker.send(&["0", "1", "2"]);
    assert_eq!(broker.take(), ["0", "1", "2"]);
    assert!(forget(&mut broker));
    assert!(broker.group.progress(&broker.billing()).is_empty());
    assert!(!forget(&mut broker), "there is nothing to forget any more");
    assert_eq!(broker.take(), ["0", "1", "2"]);
    assert!(broker.take().is_empty());
}

#[test]
fn what_was_forgotten_stays_so_over_a_restart_and_so_does_what_was_done_since() {
    for has_checkpoint in [false, true] {
        let mut broker = Broker::new(1);
        broker.send(&["0", "1", "2"]);
        broker.take();
        assert!(forget(&mut broker));
        if has_checkpoint {
            broker.group.checkpoint().unwrap();
        }
        let mut broker = broker.restart();
        assert!(broker.group.progress(&broker.billing()).is_empty());
        let first = broker.receive(1);
        broker.ack_all(&first);
        broker.step();
        if has_checkpoint {
            broker.group.checkpoint().unwrap();
        }
        let before = broker.summary();
        let mut broker = broker.restart();
        assert_eq!(broker.summary(), before);
        assert_eq!(broker.take(), ["1", "2"]);
    }
}

#[test]
fn other_groups_of_the_topic_stay_where_they_are() {
    let mut broker = Broker::new(1);
    broker.apply_group(&group_spec("audit", 3));
    broker.send(&["0", "1"]);
    broker.take();
    let others = broker.receive_from("orders", "audit", 1);
    broker.ack_all(&others);
    broker.step();
    assert!(forget(&mut broker));
    assert_eq!(texts(&broker.receive_from("orders", "audit", 9)), ["1"]);
}

#[test]
fn a_receipt_from_before_does_not_ack_what_is_held_since() {
    let mut broker = Broker::new(1);
    broker.send(&["0"]);
    let before = broker.receive(1);
    assert!(forget(&mut broker));
    let since = broker.receive(1);
    assert_eq!(texts(&since), ["0"]);
    // Told as done, or refused: it must not count.
    let _ = broker.group.ack(&before.deliveries[0].receipt, broker.now_ms, &broker.mailbox);
    broker.step();
    broker.now_ms += 2 * INVISIBLE_MS;
    assert_eq!(broker.take(), ["0"], "nobody acked it");
}

#[test]
fn a_receipt_from_before_and_of_an_earlier_start_does_not_count_either() {
    for has_checkpoint in [false, true] {
        let mut broker = Broker::new(1);
        broker.send(&["0", "1"]);
        let before = broker.receive(2);
        broker.step();
        let mut broker = broker.restart();
        assert!(forget(&mut broker));
        if has_checkpoint {
            broker.group.checkpoint().unwrap();
        }
        let mut broker = broker.restart();
        // It begins anew, and may get everything once more.
        assert_eq!(texts(&broker.receive(1)), ["0"]);
        broker.now_ms += 2 * INVISIBLE_MS;
        for delivery in &before.deliveries {
            let acked = broker.group.ack(&delivery.receipt, broker.now_ms, &broker.mailbox);
            assert!(acked.is_err(), "{acked:?}");
        }
        broker.step();
        assert_eq!(broker.take(), ["0", "1"], "checkpoint: {has_checkpoint}");
    }
}

#[test]
fn who_waits_for_a_group_that_is_forgotten_is_woken_and_begins_anew() {
    let mut broker = Broker::new(1);
    broker.send(&["0"]);
    assert_eq!(broker.take(), ["0"]);
    let waiter = engine::waiter::Waiter::new(&broker.mailbox);
    assert!(broker.receive_with(1, None, Some(&waiter)).deliveries.is_empty());
    assert!(forget(&mut broker));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut woken = std::pin::pin!(waiter.woken());
    assert!(woken.as_mut().poll(&mut context).is_ready());
    assert_eq!(texts(&broker.receive_with(1, None, Some(&waiter))), ["0"]);
}

#[test]
fn what_is_held_and_what_is_ready_is_told_without_changing_it() {
    let mut broker = Broker::new(1);
    broker.send(&["0", "1", "2", "3"]);
    let held = broker.receive(2);
    broker.step();
    let told = backlog(&broker);
    assert_eq!((told.oldest, told.floor, told.next, told.tail), (Offset(0), Offset(0), Offset(2), Offset(4)));
    assert_eq!((told.in_flight, told.ready, told.first_ready), (2, 2, Some(Offset(2))));
    broker.group.ack(&held.deliveries[0].receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
    assert_eq!((backlog(&broker).floor, backlog(&broker).in_flight), (Offset(1), 1));
    broker.now_ms += INVISIBLE_MS;
    let told = backlog(&broker);
    assert_eq!((told.in_flight, told.ready, told.first_ready), (0, 3, Some(Offset(1))), "its time is over");
    assert_eq!(backlog(&broker), told, "looking changes nothing");
    assert_eq!(broker.take(), ["1", "2", "3"]);
    let told = backlog(&broker);
    assert_eq!((told.in_flight, told.ready, told.first_ready), (0, 0, None));
}

#[test]
fn the_time_of_a_message_is_told_while_it_is_kept() {
    let mut broker = Broker::new(1);
    let queue = broker.topic().queues[0];
    broker.send(&["0"]);
    broker.now_ms += 500;
    broker.send(&["1"]);
    let times: Vec<_> = (0..3).map(|offset| broker.group.stored_ms(queue, Offset(offset)).unwrap()).collect();
    assert_eq!(times, [Some(1000), Some(1500), None]);
}

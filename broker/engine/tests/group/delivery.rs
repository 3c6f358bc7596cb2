//! Send, receive, ack, extend, filter.

use engine::catalog::ConsumeFrom;
use engine::lease::LeaseError;
use store::Offset;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, message, text, texts, topic_spec};

#[test]
fn a_message_is_received_once_acked_and_gone() {
    let mut broker = Broker::new(1);
    let placed = broker.send(&["one"]);
    assert_eq!(placed[0].offset, Offset(0));
    let received = broker.receive(10);
    assert_eq!(texts(&received), ["one"]);
    assert!(broker.receive(10).deliveries.is_empty());
    broker.ack_all(&received);
    broker.now_ms += 2 * INVISIBLE_MS;
    assert!(broker.receive(10).deliveries.is_empty());
}

#[test]
fn an_expired_lease_is_offered_again_with_one_more_attempt() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    let first = broker.receive(1);
    assert_eq!(first.next_due_ms, Some(broker.now_ms + INVISIBLE_MS));
    broker.now_ms += INVISIBLE_MS;
    let second = broker.receive(1);
    let attempts = [first.deliveries[0].attempt, second.deliveries[0].attempt];
    assert_eq!(attempts, [1, 2]);
    let acked = broker.group.ack(&first.deliveries[0].receipt, broker.now_ms, &broker.mailbox);
    assert_eq!(acked, Err(LeaseError::Expired));
    broker.ack_all(&second);
}

#[test]
fn the_receipt_before_an_extension_is_refused_and_the_redelivery_is_acked() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    let a = broker.receive(1).deliveries.remove(0).receipt;
    let b = broker.group.extend(&a, 5_000, broker.now_ms).unwrap();
    assert_eq!(broker.group.ack(&a, broker.now_ms, &broker.mailbox), Err(LeaseError::Superseded));
    broker.now_ms += 4_999;
    assert!(broker.receive(1).deliveries.is_empty());
    broker.now_ms += 1;
    let c = broker.receive(1).deliveries.remove(0).receipt;
    assert_eq!(c.attempt, 2);
    assert!(broker.group.ack(&b, broker.now_ms, &broker.mailbox).is_err());
    assert_eq!(broker.group.ack(&c, broker.now_ms, &broker.mailbox), Ok(()));
    assert_eq!(broker.group.ack(&c, broker.now_ms, &broker.mailbox), Ok(()), "acked again before it expired");
}

#[test]
fn a_renewed_receipt_stays_good() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    let receipt = broker.receive(1).deliveries.remove(0).receipt;
    broker.group.renew(&receipt, broker.now_ms + 50_000, broker.now_ms).unwrap();
    broker.now_ms += 40_000;
    assert!(broker.receive(1).deliveries.is_empty());
    assert_eq!(broker.group.ack(&receipt, broker.now_ms, &broker.mailbox), Ok(()));
}

#[test]
fn one_receive_drains_every_queue() {
    let mut broker = Broker::new(8);
    for n in 0..16 {
        broker.send(&[&n.to_string()]);
    }
    let received = broker.receive(32);
    let queues: std::collections::BTreeSet<_> =
        received.deliveries.iter().map(|delivery| delivery.queue_index).collect();
    assert_eq!((received.deliveries.len(), queues.len()), (16, 8));
}

#[test]
fn queues_take_turns_when_received_one_by_one() {
    let mut broker = Broker::new(4);
    for n in 0..8 {
        broker.send(&[&n.to_string()]);
    }
    let queues: Vec<_> = (0..4).map(|_| broker.receive(1).deliveries[0].queue_index).collect();
    let distinct: std::collections::BTreeSet<_> = queues.iter().collect();
    assert_eq!(distinct.len(), 4, "{queues:?}");
}

#[test]
fn a_request_keeps_its_order_in_one_queue() {
    let mut broker = Broker::new(4);
    broker.send(&["a", "b", "c"]);
    let received = broker.receive(3);
    assert_eq!(texts(&received), ["a", "b", "c"]);
    assert_eq!(received.deliveries[2].offset, Offset(2));
}

#[test]
fn unwanted_tags_are_done_without_being_delivered() {
    let mut broker = Broker::new(1);
    let drafts = (0..1000).map(|n| message(&n.to_string(), u32::from(n % 100 == 0))).collect();
    broker.send_drafts(drafts).unwrap();
    let received = broker.receive_with(32, Some(&[1]), None);
    assert_eq!(received.deliveries.len(), 10);
    let progress = &broker.group.progress(&broker.billing())[0];
    assert_eq!((progress.next, progress.lag, progress.in_flight), (Offset(1000), 10, 10));
    broker.ack_all(&received);
    assert_eq!(broker.group.progress(&broker.billing())[0].floor, Offset(1000));
    assert!(broker.receive(1).deliveries.is_empty());
}

#[test]
fn a_search_through_unwanted_messages_stops_early_and_says_so() {
    let mut broker = Broker::new(1);
    for _ in 0..10 {
        broker.send_drafts((0..500).map(|_| message("x", 0)).collect()).unwrap();
    }
    let first = broker.receive_with(32, Some(&[1]), None);
    assert_eq!((first.deliveries.len(), first.next_due_ms), (0, Some(broker.now_ms)));
    let second = broker.receive_with(32, Some(&[1]), None);
    assert_eq!((second.deliveries.len(), second.next_due_ms), (0, None));
}

#[test]
fn groups_do_not_see_each_other() {
    let mut broker = Broker::new(2);
    broker.apply_group(&group_spec("audit", 3));
    broker.send(&["one"]);
    broker.ack_all(&broker.receive(1));
    let received = broker.receive_from("orders", "audit", 1);
    assert_eq!(texts(&received), ["one"]);
}

#[test]
fn a_group_that_starts_with_the_latest_sees_only_what_comes_after_its_first_receive() {
    let mut broker = Broker::new(2);
    broker.apply_group(&engine::catalog::ConsumerGroupSpec {
        consume_from: ConsumeFrom::Latest,
        ..group_spec("late", 3)
    });
    broker.send(&["before"]);
    assert!(broker.receive_from("orders", "late", 9).deliveries.is_empty());
    broker.send(&["after"]);
    // Its place is a record: it must not start anew at the end.
    broker.step();
    let mut broker = broker.restart();
    broker.send(&["later"]);
    let mut found = texts(&broker.receive_from("orders", "late", 9));
    found.sort();
    assert_eq!(found, ["after", "later"]);
}

#[test]
fn cold_records_are_loaded_on_demand() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    broker.disk.set_cold(true);
    let mut broker = broker.restart();
    broker.now_ms += 1;
    let mut received = broker.receive(1);
    let delivery = &mut received.deliveries[0];
    if delivery.record.is_none() {
        broker.group.load(delivery).unwrap();
    }
    assert_eq!(text(delivery), "one");
}

#[test]
fn messages_older_than_their_topic_keeps_them_are_passed_over() {
    let mut broker = Broker::new(1);
    let spec = engine::catalog::TopicSpec { retention_ms: 500, ..topic_spec("orders", 1) };
    broker.apply_topic(&spec);
    broker.send(&["old"]);
    broker.now_ms += 500;
    broker.send(&["young"]);
    assert_eq!(texts(&broker.receive(2)), ["young"]);
}

#[test]
fn more_queues_are_used_and_read_at_once() {
    let mut broker = Broker::new(1);
    let stale = broker.topic();
    broker.ack_all(&broker.receive(1));
    broker.apply_topic(&topic_spec("orders", 4));
    for n in 0..4 {
        broker.send(&[&n.to_string()]);
    }
    assert_eq!(stale.queues.len(), 1);
    let billing = broker.billing();
    let request = engine::group::Receive {
        group: &billing,
        topic: &stale,
        tags: None,
        max: 9,
        invisible_ms: 1000,
        attempt_id: None,
        mailbox: &broker.mailbox,
    };
    let received = broker.group.receive(&request, broker.now_ms, None).unwrap();
    assert_eq!(received.deliveries.len(), 4, "a reader with the old value of the topic sees them too");
}

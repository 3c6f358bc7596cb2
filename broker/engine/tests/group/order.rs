//! Consumer groups that read in order.

use engine::catalog::{ConsumerGroupSpec, TopicSpec, TopicType};
use engine::group::{Receive, Received};
use store::disk::sim::{Call, Failure};
use store::log::Draft;

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, texts, topic_spec};

/// A broker whose topic `orders` is FIFO, in one queue, and whose group `billing` reads in order.
fn broker() -> Broker {
    let mut broker = Broker::open(store::disk::sim::SimDisk::new(1), config());
    broker.apply_topic(&TopicSpec { topic_type: TopicType::Fifo, ..topic_spec("orders", 1) });
    broker.apply_group(&ConsumerGroupSpec { ordered: true, ..group_spec("billing", 3) });
    broker
}

fn send(broker: &mut Broker, lane: u32, text: &str) {
    broker.send_drafts(vec![Draft { lane, ..message(text, 0) }]).unwrap();
}

fn receive(broker: &Broker, max: usize, attempt_id: &str) -> Received {
    let (group, topic) = (broker.billing(), broker.topic());
    let request = Receive {
        group: &group,
        topic: &topic,
        tags: None,
        max,
        invisible_ms: INVISIBLE_MS,
        attempt_id: Some(attempt_id),
        mailbox: &broker.mailbox,
    };
    broker.group.receive(&request, broker.now_ms, None).unwrap()
}

#[test]
fn a_lost_reply_comes_again_whole_although_it_took_several_looks() {
    let mut broker = broker();
    // More than are looked up at a time.
    for lane in 1..=300 {
        send(&mut broker, lane, &lane.to_string());
    }
    let lost = texts(&receive(&broker, 400, "try"));
    assert_eq!(lost.len(), 300);
    assert!(texts(&receive(&broker, 400, "another")).is_empty(), "all of it is held");
    let again = receive(&broker, 400, "try");
    assert_eq!(texts(&again), lost);
    assert!(again.deliveries.iter().all(|delivery| delivery.attempt == 1));
}

#[test]
fn a_message_group_keeps_its_queue_when_there_come_more() {
    let mut broker = Broker::open(store::disk::sim::SimDisk::new(1), config());
    let fifo = |queues| TopicSpec { topic_type: TopicType::Fifo, ..topic_spec("orders", queues) };
    broker.apply_topic(&fifo(2));
    let send_all = |broker: &mut Broker| {
        for lane in 1..20 {
            send(broker, lane, "M");
        }
    };
    send_all(&mut broker);
    broker.apply_topic(&fifo(8));
    send_all(&mut broker);
    let mut broker = broker.restart();
    send_all(&mut broker);
    let topic = broker.topic();
    let tails: Vec<_> = topic.queues.iter().map(|&queue| broker.group.queue_range(queue).1.0).collect();
    assert_eq!(tails.iter().take(2).sum::<u64>(), 3 * 19, "{tails:?}");
    assert_eq!(tails[2..], [0; 6], "new queues get no message groups");
}

#[test]
fn an_expired_lease_makes_way_for_the_same_message_not_for_the_next() {
    let mut broker = broker();
    send(&mut broker, 5, "first");
    send(&mut broker, 5, "second");
    assert_eq!(texts(&receive(&broker, 1, "a")), ["first"]);
    assert!(texts(&receive(&broker, 1, "b")).is_empty());
    broker.now_ms += INVISIBLE_MS;
    let again = receive(&broker, 1, "c");
    assert_eq!((texts(&again), again.deliveries[0].attempt), (vec!["first".to_owned()], 2));
    let mut broker = broker.restart();
    let after = receive(&broker, 8, "d");
    broker.ack_all(&after);
    broker.step();
    assert_eq!(texts(&after)[0], "first", "a restart keeps the order too");
}

/// As `receive`; the disk refuses the first message of it.
fn receive_refused(broker: &Broker) -> Received {
    // Read together with its neighbours, and once more by itself.
    broker.disk.fail(Call::Read, 1, Failure::Io);
    broker.disk.fail(Call::Read, 2, Failure::Io);
    let received = receive(broker, 8, "try");
    broker.disk.forget_faults();
    received
}

#[test]
fn a_message_that_never_verifies_does_not_hold_up_those_behind_it() {
    let mut broker = broker();
    for text in ["rotten", "second", "third"] {
        send(&mut broker, 5, text);
    }
    let file = format!("log/{:020}.log", 0);
    let bytes = broker.disk.contents(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"rotten").unwrap();
    assert!(broker.disk.flip_bit(&file, at as u64, 3));
    let received = receive(&broker, 8, "try");
    assert_eq!(texts(&received), ["second", "third"]);
    assert!(received.deliveries.iter().all(|delivery| delivery.attempt == 1));
}

#[test]
fn a_message_that_the_disk_refuses_goes_to_the_dead_letters_and_those_behind_it_come_for_the_first_time() {
    let mut broker = broker();
    send(&mut broker, 5, "refused");
    send(&mut broker, 5, "second");
    for _ in 0..3 {
        let received = receive_refused(&broker);
        assert!(received.deliveries.is_empty(), "in order: {:?}", texts(&received));
        assert_eq!(received.corrupt.len(), 1);
        broker.now_ms += INVISIBLE_MS;
        broker.step();
    }
    assert!(receive_refused(&broker).deliveries.is_empty(), "its attempts are used up");
    broker.step();
    let received = receive(&broker, 8, "try");
    assert_eq!((texts(&received), received.deliveries[0].attempt), (vec!["second".to_owned()], 1));
    broker.apply_group(&group_spec("undertaker", 2));
    let letters = broker.receive_from("%DLQ%billing", "undertaker", 8);
    assert_eq!(texts(&letters), ["refused"], "the disk may be well again");
}

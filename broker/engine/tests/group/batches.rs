//! Messages of one request that share a record.

use engine::catalog::{ConsumerGroupSpec, TopicSpec, TopicType};
use engine::group::Received;
use store::log::{Draft, Placed};
use store::{Offset, Position};

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, text, texts, topic_spec};

const LETTERS: &str = "%DLQ%billing";

fn positions(placed: &[Placed]) -> Vec<Position> {
    let mut positions: Vec<_> = placed.iter().map(|placed| placed.position).collect();
    positions.dedup();
    positions
}

fn offsets(received: &Received) -> Vec<u64> {
    received.deliveries.iter().map(|delivery| delivery.offset.0).collect()
}

/// Numbered messages, the odd ones with tag 1.
fn numbered(count: u32) -> Vec<Draft> {
    (0..count).map(|number| message(&number.to_string(), number % 2)).collect()
}

fn expect(numbers: impl Iterator<Item = u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn messages_of_a_request_share_a_record_and_have_offsets_as_if_sent_singly() {
    let mut broker = Broker::new(1);
    broker.send(&["before"]);
    let placed = broker.send(&["a", "b", "c"]);
    assert_eq!(positions(&placed).len(), 1, "one record");
    let told: Vec<_> = placed.iter().map(|placed| placed.offset.0).collect();
    assert_eq!(told, [1, 2, 3]);
    assert_eq!(broker.send(&["after"])[0].offset, Offset(4));
    assert_eq!(broker.group.queue_range(broker.topic().queues[0]), (Offset(0), Offset(5)));
    let received = broker.receive(9);
    assert_eq!(texts(&received), ["before", "a", "b", "c", "after"]);
    assert_eq!(offsets(&received), [0, 1, 2, 3, 4]);
    let entry = received.deliveries[2].record.as_ref().unwrap().entry();
    assert_eq!((entry.offset, entry.count), (Offset(2), 1), "as if it had a record of its own");
}

#[test]
fn a_long_request_becomes_several_records_in_order() {
    let mut broker = Broker::new(3);
    let placed = broker.send_drafts(numbered(150)).unwrap();
    assert_eq!(positions(&placed).len(), 3, "64, 64 and 22");
    assert!(placed.iter().map(|placed| placed.offset.0).eq(0..150));
    let mut found = Vec::new();
    while found.len() < 150 {
        let received = broker.receive(7);
        assert_eq!(received.deliveries.len(), 7.min(150 - found.len()));
        found.extend(texts(&received));
    }
    assert_eq!(found, expect(0..150));
}

#[test]
fn large_messages_do_not_share_a_record_of_more_than_256_kib() {
    let mut broker = Broker::new(1);
    let drafts = (0..5).map(|_| message(&"x".repeat(100 << 10), 0)).collect();
    let placed = broker.send_drafts(drafts).unwrap();
    assert_eq!(positions(&placed).len(), 3, "two, two and one");
    assert_eq!(broker.receive(32).deliveries.len(), 5);
}

#[test]
fn of_a_batch_that_was_partly_acked_only_the_rest_comes_again() {
    let mut broker = Broker::new(1);
    broker.send_drafts(numbered(10)).unwrap();
    let received = broker.receive(8);
    for delivery in received.deliveries.iter().step_by(2) {
        broker.group.ack(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    }
    broker.step();
    let mut broker = broker.restart();
    assert_eq!(texts(&broker.receive(32)), expect([1, 3, 5, 7, 8, 9].into_iter()));
    broker.now_ms += INVISIBLE_MS;
    let again = broker.receive(32);
    assert_eq!(offsets(&again), [1, 3, 5, 7, 8, 9]);
    assert!(again.deliveries.iter().all(|delivery| delivery.attempt == 2));
    broker.ack_all(&again);
    let progress = &broker.group.progress(&broker.billing())[0];
    assert_eq!((progress.floor, progress.lag), (Offset(10), 0));
}

#[test]
fn a_checkpoint_in_the_life_of_a_batch_changes_nothing() {
    let mut broker = Broker::new(2);
    broker.send_drafts(numbered(40)).unwrap();
    broker.receive(3);
    broker.group.checkpoint().unwrap();
    broker.send_drafts(numbered(70)).unwrap();
    let without = {
        let twin = broker.disk.fork();
        twin.kill_process();
        Broker::open(twin, broker.config.clone()).summary()
    };
    broker.group.checkpoint().unwrap();
    let broker = broker.restart();
    assert_eq!(broker.summary(), without);
    let tails: u64 = broker.topic().queues.iter().map(|&queue| broker.group.queue_range(queue).1.0).sum();
    assert_eq!(tails, 110);
}

#[test]
fn a_filter_by_tag_looks_inside_and_the_rest_is_done() {
    let mut broker = Broker::new(1);
    broker.send_drafts(numbered(20)).unwrap();
    let received = broker.receive_with(32, Some(&[1]), None);
    assert_eq!(texts(&received), expect((1..20).step_by(2)));
    assert!(
        received.deliveries.iter().all(|delivery| delivery.record.as_ref().unwrap().entry().tag_hash == 1)
    );
    let progress = &broker.group.progress(&broker.billing())[0];
    assert_eq!((progress.next, progress.lag, progress.in_flight), (Offset(20), 10, 10));
    broker.ack_all(&received);
    broker.step();
    let broker = broker.restart();
    assert_eq!(broker.group.progress(&broker.billing())[0].floor, Offset(20), "survives a restart");
    assert!(broker.receive(1).deliveries.is_empty());
}

#[test]
fn a_batch_of_one_unwanted_tag_is_done_without_being_read() {
    let mut broker = Broker::new(1);
    broker.send_drafts((0..9).map(|_| message("x", 7)).collect()).unwrap();
    broker.disk.set_cold(true);
    let broker = broker.restart();
    assert!(broker.receive_with(32, Some(&[1]), None).deliveries.is_empty());
    assert_eq!(broker.group.progress(&broker.billing())[0].floor, Offset(9));
}

#[test]
fn cold_messages_of_a_batch_are_loaded_with_one_read() {
    let mut broker = Broker::new(1);
    broker.send_drafts(numbered(6)).unwrap();
    broker.disk.set_cold(true);
    let broker = broker.restart();
    let mut received = broker.receive_with(32, Some(&[1]), None);
    assert_eq!(received.deliveries.len(), 6, "which of them are wanted is not known yet");
    let mut before = None;
    for delivery in &mut received.deliveries {
        assert!(delivery.record.is_none());
        broker.group.load_after(delivery, before.as_ref()).unwrap();
        before = delivery.record.clone();
    }
    assert_eq!(texts(&received), expect(0..6));
    let tags: Vec<_> =
        received.deliveries.iter().map(|found| found.record.as_ref().unwrap().entry().tag_hash).collect();
    assert_eq!(tags, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn the_middle_message_goes_to_the_dead_letters_alone() {
    let mut broker = Broker::new(1);
    broker.send_drafts(numbered(5)).unwrap();
    let received = broker.receive(5);
    let forwarded = broker.group.dead_letter(&received.deliveries[3].receipt, broker.now_ms, &broker.mailbox);
    broker.step();
    assert!(forwarded.unwrap().try_outcome().unwrap().is_ok());
    for delivery in &received.deliveries[..3] {
        broker.group.ack(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    }
    broker.step();
    let mut broker = broker.restart();
    broker.apply_group(&group_spec("undertaker", 2));
    let letters = broker.receive_from(LETTERS, "undertaker", 32);
    assert_eq!(texts(&letters), ["3"]);
    assert_eq!(letters.deliveries[0].record.as_ref().unwrap().entry().tag_hash, 1, "its own tag");
    assert_eq!(texts(&broker.receive(9)), ["4"]);
}

#[test]
fn a_letter_of_an_old_batch_is_a_copy_of_its_message_only_and_outlives_it() {
    let mut broker = Broker::with_small_segments(1);
    broker.send_drafts(numbered(3)).unwrap();
    broker.ack_all(&broker.receive(1));
    broker.now_ms += broker.config.retention.get().max_age_ms / 2 + 1;
    let forwarded = broker.receive(2).deliveries.remove(0);
    broker.group.dead_letter(&forwarded.receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
    for _ in 0..40 {
        broker.send(&[&"x".repeat(4000)]);
    }
    broker.now_ms += broker.config.retention.get().max_age_ms / 2;
    broker.group.checkpoint().unwrap();
    broker.group.checkpoint().unwrap();
    broker.writer.retain(broker.now_ms).unwrap();
    broker.apply_group(&group_spec("undertaker", 2));
    let letters = broker.receive_from(LETTERS, "undertaker", 32);
    assert_eq!(texts(&letters), ["1"]);
    assert_eq!(letters.deliveries[0].record.as_ref().unwrap().entry().tag_hash, 1);
}

#[test]
fn attempts_that_are_used_up_bury_what_is_left_of_a_batch() {
    let mut broker = Broker::new(1);
    broker.send_drafts(numbered(5)).unwrap();
    let first = broker.receive(5);
    broker.group.ack(&first.deliveries[2].receipt, broker.now_ms, &broker.mailbox).unwrap();
    for attempt in 2..=3 {
        broker.now_ms += INVISIBLE_MS;
        assert!(broker.receive(5).deliveries.iter().all(|delivery| delivery.attempt == attempt));
    }
    broker.now_ms += INVISIBLE_MS;
    assert!(broker.receive(5).deliveries.is_empty());
    broker.step();
    broker.apply_group(&group_spec("undertaker", 2));
    assert_eq!(texts(&broker.receive_from(LETTERS, "undertaker", 9)), ["0", "1", "3", "4"]);
}

#[test]
fn an_ordered_group_reads_the_lanes_of_batches_in_order() {
    let mut broker = Broker::open(store::disk::sim::SimDisk::new(1), config());
    broker.apply_topic(&TopicSpec { topic_type: TopicType::Fifo, ..topic_spec("orders", 1) });
    broker.apply_group(&ConsumerGroupSpec { ordered: true, ..group_spec("billing", 3) });
    let lane = |lane, text: &str| Draft { lane, ..message(text, 0) };
    let drafts =
        vec![lane(5, "a1"), lane(5, "a2"), lane(5, "a3"), lane(6, "b1"), lane(6, "b2"), lane(5, "a4")];
    let placed = broker.send_drafts(drafts).unwrap();
    assert_eq!(positions(&placed).len(), 3, "one record per run of a lane");
    let a = broker.receive(2);
    assert_eq!(texts(&a), ["a1", "a2"]);
    let b = broker.receive(9);
    assert_eq!(texts(&b), ["b1", "b2"], "the first lane is held");
    broker.group.ack(&a.deliveries[0].receipt, broker.now_ms, &broker.mailbox).unwrap();
    assert!(broker.receive(9).deliveries.is_empty());
    // Begins to look in the middle of a record.
    broker.step();
    let broker = broker.restart();
    let again = broker.receive(3);
    assert_eq!(texts(&again), ["a2", "a3", "a4"]);
    assert_eq!(texts(&broker.receive(9)), ["b1", "b2"]);
    broker.ack_all(&again);
    assert_eq!(broker.group.progress(&broker.billing())[0].lag, 2);
}

#[test]
fn batches_go_with_their_segment_and_what_is_left_is_whole() {
    let mut broker = Broker::with_small_segments(1);
    broker.receive(1);
    let batch = |broker: &mut Broker| {
        let drafts = (0..3).map(|_| message(&"x".repeat(2000), 0)).collect();
        broker.send_drafts(drafts).unwrap();
    };
    (0..50).for_each(|_| batch(&mut broker));
    // Handed out before they go.
    assert_eq!(broker.receive(32).deliveries.len(), 32);
    broker.now_ms += broker.config.retention.get().max_age_ms + 1;
    batch(&mut broker);
    broker.group.checkpoint().unwrap();
    broker.group.checkpoint().unwrap();
    broker.writer.retain(broker.now_ms).unwrap();
    broker.group.trim_index().unwrap();
    let range = broker.group.queue_range(broker.topic().queues[0]);
    assert!(range.0.0 > 60 && range.0.0.is_multiple_of(3) && range.1 == Offset(153), "{range:?}");
    let first = &broker.receive(1).deliveries[0];
    assert_eq!((first.offset, first.number), (range.0, 0));
    let broker = broker.restart();
    assert_eq!(broker.group.queue_range(broker.topic().queues[0]), range);
    assert_eq!(broker.group.progress(&broker.billing())[0].floor, range.0);
}

#[test]
fn a_batch_that_does_not_verify_is_named_once_and_stops_nobody() {
    let mut broker = Broker::new(1);
    broker.send(&["good"]);
    let placed = broker.send(&["fine", "rotten bytes", "fine too"]);
    broker.send(&["also good"]);
    let file = format!("log/{:020}.log", 0);
    let bytes = broker.disk.contents(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"rotten").unwrap();
    assert!(broker.disk.flip_bit(&file, at as u64, 3));
    let received = broker.receive(9);
    assert_eq!(texts(&received), ["good", "also good"]);
    let [store::log::ReadError::Corrupt { position, .. }] = received.corrupt[..] else {
        panic!("{:?}", received.corrupt)
    };
    assert_eq!(position, placed[0].position);
    broker.ack_all(&received);
    assert_eq!(broker.group.progress(&broker.billing())[0].lag, 0);
}

#[test]
fn a_reply_holds_8_mib_of_records_and_a_shared_one_counts_once() {
    let mut config = config();
    (config.log.segment_bytes, config.inbox_bytes_max) = (64 << 20, 64 << 20);
    let mut broker = Broker::with(config, 1);
    for _ in 0..40 {
        broker.send_drafts((0..2).map(|_| message(&"x".repeat(120 << 10), 0)).collect()).unwrap();
    }
    let received = broker.receive(100);
    assert_eq!(received.deliveries.len(), 68, "34 records of 240 KiB");
    assert_eq!(offsets(&broker.receive(1)), [68]);
    assert_eq!(text(&received.deliveries[67]).len(), 120 << 10);
}

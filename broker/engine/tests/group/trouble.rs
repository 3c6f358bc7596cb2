//! Full disks, full inboxes, oversized requests, and the end of the log.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use engine::group::{Receive, ReceiveError};
use engine::inbox::{StoreError, SubmitError};
use engine::writer::Step;
use store::disk::sim::{Call, Failure};
use store::log::ReadError;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, message, texts};

#[test]
fn a_full_inbox_says_busy_and_takes_more_once_written() {
    let mut broker = Broker::new(1);
    let topic = broker.topic();
    let body = "x".repeat(100_000);
    let send = |broker: &Broker| broker.group.send(&topic, vec![message(&body, 0)], &broker.mailbox);
    let mut accepted = 0;
    let busy = loop {
        match send(&broker) {
            Ok(_) => accepted += 1,
            Err(SubmitError::Busy(busy)) => break busy,
            Err(refused) => panic!("{refused}"),
        }
    };
    assert_eq!((accepted, busy.limit_bytes), (10, 1 << 20));
    broker.step();
    assert!(send(&broker).is_ok());
}

#[test]
fn a_full_disk_refuses_sends_serves_reads_takes_acks_and_recovers() {
    let mut broker = Broker::new(1);
    broker.send(&["before"]);
    broker.disk.set_capacity_bytes(Some(600_000));
    let body = "x".repeat(50_000);
    let mut stored = 0;
    while broker.send_drafts(vec![message(&body, 0)]) != Err(StoreError::DiskFull) {
        stored += 1;
        assert!(stored < 100, "the disk never fills up");
    }
    assert!(broker.group.log_state().disk_full);
    let received = broker.receive(1);
    assert_eq!(texts(&received), ["before"]);
    broker.ack_all(&received);
    broker.step();
    broker.disk.set_capacity_bytes(None);
    broker.send_drafts(vec![message("after", 7)]).unwrap();
    assert!(!broker.group.log_state().disk_full);
    let found = texts(&broker.restart().receive(64));
    assert_eq!(found.len(), stored + 1, "the ack under a full disk was kept");
    assert_eq!(found.last().unwrap(), "after");
}

#[test]
fn acks_that_find_no_room_wait_for_it_without_a_busy_loop() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    let received = broker.receive(1);
    broker.step();
    broker.disk.set_capacity_bytes(Some(0));
    broker.ack_all(&received);
    assert_eq!(broker.writer.step(broker.now_ms), Ok(Step::Idle));
    broker.disk.set_capacity_bytes(None);
    assert_eq!(broker.writer.step(broker.now_ms), Ok(Step::Wrote));
    assert!(broker.restart().receive(1).deliveries.is_empty());
}

#[test]
fn a_request_too_large_for_a_segment_is_refused_alone() {
    let mut broker = Broker::with_small_segments(1);
    let topic = broker.topic();
    let large = message(&"x".repeat(100_000), 0);
    let large = broker.group.send(&topic, vec![large], &broker.mailbox).unwrap();
    let small = broker.group.send(&topic, vec![message("small", 0)], &broker.mailbox).unwrap();
    broker.step();
    assert!(matches!(large.try_outcome(), Some(Err(StoreError::TooLarge { .. }))));
    assert!(matches!(small.try_outcome(), Some(Ok(_))));
    assert_eq!(texts(&broker.receive(9)), ["small"]);
}

#[test]
fn a_failed_sync_ends_the_log_and_nobody_waits_for_ever() {
    let mut broker = Broker::new(1);
    let topic = broker.topic();
    let waits = broker.group.send(&topic, vec![message("a", 0)], &broker.mailbox).unwrap();
    broker.disk.fail(Call::Sync, 1, Failure::Io);
    assert!(broker.writer.step(broker.now_ms).is_err());
    assert_eq!(waits.try_outcome(), Some(Err(StoreError::Unknown)));
    let late = broker.group.send(&topic, vec![message("b", 0)], &broker.mailbox).unwrap();
    let mut late = pin!(late);
    let outcome = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(outcome, Poll::Ready(Err(StoreError::Unknown)));
}

#[test]
fn a_corrupt_message_is_named_skipped_and_never_served() {
    let mut broker = Broker::new(1);
    let texts_sent = ["good", "rotten bytes", "good too"];
    let placed: Vec<_> = texts_sent.iter().flat_map(|text| broker.send(&[text])).collect();
    let file = format!("log/{:020}.log", 0);
    let bytes = broker.disk.contents(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"rotten").unwrap();
    assert!(broker.disk.flip_bit(&file, at as u64, 3));
    let received = broker.receive(9);
    assert_eq!(texts(&received), ["good", "good too"]);
    let [ReadError::Corrupt { position, .. }] = received.corrupt[..] else {
        panic!("{:?}", received.corrupt)
    };
    assert_eq!(position, placed[1].position);
    broker.ack_all(&received);
    assert_eq!(broker.group.progress(&broker.billing())[0].lag, 0);
}

#[test]
fn messages_whose_index_rows_cannot_be_read_for_a_moment_are_not_taken_for_done() {
    let mut refused = 0;
    for nth in 1..=20 {
        let mut broker = Broker::new(1);
        for some in [["0", "1"], ["2", "3"], ["4", "5"]] {
            broker.send(&some);
            broker.group.flush_index().unwrap();
        }
        let (group, topic) = (broker.billing(), broker.topic());
        let request = Receive {
            group: &group,
            topic: &topic,
            tags: None,
            max: 9,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox: &broker.mailbox,
        };
        broker.disk.fail(Call::Read, nth, Failure::Io);
        let mut found = match broker.group.receive(&request, broker.now_ms, None) {
            Ok(received) => {
                broker.ack_all(&received);
                texts(&received)
            }
            Err(ReceiveError::Index(_)) => {
                refused += 1;
                Vec::new()
            }
            Err(error) => panic!("{error}"),
        };
        broker.disk.forget_faults();
        broker.now_ms += INVISIBLE_MS;
        found.extend(broker.take());
        found.sort();
        assert_eq!(found, ["0", "1", "2", "3", "4", "5"], "after read {nth} failed");
    }
    assert!(refused > 2, "{refused} reads of the index failed");
}

#[test]
fn an_idle_writer_writes_nothing() {
    let mut broker = Broker::new(1);
    let written = broker.group.log_state().written;
    assert_eq!(broker.writer.step(broker.now_ms), Ok(Step::Idle));
    assert_eq!(broker.group.log_state().written, written);
}

#[test]
fn acks_of_a_batch_share_one_small_record() {
    let mut broker = Broker::new(1);
    let texts: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    broker.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    loop {
        let received = broker.receive(32);
        if received.deliveries.is_empty() {
            break;
        }
        broker.ack_all(&received);
    }
    let before = broker.group.log_state().written;
    broker.step();
    let grown = broker.group.log_state().written.0 - before.0;
    assert!(grown < 1500, "1000 acks took {grown} B");
}

#[test]
fn more_acks_than_a_segment_holds_are_written_in_several_batches() {
    const QUEUES: u32 = 1024;
    let mut broker = Broker::with_small_segments(QUEUES);
    for n in 0..QUEUES {
        broker.send(&[&n.to_string()]);
    }
    // One in each queue and group: no two acks share a cell.
    let groups = ["one", "two", "three"];
    for name in groups {
        broker.apply_group(&group_spec(name, 3));
    }
    for name in groups {
        let mut count = 0;
        while count < QUEUES as usize {
            let received = broker.receive_from("orders", name, 64);
            count += received.deliveries.len();
            broker.ack_all(&received);
        }
    }
    broker.step();
    let broker = broker.restart();
    for name in groups {
        assert!(broker.receive_from("orders", name, 64).deliveries.is_empty(), "{name}");
    }
}

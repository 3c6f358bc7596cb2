//! What is written is one thing, what is agreed another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::catalog::{Adopt, ConsumeFrom};
use engine::group::ReceiveError;
use engine::inbox::{StoreError, SubmitError};
use engine::writer::Step;
use store::disk::sim::{Call, Failure};
use store::log::Flush;
use store::{Epoch, Offset};

use crate::harness::{Member, group_spec, message, outcome, texts, topic_spec};

#[test]
fn nothing_is_visible_or_answered_before_it_is_agreed_and_then_all_of_it_in_order() {
    for flush in [Flush::Sync, Flush::Async] {
        let mut leader = Member::leader(flush, 1);
        let before = leader.summary();
        let mut batches = Vec::new();
        for round in ["a", "b", "c"] {
            let ticket = leader.send(&[round, round]);
            let (_, topic) = leader.apply_topic(&topic_spec(round, 1), Adopt::Never);
            leader.step();
            batches.push((ticket, topic.unwrap(), leader.group.written()));
        }
        assert_eq!(leader.summary(), before);
        assert!(leader.receive("billing", 9).deliveries.is_empty());
        for (number, (ticket, topic, end)) in batches.iter().enumerate() {
            assert!(ticket.try_outcome().is_none() && topic.try_outcome().is_none());
            leader.writer.commit(*end).unwrap();
            let placed = outcome(ticket).unwrap();
            assert_eq!(placed[0].offset, Offset(2 * number as u64));
            outcome(topic).unwrap();
            let name = ["a", "b", "c"][number];
            assert_eq!(texts(&leader.receive("billing", 9)), [name, name]);
            assert_eq!(leader.group.topics().len(), 2 + number);
            assert_eq!(leader.group.log_state().committed, *end);
        }
    }
}

#[test]
fn a_leader_is_silent_until_everything_up_to_its_own_epoch_is_agreed() {
    let mut leader = Member::leader(Flush::Sync, 1);
    leader.send(&["written by the one before"]);
    let mut next = Member::new(Flush::Sync);
    next.follow(&leader);
    let known = leader.group.published();
    next.writer.commit(known).unwrap();
    let end = next.group.written();
    let start = next.writer.lead(Epoch(2), next.now_ms).unwrap();
    assert_eq!((start, next.group.epoch(), next.group.durable()), (end, Epoch(2), next.group.written()));
    assert_eq!(next.group.epochs().last().unwrap().start, start);
    assert_eq!(next.group.published(), known, "nothing more is visible");
    next.writer.commit(end).unwrap();
    assert!(!next.group.is_leading(), "its own epoch is not agreed yet");
    assert_eq!(next.submit(&["x"]).unwrap_err(), SubmitError::NotLeading);
    assert!(matches!(next.try_receive("billing", 1, None), Err(ReceiveError::NotLeading)));
    assert_eq!(next.writer.step(next.now_ms), Ok(Step::Idle));
    next.commit();
    assert!(next.group.is_leading());
    assert_eq!(texts(&next.receive("billing", 9)), ["written by the one before"]);
    next.send(&["own"]);
    next.commit();
    assert_eq!(texts(&next.receive("billing", 9)), ["own"]);
}

#[test]
fn alone_again_it_commits_what_waits_and_then_by_itself() {
    for flush in [Flush::Sync, Flush::Async] {
        let mut leader = Member::leader(flush, 1);
        let waits = leader.send(&["one"]);
        assert!(waits.try_outcome().is_none());
        leader.writer.set_solo(true).unwrap();
        outcome(&waits).unwrap();
        outcome(&leader.send(&["two"])).unwrap();
        assert_eq!(leader.group.published(), leader.group.written());
        leader.writer.set_solo(false).unwrap();
        let waits = leader.send(&["three"]);
        assert!(waits.try_outcome().is_none());
        leader.commit();
        outcome(&waits).unwrap();
        assert_eq!(texts(&leader.receive("billing", 9)), ["one", "two", "three"]);
    }
}

#[test]
fn the_driver_is_told_before_the_sync_and_after_it() {
    let told = Arc::new(AtomicU64::new(0));
    let hook = {
        let told = Arc::clone(&told);
        Arc::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    for (flush, times) in [(Flush::Sync, 2), (Flush::Async, 1)] {
        let mut leader = Member::leader(flush, 1);
        leader.writer.on_written(hook.clone());
        told.store(0, Ordering::Relaxed);
        leader.send(&["one"]);
        assert_eq!(told.load(Ordering::Relaxed), times);
        assert_eq!(leader.group.durable() == leader.group.written(), flush == Flush::Sync);
    }
}

#[test]
fn acks_ride_along_and_are_part_of_what_followers_fold() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a", "b", "c"]);
    leader.commit();
    let received = leader.receive("billing", 2);
    leader.ack_all(&received);
    leader.agree();
    let mut next = Member::new(Flush::Async);
    next.follow_agreed(&leader);
    next.take_over(2);
    assert_eq!(texts(&next.receive("billing", 9)), ["c"]);
}

#[test]
fn a_receipt_of_the_leader_before_is_good_for_the_next_one() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a", "b"]);
    leader.commit();
    let received = leader.receive("billing", 1);
    leader.agree();
    let mut next = Member::new(Flush::Async);
    next.follow_agreed(&leader);
    next.take_over(2);
    next.ack_all(&received);
    assert_eq!(texts(&next.receive("billing", 9)), ["b"]);
}

#[test]
fn what_waits_for_other_copies_is_bounded_and_goes_on_once_they_have_it() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.writer.close();
    leader.config.log.segment_bytes = 16 << 20;
    leader.config.inbox_bytes_max = 4 << 20;
    leader.config.batch_bytes_max = 2 << 20;
    let mut leader = leader.reopen();
    leader.take_over(2);
    let topic = leader.group.topic("orders").unwrap();
    let body = "x".repeat(1 << 20);
    let mut tickets = Vec::new();
    loop {
        match leader.group.send(&topic, vec![message(&body)], &leader.mailbox) {
            Ok(ticket) => tickets.push(ticket),
            Err(SubmitError::Busy(_)) => break,
            Err(refused) => panic!("{refused}"),
        }
        leader.step();
        assert!(tickets.len() < 200, "nothing bounds it");
    }
    let uncommitted = leader.group.written().0 - leader.group.published().0;
    assert!((60 << 20..70 << 20).contains(&uncommitted), "{uncommitted} B wait");
    assert!(tickets.iter().all(|ticket| ticket.try_outcome().is_none()));
    // Whoever parks now sleeps: nothing can be written.
    leader.group.park(1);
    leader.commit();
    leader.agree();
    assert!(tickets.iter().all(|ticket| outcome(ticket).is_ok()));
}

#[test]
fn no_ticket_is_lost_when_the_log_ends_with_batches_that_wait() {
    let mut leader = Member::leader(Flush::Sync, 1);
    let written: Vec<_> = ["a", "b", "c"].map(|text| leader.send(&[text])).into();
    let late = leader.submit(&["d"]).unwrap();
    leader.disk.fail(Call::Sync, 1, Failure::Io);
    assert!(leader.writer.step(leader.now_ms).is_err());
    for ticket in written.iter().chain([&late]) {
        assert_eq!(outcome(ticket), Err(StoreError::Unknown));
    }
    assert_eq!(outcome(&leader.submit(&["e"]).unwrap()), Err(StoreError::Unknown));
}

#[test]
fn what_a_full_disk_refuses_is_answered_at_once_and_the_rest_when_it_is_agreed() {
    let mut leader = Member::leader(Flush::Async, 1);
    let large = "x".repeat(100_000);
    let small = leader.submit(&["small"]).unwrap();
    let refused = leader.submit(&[&large]).unwrap();
    let last = leader.submit(&["last"]).unwrap();
    leader.step();
    assert!(matches!(outcome(&refused), Err(StoreError::TooLarge { .. })));
    assert!(small.try_outcome().is_none() && last.try_outcome().is_none());
    leader.commit();
    assert!(outcome(&small).is_ok() && outcome(&last).is_ok());
    assert_eq!(texts(&leader.receive("billing", 9)), ["small", "last"]);
}

#[test]
#[should_panic(expected = "commit moved back")]
fn a_commit_never_goes_back() {
    let mut leader = Member::leader(Flush::Async, 1);
    let before = leader.group.published();
    leader.send(&["a"]);
    leader.commit();
    let _ = leader.writer.commit(before);
}

#[test]
fn a_dead_letter_is_there_once_it_is_agreed_and_not_before() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["poison"]);
    leader.commit();
    let received = leader.receive("billing", 1);
    let receipt = received.deliveries[0].receipt;
    let ticket = leader.group.dead_letter(&receipt, leader.now_ms, &leader.mailbox).unwrap();
    leader.step();
    assert!(ticket.try_outcome().is_none() && leader.group.topic("%DLQ%billing").is_none());
    leader.now_ms += 100_000;
    assert!(leader.receive("billing", 1).deliveries.is_empty(), "it is on its way");
    leader.commit();
    outcome(&ticket).unwrap();
    let letters = leader.group.topic("%DLQ%billing").unwrap();
    assert_eq!(leader.group.queue_range(letters.queues[0]), (Offset(0), Offset(1)));
    leader.apply_group_again();
}

impl Member {
    /// A consumer group that is there already is left as it is.
    fn apply_group_again(&self) {
        let specs = [group_spec("billing", ConsumeFrom::Earliest)];
        let (_, ticket) = self.group.apply_consumer_groups(&specs, Adopt::Always, &self.mailbox).unwrap();
        assert!(ticket.is_none());
    }
}

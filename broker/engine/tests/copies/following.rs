//! A member that follows.

use engine::catalog::Adopt;
use engine::group::ReceiveError;
use engine::inbox::SubmitError;
use engine::lease::LeaseError;
use store::log::Flush;
use store::{Epoch, Offset, Position};

use crate::harness::{Member, outcome, texts, topic_spec};

#[test]
fn a_follower_serves_nobody() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    let receipt = leader.receive("billing", 1).deliveries[0].receipt;
    let mut follower = Member::new(Flush::Async);
    follower.follow_agreed(&leader);
    assert!(!follower.group.is_leading() && !follower.group.log_state().is_leading);
    assert_eq!(follower.submit(&["b"]).unwrap_err(), SubmitError::NotLeading);
    let applied = follower.group.apply_topics(&[topic_spec("b", 1)], Adopt::Always, &follower.mailbox);
    assert_eq!(applied.unwrap_err(), SubmitError::NotLeading);
    assert!(matches!(follower.try_receive("billing", 1, None), Err(ReceiveError::NotLeading)));
    let acked = follower.group.ack(&receipt, follower.now_ms, &follower.mailbox);
    assert_eq!(acked, Err(LeaseError::NotLeading));
}

#[test]
fn it_shows_what_is_agreed_and_nothing_more() {
    let mut leader = Member::leader(Flush::Async, 2);
    let agreed = leader.group.published();
    leader.send(&["a"]);
    leader.apply_topic(&topic_spec("late", 1), Adopt::Always);
    leader.step();
    let mut follower = Member::new(Flush::Async);
    follower.follow(&leader);
    assert!(follower.group.topics().is_empty());
    follower.writer.commit(agreed).unwrap();
    assert_eq!(follower.summary(), leader.summary());
    leader.commit();
    follower.writer.commit(leader.group.published()).unwrap();
    assert_eq!(follower.summary(), leader.summary());
    assert_eq!(follower.group.epoch(), Epoch(1));
    assert_eq!(follower.group.epochs(), leader.group.epochs());
}

#[test]
fn opened_again_it_folds_what_it_knows_to_be_agreed() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    // The next batch says that the one before is agreed.
    leader.send(&["b"]);
    let mut follower = Member::new(Flush::Async);
    follower.follow(&leader);
    let mut follower = follower.restart();
    assert_eq!(follower.summary(), leader.summary());
    let known = follower.group.published();
    assert!(known > Position(0) && known < follower.group.written());
    leader.commit();
    follower.writer.commit(leader.group.published()).unwrap();
    assert_eq!(follower.summary(), leader.summary());
}

#[test]
fn a_checkpoint_remembers_what_was_agreed_even_if_no_batch_says_so() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    leader.send(&["b"]);
    let mut follower = Member::new(Flush::Async);
    follower.follow(&leader);
    leader.commit();
    follower.writer.commit(leader.group.published()).unwrap();
    follower.group.checkpoint().unwrap();
    let follower = follower.restart();
    assert_eq!(follower.group.published(), leader.group.published());
    assert_eq!(follower.summary(), leader.summary());
}

/// What the old leader wrote and nobody else has gives way, wherever the old leader had got to.
#[test]
fn a_member_that_gives_back_its_end_becomes_as_the_new_leader() {
    for (lost, has_checkpoint) in [(1, false), (1, true), (7, true), (40, false)] {
        let mut old = Member::leader(Flush::Async, 2);
        let mut new = Member::new(Flush::Async);
        old.send(&["both have it"]);
        new.follow_agreed(&old);
        old.commit();
        let parted_at = old.group.written();
        let text = "only one has it, and it is long enough to fill a segment".repeat(60);
        let tickets: Vec<_> = (0..lost).map(|_| old.send(&[&text])).collect();
        old.apply_topic(&topic_spec("lost", 3), Adopt::Always);
        old.step();
        if has_checkpoint {
            old.group.checkpoint().unwrap();
        }
        let mut old = old.reopen();
        for ticket in &tickets {
            assert!(outcome(ticket).is_err());
        }
        new.take_over(2);
        new.apply_topic(&topic_spec("found", 2), Adopt::Always);
        new.send(&["new 1", "new 2"]);
        new.commit();
        assert!(old.group.published() <= parted_at);
        old.writer.truncate(parted_at).unwrap();
        assert_eq!(old.group.epochs().last().unwrap().epoch, Epoch(1));
        old.follow_agreed(&new);
        assert_eq!(old.summary(), new.summary());
        assert_eq!(old.group.epochs(), new.group.epochs());
        let mut again = old.restart();
        again.take_over(3);
        again.send(&["after"]);
        again.commit();
        let received = texts(&again.receive("billing", 9));
        assert_eq!(received.len(), 4);
        assert!(again.group.topic("lost").is_none());
    }
}

/// Offsets go on behind the last message that stays, agreed or not.
#[test]
fn what_stays_after_a_cut_keeps_its_offsets() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a", "b"]);
    let stays_to = leader.group.written();
    leader.send(&["goes"]);
    let mut follower = Member::new(Flush::Async);
    follower.follow(&leader);
    follower.writer.truncate(stays_to).unwrap();
    assert_eq!(follower.group.written(), stays_to);
    follower.take_over(2);
    let ticket = follower.send(&["c"]);
    follower.commit();
    assert_eq!(outcome(&ticket).unwrap()[0].offset, Offset(2));
    assert_eq!(texts(&follower.receive("billing", 9)), ["a", "b", "c"]);
}

#[test]
#[should_panic(expected = "takes back what was committed")]
fn what_was_committed_is_never_given_back() {
    let mut leader = Member::leader(Flush::Async, 1);
    let to = leader.group.published();
    leader.send(&["a"]);
    leader.commit();
    let mut follower = Member::new(Flush::Async);
    follower.follow_agreed(&leader);
    let _ = follower.writer.truncate(to);
}

#[test]
fn retention_on_a_follower_takes_only_what_its_checkpoints_cover() {
    let mut leader = Member::leader(Flush::Async, 1);
    let mut follower = Member::new(Flush::Async);
    let text = "x".repeat(10_000);
    for _ in 0..30 {
        leader.send(&[&text]);
    }
    leader.commit();
    let agreed = leader.group.published();
    for _ in 0..30 {
        leader.send(&[&text]);
    }
    follower.follow(&leader);
    follower.writer.commit(agreed).unwrap();
    let late_ms = 10_000_000;
    follower.writer.retain(late_ms).unwrap();
    assert_eq!(follower.group.head(), Position(0), "there is no checkpoint");
    follower.group.checkpoint().unwrap();
    follower.group.checkpoint().unwrap();
    follower.writer.retain(late_ms).unwrap();
    let head = follower.group.head();
    assert!(Position(0) < head && head <= agreed);
    follower.group.trim_index().unwrap();
    leader.commit();
    follower.writer.commit(leader.group.published()).unwrap();
    let mut again = follower.restart();
    again.take_over(2);
    assert!(texts(&again.receive("billing", 64)).len() >= 30);
}

#[test]
fn what_was_forgotten_at_the_leader_is_forgotten_by_a_follower() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.agree();
    let receipt = leader.receive("billing", 1).deliveries[0].receipt;
    leader.group.ack(&receipt, leader.now_ms, &leader.mailbox).unwrap();
    leader.agree();
    let (topic, billing) =
        (leader.group.topic("orders").unwrap(), leader.group.consumer_group("billing").unwrap());
    let ticket = leader.group.forget(&topic, &billing, &leader.mailbox).unwrap().unwrap();
    leader.agree();
    outcome(&ticket).unwrap();
    let mut follower = Member::new(Flush::Async);
    follower.follow_agreed(&leader);
    assert_eq!(follower.summary(), leader.summary());
    assert!(follower.group.progress(&billing).is_empty());
}

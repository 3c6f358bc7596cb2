//! A group that stops leading answers everybody, once, and leaves the disk alone.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use engine::catalog::Adopt;
use engine::group::ReceiveError;
use engine::inbox::{StoreError, SubmitError};
use engine::lease::LeaseError;
use engine::waiter::Waiter;
use engine::writer::{CommitError, Step};
use store::log::Flush;

use crate::harness::{Member, outcome, texts, topic_spec};

#[test]
fn each_ticket_is_answered_once_with_what_is_true_of_it() {
    let mut leader = Member::leader(Flush::Async, 1);
    let agreed = leader.send(&["agreed"]);
    leader.commit();
    let written = leader.send(&["written"]);
    let waiting = leader.submit(&["waiting"]).unwrap();
    leader.writer.close();
    leader.writer.close();
    assert!(outcome(&agreed).is_ok());
    assert_eq!(outcome(&written), Err(StoreError::Unknown));
    assert_eq!(outcome(&waiting), Err(StoreError::NotLeading));
    for ticket in [&agreed, &written, &waiting] {
        assert!(ticket.try_outcome().is_none(), "answered twice");
    }
    assert_eq!(leader.submit(&["late"]).unwrap_err(), SubmitError::NotLeading);
    let applied = leader.group.apply_topics(&[topic_spec("late", 1)], Adopt::Always, &leader.mailbox);
    assert_eq!(applied.unwrap_err(), SubmitError::NotLeading);
}

#[test]
fn who_waits_for_messages_is_woken_and_sent_away() {
    let mut leader = Member::leader(Flush::Async, 1);
    let waiter = Waiter::new(&leader.mailbox);
    assert!(leader.try_receive("billing", 1, Some(&waiter)).unwrap().deliveries.is_empty());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(pin!(waiter.woken()).as_mut().poll(&mut context), Poll::Pending);
    leader.writer.close();
    assert_eq!(pin!(waiter.woken()).as_mut().poll(&mut context), Poll::Ready(()));
    assert!(matches!(leader.try_receive("billing", 1, Some(&waiter)), Err(ReceiveError::NotLeading)));
}

#[test]
fn receipts_are_not_taken_any_more() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    let receipt = leader.receive("billing", 1).deliveries[0].receipt;
    leader.writer.close();
    let (group, now_ms) = (&leader.group, leader.now_ms);
    assert_eq!(group.ack(&receipt, now_ms, &leader.mailbox), Err(LeaseError::NotLeading));
    assert_eq!(group.extend(&receipt, 5, now_ms), Err(LeaseError::NotLeading));
    assert_eq!(group.renew(&receipt, now_ms + 5, now_ms), Err(LeaseError::NotLeading));
}

#[test]
fn a_closed_group_does_not_touch_the_disk() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    let received = leader.receive("billing", 1);
    leader.ack_all(&received);
    leader.writer.close();
    let before = leader.disk.mutations();
    assert_eq!(leader.writer.step(leader.now_ms), Ok(Step::Idle));
    assert!(matches!(leader.writer.commit(leader.group.written()), Err(CommitError::Closed)));
    leader.writer.retain(leader.now_ms).unwrap();
    leader.group.checkpoint().unwrap();
    leader.group.flush_index().unwrap();
    leader.group.trim_index().unwrap();
    leader.group.prepare_segment().unwrap();
    assert_eq!(leader.disk.mutations(), before);
    let again = {
        let (group, disk, config) =
            (Arc::downgrade(&leader.group), leader.disk.clone(), leader.config.clone());
        leader.writer.on_written(Arc::new(|| {}));
        drop(leader);
        assert!(group.upgrade().is_none(), "somebody keeps it");
        Member::open(disk, config)
    };
    assert!(!again.group.is_leading());
}

#[test]
fn opened_again_it_follows_and_may_lead_once_more() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["agreed"]);
    leader.commit();
    leader.send(&["written"]);
    let mut again = leader.reopen();
    assert!(!again.group.is_leading());
    again.take_over(2);
    assert_eq!(texts(&again.receive("billing", 9)), ["agreed", "written"]);
}

//! A leader that takes nothing new for a while.

use engine::catalog::Adopt;
use engine::inbox::{Refusal, SubmitError};
use engine::writer::Step;
use store::log::Flush;

use crate::harness::{Member, outcome, texts, topic_spec};

#[test]
fn sends_and_changes_are_refused_and_what_is_in_flight_goes_on() {
    for refusal in [Refusal::HandingOver, Refusal::TooFewCopies { in_sync: 1, min: 2 }] {
        let mut leader = Member::leader(Flush::Async, 1);
        let written = leader.send(&["written"]);
        let waiting = leader.submit(&["waiting"]).unwrap();
        leader.group.refuse(Some(refusal));
        assert_eq!(leader.submit(&["x"]).unwrap_err(), SubmitError::Refused(refusal));
        let specs = [topic_spec("late", 1)];
        let applied = leader.group.apply_topics(&specs, Adopt::Always, &leader.mailbox);
        assert_eq!(applied.unwrap_err(), SubmitError::Refused(refusal));
        leader.agree();
        assert!(outcome(&written).is_ok() && outcome(&waiting).is_ok());
        assert_eq!(texts(&leader.receive("billing", 9)), ["written", "waiting"]);
        leader.group.refuse(None);
        let resumed = leader.send(&["resumed"]);
        leader.commit();
        assert!(outcome(&resumed).is_ok());
    }
}

#[test]
fn during_a_hand_over_the_log_rests_and_acks_are_written_afterwards() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a", "b"]);
    leader.commit();
    let received = leader.receive("billing", 1);
    leader.agree();
    leader.group.refuse(Some(Refusal::HandingOver));
    leader.ack_all(&received);
    let rests_at = leader.group.written();
    assert_eq!(leader.writer.step(leader.now_ms), Ok(Step::Idle));
    // Whoever parks now sleeps: the ack that waits is no reason to look.
    leader.group.park(1);
    leader.group.park(1);
    assert_eq!(leader.group.written(), rests_at);
    leader.group.refuse(None);
    leader.agree();
    assert!(leader.group.written() > rests_at);
    let mut again = leader.reopen();
    again.take_over(2);
    assert_eq!(texts(&again.receive("billing", 9)), ["b"], "the ack was kept");
}

#[test]
fn with_too_few_copies_acks_go_on() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a"]);
    leader.commit();
    let received = leader.receive("billing", 1);
    leader.group.refuse(Some(Refusal::TooFewCopies { in_sync: 1, min: 2 }));
    leader.ack_all(&received);
    assert_eq!(leader.writer.step(leader.now_ms), Ok(Step::Wrote));
    assert_eq!(leader.writer.step(leader.now_ms), Ok(Step::Idle));
}

#[test]
fn a_refusal_outlasts_the_begin_of_a_term() {
    let mut leader = Member::new(Flush::Async);
    let refusal = Refusal::TooFewCopies { in_sync: 1, min: 2 };
    leader.group.refuse(Some(refusal));
    leader.take_over(1);
    let specs = [topic_spec("orders", 1)];
    let applied = leader.group.apply_topics(&specs, Adopt::Always, &leader.mailbox);
    assert_eq!(applied.unwrap_err(), SubmitError::Refused(refusal));
}

//! A proposal whose answer is missing is never called not written.

use super::next;
use super::place::Place;
use crate::memory::Fault;
use crate::{ProposeError, ReadError};

fn is_unknown<T>(outcome: &Result<T, ProposeError>) -> bool {
    matches!(outcome, Err(ProposeError::Unknown(_)))
}

async fn a_lost_answer_is_told_by_the_own_nonce(place: Place) {
    let (arbiter, door) = place.member().await;
    let base = arbiter.read().await.unwrap();
    door.set(Fault::ReplyLost);
    let record = next(&base, 1, 4711);
    assert!(is_unknown(&arbiter.propose(base.version, &record).await));
    assert!(matches!(arbiter.read().await, Err(ReadError::Unreachable(_))));
    door.set(Fault::None);
    let seen = arbiter.read().await.unwrap();
    assert_eq!((seen.record.nonce, seen.record), (4711, record));
}

async fn a_proposal_after_a_timeout_never_claims_failure(place: Place) {
    let (arbiter, door) = place.member().await;
    let base = arbiter.read().await.unwrap();
    let record = next(&base, 0, 1);
    door.set(Fault::Late);
    assert!(is_unknown(&arbiter.propose(base.version, &record).await));
    assert_eq!(arbiter.read().await, Ok(base.clone()), "not written yet");
    door.set(Fault::Unreachable);
    assert!(is_unknown(&arbiter.propose(base.version, &next(&base, 0, 2)).await));
    door.set(Fault::None);
    door.deliver();
    let seen = arbiter.read().await.unwrap();
    assert_eq!(seen.record, record, "the first was written although it was given up");
    assert!(seen.version > base.version);
}

async fn a_late_proposal_that_lost_stays_lost(place: Place) {
    let (arbiter, door) = place.member().await;
    let base = arbiter.read().await.unwrap();
    door.set(Fault::Late);
    assert!(is_unknown(&arbiter.propose(base.version, &next(&base, 0, 1)).await));
    door.set(Fault::None);
    let written = arbiter.propose(base.version, &next(&base, 0, 2)).await.unwrap();
    door.deliver();
    assert_eq!(arbiter.read().await, Ok(written));
}

macro_rules! on_each {
    ($($promise:ident)*) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() { super::$promise(super::Place::memory()).await; })*
        }
        mod lease_of_kubernetes {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() { super::$promise(super::Place::lease()).await; })*
        }
    };
}

on_each! {
    a_lost_answer_is_told_by_the_own_nonce
    a_proposal_after_a_timeout_never_claims_failure
    a_late_proposal_that_lost_stays_lost
}

//! What every arbiter promises, tried on each of them.

pub(crate) mod fake_api;
mod file_only;
mod lease_only;
mod place;
mod unknown;

use std::collections::BTreeSet;
use std::time::Duration;

use crds::group_record::{Cause, FormatError, GroupRecord, GroupRequest, MemberId, Seen};
use tokio::time::timeout;

use crate::{Changes, ProposeError, ReadError};
use place::Place;

/// Far above what a test needs, on a busy machine too.
const LONG: Duration = Duration::from_secs(30);

/// The record that a member writes on top of what it saw.
fn next(seen: &Seen, ordinal: u32, nonce: u64) -> GroupRecord {
    let leader = MemberId { ordinal, store: 7 };
    let only = BTreeSet::from([leader]);
    let record = seen.record.clone();
    GroupRecord {
        revision: record.revision + 1,
        epoch: record.epoch + 1,
        leader: Some(leader),
        in_sync: only.clone(),
        members: only,
        nonce,
        cause: Cause::LeaderLost,
        ..record
    }
}

async fn until(changes: &mut Changes, what: impl Fn(&Result<Seen, ReadError>) -> bool) {
    let held = changes.wait_for(|held| held.as_ref().is_some_and(&what));
    timeout(LONG, held).await.expect("in time").expect("the arbiter is there");
}

/// Members that all want every change; each counts what it was told it had written.
async fn of_several_proposals_on_one_version_one_is_written(place: Place) {
    const MEMBERS: u32 = 4;
    const CHANGES: u64 = 25;
    let mut tasks = Vec::new();
    for ordinal in 0..MEMBERS {
        let arbiter = place.member().await.0;
        tasks.push(tokio::spawn(async move {
            let mut won = Vec::new();
            let mut seen = arbiter.read().await.unwrap();
            while seen.record.revision < CHANGES {
                let nonce = u64::from(ordinal) << 32 | seen.version.0;
                let record = next(&seen, ordinal, nonce);
                seen = match arbiter.propose(seen.version, &record).await {
                    Ok(written) => {
                        assert_eq!(written.record, record);
                        assert!(written.version > seen.version);
                        won.push(written.record.revision);
                        written
                    }
                    Err(ProposeError::Conflict(there)) => {
                        assert!(there.version > seen.version);
                        *there
                    }
                    Err(error) => panic!("{error}"),
                };
            }
            won
        }));
    }
    let mut won = Vec::new();
    for task in tasks {
        won.extend(timeout(LONG, task).await.unwrap().unwrap());
    }
    won.sort_unstable();
    assert_eq!(won, (1..=CHANGES).collect::<Vec<_>>(), "each change was won once");
}

async fn a_conflict_says_what_is_there(place: Place) {
    let (first, second) = (place.member().await.0, place.member().await.0);
    let base = first.read().await.unwrap();
    assert_eq!(second.read().await.unwrap(), base);
    let written = first.propose(base.version, &next(&base, 0, 10)).await.unwrap();
    let refused = second.propose(base.version, &next(&base, 1, 11)).await;
    assert_eq!(refused, Err(ProposeError::Conflict(Box::new(written.clone()))));
    assert_eq!(second.read().await, Ok(written));
}

async fn a_wish_of_the_operator_is_seen_and_outlives_a_change_of_the_record(place: Place) {
    let arbiter = place.member().await.0;
    let base = arbiter.read().await.unwrap();
    let wish = GroupRequest { leader: Some(1), ..base.request.clone() };
    place.request(&wish);
    let error = arbiter.propose(base.version, &next(&base, 0, 1)).await.unwrap_err();
    let ProposeError::Conflict(there) = error else { panic!("{error}") };
    assert_eq!((&there.record, &there.request), (&base.record, &wish));
    let written = arbiter.propose(there.version, &next(&there, 0, 2)).await.unwrap();
    assert_eq!(written.request, wish);
}

async fn a_watcher_hears_the_last_state_and_never_goes_back(place: Place) {
    let (writer, watcher) = (place.member().await.0, place.member().await.0);
    let mut changes = watcher.changes();
    let watching = tokio::spawn(watcher.watch());
    let mut steps = changes.clone();
    let in_order = tokio::spawn(async move {
        let mut latest = None;
        while steps.changed().await.is_ok() {
            let held = steps.borrow_and_update().clone();
            let seen = held.expect("something").expect("a record");
            assert!(latest.is_none_or(|latest| latest < seen.version), "{latest:?} then {:?}", seen.version);
            latest = Some(seen.version);
            if seen.record.revision == 20 {
                return;
            }
        }
    });
    let mut seen = writer.read().await.unwrap();
    for nonce in 1..=20 {
        seen = writer.propose(seen.version, &next(&seen, 0, nonce)).await.unwrap();
        // Every other change is waited for, so that the watcher also hears single ones.
        if nonce % 2 == 0 {
            until(&mut changes, |held| held.as_ref().is_ok_and(|held| *held == seen)).await;
        }
    }
    timeout(LONG, in_order).await.unwrap().unwrap();
    watching.abort();
}

async fn a_missing_record_is_called_missing(place: Place) {
    let arbiter = place.member().await.0;
    let base = arbiter.read().await.unwrap();
    let mut changes = arbiter.changes();
    let watching = tokio::spawn(arbiter.clone().watch());
    place.delete();
    let read = arbiter.read().await;
    assert!(matches!(read, Err(ReadError::Missing(_))), "{read:?}");
    let proposed = arbiter.propose(base.version, &next(&base, 0, 1)).await;
    assert!(matches!(proposed, Err(ProposeError::Missing(_))), "{proposed:?}");
    until(&mut changes, |held| matches!(held, Err(ReadError::Missing(_)))).await;
    watching.abort();
}

async fn another_object_of_the_same_name_is_not_taken_for_it(place: Place) {
    let arbiter = place.member().await.0;
    arbiter.read().await.unwrap();
    let mut changes = arbiter.changes();
    let watching = tokio::spawn(arbiter.clone().watch());
    place.delete();
    place.make_again().await;
    assert!(matches!(arbiter.read().await, Err(ReadError::Regressed(_))));
    until(&mut changes, |held| matches!(held, Err(ReadError::Regressed(_)))).await;
    watching.abort();
    assert!(place.member().await.0.read().await.is_ok(), "whoever saw nothing before may use it");
}

async fn a_record_that_went_back_is_refused(place: Place) {
    let arbiter = place.member().await.0;
    let mut seen = arbiter.read().await.unwrap();
    seen = arbiter.propose(seen.version, &next(&seen, 0, 1)).await.unwrap();
    let backup = place.back_up();
    let kept = seen.version;
    for nonce in 2..=3 {
        seen = arbiter.propose(seen.version, &next(&seen, 0, nonce)).await.unwrap();
    }
    place.restore(backup);
    let error = arbiter.read().await.unwrap_err();
    let ReadError::Regressed(went) = &error else { panic!("{error}") };
    assert_eq!((went.seen.version, went.found.version), (seen.version, kept));
    let proposed = arbiter.propose(seen.version, &next(&seen, 0, 4)).await;
    assert!(matches!(proposed, Err(ProposeError::Regressed(_))), "{proposed:?}");

    // Somebody who saw nothing goes on from the backup until the versions have caught up.
    let other = place.member().await.0;
    let mut there = other.read().await.unwrap();
    while there.version <= seen.version {
        let same = GroupRecord { nonce: there.version.0, ..there.record.clone() };
        there = other.propose(there.version, &same).await.unwrap();
    }
    assert!(matches!(arbiter.read().await, Err(ReadError::Regressed(_))), "the revision is still behind");
}

async fn a_record_of_a_later_format_is_refused_by_its_name(place: Place) {
    let arbiter = place.member().await.0;
    let base = arbiter.read().await.unwrap();
    if !place.write_later_format() {
        return;
    }
    assert_eq!(arbiter.read().await, Err(ReadError::Format(FormatError::Later(2))));
    let proposed = arbiter.propose(base.version, &next(&base, 0, 1)).await;
    assert_eq!(proposed, Err(ProposeError::Format(FormatError::Later(2))));
}

macro_rules! conformance {
    ($($promise:ident)*) => {
        mod file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::$promise(super::Place::file()).await; })*
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::$promise(super::Place::memory()).await; })*
        }
        mod lease_of_kubernetes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::$promise(super::Place::lease()).await; })*
        }
    };
}

conformance! {
    of_several_proposals_on_one_version_one_is_written
    a_conflict_says_what_is_there
    a_wish_of_the_operator_is_seen_and_outlives_a_change_of_the_record
    a_watcher_hears_the_last_state_and_never_goes_back
    a_missing_record_is_called_missing
    another_object_of_the_same_name_is_not_taken_for_it
    a_record_that_went_back_is_refused
    a_record_of_a_later_format_is_refused_by_its_name
}

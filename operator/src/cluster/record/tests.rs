//! What the operator may do with a group's record, in every state of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn member(ordinal: u32) -> MemberId {
    MemberId { ordinal, store: u64::from(ordinal) + 100 }
}

fn record(epoch: u32, revision: u64, in_sync: &[u32], learning: &[u32]) -> GroupRecord {
    GroupRecord {
        epoch,
        revision,
        leader: in_sync.first().map(|ordinal| member(*ordinal)),
        in_sync: in_sync.iter().map(|ordinal| member(*ordinal)).collect(),
        members: in_sync.iter().chain(learning).map(|ordinal| member(*ordinal)).collect(),
        ..GroupRecord::created(1)
    }
}

fn lease(record: GroupRecord, asked: Option<u32>) -> LeaseView {
    LeaseView {
        uid: "uid".into(),
        resource_version: "7".into(),
        record: Some(Ok(record)),
        request: asked.map(|copies| GroupRequest { copies, ..GroupRequest::default() }),
        is_deleted: false,
    }
}

fn report(ordinal: u32, record: &GroupRecord) -> MemberReport {
    MemberReport { member: member(ordinal), record: record.clone(), is_decided: true }
}

fn new() -> RecordStep {
    RecordStep::Write(GroupRecord::created(2))
}

#[test]
fn a_record_is_made_only_for_a_group_that_never_had_one() {
    let step = |traces| record_step(None, traces, 2, &[]);
    assert_eq!(step(Traces::default()), new());
    // A cluster of a version without records: one disk, and who holds it holds all.
    assert_eq!(step(Traces { volumes: 1, runs: true, seen: false }), new());
    for lost in [
        Traces { seen: true, ..Traces::default() },
        Traces { seen: true, volumes: 1, runs: true },
        Traces { volumes: 2, ..Traces::default() },
        Traces { volumes: 3, runs: true, seen: false },
    ] {
        assert!(matches!(step(lost), RecordStep::Lost(_)), "{lost:?}");
    }
}

#[test]
fn a_lease_without_its_record_is_as_good_as_none() {
    let mut emptied = lease(GroupRecord::created(2), None);
    emptied.record = None;
    let step = |traces| record_step(Some(&emptied), traces, 2, &[]);
    assert_eq!(step(Traces::default()), new());
    assert!(matches!(step(Traces { seen: true, volumes: 3, runs: true }), RecordStep::Lost(_)));
}

#[test]
fn a_record_that_brokers_write_is_left_to_them() {
    let traces = Traces { seen: true, volumes: 3, runs: true };
    assert_eq!(
        record_step(Some(&lease(record(4, 9, &[0, 1], &[2]), None)), traces, 2, &[]),
        RecordStep::Keep
    );
    assert_eq!(record_step(Some(&lease(GroupRecord::created(1), None)), traces, 2, &[]), RecordStep::Keep);
}

#[test]
fn a_record_of_a_later_version_is_not_overwritten() {
    let mut later = lease(GroupRecord::created(1), None);
    later.record = Some(Err(FormatError::Later(2)));
    let RecordStep::Lost(text) = record_step(Some(&later), Traces::default(), 1, &[]) else { panic!() };
    assert!(text.contains("upgrade"), "{text}");
}

#[test]
fn a_kept_record_is_forgotten_only_when_all_disks_are_gone_too() {
    let kept = lease(record(4, 9, &[0, 1], &[]), None);
    let step = |traces| record_step(Some(&kept), traces, 2, &[]);
    assert_eq!(step(Traces::default()), new());
    for traces in [
        Traces { volumes: 1, ..Traces::default() },
        Traces { runs: true, ..Traces::default() },
        Traces { seen: true, ..Traces::default() },
    ] {
        assert_eq!(step(traces), RecordStep::Keep, "{traces:?}");
    }
}

#[test]
fn a_lost_record_comes_back_when_all_that_could_have_changed_it_have_answered() {
    let (old, last) = (record(4, 9, &[0, 1, 2], &[]), record(5, 10, &[1, 2], &[0]));
    assert_eq!(reseed(&[]), None);
    let all = [report(0, &old), report(1, &last), report(2, &old)];
    for missing in 0..3 {
        let some: Vec<_> = all.iter().filter(|one| one.member.ordinal != missing).cloned().collect();
        assert_eq!(reseed(&some), None, "{missing} may know a later one");
    }
    for undecided in 0..3 {
        let mut one_waits = all.clone();
        one_waits[undecided].is_decided = false;
        assert_eq!(reseed(&one_waits), None, "{undecided} may have made a later one");
    }
    let made = reseed(&all).unwrap();
    let expected = GroupRecord { revision: made.revision, cause: made.cause, ..last.clone() };
    assert_eq!(made, expected, "who leads and who is in sync stays");
    assert!(made.revision > last.revision + 1, "a change that nobody acted on may be known");
    let traces = Traces { seen: true, volumes: 3, runs: true };
    assert_eq!(record_step(None, traces, 2, &all), RecordStep::Write(made));
    let mut wiped = all;
    wiped[0].member.store += 1;
    assert_eq!(reseed(&wiped), None, "what was on the disk of 0 may have known more");
    assert_eq!(reseed(&[report(0, &GroupRecord::created(1))]), None, "nobody ever led");
}

#[test]
fn copies_go_up_at_once_and_down_one_promise_at_a_time() {
    let steps = [
        // copies, current, record (in sync, learning), asked, pods
        (1, None, record(0, 0, &[], &[]), None, 1),
        (1, Some(1), record(1, 1, &[0], &[]), Some(1), 1),
        (2, Some(1), record(1, 1, &[0], &[]), Some(1), 2),
        (3, Some(2), record(1, 3, &[0], &[1]), Some(2), 3),
        (3, Some(3), record(1, 6, &[0, 1, 2], &[]), Some(3), 3),
        // Down: the wish is not stored yet, then it is but the record names the member, then it is free.
        (2, Some(3), record(1, 6, &[0, 1, 2], &[]), Some(3), 3),
        (2, Some(3), record(1, 6, &[0, 1, 2], &[]), Some(2), 3),
        (2, Some(3), record(1, 7, &[0, 1], &[2]), Some(2), 3),
        (2, Some(3), record(1, 8, &[0, 1], &[]), Some(3), 3),
        (2, Some(3), record(1, 8, &[0, 1], &[]), Some(2), 2),
        (1, Some(2), record(2, 9, &[1, 0], &[]), Some(1), 2),
        (1, Some(2), record(3, 12, &[0], &[]), Some(1), 1),
        // From 3 to 1 while 1 was never taken in, and up again before it was done.
        (1, Some(3), record(1, 6, &[0, 2], &[]), Some(1), 3),
        (3, Some(2), record(1, 6, &[0, 1], &[]), Some(1), 3),
    ];
    for (copies, current, record, asked, pods) in steps {
        let view = lease(record.clone(), asked);
        assert_eq!(replicas(copies, current, Some(&view)), pods, "{copies} {current:?} {record:?} {asked:?}");
    }
}

#[test]
fn without_a_record_the_number_of_pods_stays() {
    assert_eq!(replicas(3, None, None), 3);
    assert_eq!(replicas(3, Some(2), None), 2);
    assert_eq!(replicas(1, Some(3), None), 3);
}

#[test]
fn an_unclean_election_is_asked_for_until_it_has_happened() {
    let spec: BrokerClusterSpec = serde_json::from_value(json!({
        "storage": { "size": "1Gi" }, "copies": 3,
        "uncleanElections": [{ "group": "g1", "token": "t", "epoch": 4, "ordinal": 2 }],
    }))
    .unwrap();
    let mut held = record(4, 9, &[0], &[2]);
    let nobody = BTreeSet::new;
    let asked = request(&spec, 1, Some(&held), BTreeSet::from([2]));
    assert_eq!((asked.copies, asked.min_in_sync, asked.fenced), (3, 2, BTreeSet::from([2])));
    assert_eq!(asked.unclean, Some(UncleanToken { token: "t".into(), epoch: 4, ordinal: 2 }));
    assert_eq!(request(&spec, 0, Some(&held), nobody()).unclean, None, "it is for another group");
    held.unclean.push(crds::group_record::UncleanElection { token: "t".into(), epoch: 5 });
    assert_eq!(request(&spec, 1, Some(&held), nobody()).unclean, None, "it was used");
}

proptest! {
    #[test]
    fn a_member_that_the_record_names_keeps_its_pod_and_its_disk(
        copies in 1..=3u32,
        current in prop::option::of(1..=3u32),
        asked in prop::option::of(1..=3u32),
        in_sync in prop::collection::btree_set(0..3u32, 1..=3),
        learning in prop::collection::btree_set(0..3u32, 0..=3),
    ) {
        let in_sync: Vec<_> = in_sync.into_iter().collect();
        let learning: Vec<_> = learning.into_iter().collect();
        let view = lease(record(3, 5, &in_sync, &learning), asked);
        let pods = replicas(copies, current, Some(&view));
        prop_assert!((copies..=3).contains(&pods));
        for ordinal in in_sync.iter().chain(&learning) {
            prop_assert!(*ordinal < pods);
            prop_assert!(!is_released(*ordinal, 0, Some(&view)));
        }
        // Somebody could still join as long as the wish is not stored.
        if asked.is_none_or(|asked| asked > copies) {
            prop_assert!(pods >= current.unwrap_or(0));
        }
    }
}

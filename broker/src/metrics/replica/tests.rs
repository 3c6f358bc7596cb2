use ::replica::event::{Fault, Refusal};
use crds::group_record::{GroupRecord, MemberId};
use peer::standing::{Tally, Transition};
use store::{Epoch, Position};

use super::*;

fn page(status: &Status) -> String {
    let mut page = Page::default();
    figures(&mut page, status, 20_000);
    page.into_text()
}

fn assert_shows(status: &Status, lines: &[&str]) {
    let text = page(status);
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "`{line}` is not in\n{text}");
    }
}

fn leader() -> Status {
    let id = |ordinal| MemberId { ordinal, store: 1 };
    let record = GroupRecord {
        epoch: 7,
        leader: Some(id(1)),
        in_sync: [id(0), id(1)].into(),
        members: [id(0), id(1), id(2)].into(),
        min_in_sync: 2,
        ..GroupRecord::default()
    };
    let mut tally = Tally::default();
    for (cause, gap_ms) in [(Cause::LeaderLost, 1620), (Cause::HandOver, 90), (Cause::LeaderLost, 70_000)] {
        tally.add(Transition { cause, epoch: Epoch(7), at_ms: 1, gap_ms });
    }
    Status {
        ordinal: 1,
        role: "leader",
        epoch: Epoch(7),
        record,
        copies: 3,
        ruled_ms: 18_500,
        committed: Position(4096),
        lag_bytes: BTreeMap::from([(0, 0), (2, 512)]),
        is_in_sync: true,
        transition: Some(Transition { cause: Cause::LeaderLost, epoch: Epoch(7), at_ms: 1, gap_ms: 70_000 }),
        tally,
        ..Status::default()
    }
}

#[test]
fn a_leader_shows_who_counts_and_how_far_the_others_are() {
    let lines = [
        "millpond_replica_role{role=\"leader\"} 1",
        "millpond_replica_role{role=\"follower\"} 0",
        "millpond_replica_epoch 7",
        "millpond_replica_in_sync 1",
        "millpond_replica_in_sync_members 2",
        "millpond_replica_members 3",
        "millpond_replica_copies_wanted 3",
        "millpond_replica_min_in_sync 2",
        "millpond_replica_committed_bytes 4096",
        "millpond_replica_lag_bytes{member=\"2\"} 512",
        "millpond_replica_writes_refused 0",
        "millpond_replica_arbiter_reachable 1",
        "millpond_replica_record_age_seconds 1.5",
    ];
    assert_shows(&leader(), &lines);
}

#[test]
fn every_time_without_a_leader_is_counted_with_its_cause_and_length() {
    let lines = [
        "millpond_replica_transitions_total{cause=\"LeaderLost\"} 2",
        "millpond_replica_transitions_total{cause=\"HandOver\"} 1",
        "millpond_replica_transitions_total{cause=\"Unclean\"} 0",
        "millpond_replica_last_failover_gap_seconds 70",
        "millpond_replica_failover_gap_seconds_bucket{le=\"0.1\"} 1",
        "millpond_replica_failover_gap_seconds_bucket{le=\"1\"} 1",
        "millpond_replica_failover_gap_seconds_bucket{le=\"2\"} 2",
        "millpond_replica_failover_gap_seconds_bucket{le=\"60\"} 2",
        "millpond_replica_failover_gap_seconds_bucket{le=\"+Inf\"} 3",
        "millpond_replica_failover_gap_seconds_sum 71.71",
        "millpond_replica_failover_gap_seconds_count 3",
    ];
    assert_shows(&leader(), &lines);
}

#[test]
fn what_needs_a_person_is_seen() {
    let status = Status {
        role: "faulty",
        fault: Some(Fault::Diverged { common: Position(1), committed: Position(2) }),
        refusal: Some(Refusal::TooFewCopies { in_sync: 1, min_in_sync: 2 }),
        arbiter_error: Some("no answer".to_owned()),
        is_dirty: true,
        is_in_sync: false,
        ..leader()
    };
    let lines = [
        "millpond_replica_role{role=\"faulty\"} 1",
        "millpond_replica_fault{kind=\"Diverged\"} 1",
        "millpond_replica_fault{kind=\"RecordRegressed\"} 0",
        "millpond_replica_writes_refused 1",
        "millpond_replica_arbiter_reachable 0",
        "millpond_replica_dirty 1",
        "millpond_replica_in_sync 0",
    ];
    assert_shows(&status, &lines);
}

#[test]
fn every_series_stands_under_its_family_and_has_a_number() {
    let mut family = String::new();
    for line in page(&leader()).lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            kind.split(' ').next().unwrap().clone_into(&mut family);
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(!family.is_empty() && series.starts_with(&family), "{line} under {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

//! What is given back never comes back, and what stays is whole.

use super::copies::{Pair, assert_same, follow, ship, sorted};
use super::*;

/// A follower that has more than the leader of the next epoch: where they part, and that leader.
struct Parted {
    pair: Pair,
    at: Position,
    tails: Vec<(QueueId, Offset)>,
}

/// `shared` batches on both; then the follower gets `more` of an epoch that the other does not know.
fn parted(shared: u32, more: u32) -> Parted {
    let mut pair = Pair::new();
    let append = |log: &mut Log, number: u32| {
        let drafts = [message(1 + number % 2, vec![3; 700]), message(3, vec![number as u8; 1_200])];
        log.append(&drafts, 1_000).unwrap();
    };
    for number in 0..shared {
        append(&mut pair.leader, number);
    }
    let at = pair.leader.sync().unwrap();
    let tails = pair.leader.tails();
    pair.leader.stamp(Stamps { durable: Some(at), committed: Some(at) });
    let next_disk = pair.leader_disk.fork();
    pair.leader.begin_epoch(Epoch(4), 1_000).unwrap();
    for number in 0..more {
        append(&mut pair.leader, number);
    }
    while ship(&pair.leader.reader(), &mut pair.follower, 6_000).unwrap() {}
    let mut leader =
        Log::open(Arc::new(next_disk.clone()), config(Flush::Sync), Replay::default(), 1_000).unwrap();
    leader.begin_epoch(Epoch(6), 1_000).unwrap();
    for number in 100..100 + more / 2 {
        append(&mut leader, number);
    }
    leader.sync().unwrap();
    (pair.leader, pair.leader_disk) = (leader, next_disk);
    Parted { pair, at, tails }
}

#[test]
fn a_parted_follower_gives_back_its_end_and_follows_again() {
    for shared in 0..24 {
        let Parted { mut pair, at, tails } = parted(shared, 1 + shared);
        pair.follower.preparer().prepare(1_000).unwrap();
        pair.follower.truncate(at, tails.clone()).unwrap();
        assert_eq!(sorted(pair.follower.tails()), sorted(tails));
        assert!(pair.follower.durable() == pair.follower.written() && pair.follower.written() >= at);
        assert!(pair.follower.epochs().iter().all(|begun| begun.start < pair.follower.written()));
        pair.follower.preparer().prepare(1_000).unwrap();
        while ship(&pair.leader.reader(), &mut pair.follower, 9_000).unwrap() {}
        assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &pair.follower);
        pair.follower.sync().unwrap();
        pair.disk.power_cut(u64::from(shared));
        let follower = follow(&pair.disk, Replay::default()).unwrap();
        assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &follower);
    }
}

#[test]
fn batches_of_another_epoch_are_not_taken_behind_those_of_a_lost_one() {
    let Parted { mut pair, at, tails } = parted(3, 9);
    // Behind the record that begins the epoch, where the other leader has one of the same length.
    let behind = Position(at.0 + 128);
    pair.follower.truncate(behind, tails).unwrap();
    let refused = ship(&pair.leader.reader(), &mut pair.follower, 1 << 20);
    assert_eq!(refused, Err(RawError::Mismatch { position: behind }));
    assert_eq!(pair.follower.written(), behind);
}

#[test]
fn a_cut_happens_as_a_whole_or_not_at_all_wherever_it_crashes() {
    for (shared, is_synced) in [(2, true), (7, false), (12, true), (0, true)] {
        let Parted { pair, at, tails } = parted(shared, 30);
        let base = pair.disk.fork();
        let (leader, leader_disk) = (pair.leader, pair.leader_disk);
        drop((pair.follower, pair.disk));
        let cut = |disk: &SimDisk| -> bool {
            disk.kill_process();
            let Ok(mut log) = follow(disk, Replay::default()) else { return false };
            (!is_synced || log.sync().is_ok()) && log.truncate(at, tails.clone()).is_ok()
        };
        let whole = base.fork();
        assert!(cut(&whole));
        let calls = whole.mutations() - base.mutations();
        assert!(calls > 8, "{calls}");
        let (mut uncut, mut done) = (0, 0);
        for nth in 1..=calls {
            let disk = base.fork();
            disk.kill_process();
            let before = follow(&disk.fork(), Replay::default()).unwrap().written();
            let crash = disk.fork();
            let mut log = follow(&crash, Replay::default()).unwrap();
            crash.crash_at(nth);
            if log.truncate(at, tails.clone()).is_ok() {
                continue; // beyond its last call
            }
            for end in 0..5 {
                let disk = crash.fork();
                match end {
                    0 => disk.kill_process(),
                    end => disk.power_cut(nth * 37 + end),
                }
                let why = format!("{shared} shared, crash at call {nth}, end {end}");
                crash_in_open(&disk, nth + end);
                let mut log =
                    follow(&disk, Replay::default()).unwrap_or_else(|error| panic!("{why}: {error}"));
                if log.written() == before {
                    uncut += 1;
                    log.truncate(at, tails.clone()).unwrap();
                } else {
                    done += 1;
                    assert_eq!(log.written().max(at), log.written(), "{why}: too much is gone");
                    assert!(log.written().0 - at.0 <= 4096, "{why}: half a cut");
                }
                assert_eq!(disk.contents("TRUNCATE"), None, "{why}");
                while ship(&leader.reader(), &mut log, 9_000).unwrap() {}
                assert_same(&leader_disk, &leader, &disk, &log);
            }
        }
        assert!(uncut > 0 && done > 0, "{uncut} {done}");
    }
}

/// Completing a cut is cut short as well.
fn crash_in_open(disk: &SimDisk, nth: u64) {
    disk.crash_at(1 + nth % 5);
    let _ = follow(disk, Replay::default());
    if nth.is_multiple_of(2) {
        disk.power_cut(nth);
    } else {
        disk.kill_process();
    }
}

#[test]
fn a_cut_that_cannot_be_is_refused_and_changes_nothing() {
    let Parted { mut pair, at, .. } = parted(5, 9);
    let follower = &mut pair.follower;
    let (written, calls) = (follower.written(), pair.disk.mutations());
    let inside = follower.truncate(Position(at.0 + 8), Vec::new());
    assert!(matches!(inside, Err(TruncateError::Boundary { .. })), "{inside:?}");
    let beyond = follower.truncate(Position(written.0 + 64), Vec::new());
    assert!(matches!(beyond, Err(TruncateError::Boundary { .. })), "{beyond:?}");
    let first_end = Position(4096 + 128);
    let agreed = follower.truncate(first_end, Vec::new());
    assert!(matches!(agreed, Err(TruncateError::Committed { .. })), "{agreed:?}");
    assert_eq!((follower.written(), pair.disk.mutations()), (written, calls));
    follower.truncate(written, follower.tails()).unwrap();
    assert_eq!((follower.written(), pair.disk.mutations()), (written, calls));
}

#[test]
fn a_marker_that_does_not_verify_is_refused() {
    let Parted { pair, at, tails } = parted(3, 9);
    let crash = pair.disk.fork();
    crash.kill_process();
    let mut log = follow(&crash, Replay::default()).unwrap();
    crash.fail(crate::disk::sim::Call::Truncate, 1, crate::disk::sim::Failure::Io);
    assert!(matches!(log.truncate(at, tails), Err(TruncateError::Poisoned(_))));
    crash.kill_process();
    let marker = crash.contents("TRUNCATE").unwrap();
    for bit in 0..marker.len() * 8 - 32 {
        let disk = crash.fork();
        assert!(disk.flip_bit("TRUNCATE", bit as u64 / 8, (bit % 8) as u8));
        assert!(follow(&disk, Replay::default()).is_err(), "bit {bit}");
    }
    assert!(follow(&crash, Replay::default()).unwrap().written() >= at);
}

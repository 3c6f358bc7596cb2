//! A copy that crashes anywhere: while it takes batches, while it is begun and while it is removed.

use super::copies::{Pair, assert_same, filled, follow, ship};
use super::*;

#[test]
fn a_follower_opens_and_goes_on_wherever_it_crashes() {
    crash_everywhere(&filled(60), 5_000);
}

#[test]
fn a_follower_that_catches_up_opens_and_goes_on_wherever_it_crashes() {
    let mut pair = Pair::new();
    for number in 0..50 {
        pair.leader.append(&[message(1, vec![number; 300])], 1_000).unwrap();
        pair.leader.sync().unwrap();
    }
    let marked = crash_everywhere(&pair, 6_000);
    assert!(marked > 10, "only {marked} crashes met the marker");
}

/// The disk is cut at every call that changes it; the follower is never called corrupt and has what it synced.
/// Returns how often it was catching up at that moment.
fn crash_everywhere(pair: &Pair, span_bytes: u64) -> u32 {
    let reader = pair.leader.reader();
    let live = |disk: &SimDisk, synced: &mut Position| -> bool {
        let Ok(mut follower) = follow(disk, Replay::default()) else { return false };
        for number in 0u64.. {
            match ship(&reader, &mut follower, 1 + (number * 977 % span_bytes) as usize) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
            if number % 4 == 3 {
                let Ok(durable) = follower.sync() else { return false };
                *synced = durable;
            }
        }
        true
    };
    let whole = pair.disk.fork();
    assert!(live(&whole, &mut Position(0)));
    let calls = whole.mutations() - pair.disk.mutations();
    assert!(calls > 30, "{calls}");
    let mut marked = 0;
    for nth in 1..=calls {
        let disk = pair.disk.fork();
        disk.crash_at(nth);
        let mut synced = Position(0);
        assert!(!live(&disk, &mut synced), "call {nth} of {calls}");
        for end in 0..4 {
            let disk = disk.fork();
            match end {
                0 => disk.kill_process(),
                end => disk.power_cut(nth * 31 + end),
            }
            marked += u32::from(disk.contents("UNPROVEN").is_some());
            let why = format!("crash at call {nth}, end {end}");
            let mut follower =
                follow(&disk, Replay::default()).unwrap_or_else(|error| panic!("{why}: {error}"));
            assert!(follower.written() >= synced, "{why}: {} is not durable {synced}", follower.written());
            while ship(&reader, &mut follower, 5_000).unwrap() {}
            assert_same(&pair.leader_disk, &pair.leader, &disk, &follower);
        }
    }
    marked
}

#[test]
fn what_a_power_cut_left_behind_a_torn_segment_is_no_proof_at_the_next_start() {
    let start =
        |disk: &SimDisk| Log::open(Arc::new(disk.clone()), config(Flush::Sync), Replay::default(), 1_000);
    let mut pair = Pair::new();
    for number in 0..40 {
        pair.leader.append(&[message(1, vec![number; 300])], 1_000).unwrap();
        pair.leader.sync().unwrap();
    }
    let reader = pair.leader.reader();
    let mut follower = start(&pair.disk).unwrap();
    while ship(&reader, &mut follower, 50_000).unwrap() {}
    drop(follower);
    pair.disk.kill_process();
    assert!(pair.disk.contents("UNPROVEN").is_some());
    let segments = pair.disk.list("log").unwrap();
    assert_eq!(segments.len(), 2, "{segments:?}");
    // The end of one and the beginning of the next never reached the disk, what comes behind them did.
    let last = pair.disk.contents(&format!("log/{}", segments[0])).unwrap().len() as u64 - 100;
    assert!(pair.disk.flip_bit(&format!("log/{}", segments[0]), last, 1));
    assert!(pair.disk.flip_bit(&format!("log/{}", segments[1]), 4096 + 20, 1));
    let first = start(&pair.disk).unwrap().written();
    assert!(first < pair.leader.written());
    let mut follower = start(&pair.disk).unwrap();
    assert_eq!(follower.written(), first);
    while ship(&reader, &mut follower, 5_000).unwrap() {}
    assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &follower);
}

#[test]
fn a_copy_begins_where_the_leader_is_kept() {
    let mut pair = filled(60);
    let covered = pair.leader.sync().unwrap();
    let all = Retention { max_age_ms: u64::MAX, max_bytes: Some(2 * SEGMENT_BYTES) };
    let start = pair.leader.retain(1_000, all, covered).unwrap();
    assert!(start > Position(0));
    let disk = SimDisk::new(9);
    assert!(!Log::exists(&disk).unwrap());
    Log::create(&disk, pair.leader.id(), start, 8 * 4096, 1_000).unwrap();
    assert!(Log::exists(&disk).unwrap());
    let again = Log::create(&disk, pair.leader.id(), start, SEGMENT_BYTES, 1_000);
    assert!(matches!(again, Err(OpenError::Exists)), "{again:?}");
    let seed = Replay { covered: start, tails: pair.leader.tails(), epochs: pair.leader.epochs() };
    let mut follower = follow(&disk, seed.clone()).unwrap();
    assert_eq!((follower.head(), follower.known_committed()), (start, start));
    while ship(&pair.leader.reader(), &mut follower, 7_000).unwrap() {}
    assert_same(&pair.leader_disk, &pair.leader, &disk, &follower);
    follower.sync().unwrap();
    drop(follower);
    assert_same(&pair.leader_disk, &pair.leader, &disk, &follow(&disk, seed).unwrap());
}

#[test]
fn creating_and_wiping_leave_a_whole_log_or_none_wherever_they_crash() {
    let id = [7; 16];
    let start = Position(3 * SEGMENT_BYTES);
    let base = SimDisk::new(3);
    drop(open(&base, Flush::Sync).unwrap());
    let replace = |disk: &SimDisk| {
        Log::wipe(disk).is_ok() && Log::create(disk, id, start, SEGMENT_BYTES, 1_000).is_ok()
    };
    let whole = base.fork();
    assert!(replace(&whole));
    for nth in 1..=whole.mutations() - base.mutations() {
        let disk = base.fork();
        disk.crash_at(nth);
        assert!(!replace(&disk));
        for end in 0..8 {
            let disk = disk.fork();
            disk.power_cut(nth * 31 + end);
            if Log::exists(&disk).unwrap() {
                let log = follow(&disk, Replay::default()).unwrap();
                assert!(log.head() == Position(0) || log.head() == start);
            } else {
                Log::create(&disk, id, start, SEGMENT_BYTES, 1_000).unwrap();
                assert_eq!(follow(&disk, Replay::default()).unwrap().head(), start);
            }
        }
    }
}

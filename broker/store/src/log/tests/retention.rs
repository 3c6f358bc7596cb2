//! Old segments go, new ones are made ahead.

use super::*;

const FOREVER_MS: u64 = u64::MAX;

/// Appends messages until the log is `segments` long; a segment takes two seconds.
fn grow(log: &mut Log, segments: u64) {
    let mut now_ms = 1_000;
    while log.written().0 < segments * SEGMENT_BYTES {
        log.append(&[message(1, vec![1; 2_800])], now_ms).unwrap();
        now_ms += 500;
    }
    log.sync().unwrap();
}

#[test]
fn segments_go_by_age_only_when_their_youngest_record_is_too_old() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    grow(&mut log, 3);
    let covered = log.durable();
    // Four messages to a segment, written at 1.0 .. 2.5 s, 3.0 .. 4.5 s, 5.0 s ...
    let retention = Retention { max_age_ms: 10_000, max_bytes: None };
    assert_eq!(log.retain(13_000, retention, covered).unwrap(), Position(0));
    assert_eq!(log.retain(13_001, retention, covered).unwrap(), Position(SEGMENT_BYTES));
    assert_eq!(log.retain(15_001, retention, covered).unwrap(), Position(2 * SEGMENT_BYTES));
    // The same is known after opening again.
    grow(&mut log, 5);
    drop(log);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let covered = log.durable();
    assert_eq!(log.retain(10_999, retention, covered).unwrap(), Position(2 * SEGMENT_BYTES));
    assert_eq!(log.retain(FOREVER_MS, retention, covered).unwrap(), Position(5 * SEGMENT_BYTES));
}

#[test]
fn what_the_checkpoint_does_not_cover_and_the_active_segment_stay() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    grow(&mut log, 4);
    let all = Retention { max_age_ms: 0, max_bytes: Some(0) };
    assert_eq!(
        log.retain(FOREVER_MS, all, Position(2 * SEGMENT_BYTES - 1)).unwrap(),
        Position(SEGMENT_BYTES)
    );
    assert_eq!(log.retain(FOREVER_MS, all, Position(u64::MAX)).unwrap(), Position(4 * SEGMENT_BYTES));
    assert!(log.written() > Position(4 * SEGMENT_BYTES));
}

#[test]
fn a_trimmed_record_is_told_from_a_corrupt_one() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let placed = log.append(&[message(1, "old")], 1_000).unwrap()[0];
    let reader = log.reader();
    grow(&mut log, 3);
    let head = log.retain(FOREVER_MS, Retention { max_age_ms: 0, max_bytes: None }, log.durable()).unwrap();
    let read = reader.read(placed.position, placed.bytes);
    assert!(matches!(read, Err(ReadError::Trimmed { head: named }) if named == head), "{read:?}");
}

#[test]
fn the_next_segment_is_made_once_half_of_the_active_one_is_used() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let preparer = log.preparer();
    assert!(!preparer.prepare(1_000).unwrap(), "too early");
    log.append(&[message(1, vec![1; 5_000])], 1_000).unwrap();
    assert!(preparer.prepare(1_000).unwrap());
    assert!(!preparer.prepare(1_000).unwrap(), "there is one");
    let calls = disk.mutations();
    log.append(&[message(1, vec![1; 9_000])], 1_000).unwrap();
    assert_eq!(disk.mutations() - calls, 2, "a roll into a prepared segment is the pad and the batch");
}

#[test]
fn a_prepared_segment_is_used_after_opening_again() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    log.append(&[message(1, vec![1; 9_000])], 1_000).unwrap();
    assert!(log.preparer().prepare(1_000).unwrap());
    drop(log);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    assert!(!log.preparer().prepare(1_000).unwrap());
    let calls = disk.mutations();
    let placed = log.append(&[meta(), message(1, vec![1; 3_000])], 1_000).unwrap();
    assert!(placed[1].position > Position(SEGMENT_BYTES));
    assert_eq!(disk.mutations() - calls, 2);
}

#[test]
fn a_failed_removal_is_made_up_for_later() {
    use crate::disk::sim::{Call, Failure};
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    grow(&mut log, 4);
    let all = Retention { max_age_ms: 0, max_bytes: None };
    let covered = log.durable();
    disk.fail(Call::Remove, 2, Failure::Io);
    let failed = log.retain(FOREVER_MS, all, covered).unwrap_err();
    assert_eq!(failed.file, format!("log/{SEGMENT_BYTES:020}.log"));
    assert_eq!(log.head(), Position(SEGMENT_BYTES));
    assert_eq!(log.retain(FOREVER_MS, all, covered).unwrap(), Position(4 * SEGMENT_BYTES));
    log.append(&[message(1, "on")], 1_000).unwrap();
}

#[test]
fn the_last_batch_stays_though_its_segment_is_full_covered_and_old() {
    use crate::disk::sim::{Call, Failure};
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    log.append(&[message(1, vec![1; 9_000])], 1_000).unwrap();
    // The pad and the next segment's page are written, the batch is not.
    disk.fail(Call::Write, 3, Failure::Full);
    let refused = log.append(&[message(1, vec![1; 9_000])], 1_000);
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    assert!(log.written() > Position(SEGMENT_BYTES));
    let covered = log.sync().unwrap();
    let all = Retention { max_age_ms: 0, max_bytes: Some(0) };
    assert_eq!(log.retain(FOREVER_MS, all, covered).unwrap(), Position(0));
    drop(log);
    // Or else nothing would tell the next start which epoch it was.
    let (log, _) = open_from(&disk, config(Flush::Sync), Replay { covered, ..Replay::default() }).unwrap();
    assert_eq!(log.last_epoch(), Epoch(2));
}

fn meta() -> Draft {
    Draft::control(Kind::Meta, Bytes::from_static(b"m"))
}

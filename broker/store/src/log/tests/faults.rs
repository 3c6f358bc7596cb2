//! Disks that fail, fill up, lie and rot.

use super::*;
use crate::disk::sim::{Call, Failure, Random};

fn eio(disk: &SimDisk, call: Call) {
    disk.fail(call, 1, Failure::Io);
}

/// A log of several segments; every batch but the last is proven to be synced by the one after it.
fn filled(disk: &SimDisk, batches: u32) -> (Log, Vec<Placed>) {
    let (mut log, _) = open(disk, Flush::Sync).unwrap();
    let mut placed = Vec::new();
    for number in 0..batches {
        placed.extend(log.append(&[message(1, vec![number as u8; 600]), meta(number)], 1_000).unwrap());
        log.sync().unwrap();
    }
    (log, placed)
}

fn meta(number: u32) -> Draft {
    Draft::control(Kind::Meta, number.to_le_bytes().to_vec().into())
}

#[test]
fn a_failed_sync_ends_the_log_though_the_next_one_would_succeed() {
    let disk = SimDisk::new(1);
    let (mut log, placed) = filled(&disk, 3);
    let durable = log.durable();
    log.append(&[message(1, "lost?")], 1_000).unwrap();
    eio(&disk, Call::Sync);
    let poisoned = log.reader().sync().unwrap_err();
    assert_eq!((poisoned.operation, poisoned.file.as_str()), ("sync", "log/00000000000000000000.log"));
    assert_eq!(log.sync(), Err(poisoned.clone()));
    assert_eq!(log.append(&[meta(9)], 1_000), Err(AppendError::Poisoned(poisoned)));
    assert_eq!(log.durable(), durable);
    assert!(log.reader().read(placed[0].position, placed[0].bytes).is_ok(), "reads go on");
}

#[test]
fn what_a_start_takes_over_after_a_failed_sync_survives_a_power_cut() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let (mut log, _) = filled(&disk, 2);
        for number in 0..30 {
            log.append(&[message(1, vec![number; 900])], 1_000).unwrap();
        }
        eio(&disk, Call::Sync);
        assert!(log.sync().is_err());
        disk.kill_process();
        let (log, seen) = open(&disk, Flush::Sync).unwrap();
        drop(log);
        disk.power_cut(seed);
        let (_, later) = open(&disk, Flush::Sync).unwrap();
        assert_eq!(later[..seen.len()], seen, "seed {seed}");
    }
}

#[test]
fn a_failed_write_ends_the_log_and_a_new_start_goes_on() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let (mut log, placed) = filled(&disk, 3);
        eio(&disk, Call::Write);
        let failed = log.append(&[message(1, vec![1; 3_000]), message(1, vec![2; 3_000])], 1_000);
        assert!(matches!(&failed, Err(AppendError::Poisoned(p)) if p.operation == "write"), "{failed:?}");
        assert!(matches!(log.append(&[meta(1)], 1_000), Err(AppendError::Poisoned(_))));
        disk.kill_process();
        let (mut log, seen) = open(&disk, Flush::Sync).unwrap();
        let found = messages(&seen).len();
        assert!(found == 3 || found == 5, "all or nothing, not {found}");
        assert!(log.append(&[message(1, "on")], 1_000).unwrap()[0].offset.0 == found as u64);
        assert!(log.reader().read(placed[4].position, placed[4].bytes).is_ok());
    }
}

#[test]
fn a_full_disk_refuses_messages_still_takes_control_records_and_recovers_by_itself() {
    let disk = SimDisk::new(1);
    let (mut log, placed) = filled(&disk, 1);
    disk.set_capacity_bytes(Some(3 * SEGMENT_BYTES));
    let draft = message(1, vec![1; 300]);
    let full = loop {
        let written = log.written();
        match log.append(std::slice::from_ref(&draft), 1_000) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(log.written(), written, "nothing was written");
                break error;
            }
        }
    };
    assert!(matches!(full, AppendError::Full { .. }), "{full}");
    assert!(log.written().0 > SEGMENT_BYTES, "the room there was is used");
    let acks = Draft::control(Kind::Acks, vec![0; 24].into());
    for _ in 0..3 {
        log.append(std::slice::from_ref(&acks), 1_000).unwrap();
    }
    assert!(matches!(log.append(std::slice::from_ref(&draft), 1_000), Err(AppendError::Full { .. })));
    log.sync().unwrap();
    assert!(log.reader().read(placed[0].position, placed[0].bytes).is_ok(), "reads go on");
    while log.append(std::slice::from_ref(&acks), 1_000).is_ok() {}
    assert!(matches!(log.append(&[acks], 1_000), Err(AppendError::Full { .. })));

    disk.set_capacity_bytes(None);
    let placed = log.append(std::slice::from_ref(&draft), 1_000).unwrap();
    log.sync().unwrap();
    drop(log);
    let (_, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(messages(&seen).last().unwrap().offset, placed[0].offset);
}

#[test]
fn a_log_opens_and_is_read_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let (mut log, placed) = filled(&disk, 1);
    disk.set_capacity_bytes(Some(3 * SEGMENT_BYTES));
    while log.append(&[message(1, vec![1; 300])], 1_000).is_ok() {}
    drop(log);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    assert!(log.reader().read(placed[0].position, placed[0].bytes).is_ok());
    assert!(matches!(log.append(&[message(1, vec![1; 300])], 1_000), Err(AppendError::Full { .. })));
    log.append(&[meta(1)], 1_000).unwrap();
}

#[test]
fn retention_makes_room_for_a_full_log() {
    let disk = SimDisk::new(1);
    let (mut log, _) = filled(&disk, 1);
    disk.set_capacity_bytes(Some(4 * SEGMENT_BYTES));
    while log.append(&[message(1, vec![1; 300])], 1_000).is_ok() {}
    let covered = log.sync().unwrap();
    let retention = Retention { max_age_ms: u64::MAX, max_bytes: Some(SEGMENT_BYTES) };
    assert!(log.retain(1_000, retention, covered).unwrap() > Position(0));
    log.append(&[message(1, vec![1; 300])], 1_000).unwrap();
}

#[test]
fn a_flipped_bit_is_found_and_named_and_never_served() {
    let disk = SimDisk::new(1);
    let (log, placed) = filled(&disk, 60);
    let (last_start, end) = (placed[placed.len() - 2].position.0 - 64, log.written().0);
    drop(log);
    let mut random = Random::new(7);
    let (mut refused, mut rotten, mut cut) = (0, 0, 0);
    for _ in 0..1_500 {
        let at = random.below(end);
        let disk = disk.fork();
        let file = format!("log/{:020}.log", at / SEGMENT_BYTES * SEGMENT_BYTES);
        if !disk.flip_bit(&file, at % SEGMENT_BYTES, random.below(8) as u8) {
            continue; // the unused end of a segment has no bytes
        }
        match open(&disk, Flush::Sync) {
            Err(OpenError::Corrupt { file: named, position }) => {
                assert_eq!(named, file);
                assert!(position.0 <= at && at - position.0 < SEGMENT_BYTES, "{position} for {at}");
                refused += 1;
            }
            Err(OpenError::Unsupported { .. }) => assert!((8..12).contains(&(at % SEGMENT_BYTES)), "version"),
            Err(other) => panic!("{other}"),
            Ok((log, _)) => {
                let bad = unreadable(&log, &placed);
                rotten += usize::from(!bad.is_empty());
                assert!(bad.iter().all(|p| p.position.0 <= at && at < p.position.0 + u64::from(p.bytes)));
                if bad.is_empty() && at >= last_start {
                    cut += 1; // nothing proves that the last batch was ever synced
                }
            }
        }
    }
    assert!(refused > 100 && rotten > 100 && cut > 0, "{refused} {rotten} {cut}");
}

/// What of `placed` below the end of the log is not read as it was written.
fn unreadable<'a>(log: &Log, placed: &'a [Placed]) -> Vec<&'a Placed> {
    let end = log.reader().written();
    let kept = placed.iter().filter(|p| p.position.0 + u64::from(p.bytes) <= end.0 - 128);
    kept.filter(|p| match log.reader().read(p.position, p.bytes) {
        Ok(record) => {
            assert_eq!(record.entry().position, p.position);
            false
        }
        Err(ReadError::Corrupt { position, .. }) => {
            assert_eq!(position, p.position);
            true
        }
        Err(other) => panic!("{other}"),
    })
    .collect()
}

#[test]
fn a_lost_write_below_the_proof_is_an_error_and_above_it_the_end() {
    let disk = SimDisk::new(1);
    let (mut log, _) = filled(&disk, 2);
    let lost_at = log.written();
    disk.fail(Call::Write, 1, Failure::Lost);
    log.append(&[message(1, "lost")], 1_000).unwrap();
    log.append(&[message(1, "after")], 1_000).unwrap();
    log.sync().unwrap();
    let (reopened, seen) = open(&disk.fork(), Flush::Async).unwrap();
    assert_eq!(messages(&seen).len(), 2, "no batch proves the sync yet: the end");
    drop(reopened);
    log.append(&[message(1, "proof")], 1_000).unwrap();
    let refused = open(&disk.fork(), Flush::Async);
    assert!(
        matches!(&refused, Err(OpenError::Corrupt { position, .. }) if *position == lost_at),
        "{:?}",
        refused.err()
    );
}

#[test]
fn a_batch_behind_a_cut_never_comes_back() {
    let disk = SimDisk::new(1);
    let (mut log, _) = filled(&disk, 2);
    // As long as the batch that begins an epoch: what follows will lie right behind that one.
    let lost = Draft::control(Kind::Meta, Bytes::new());
    disk.fail(Call::Write, 1, Failure::Lost);
    log.append(&[lost], 1_000).unwrap();
    let stale = log.append(&[message(1, "stale")], 1_000).unwrap()[0];
    disk.kill_process();
    let (log, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(messages(&seen).len(), 2, "cut before the hole");
    assert_eq!(log.written().0 + 64, stale.position.0, "an intact old batch is what comes next");
    drop(log);
    let (_, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(messages(&seen).len(), 2);
}

#[test]
fn segments_behind_a_cut_are_removed() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Async).unwrap();
    disk.fail(Call::Write, 1, Failure::Lost);
    while log.written().0 < 3 * SEGMENT_BYTES {
        log.append(&[message(1, vec![1; 2_000])], 1_000).unwrap();
    }
    disk.kill_process();
    let (_, seen) = open(&disk, Flush::Async).unwrap();
    assert_eq!(messages(&seen).len(), 0, "nothing was synced, the first batch is lost");
    assert_eq!(disk.list("log").unwrap(), ["00000000000000000000.log"]);
}

#[test]
fn a_damaged_control_record_is_not_folded() {
    let disk = SimDisk::new(1);
    let (log, placed) = filled(&disk, 5);
    drop(log);
    let meta = placed[3];
    assert!(disk.flip_bit("log/00000000000000000000.log", meta.position.0 + 64, 3));
    let refused = open(&disk, Flush::Sync).err();
    let batch = Position(placed[2].position.0 - 64);
    assert!(matches!(refused, Some(OpenError::Corrupt { position, .. }) if position == batch), "{refused:?}");
}

#[test]
fn a_missing_segment_or_foreign_bytes_are_refused() {
    let disk = SimDisk::new(1);
    let (log, _) = filled(&disk, 60);
    drop(log);
    let second = format!("log/{SEGMENT_BYTES:020}.log");

    let holed = disk.fork();
    holed.remove(&second).unwrap();
    let refused = open(&holed, Flush::Sync).err();
    assert!(matches!(refused, Some(OpenError::Missing { position: Position(SEGMENT_BYTES) })), "{refused:?}");

    let other = SimDisk::new(2);
    let other_id = LogConfig { new_id: Some([8; 16]), ..config(Flush::Sync) };
    drop(open_from(&other, other_id, Replay::default()).unwrap());
    let foreign = other.contents("log/00000000000000000000.log").unwrap();
    let file = disk.open("log/00000000000000000000.log").unwrap();
    file.write_at(&[std::io::IoSlice::new(&foreign)], 0).unwrap();
    let refused = open(&disk, Flush::Sync).err();
    assert!(matches!(&refused, Some(OpenError::Foreign { file }) if file.ends_with("00.log")), "{refused:?}");
}

#[test]
fn a_checkpoint_that_covers_more_than_there_is_is_refused() {
    let disk = SimDisk::new(1);
    let (log, _) = filled(&disk, 3);
    let beyond = Replay { covered: Position(log.written().0 + 64), ..Replay::default() };
    drop(log);
    let refused = open_from(&disk, config(Flush::Sync), beyond).err();
    assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{refused:?}");
    let far = Replay { covered: Position(1 << 40), ..Replay::default() };
    let refused = open_from(&disk, config(Flush::Sync), far).err();
    assert!(matches!(refused, Some(OpenError::Missing { .. })), "{refused:?}");
}

#[test]
fn a_batch_that_a_full_disk_cut_short_leaves_no_trace() {
    let link = || Draft { kind: Kind::Link, ..message(1, vec![3; 2_990]) };
    for seed in 0..150 {
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk, Flush::Sync).unwrap();
        disk.set_capacity_bytes(Some(SEGMENT_BYTES + seed * 97));
        let mut offsets = Vec::new();
        let full = loop {
            match log.append(&[link(), link()], 1_000) {
                Ok(placed) => offsets.extend(placed.iter().map(|placed| placed.offset)),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, AppendError::Full { .. }), "{full}");
        let start = (log.written().0 - 1) / SEGMENT_BYTES * SEGMENT_BYTES;
        let length = disk.contents(&format!("log/{start:020}.log")).unwrap().len() as u64;
        assert!(start + length <= log.written().0, "room is given back");
        log.sync().unwrap();
        if seed % 2 == 0 {
            disk.power_cut(seed);
        } else {
            disk.set_capacity_bytes(None);
            offsets.extend(log.append(&[link()], 1_000).unwrap().iter().map(|placed| placed.offset));
            log.sync().unwrap();
        }
        disk.set_capacity_bytes(None);
        let (log, seen) = open(&disk, Flush::Sync).unwrap();
        let links = seen.iter().filter(|seen| seen.kind == Kind::Link);
        assert_eq!(links.map(|seen| seen.offset).collect::<Vec<_>>(), offsets, "seed {seed}");
        assert_eq!(offsets.last().map(|last| last.0 + 1), Some(offsets.len() as u64));
        assert_eq!(log.tails(), [(QueueId(1), Offset(offsets.len() as u64))]);
    }
}

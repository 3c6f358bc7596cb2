//! Appending, reading, opening again.

use super::*;

#[test]
fn a_record_is_read_as_it_was_appended() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let draft = Draft { attempt: 3, ..message(9, &b"body of a message"[..]) };
    let placed = log.append(std::slice::from_ref(&draft), 5_000).unwrap()[0];

    let record = log.reader().read(placed.position, placed.bytes).unwrap();
    assert_eq!(
        (record.head(), record.body(), record.body_crc()),
        (draft.head.clone(), draft.body.clone(), draft.body_crc)
    );
    assert_eq!(record.entry(), Entry::of(&draft, &placed, log.last_epoch()));
    assert_eq!((record.entry().attempt, record.entry().stored_ms, record.entry().body), (3, 5_000, &[][..]));
}

#[test]
fn offsets_are_dense_in_each_queue_and_go_on_after_opening_again() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let batch = [message(1, "a"), message(2, "b"), Draft::control(Kind::Meta, "m".into()), message(1, "c")];
    let placed = log.append(&batch, 1_000).unwrap();
    assert_eq!(placed.iter().map(|p| p.offset.0).collect::<Vec<_>>(), [0, 0, 0, 1]);
    log.sync().unwrap();
    drop(log);

    let (mut log, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(messages(&seen).len(), 3);
    let mut tails = log.tails();
    tails.sort_unstable();
    assert_eq!(tails, [(QueueId(1), Offset(2)), (QueueId(2), Offset(1))]);
    assert_eq!(log.append(&[message(1, "d")], 1_000).unwrap()[0].offset, Offset(2));
}

#[test]
fn large_and_small_bodies_of_every_length_come_back() {
    let disk = SimDisk::new(1);
    let config = LogConfig { segment_bytes: 1 << 20, ..config(Flush::Async) };
    let (mut log, _) = open_from(&disk, config, Replay::default()).unwrap();
    let lengths = [0, 1, 7, 8, 9, 1000, 32 << 10, (32 << 10) + 1, 100_003, 5, 70_000, 70_000];
    let drafts: Vec<_> = lengths.iter().map(|&length| message(1, vec![length as u8; length])).collect();
    let placed = log.append(&drafts, 1_000).unwrap();
    let wanted: Vec<_> = placed.iter().map(|p| (p.position, p.bytes)).collect();
    let records = log.reader().read_span(&wanted);
    assert_eq!(records.len(), drafts.len());
    for (record, draft) in records.into_iter().zip(&drafts) {
        assert_eq!(record.unwrap().body(), draft.body);
    }
}

#[test]
fn the_log_goes_on_in_the_next_segment_and_readers_follow() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let reader = log.reader();
    let mut all = Vec::new();
    for number in 0..50u8 {
        all.extend(
            log.append(&[message(1, vec![number; 1_500]), message(2, vec![number; 10])], 1_000).unwrap(),
        );
    }
    log.sync().unwrap();
    assert!(log.written().0 > 4 * SEGMENT_BYTES);
    let check = |reader: &LogReader| {
        for (number, placed) in all.iter().enumerate() {
            let record = reader.read(placed.position, placed.bytes).unwrap();
            assert_eq!(record.body()[0], (number / 2) as u8);
        }
    };
    check(&reader);
    drop(log);
    let (log, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(
        messages(&seen).iter().map(|s| s.position).collect::<Vec<_>>(),
        all.iter().map(|p| p.position).collect::<Vec<_>>()
    );
    check(&log.reader());
}

#[test]
fn every_start_begins_a_higher_epoch_even_if_a_checkpoint_covers_all() {
    let disk = SimDisk::new(1);
    let mut replay = Replay::default();
    for epoch in 1..=5 {
        let (mut log, seen) = open_from(&disk, config(Flush::Sync), replay).unwrap();
        assert_eq!(log.last_epoch(), Epoch(epoch));
        assert_eq!(seen.iter().map(|s| (s.kind, s.epoch)).collect::<Vec<_>>(), [(Kind::Epoch, Epoch(epoch))]);
        log.append(&[message(1, vec![0; 4_000]), message(1, vec![0; 4_000])], 1_000).unwrap();
        replay = checkpoint(&mut log);
    }
    assert_eq!(replay.tails, [(QueueId(1), Offset(10))]);
}

#[test]
fn time_never_goes_back_not_even_over_a_start() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(log.append(&[message(1, "a")], 9_000).unwrap()[0].stored_ms, 9_000);
    assert_eq!(log.append(&[message(1, "a")], 8_000).unwrap()[0].stored_ms, 9_000);
    let covered = log.sync().unwrap();
    let (mut log, _) =
        open_from(&disk, config(Flush::Sync), Replay { covered, ..Replay::default() }).unwrap();
    assert_eq!(log.append(&[message(1, "a")], 2_000).unwrap()[0].stored_ms, 9_000);
}

#[test]
fn a_batch_that_no_segment_holds_is_refused_and_the_log_goes_on() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let written = log.written();
    let refused = log.append(&[message(1, vec![0; SEGMENT_BYTES as usize])], 1_000);
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    assert_eq!(log.written(), written);
    assert_eq!(log.append(&[message(1, "a")], 1_000).unwrap()[0].offset, Offset(0));
}

#[test]
fn the_largest_batch_that_a_segment_holds_is_taken_wherever_the_tail_is() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let largest = message(1, vec![1; (SEGMENT_BYTES - 4096 - 64 - 64 - 4) as usize / 8 * 8]);
    for rest in 0..30 {
        log.append(&[message(1, vec![2; rest * 8])], 1_000).unwrap();
        let placed = log.append(std::slice::from_ref(&largest), 1_000).unwrap()[0];
        assert_eq!(log.reader().read(placed.position, placed.bytes).unwrap().body(), largest.body);
    }
    log.sync().unwrap();
    let (_, seen) = open(&disk, Flush::Sync).unwrap();
    assert_eq!(messages(&seen).len(), 60);
}

#[test]
fn reading_where_no_record_is_has_a_typed_answer() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let placed = log.append(&[message(1, "a")], 1_000).unwrap()[0];
    let reader = log.reader();
    let misplaced = reader.read(Position(placed.position.0 + 8), placed.bytes - 8);
    assert!(matches!(misplaced, Err(ReadError::Corrupt { .. })), "{misplaced:?}");
    let beyond = reader.read(log.written(), 100);
    assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
}

#[test]
fn a_cold_record_is_not_waited_for() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, Flush::Sync).unwrap();
    let placed = log.append(&[message(1, "a")], 1_000).unwrap()[0];
    let reader = log.reader();
    assert!(reader.read_cached(placed.position, placed.bytes).unwrap().is_some());
    disk.set_cold(true);
    assert!(reader.read_cached(placed.position, placed.bytes).unwrap().is_none());
    assert!(reader.read_span_cached(&[(placed.position, placed.bytes)])[0].as_ref().unwrap().is_none());
    assert_eq!(reader.read(placed.position, placed.bytes).unwrap().body(), "a");
}

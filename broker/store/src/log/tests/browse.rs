//! Looking through the log in stretches.

use std::ops::Range;

use super::*;

/// A log of several segments, a batch of two messages each second, and where they lie.
fn filled(disk: &SimDisk) -> (Log, Vec<Placed>) {
    let (mut log, _) = open(disk, Flush::Sync).unwrap();
    let mut all = Vec::new();
    for number in 0..60u8 {
        let drafts = [message(1, vec![number; 1_000]), message(2, vec![number; 10])];
        all.extend(log.append(&drafts, 2_000 + 1_000 * u64::from(number)).unwrap());
    }
    log.sync().unwrap();
    (log, all)
}

/// What is met from `from` on, in stretches of this size: messages, and stretches that do not verify.
fn walk(reader: &LogReader, from: Position, bytes: u64) -> (Vec<Position>, u64) {
    let (mut met, mut damaged, mut at) = (Vec::new(), 0, from);
    while at < reader.written() {
        let segment = reader.segment_around(at).unwrap();
        let to = Position((at.0 + bytes).min(segment.end.0));
        let browsed = browse(reader, at..to, &mut met);
        let is_inside = segment.first < at && browsed.first < to;
        damaged += browsed.damaged + u64::from(is_inside && browsed.first > at);
        at = to.max(browsed.end);
    }
    (met, damaged)
}

fn browse(reader: &LogReader, stretch: Range<Position>, met: &mut Vec<Position>) -> Browsed {
    let visit = &mut |entry: &Entry<'_>, head: &[u8], _: u16| {
        if entry.kind == Kind::Message {
            assert_eq!(head, b"head");
            met.push(entry.position);
        }
    };
    reader.browse(stretch, reader.written(), visit).unwrap()
}

#[test]
fn stretches_of_any_size_show_every_record_once() {
    let (log, all) = filled(&SimDisk::new(1));
    let wanted: Vec<_> = all.iter().map(|placed| placed.position).collect();
    for bytes in [8, 1_000, 4_096, 10_000, 1 << 20] {
        assert_eq!(walk(&log.reader(), log.head(), bytes), (wanted.clone(), 0), "stretches of {bytes} B");
    }
}

#[test]
fn a_stretch_shows_the_batches_that_begin_in_it() {
    let (log, all) = filled(&SimDisk::new(1));
    let mut met = Vec::new();
    let batch = |number: usize| Position(all[2 * number].position.0 - 64);
    let stretch = Position(batch(1).0 - 8)..Position(batch(2).0 + 8);
    let browsed = browse(&log.reader(), stretch, &mut met);
    assert_eq!(met, all[2..6].iter().map(|placed| placed.position).collect::<Vec<_>>());
    assert_eq!(browsed, Browsed { first: batch(1), end: batch(3), damaged: 0 });
}

#[test]
fn damage_is_passed_over_and_counted() {
    let disk = SimDisk::new(1);
    let (log, all) = filled(&disk);
    let segment = log.reader().segment_around(all[4].position).unwrap();
    let at = all[4].position.0 - (segment.start.0);
    assert!(disk.flip_bit("log/00000000000000000000.log", at, 3));
    let wanted: Vec<_> =
        all.iter().enumerate().filter(|(n, _)| n / 2 != 2).map(|(_, placed)| placed.position).collect();
    for bytes in [8_192, 1 << 20] {
        assert_eq!(walk(&log.reader(), log.head(), bytes), (wanted.clone(), 1));
    }
}

#[test]
fn a_time_is_bracketed_by_batches() {
    let (log, all) = filled(&SimDisk::new(1));
    let starts: Vec<_> = all.chunks(2).map(|batch| Position(batch[0].position.0 - 64)).collect();
    for (number, batch) in all.chunks(2).enumerate() {
        let bracket = log.reader().around_time(batch[0].stored_ms).unwrap();
        let (earlier, later) = starts.split_at(number);
        assert!(earlier.iter().all(|start| *start < bracket.end), "{number}: {bracket:?}");
        assert!(later.iter().all(|start| *start >= bracket.start), "{number}: {bracket:?}");
        assert!(bracket.end.0 - bracket.start.0 < 8 << 10, "{number}: {bracket:?}");
    }
    assert_eq!(log.reader().around_time(0).unwrap(), log.head()..log.head());
}

#[test]
fn what_retention_took_is_told() {
    let (mut log, all) = filled(&SimDisk::new(1));
    let segment = log.reader().segment_around(all[0].position).unwrap();
    let stretch = segment.start..segment.end;
    log.retain(1_000_000, Retention { max_age_ms: 1, max_bytes: None }, log.written()).unwrap();
    let missed = log.reader().browse(stretch, log.written(), &mut |_, _, _| {});
    assert!(matches!(missed, Err(OpenError::Missing { .. })), "{missed:?}");
}

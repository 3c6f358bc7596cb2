//! The index against a plain map, over random histories.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use crate::disk::Disk;
use crate::disk::sim::{Call, Failure, Random, SimDisk};
use crate::index::{Index, IndexEntry, IndexError};
use crate::{Offset, Position, QueueId};

/// The log that an index is a fold of, and what it says about the queues.
#[derive(Default)]
pub(crate) struct Model {
    log: Vec<(QueueId, IndexEntry)>,
    queues: BTreeMap<QueueId, Vec<IndexEntry>>,
    head: Position,
    end: Position,
}

impl Model {
    /// Appends a record with so many messages to the log and, if the index is there, to it.
    pub(crate) fn append(&mut self, index: Option<&Index>, queue: QueueId, bytes: u32, count: u16) {
        let bytes = bytes.next_multiple_of(8);
        let entries = self.queues.entry(queue).or_default();
        let entry = IndexEntry {
            offset: tail(entries),
            count,
            position: self.end,
            bytes,
            tag_hash: bytes ^ queue.0,
            lane: bytes.rotate_left(9) ^ queue.0,
            stored_ms: self.end.0 / 1000,
        };
        entries.push(entry);
        self.log.push((queue, entry));
        self.end = Position(self.end.0 + u64::from(bytes));
        if let Some(index) = index {
            index.append(queue, entry);
        }
    }

    pub(crate) fn end(&self) -> Position {
        self.end
    }

    pub(crate) fn cut_head(&mut self, head: Position) {
        self.head = self.head.max(head);
    }

    /// What a start does once the log is there.
    pub(crate) fn replay(&self, index: &Index, covered: Position) {
        for (queue, entry) in &self.log {
            if entry.position >= covered.max(self.head) {
                index.append(*queue, *entry);
            }
        }
        index.trim(self.head).unwrap();
    }

    pub(crate) fn check(&self, index: &Index, random: &mut Random) {
        let tails: Vec<_> = self.queues.iter().map(|(queue, entries)| (*queue, tail(entries))).collect();
        assert_eq!(index.tails(), tails);
        for (queue, entries) in &self.queues {
            let kept = entries.partition_point(|entry| entry.position < self.head);
            let (oldest, tail) = (tail(&entries[..kept]), tail(entries));
            assert_eq!(index.range(*queue), (oldest, tail));
            let from = Offset(oldest.0 + random.below(tail.0 - oldest.0 + 1));
            for from in [oldest, from] {
                let first = entries.partition_point(|entry| entry.end() <= from);
                assert_eq!(read_all(index, *queue, from, random), &entries[first..], "queue {queue}");
            }
            if oldest.0 > 0 {
                let error = index.read(*queue, Offset(oldest.0 - 1), 1, &mut Vec::new()).unwrap_err();
                assert!(matches!(error, IndexError::Trimmed { oldest: told } if told == oldest));
            }
            let ms = random.below(self.end.0 / 1000 + 2);
            let first = entries.partition_point(|entry| entry.stored_ms < ms).max(kept);
            let first = entries.get(first).map_or(tail, |entry| entry.offset);
            assert_eq!(index.at_time(*queue, ms).unwrap(), first);
        }
    }
}

/// The first offset that comes after these entries, which begin with offset 0.
fn tail(entries: &[IndexEntry]) -> Offset {
    entries.last().map_or(Offset(0), IndexEntry::end)
}

fn read_all(index: &Index, queue: QueueId, from: Offset, random: &mut Random) -> Vec<IndexEntry> {
    let mut entries: Vec<IndexEntry> = Vec::new();
    let mut next = from;
    loop {
        let before = entries.len();
        let max = 1 + random.below(400);
        index.read(queue, next, max as usize, &mut entries).unwrap();
        let [first, ..] = entries[before..] else { return entries };
        assert!((first.offset..first.end()).contains(&next), "{first:?} was read for {next}");
        let last = entries[entries.len() - 1];
        assert!(last.offset.0 < next.0 + max, "{last:?} was read for {max} messages from {next} on");
        next = last.end();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { queue: u32, count: usize, messages: u64 },
    Flush,
    FailFlush { call: usize },
    Save,
    Trim { percent: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => append(1..200, 1..4, 1..6),
        2 => append(1..4, 1..600, 1..2),
        2 => append(1..4, 1..600, 1..65),
        1 => append(1..4, 1..20, 1..257),
        3 => Just(Step::Flush),
        1 => (0..4_usize).prop_map(|call| Step::FailFlush { call }),
        2 => Just(Step::Save),
        1 => (0..=100_u64).prop_map(|percent| Step::Trim { percent }),
        2 => Just(Step::Reopen),
    ]
}

/// Records, each with up to so many messages.
fn append(queue: Range<u32>, count: Range<usize>, messages: Range<u64>) -> impl Strategy<Value = Step> {
    (queue, count, messages).prop_map(|(queue, count, messages)| Step::Append { queue, count, messages })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn it_answers_as_a_map_would(steps in prop::collection::vec(step(), 1..60), seed: u64) {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(seed);
        let mut index = Index::open(Arc::new(disk.clone()), None).unwrap();
        let mut model = Model::default();
        let mut saved = (Position(0), index.snapshot());
        for step in steps {
            match step {
                Step::Append { queue, count, messages } => for _ in 0..count {
                    let messages = 1 + random.below(messages) as u16;
                    model.append(Some(&index), QueueId(queue), 64 + random.below(4000) as u32, messages);
                },
                Step::Flush => index.flush().unwrap(),
                Step::FailFlush { call } => {
                    let call = [Call::Create, Call::Write, Call::Sync, Call::SyncDir][call];
                    disk.fail(call, 1, Failure::Full);
                    let _ = index.flush();
                    disk.forget_faults();
                }
                Step::Save => saved = (model.end(), index.snapshot()),
                Step::Trim { percent } => {
                    model.cut_head(Position(saved.0.0 * percent / 100));
                    index.trim(model.head).unwrap();
                }
                Step::Reopen => {
                    disk.kill_process();
                    index = Index::open(Arc::new(disk.clone()), Some(&saved.1)).unwrap();
                    model.replay(&index, saved.0);
                }
            }
            model.check(&index, &mut random);
        }
    }
}

#[test]
fn long_chains_of_runs_are_walked_from_any_offset() {
    let mut random = Random::new(5);
    let disk = SimDisk::new(5);
    let index = Index::open(Arc::new(disk.clone()), None).unwrap();
    let mut model = Model::default();
    for round in 0..150 {
        for _ in 0..3 {
            model.append(Some(&index), QueueId(1), 64, 1 + round % 3);
        }
        if round % 7 == 0 {
            model.append(Some(&index), QueueId(65), 64, 1);
        }
        index.flush().unwrap();
    }
    for _ in 0..50 {
        model.check(&index, &mut random);
    }
    let half = Position(model.end().0 / 2);
    model.cut_head(half);
    index.trim(half).unwrap();
    assert!(disk.list("index").unwrap().len() < 80, "runs below the head are removed");
    for _ in 0..50 {
        model.check(&index, &mut random);
    }
}

#[test]
fn a_flush_of_nothing_but_trimmed_entries_opens_again() {
    let disk = SimDisk::new(1);
    let index = Index::open(Arc::new(disk.clone()), None).unwrap();
    let mut model = Model::default();
    model.append(Some(&index), QueueId(1), 64, 5);
    model.cut_head(model.end());
    index.trim(model.end()).unwrap();
    index.flush().unwrap();
    let again = Index::open(Arc::new(disk), Some(&index.snapshot())).unwrap();
    model.check(&again, &mut Random::new(1));
}

#[test]
fn without_a_checkpoint_queues_begin_where_the_log_begins() {
    let disk = SimDisk::new(1);
    let mut model = Model::default();
    for number in 0..1000 {
        model.append(None, QueueId(1 + number % 5), 64, 1 + number as u16 % 4);
    }
    model.cut_head(Position(640 * 64));
    let index = Index::open(Arc::new(disk), None).unwrap();
    model.replay(&index, Position(0));
    model.check(&index, &mut Random::new(1));
}

#[test]
fn a_flipped_bit_in_a_run_is_told_with_file_and_place() {
    let disk = SimDisk::new(1);
    let index = Index::open(Arc::new(disk.clone()), None).unwrap();
    let mut model = Model::default();
    for _ in 0..300 {
        model.append(Some(&index), QueueId(1), 64, 1);
    }
    index.flush().unwrap();
    // Opening, block header, and the first group of 256 entries come first: this is in the second group.
    assert!(disk.flip_bit("index/0000000001.run", 64 + 60 + 8 + 256 * 20 + 100, 0));
    let mut entries = Vec::new();
    index.read(QueueId(1), Offset(0), 300, &mut entries).unwrap();
    assert_eq!(entries.len(), 256, "what verifies is given");
    let error = index.read(QueueId(1), Offset(256), 10, &mut entries).unwrap_err();
    assert_eq!(error.to_string(), "index/0000000001.run is corrupt at byte 5252");
}

#[test]
#[should_panic(expected = "queue 1: offset 2 after 1")]
fn a_gap_is_a_bug() {
    let index = Index::open(Arc::new(SimDisk::new(1)), None).unwrap();
    let entry = |offset| IndexEntry {
        offset: Offset(offset),
        count: 1,
        position: Position(offset * 64),
        bytes: 64,
        tag_hash: 0,
        lane: 0,
        stored_ms: 0,
    };
    index.append(QueueId(1), entry(0));
    index.append(QueueId(1), entry(0));
    index.append(QueueId(1), entry(2));
}

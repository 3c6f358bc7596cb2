//! Readers while the log thread appends and the background thread flushes and trims.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::sim::SimDisk;
use crate::index::{Index, IndexEntry, IndexError};
use crate::{Offset, Position, QueueId};

const QUEUES: u64 = 40;
const ENTRIES: u64 = 40_000;

fn entry(number: u64) -> (QueueId, IndexEntry) {
    let entry = IndexEntry {
        offset: Offset(number / QUEUES),
        count: 1,
        position: Position(number * 64),
        bytes: number as u32 * 8,
        tag_hash: 1,
        lane: 0,
        stored_ms: number,
    };
    (QueueId(1 + (number % QUEUES) as u32), entry)
}

#[test]
fn readers_see_every_entry_once_during_flushes_and_trims() {
    let index = Index::open(Arc::new(SimDisk::new(1)), None).unwrap();
    let trimmed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..ENTRIES).map(entry).for_each(|(queue, entry)| index.append(queue, entry)));
        scope.spawn(|| {
            while index.range(QueueId(QUEUES as u32)).1 < Offset(ENTRIES / QUEUES) {
                index.flush().unwrap();
                index.snapshot();
                let appended = index.range(QueueId(1)).1.0 * QUEUES;
                trimmed.store(appended / 4, Ordering::SeqCst);
                index.trim(Position(appended / 4 * 64)).unwrap();
            }
        });
        for queue in 1..=4_u64 {
            let (index, trimmed) = (&index, &trimmed);
            scope.spawn(move || follow(index, queue, trimmed));
        }
    });
}

fn follow(index: &Index, queue: u64, trimmed: &AtomicU64) {
    let mut next = 0;
    let mut entries = Vec::new();
    while next < ENTRIES / QUEUES {
        entries.clear();
        match index.read(QueueId(queue as u32), Offset(next), 64, &mut entries) {
            Ok(()) => {}
            Err(IndexError::Trimmed { oldest }) => {
                assert!(oldest.0 > next && oldest.0 <= trimmed.load(Ordering::SeqCst) / QUEUES + 1);
                next = oldest.0;
            }
            Err(error) => panic!("{error}"),
        }
        for found in &entries {
            assert_eq!(*found, entry(next * QUEUES + queue - 1).1);
            next += 1;
        }
    }
}

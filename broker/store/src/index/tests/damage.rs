//! Sections and run files that no index has written.

use std::sync::Arc;

use crate::disk::sim::SimDisk;
use crate::index::{Index, IndexEntry, IndexError};
use crate::{Offset, Position, QueueId};

const QUEUE: QueueId = QueueId(1);

fn entry(offset: u64) -> IndexEntry {
    let position = Position(offset * 8);
    IndexEntry { offset: Offset(offset), count: 1, position, bytes: 8, tag_hash: 0, lane: 0, stored_ms: 0 }
}

#[test]
fn a_hole_between_the_runs_and_the_tail_is_an_error_and_not_read_for_ever() {
    let disk = Arc::new(SimDisk::new(1));
    let index = Index::open(disk.clone(), None).unwrap();
    (0..10).for_each(|offset| index.append(QUEUE, entry(offset)));
    index.flush().unwrap();
    let mut section = index.snapshot();
    // 1, queue 1, oldest 0, memory begins at 10 and is empty: that is the tail.
    let at = section.windows(4).position(|window| window == [1, 1, 0, 10]).unwrap();
    section.splice(at + 3..at + 4, [0x8c, 0x08]); // 1036
    let index = Index::open(disk, Some(&section)).unwrap();
    let mut entries = Vec::new();
    index.read(QUEUE, Offset(0), 1036, &mut entries).unwrap();
    assert_eq!(entries.len(), 10, "what lies before the hole");
    for from in [10, 1035] {
        let read = index.read(QUEUE, Offset(from), 2, &mut entries);
        assert!(matches!(read, Err(IndexError::Corrupt { .. })), "{read:?}");
    }
}

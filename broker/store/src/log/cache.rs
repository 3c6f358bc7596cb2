//! Which part of the log stays in the operating system's page cache.
//!
//! ```text
//!   head ...... released ...... lowest recent read ...... written - kept ...... durable, written
//!               given back      |<-------------------- stays --------------------------------->|
//! ```
//!
//! A log that only grows would fill all memory there is with pages that nobody reads: a pod then lives at its memory
//! limit, and the writer pays for every new page with reclaim, or, on a virtual machine whose host takes free memory
//! back, with a fault many times the cost of the write. Pages that are given back are used again for the next batches.
//! What is read again later comes from the device and stays as long as the system likes.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::shared::Shared;
use crate::units::Position;

/// Pages are given back in pieces of at least this size.
const STEP_BYTES: u64 = 8 << 20;

/// Pages come in folios, and one that a range cuts stays; each range begins this much earlier to take it along.
const FOLIO_BYTES_MAX: u64 = 4 << 20;

/// A reader that falls behind finds its messages in memory if it pauses for no longer than this.
const READ_REMEMBERED_MS: u64 = 15_000;

/// What was given back, and what was read not long ago.
#[derive(Debug)]
pub(crate) struct Cache {
    lowest_read: AtomicU64,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    released: Position,
    began_ms: u64,
    lowest_before: u64,
}

impl Cache {
    /// What lies below `tail` is left to the operating system.
    pub(crate) fn new(tail: Position) -> Self {
        let turn = Turn { released: tail, began_ms: 0, lowest_before: u64::MAX };
        Self { lowest_read: AtomicU64::new(u64::MAX), turn: Mutex::new(turn) }
    }

    /// The log was cut and ends at `tail` now.
    pub(crate) fn retreat(&self, tail: Position) {
        let mut turn = self.turn.lock();
        turn.released = turn.released.min(tail);
    }

    pub(crate) fn note_read(&self, position: Position) {
        // Nearly always a read above one that is noted already: then nobody writes to the shared line.
        if position.0 < self.lowest_read.load(Ordering::Relaxed) {
            self.lowest_read.fetch_min(position.0, Ordering::Relaxed);
        }
    }

    /// The lowest read of the last `READ_REMEMBERED_MS` or somewhat more.
    fn lowest_read(&self, turn: &mut Turn, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(turn.began_ms) >= READ_REMEMBERED_MS {
            turn.began_ms = now_ms;
            turn.lowest_before = self.lowest_read.swap(u64::MAX, Ordering::Relaxed);
        }
        turn.lowest_before.min(self.lowest_read.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Gives back the pages of what is synced, older than the newest `kept_bytes` and below all recent reads.
    pub(crate) fn release_cache(&self, kept_bytes: u64, now_ms: u64) {
        let mut turn = self.cache.turn.lock();
        let newest = self.written().0.saturating_sub(kept_bytes);
        let to = newest.min(self.durable().0).min(self.cache.lowest_read(&mut turn, now_ms));
        if to < turn.released.0 + STEP_BYTES {
            return;
        }
        let from = Position(turn.released.0.saturating_sub(FOLIO_BYTES_MAX).max(self.head().0));
        for segment in self.touched(from, Position(to)) {
            let begin = segment.at(from.max(segment.start));
            let end = segment.at(Position(to.min(segment.end().0)));
            segment.file.release_cached(begin, end - begin);
        }
        turn.released = Position(to);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;
    use crate::log::{Draft, Flush, Kind, Log, LogConfig, Replay};
    use crate::units::{Epoch, QueueId};

    const MIB: u64 = 1 << 20;
    const KEPT_BYTES: u64 = 2 * MIB;

    fn log(disk: &SimDisk) -> Log {
        let config = LogConfig { segment_bytes: 16 * MIB, flush: Flush::Async, new_id: Some([7; 16]) };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut log = Log::open(disk, config, Replay::default(), 1_000).unwrap();
        log.begin_epoch(Epoch(1), 1_000).unwrap();
        log.sync().unwrap();
        log
    }

    /// Appends about that much; returns where the first and the last record lie.
    fn grow(log: &mut Log, mib: u64) -> (Position, Position) {
        let body = Bytes::from(vec![b'b'; MIB as usize]);
        let draft = Draft { kind: Kind::Message, queue: QueueId(1), ..Draft::control(Kind::Message, body) };
        let mut placed =
            (0..mib).map(|_| log.append(std::slice::from_ref(&draft), 1_000).unwrap()[0].position);
        let first = placed.next().unwrap();
        (first, placed.last().unwrap())
    }

    fn end_of_last(disk: &SimDisk) -> u64 {
        disk.released().last().map_or(0, |(at, bytes)| at + bytes)
    }

    #[test]
    fn what_is_synced_and_old_is_given_back_across_segments() {
        let disk = SimDisk::new(1);
        let mut log = log(&disk);
        grow(&mut log, 30);
        log.reader().release_cache(KEPT_BYTES, 1_000);
        assert_eq!(disk.released(), [], "nothing is synced");
        let synced = log.sync().unwrap();
        grow(&mut log, 4);
        log.reader().release_cache(KEPT_BYTES, 1_000);
        // The first segment whole, and the second up to what is synced.
        assert_eq!(disk.released(), [(0, 16 * MIB), (0, synced.0 - 16 * MIB)]);
        log.sync().unwrap();
        log.reader().release_cache(KEPT_BYTES, 1_000);
        assert_eq!(disk.released().len(), 2, "the step is too small");
        grow(&mut log, 8);
        let synced = log.sync().unwrap();
        log.reader().release_cache(KEPT_BYTES, 1_000);
        assert_eq!(end_of_last(&disk), (synced.0 - KEPT_BYTES) % (16 * MIB), "all but the newest");
    }

    #[test]
    fn what_lies_above_a_recent_read_stays_for_a_while() {
        let disk = SimDisk::new(1);
        let mut log = log(&disk);
        let (_, read) = grow(&mut log, 5);
        grow(&mut log, 30);
        log.sync().unwrap();
        let reader = log.reader();
        reader.read(read, 10).unwrap_err();
        reader.release_cache(KEPT_BYTES, 70_000);
        reader.release_cache(KEPT_BYTES, 84_999);
        assert_eq!(disk.released(), []);
        reader.release_cache(KEPT_BYTES, 85_000);
        assert!(end_of_last(&disk) > 0);
    }
}

//! The queue index: where in the log the messages of each queue lie.
//!
//! ```text
//!   append --> heads (one per queue) --> memtable, 64 shards --flush--> run files, newest first:
//!                                                                        [run] -> [run] -> [run]
//!   read(queue, from): memtable if young enough, else down the runs' previous and skip pointers
//! ```
//!
//! An entry is a record; one that holds several messages takes as many offsets, and is found by each of them.
//!
//! Promise: offsets of a queue are dense; what `read` returns verified against its checksum; nothing below the
//! last `trim` is returned. It is a fold of the log: deleted, it comes back by replay.
//! Cost: 48 B per queue, 28-49 B per entry in memory, 20 B per entry and 68 B per queue and run on disk.
//! Limits: queue ids are interned densely, below 2^24; positions grow within a queue and are multiples of 8; so are lengths
//! of records, which are below 128 MiB; `MESSAGES_MAX`; one thread at a time flushes, trims or takes a snapshot (others wait). Not here: the bytes of a message (`log`).

mod flush;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod lookup;
mod memtable;
mod restore;
mod run;
mod shard;
mod snapshot;
#[cfg(test)]
mod tests;
mod trim;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::{Offset, Position, QueueId};

use self::lookup::Runs;
use self::memtable::Cell;
use self::run::Links;
use self::shard::{Head, Place, SHARDS, Shard, TimePlace};

/// Queue ids are below this.
pub const QUEUES_MAX: u32 = 1 << 24;
/// Messages of one entry.
pub const MESSAGES_MAX: u16 = 256;
/// Entries in memory that make a flush worth while.
const FLUSH_ENTRIES: usize = 512 << 10;
/// Messages whose entries are copied per lock.
const LOCKED_MESSAGES: u64 = 512;
/// Trims that may overtake one read; more is a broken pointer.
const TRIMS_MAX: u32 = 8;

/// Where a record of a queue lies, with one message or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Number of its first message in the queue.
    pub offset: Offset,
    /// Messages in it, at least one.
    pub count: u16,
    /// Where its record begins in the log.
    pub position: Position,
    /// Length of the record.
    pub bytes: u32,
    /// As the record says: Java hash of the tag, for filters.
    pub tag_hash: u32,
    /// Hash of the message group; 0: of none.
    pub lane: u32,
    /// When it was stored; never falls within a queue.
    pub stored_ms: u64,
}

impl IndexEntry {
    /// The number of the message after its last one.
    pub fn end(&self) -> Offset {
        Offset(self.offset.0 + u64::from(self.count))
    }
}

/// Why entries cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The asked offset is older than what is kept.
    #[error("offset is no longer kept, the oldest is {oldest}")]
    Trimmed {
        /// The oldest offset that is kept.
        oldest: Offset,
    },
    /// Bytes of a run file do not verify; without the checkpoint the index is rebuilt from the log.
    #[error("{file} is corrupt at byte {at}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where in it.
        at: u64,
    },
    /// A run file that the checkpoint knows is gone although the log still has its messages; remedy as above.
    #[error("{file} is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// The checkpoint's section is not one of ours.
    #[error("index section is corrupt at byte {at}")]
    Section {
        /// Where in the section.
        at: usize,
    },
    /// The disk refused; a flush may be tried again.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Positions of all messages by queue and offset; shared between threads.
pub struct Index {
    disk: Arc<dyn Disk>,
    shards: [Mutex<Shard>; SHARDS as usize],
    runs: Runs,
    /// Entries in the active generations.
    gathered: AtomicUsize,
    /// Held by whoever flushes, trims or takes a snapshot, across I/O; readers and the log thread never wait for it.
    background: Mutex<Background>,
    may_begin_late: bool,
}

/// What background work knows, one at a time.
pub(crate) struct Background {
    /// Number of the next run file.
    next_number: u32,
    /// How far `trim` has come.
    trimmed: Position,
    /// The last run that a checkpoint listed and that was not there, and the position up to which runs are gone.
    missing: Option<(u32, u64)>,
}

impl Index {
    /// Opens the index as a checkpoint left it, or empty; run files that the checkpoint does not know are removed.
    ///
    /// Without a checkpoint a queue may begin at any offset, since the log may have been trimmed.
    /// Call `trim` with the log's head once the log is open.
    pub fn open(disk: Arc<dyn Disk>, section: Option<&[u8]>) -> Result<Self, IndexError> {
        Self::restored(disk, section)
    }

    /// Copies the entries that hold the `max` messages from `from` on into `out`, the first and the last one may hold others
    /// too; nothing if `from` is at the tail or beyond.
    pub fn read(
        &self,
        queue: QueueId,
        from: Offset,
        max: usize,
        out: &mut Vec<IndexEntry>,
    ) -> Result<(), IndexError> {
        let before = out.len();
        match self.read_on(queue.0, from.0, from.0.saturating_add(max as u64), out) {
            // What was found is worth having; the next read begins at the trouble and tells it.
            Err(_) if out.len() > before => Ok(()),
            outcome => outcome,
        }
    }

    /// Oldest offset kept and the offset the next message will get.
    pub fn range(&self, queue: QueueId) -> (Offset, Offset) {
        let head = self.shard_of(queue.0).lock().head(queue.0);
        (Offset(head.oldest), Offset(head.tail))
    }

    /// The tails of all queues that ever had a message.
    pub fn tails(&self) -> Vec<(QueueId, Offset)> {
        let mut tails = Vec::new();
        for (place, shard) in (0..SHARDS).zip(&self.shards) {
            let (heads, _) = shard.lock().heads(place, 0, usize::MAX);
            tails.extend(heads.into_iter().map(|(queue, head, _)| (QueueId(queue), Offset(head.tail))));
        }
        tails.sort_unstable();
        tails
    }

    /// The first offset stored at `ms` or later; the tail if there is none.
    pub fn at_time(&self, queue: QueueId, ms: u64) -> Result<Offset, IndexError> {
        let place = self.shard_of(queue.0).lock().find_time(queue.0, ms);
        let offset = match place {
            TimePlace::Memory { offset } => offset,
            TimePlace::Runs { newest, oldest } => match self.runs.find_time(queue.0, ms, newest)? {
                Some((run, block)) => {
                    block.base_offset + run.partition_point(&block, |cell| cell.stored_ms < ms)?
                }
                None => oldest,
            },
        };
        // A damaged block may say that it lies anywhere.
        let (oldest, tail) = self.range(queue);
        Ok(Offset(offset).clamp(oldest, tail))
    }

    /// Whether enough entries gathered in memory for `flush`.
    pub fn wants_flush(&self) -> bool {
        self.gathered.load(Ordering::Relaxed) >= FLUSH_ENTRIES
    }

    /// Adds the next record of a queue; one that is known already is ignored, so replay is harmless.
    ///
    /// # Panics
    /// If the offset leaves a gap, or the entry is beyond the limits.
    pub fn append(&self, queue: QueueId, entry: IndexEntry) {
        assert!((1..QUEUES_MAX).contains(&queue.0), "queue {queue} is out of range");
        let Some(cell) = Cell::of(&entry) else { panic!("queue {queue}: {entry:?} is out of range") };
        let is_new = self.shard_of(queue.0).lock().append(queue.0, entry.offset.0, cell, self.may_begin_late);
        self.gathered.fetch_add(usize::from(is_new), Ordering::Relaxed);
    }

    /// A queue that is not known yet has had messages, all trimmed: the next one gets this offset.
    pub fn begin(&self, queue: QueueId, offset: Offset) {
        assert!((1..QUEUES_MAX).contains(&queue.0), "queue {queue} is out of range");
        let head = Head::flushed(offset.0, offset.0, Links::default());
        self.shard_of(queue.0).lock().restore(queue.0, head);
    }

    /// Moves what is in memory into one synced run file while readers and the log thread go on.
    ///
    /// After an error everything stays readable from memory, and the next call tries again.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.flush_in_turn(&mut self.background.lock())
    }

    /// The checkpoint's section: heads, runs, and the entries that are only in memory.
    ///
    /// The log must be synced up to what was published when this returns before the checkpoint is written.
    pub fn snapshot(&self) -> Vec<u8> {
        self.snapshot_in_turn(&self.background.lock())
    }

    /// Forgets every entry below `head`, where the log now begins; run files wholly below it are removed.
    pub fn trim(&self, head: Position) -> Result<(), IndexError> {
        self.trim_in_turn(&mut self.background.lock(), head)
    }

    fn read_on(&self, queue: u32, from: u64, end: u64, out: &mut Vec<IndexEntry>) -> Result<(), IndexError> {
        let mut next = from;
        let mut trimmed_meanwhile = 0;
        while next < end {
            let until = end.min(next.saturating_add(LOCKED_MESSAGES));
            let before = out.len();
            let place = self.shard_of(queue).lock().find(queue, next, until, out);
            match place {
                Place::Beyond => return Ok(()),
                Place::Trimmed { oldest } => return Err(IndexError::Trimmed { oldest: Offset(oldest) }),
                Place::Copied => {}
                Place::Runs { newest } => {
                    if let Some((run, block)) = self.runs.find(queue, next, newest)? {
                        run.entries(&block, next, |offset, cell| {
                            let entry = cell.entry(offset);
                            out.push(entry);
                            entry.end().0 < end
                        })?;
                        // A section that leaves a hole between its runs and its tail: there is no way on.
                        if out.len() == before {
                            return Err(run::corrupt(block.place.file, block.place.at()));
                        }
                    } else {
                        trimmed_meanwhile += 1;
                        if trimmed_meanwhile > TRIMS_MAX {
                            return Err(run::corrupt(newest.file, newest.at()));
                        }
                    }
                }
            }
            let (Some(first), Some(last)) = (out.get(before), out.last()) else { continue };
            // Only where a section is damaged does an entry begin within the one before: that one is read by itself.
            if next > from && first.offset.0 != next {
                out.truncate(before);
                return Ok(());
            }
            next = last.end().0;
        }
        Ok(())
    }

    fn shard_of(&self, queue: u32) -> &Mutex<Shard> {
        &self.shards[(queue % SHARDS) as usize]
    }
}

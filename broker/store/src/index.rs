//! The queue index: where in the log the messages of each queue lie.
//!
//! ```text
//!   append --> heads (one per queue) --> memtable, 64 shards --flush--> run files, newest first:
//!                                                                        [run] -> [run] -> [run]
//!   read(queue, from): memtable if young enough, else down the runs' previous and skip pointers
//! ```
//!
//! Promise: offsets of a queue are dense; what `read` returns verified against its checksum; nothing below the
//! last `trim` is returned. It is a fold of the log: deleted, it comes back by replay.
//! Cost: 48 B per queue, 24-45 B per entry in memory, 16 B per entry and 64 B per queue and run on disk.
//! Limits: queue ids are interned densely; positions are multiples of 8; one thread at a time flushes, trims or
//! takes a snapshot (others wait). Not here: the bytes of a message (`log`).

use std::io;
use std::sync::Arc;

use crate::disk::Disk;
use crate::{Offset, Position, QueueId};

/// Where one message of a queue lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its number in the queue.
    pub offset: Offset,
    /// Where its record begins in the log.
    pub position: Position,
    /// Length of the record.
    pub bytes: u32,
    /// Java hash of its tag, for filters.
    pub tag_hash: u32,
    /// When it was stored; never falls within a queue.
    pub stored_ms: u64,
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
}

impl Index {
    /// Opens the index as a checkpoint left it, or empty; run files that the checkpoint does not know are removed.
    ///
    /// Call `trim` with the log's head once the log is open.
    pub fn open(disk: Arc<dyn Disk>, section: Option<&[u8]>) -> Result<Self, IndexError> {
        let _ = section;
        Ok(Self { disk })
    }

    /// Copies up to `max` entries from `from` on into `out`; nothing if `from` is at the tail or beyond.
    pub fn read(
        &self,
        queue: QueueId,
        from: Offset,
        max: usize,
        out: &mut Vec<IndexEntry>,
    ) -> Result<(), IndexError> {
        let _ = (&self.disk, queue, from, max, out);
        unimplemented!()
    }

    /// Oldest offset kept and the offset the next message will get.
    pub fn range(&self, queue: QueueId) -> (Offset, Offset) {
        let _ = queue;
        unimplemented!()
    }

    /// The tails of all queues that ever had a message, by queue.
    pub fn tails(&self) -> Vec<(QueueId, Offset)> {
        unimplemented!()
    }

    /// The first offset stored at `ms` or later; the tail if there is none.
    pub fn at_time(&self, queue: QueueId, ms: u64) -> Result<Offset, IndexError> {
        let _ = (queue, ms);
        unimplemented!()
    }

    /// Whether enough entries gathered in memory for `flush`.
    pub fn wants_flush(&self) -> bool {
        unimplemented!()
    }

    /// Adds the next message of a queue; one that is known already is ignored, so replay is harmless.
    ///
    /// # Panics
    /// If the offset leaves a gap.
    pub fn append(&self, queue: QueueId, entry: IndexEntry) {
        let _ = (queue, entry);
        unimplemented!()
    }

    /// Moves what is in memory into one synced run file while readers and the log thread go on.
    ///
    /// After an error everything stays readable from memory, and the next call tries again.
    pub fn flush(&self) -> Result<(), IndexError> {
        unimplemented!()
    }

    /// The checkpoint's section: heads, runs, and the entries that are only in memory.
    ///
    /// The log must be synced up to what was published when this returns before the checkpoint is written.
    pub fn snapshot(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Forgets every entry below `head`, where the log now begins; run files wholly below it are removed.
    pub fn trim(&self, head: Position) -> Result<(), IndexError> {
        let _ = head;
        unimplemented!()
    }
}

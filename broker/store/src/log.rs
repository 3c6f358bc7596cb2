//! The log: every change of state, in one order, on one disk.
//!
//! ```text
//!   log/00000000000000000000.log       log/00000000000268435456.log        (prepared ahead)
//!   [page|batch|batch|....|pad]  --->  [page|batch|batch|..............]   [page|..........]
//!          batch = header, record, record, ...     ^durable    ^written
//! ```
//!
//! A batch is the unit of writing: it is there as a whole after a crash, or not at all. Record and batch headers
//! carry their own position, the epoch, and checksums seeded with the log's id, so bytes that lie in the wrong place,
//! are left over from a recycled segment or belong to another log never verify.
//!
//! A log is written by one leader at a time, which begins an epoch first ([`Log::begin_epoch`]). The other copies of
//! it take the same bytes to the same positions ([`LogReader::read_raw`], [`Log::append_raw`]) and give back what the
//! leader of a later epoch does not have ([`Log::truncate`]).
//!
//! Promise: what [`Log::sync`] covered survives a power cut; after a crash the log is a prefix of what was appended;
//! bytes that do not verify are never returned. The first write or sync that fails ends the log ([`Poisoned`]).
//! Limits: one writer; a batch of at most [`BATCH_BYTES_MAX`] and of what a segment holds.
//! Not here: which record lies at which offset of a queue (`index`), what a record means (`engine`).

mod browse;
mod cache;
mod codec;
mod compose;
mod create;
mod epochs;
mod error;
mod follow;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod identity;
mod marker;
mod packed;
mod prepare;
mod reader;
mod recover;
mod replay;
mod scan;
mod segment;
mod shared;
mod ship;
mod tails;
mod truncate;
mod unproven;
mod writer;

use std::sync::Arc;

use bytes::Bytes;

use crate::units::{Epoch, Offset, Position, QueueId};

use self::codec::{RecordHeader, record_bytes};
use self::compose::Composer;
use self::packed::Part;
use self::segment::Segment;
use self::shared::Shared;
use self::tails::Tails;
use self::writer::Chain;

pub use browse::{Browsed, SegmentPlace};
pub use epochs::{EpochStart, EpochsError};
pub use error::{
    AppendError, OpenError, Poisoned, PrepareError, RawError, ReadError, RetainError, TruncateError,
};
pub use packed::{MIXED_TAGS, PACKED_BYTES};
pub use ship::{RawSpan, SegmentSpan, SpanHead};

/// The most bytes one batch may have, its header included.
pub const BATCH_BYTES_MAX: u64 = 64 << 20;

/// What a record is; decides whether it takes an offset of its queue, and whether a nearly full disk still takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A message: a new entry of its queue.
    Message = 1,
    /// A pointer to a stored message: a new entry of its queue that reads through to it.
    Link = 2,
    /// Messages that consumer groups are done with.
    Acks = 3,
    /// Deliveries that count against the attempts of a message.
    Attempts = 4,
    /// A change of topics, consumer groups and the like.
    Meta = 5,
    /// The start of an epoch; written by the log itself.
    Epoch = 6,
    /// The unused end of a segment; written by the log itself, never shown.
    Pad = 7,
    /// A message that waits for its time: no entry of its queue yet.
    Timed = 8,
    /// Messages that waited and do not any more: a link made them entries of their queues, or they were recalled.
    Settled = 9,
    /// A message whose transaction is not decided: no entry of its queue yet.
    Half = 10,
    /// Halves that are decided otherwise than by a link to them.
    Decided = 11,
    /// Places that consumer groups were moved to.
    Floors = 12,
    /// To whom messages were handed; nothing depends on it.
    Handed = 13,
}

/// How the `head` of a record is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// No head, or one that only its writer understands.
    None = 0,
    /// The fields of `apache.rocketmq.v2.Message` without the body, as protobuf.
    RocketmqV2 = 1,
    /// No head: the body holds several messages, each with a head as `RocketmqV2`; see [`Record::message`].
    RocketmqV2Batch = 2,
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is; not `Epoch` or `Pad`.
    pub kind: Kind,
    /// How `head` is encoded.
    pub encoding: Encoding,
    /// The queue it belongs to; `QueueId::NONE` for control records.
    pub queue: QueueId,
    /// Messages in it; a `Message` or `Link` takes that many offsets of its queue (none counts as one).
    pub count: u16,
    /// How often the message had been delivered before.
    pub attempt: u16,
    /// Java's `String.hashCode` of the tag, to filter without reading the body; 0 without a tag.
    pub tag_hash: u32,
    /// Messages of one lane are in order: a hash of the message group; 0: of none.
    pub lane: u32,
    /// In milliseconds since 1970: when a `Timed` message is to be delivered, when the sender of a `Half` is asked for the
    /// first time what became of it; else 0.
    pub due_ms: u64,
    /// [`crc32`] of `body`; a wrong one makes the record unreadable.
    pub body_crc: u32,
    /// The fields beside the body.
    pub head: Bytes,
    /// The body, or the payload of a control record.
    pub body: Bytes,
}

/// What a fold sees of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: Kind,
    /// How its head is encoded.
    pub encoding: Encoding,
    /// Where its header begins.
    pub position: Position,
    /// Length of the whole record, as `LogReader::read` wants it.
    pub bytes: u32,
    /// The queue it belongs to.
    pub queue: QueueId,
    /// Its number in the queue (the first one, if `count` is more than 1); 0 if it takes none. Of a `Timed` message and a
    /// `Half` the time that the draft said: they have no number yet.
    pub offset: Offset,
    /// Messages in it.
    pub count: u16,
    /// How often the message had been delivered before.
    pub attempt: u16,
    /// Hash of the tag.
    pub tag_hash: u32,
    /// Hash of the message group.
    pub lane: u32,
    /// Broker time when it was written; never less than that of the record before.
    pub stored_ms: u64,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// The payload of a control record or link; empty for messages (read them with `LogReader`).
    pub body: &'a [u8],
}

/// Where a draft was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where its header begins.
    pub position: Position,
    /// As in [`Entry`].
    pub offset: Offset,
    /// Length of the whole record.
    pub bytes: u32,
    /// Broker time given to it.
    pub stored_ms: u64,
}

/// When an append is safe to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// After [`Log::sync`]: the writer syncs every batch.
    #[default]
    Sync,
    /// After the write: somebody calls `sync` every now and then, and the log itself when too much waits.
    Async,
}

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Bytes per segment file, a multiple of 4096. It may change between starts: old segments keep their size.
    pub segment_bytes: u64,
    /// When an append is safe to answer.
    pub flush: Flush,
    /// Random identity for a log that is created by this open; without one it is derived from the time.
    pub new_id: Option<[u8; 16]>,
}

/// Where the folds stand that a checkpoint brought back.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Everything below is folded already, and was synced; 0 if there is no checkpoint.
    pub covered: Position,
    /// The next offset of every queue, as far as the folds know; may be ahead of `covered`.
    pub tails: Vec<(QueueId, Offset)>,
    /// Where epochs began, as far as they are known; only those below `covered` count.
    pub epochs: Vec<EpochStart>,
}

/// What the headers of batches say of the log's other copies; `None` where there is no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// Everything below is synced on every copy that counts; what this copy has not synced is left out.
    pub durable: Option<Position>,
    /// Everything below is agreed among the copies.
    pub committed: Option<Position>,
}

/// Which old segments may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when its youngest record is older than this.
    pub max_age_ms: u64,
    /// The oldest segments go while the log is longer than this.
    pub max_bytes: Option<u64>,
}

/// CRC-32/ISO-HDLC, the checksum of bodies.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

/// The writing end of the log; owned by one thread.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    segment_bytes: u64,
    active: Arc<Segment>,
    /// Where the next batch goes.
    tail: Position,
    /// Up to here there was room on the disk when it was looked at last.
    room_until: Position,
    role: Role,
    stamps: Stamps,
    chain: Chain,
    tails: Tails,
    /// The greatest `committed` that a batch here states.
    known_committed: Position,
    /// From here on batches may call synced what was not synced here, as a file says; see `unproven`.
    unproven: Option<Position>,
    composer: Composer,
}

/// Who writes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Somebody else: it takes what its leader wrote.
    Follows,
    /// This log, but the record that begins its epoch is not written yet.
    Begins(Epoch),
    /// This log.
    Leads(Epoch),
}

/// The reading end of the log; cheap to clone, for any thread.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// Makes the next segment ahead of its use; for a background thread.
#[derive(Clone, Debug)]
pub struct Preparer {
    shared: Arc<Shared>,
}

/// A stored record whose checksums were verified, or one message of it.
#[derive(Clone, Debug)]
pub struct Record {
    header: RecordHeader,
    bytes: Bytes,
    /// The message that this is about; none: the whole record.
    part: Option<Part>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, flush: Flush::Sync, new_id: None }
    }
}

impl Kind {
    /// Whether such a record is an entry of its queue and takes an offset there.
    pub const fn takes_offset(self) -> bool {
        matches!(self, Self::Message | Self::Link)
    }

    /// Whether the record is a message as a client sent it.
    pub const fn holds_message(self) -> bool {
        matches!(self, Self::Message | Self::Timed | Self::Half)
    }

    /// Whether a fold is given the body.
    pub(crate) const fn shows_payload(self) -> bool {
        !(self.holds_message() || matches!(self, Self::Pad))
    }
}

impl Draft {
    /// A record without a queue, for changes of state.
    pub fn control(kind: Kind, payload: Bytes) -> Self {
        Self {
            kind,
            encoding: Encoding::None,
            queue: QueueId::NONE,
            count: 1,
            attempt: 0,
            tag_hash: 0,
            lane: 0,
            due_ms: 0,
            body_crc: crc32(&payload),
            head: Bytes::new(),
            body: payload,
        }
    }

    /// Length of the record it becomes.
    pub fn bytes(&self) -> u64 {
        record_bytes(self.head.len() as u64, self.body.len() as u64)
    }

    pub(crate) fn header(
        &self,
        position: Position,
        offset: Offset,
        stored_ms: u64,
        epoch: Epoch,
    ) -> RecordHeader {
        RecordHeader {
            position,
            kind: self.kind,
            encoding: self.encoding,
            queue: self.queue,
            offset,
            count: self.count,
            attempt: self.attempt,
            tag_hash: self.tag_hash,
            lane: self.lane,
            stored_ms,
            epoch,
            body_crc: self.body_crc,
            head_bytes: self.head.len() as u32,
            body_bytes: self.body.len() as u32,
        }
    }
}

impl<'a> Entry<'a> {
    /// The entry of a draft that was just placed, for folding what one has appended oneself.
    pub fn of(draft: &'a Draft, placed: &Placed, epoch: Epoch) -> Self {
        let header = draft.header(placed.position, placed.offset, placed.stored_ms, epoch);
        Self { body: if draft.kind.shows_payload() { &draft.body } else { &[] }, ..header.entry() }
    }
}

#[cfg(test)]
mod tests;

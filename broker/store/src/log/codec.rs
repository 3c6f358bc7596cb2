//! Headers of batches and records: bytes to values and back.
//!
//! ```text
//!   batch:  header 64 B | record | record | ...
//!   record: header 64 B | head | body | zeros up to a multiple of 8
//! ```
//!
//! Both headers begin with a CRC-32 of what follows, mixed with the log's id. A record's covers its `head` too; the
//! body has a checksum of its own, which is computed once, where the message enters the broker.
//! Little-endian throughout. Reserved fields are zero; anything else is from a later version and refused.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Encoding, Entry, Kind, crc32};
use crate::units::{Epoch, Offset, Position, QueueId};

/// Length of a batch header and of a record header.
pub(crate) const HEADER_BYTES: u64 = 64;

/// Batches and records begin at multiples of this.
pub(crate) const ALIGN_BYTES: u64 = 8;

/// Found at byte 4 of every batch; lets a search skip what cannot be one.
pub(crate) const BATCH_MAGIC: u32 = 0x7d0a_b47c;

/// The log's id, as it is mixed into checksums: bytes of another log never verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal(u32);

/// Why bytes are not the header that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Not written here, or damaged.
    Invalid,
    /// Intact, but of a later version.
    Unsupported(String),
}

/// Header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) start: Position,
    /// Length with this header.
    pub(crate) bytes: u32,
    /// Records in it.
    pub(crate) count: u32,
    /// Everything below had been synced when this batch was written.
    pub(crate) durable: Position,
    /// Everything below was agreed among the copies when this batch was written.
    pub(crate) committed: Position,
    pub(crate) epoch: Epoch,
    /// `header_crc` of the batch before.
    pub(crate) previous_crc: u32,
    pub(crate) written_ms: u64,
}

/// Header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) position: Position,
    pub(crate) kind: Kind,
    pub(crate) encoding: Encoding,
    pub(crate) queue: QueueId,
    pub(crate) offset: Offset,
    pub(crate) count: u16,
    pub(crate) attempt: u16,
    pub(crate) tag_hash: u32,
    pub(crate) lane: u32,
    pub(crate) stored_ms: u64,
    pub(crate) epoch: Epoch,
    pub(crate) body_crc: u32,
    pub(crate) head_bytes: u32,
    pub(crate) body_bytes: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBatch {
    header_crc: U32,
    magic: U32,
    start: U64,
    bytes: U32,
    count: U32,
    durable: U64,
    committed: U64,
    epoch: U32,
    previous_crc: U32,
    written_ms: U64,
    reserved: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    header_crc: U32,
    body_crc: U32,
    position: U64,
    queue: U32,
    tag_hash: U32,
    offset: U64,
    stored_ms: U64,
    lane: U32,
    body_bytes: U32,
    head_bytes: U32,
    epoch: U32,
    kind: u8,
    encoding: u8,
    count: U16,
    attempt: U16,
    reserved: U16,
}

const _: () = assert!(size_of::<RawBatch>() as u64 == HEADER_BYTES);
const _: () = assert!(size_of::<RawRecord>() as u64 == HEADER_BYTES);

/// Length of a record with its padding.
pub(crate) const fn record_bytes(head_bytes: u64, body_bytes: u64) -> u64 {
    (HEADER_BYTES + head_bytes + body_bytes).next_multiple_of(ALIGN_BYTES)
}

impl Seal {
    pub(crate) fn new(id: &[u8; 16]) -> Self {
        Self(crc32(id))
    }

    // For bytes of equal length, xor at the end tells two logs apart exactly as a seeded start would: CRCs are linear.
    pub(crate) fn of(self, bytes: &[u8]) -> u32 {
        crc32(bytes) ^ self.0
    }
}

impl BatchHeader {
    /// The header as bytes, and its CRC for the batch that follows.
    pub(crate) fn encode(&self, seal: Seal) -> ([u8; HEADER_BYTES as usize], u32) {
        let mut raw = RawBatch {
            header_crc: U32::ZERO,
            magic: BATCH_MAGIC.into(),
            start: self.start.0.into(),
            bytes: self.bytes.into(),
            count: self.count.into(),
            durable: self.durable.0.into(),
            committed: self.committed.0.into(),
            epoch: self.epoch.0.into(),
            previous_crc: self.previous_crc.into(),
            written_ms: self.written_ms.into(),
            reserved: U64::ZERO,
        };
        let crc = seal.of(&raw.as_bytes()[4..]);
        raw.header_crc = crc.into();
        (zerocopy::transmute!(raw), crc)
    }

    /// The header that begins `bytes` and says of itself that it lies at `start`, and its CRC.
    pub(crate) fn decode(bytes: &[u8], start: Position, seal: Seal) -> Result<(Self, u32), DecodeError> {
        let (raw, _) = RawBatch::ref_from_prefix(bytes).map_err(|_| DecodeError::Invalid)?;
        if raw.magic.get() != BATCH_MAGIC
            || raw.start.get() != start.0
            || raw.header_crc.get() != seal.of(&raw.as_bytes()[4..])
        {
            return Err(DecodeError::Invalid);
        }
        if raw.reserved.get() != 0 {
            return Err(DecodeError::Unsupported("batch with unknown fields".to_owned()));
        }
        let header = Self {
            start,
            bytes: raw.bytes.get(),
            count: raw.count.get(),
            durable: Position(raw.durable.get()),
            committed: Position(raw.committed.get()),
            epoch: Epoch(raw.epoch.get()),
            previous_crc: raw.previous_crc.get(),
            written_ms: raw.written_ms.get(),
        };
        Ok((header, raw.header_crc.get()))
    }

    /// Where the next batch begins.
    pub(crate) fn end(&self) -> Position {
        Position(self.start.0.saturating_add(u64::from(self.bytes)))
    }
}

impl RecordHeader {
    /// Appends header and `head` to `out`; body and padding are the caller's.
    pub(crate) fn encode(&self, seal: Seal, head: &[u8], out: &mut Vec<u8>) {
        let raw = RawRecord {
            header_crc: U32::ZERO,
            body_crc: self.body_crc.into(),
            position: self.position.0.into(),
            queue: self.queue.0.into(),
            tag_hash: self.tag_hash.into(),
            offset: self.offset.0.into(),
            stored_ms: self.stored_ms.into(),
            lane: self.lane.into(),
            body_bytes: self.body_bytes.into(),
            head_bytes: self.head_bytes.into(),
            epoch: self.epoch.0.into(),
            kind: self.kind as u8,
            encoding: self.encoding as u8,
            count: self.count.into(),
            attempt: self.attempt.into(),
            reserved: U16::ZERO,
        };
        let at = out.len();
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(head);
        let crc = seal.of(&out[at + 4..]);
        out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header that begins `bytes` and says of itself that it lies at `position`.
    ///
    /// `bytes` must hold the whole record; header, `head` and length are checked, the body is not.
    pub(crate) fn decode(bytes: &[u8], position: Position, seal: Seal) -> Result<Self, DecodeError> {
        let (raw, rest) = RawRecord::ref_from_prefix(bytes).map_err(|_| DecodeError::Invalid)?;
        let head_bytes = raw.head_bytes.get() as usize;
        if raw.position.get() != position.0 || head_bytes > rest.len() {
            return Err(DecodeError::Invalid);
        }
        let covered = &bytes[4..HEADER_BYTES as usize + head_bytes];
        if raw.header_crc.get() != seal.of(covered) {
            return Err(DecodeError::Invalid);
        }
        if raw.reserved.get() != 0 {
            return Err(DecodeError::Unsupported("record with unknown fields".to_owned()));
        }
        Ok(Self {
            position,
            kind: Kind::from_byte(raw.kind)?,
            encoding: Encoding::from_byte(raw.encoding)?,
            queue: QueueId(raw.queue.get()),
            offset: Offset(raw.offset.get()),
            count: raw.count.get(),
            attempt: raw.attempt.get(),
            tag_hash: raw.tag_hash.get(),
            lane: raw.lane.get(),
            stored_ms: raw.stored_ms.get(),
            epoch: Epoch(raw.epoch.get()),
            body_crc: raw.body_crc.get(),
            head_bytes: raw.head_bytes.get(),
            body_bytes: raw.body_bytes.get(),
        })
    }

    /// Length of the record with its padding.
    pub(crate) fn bytes(&self) -> u64 {
        record_bytes(u64::from(self.head_bytes), u64::from(self.body_bytes))
    }

    /// Where the body begins, counted from the header.
    pub(crate) fn body_at(&self) -> usize {
        HEADER_BYTES as usize + self.head_bytes as usize
    }

    /// Whether the body in `record`, which holds the whole record, verifies, and nothing hides in the padding.
    pub(crate) fn verifies(&self, record: &[u8]) -> bool {
        let end = self.body_at() + self.body_bytes as usize;
        let Some(body) = record.get(self.body_at()..end) else { return false };
        crc32(body) == self.body_crc && record[end..].iter().all(|&byte| byte == 0)
    }

    /// What a fold sees; `record` holds the whole record.
    pub(crate) fn entry_in<'a>(&self, record: &'a [u8]) -> Entry<'a> {
        let payload = self.body_at()..self.body_at() + self.body_bytes as usize;
        Entry { body: if self.kind.shows_payload() { &record[payload] } else { &[] }, ..self.entry() }
    }

    /// As `entry_in`, without the body.
    pub(crate) fn entry(&self) -> Entry<'static> {
        Entry {
            kind: self.kind,
            encoding: self.encoding,
            position: self.position,
            bytes: self.bytes() as u32,
            queue: self.queue,
            offset: self.offset,
            count: self.count,
            attempt: self.attempt,
            tag_hash: self.tag_hash,
            lane: self.lane,
            stored_ms: self.stored_ms,
            epoch: self.epoch,
            body: &[],
        }
    }
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            1 => Self::Message,
            2 => Self::Link,
            3 => Self::Acks,
            4 => Self::Attempts,
            5 => Self::Meta,
            6 => Self::Epoch,
            7 => Self::Pad,
            8 => Self::Timed,
            9 => Self::Settled,
            10 => Self::Half,
            11 => Self::Decided,
            12 => Self::Floors,
            13 => Self::Handed,
            other => return Err(DecodeError::Unsupported(format!("record of kind {other}"))),
        })
    }
}

impl Encoding {
    fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            0 => Self::None,
            1 => Self::RocketmqV2,
            2 => Self::RocketmqV2Batch,
            other => return Err(DecodeError::Unsupported(format!("head of encoding {other}"))),
        })
    }
}

#[cfg(test)]
mod tests;

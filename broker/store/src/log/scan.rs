//! Reading a segment from the disk as recovery does: batch after batch, believing nothing.

use std::sync::Arc;

use super::OpenError;
use super::codec::{ALIGN_BYTES, BATCH_MAGIC, BatchHeader, DecodeError, HEADER_BYTES, RecordHeader, Seal};
use super::segment::{PAD_BYTES_MIN, Segment};
use super::writer::Chain;
use super::{BATCH_BYTES_MAX, Kind};
use crate::units::Position;

/// Read from the disk at once, at least.
const CHUNK_BYTES: u64 = 1 << 20;

/// The first step of a search backwards; most batches are shorter.
const BACK_BYTES: u64 = 64 << 10;

/// A segment with the stretch of it that was read last.
pub(crate) struct Scanner {
    segment: Arc<Segment>,
    seal: Seal,
    buffer: Vec<u8>,
    /// Place in the file of `buffer[0]`.
    buffer_at: u64,
    /// Nothing is read from this place in the file on.
    limit: u64,
    bodies: Bodies,
}

/// Which bodies are held against their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    All,
    /// Those without which the state would be another one.
    Control,
}

/// What lies at a position.
#[derive(Debug)]
pub(crate) enum Found {
    /// A batch that verifies.
    Whole(BatchHeader),
    /// A batch in which nothing but bodies of messages does not verify.
    Rotten(BatchHeader),
    /// Not the batch that follows.
    Nothing,
}

impl Scanner {
    pub(crate) fn new(segment: Arc<Segment>, seal: Seal) -> Self {
        let limit = segment.bytes;
        Self { segment, seal, buffer: Vec::new(), buffer_at: 0, limit, bodies: Bodies::All }
    }

    /// As `new`, but reads nothing from `to` on, and leaves the bodies of messages to whoever reads them.
    pub(crate) fn until(segment: Arc<Segment>, seal: Seal, to: Position) -> Self {
        let limit = segment.at(to.min(segment.end()));
        Self { limit, bodies: Bodies::Control, ..Self::new(segment, seal) }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Looks for the batch that follows `chain` at `at`; `records` become its records, none for the pad.
    pub(crate) fn batch(
        &mut self,
        at: Position,
        chain: &Chain,
        records: &mut Vec<RecordHeader>,
    ) -> Result<(Found, Chain), OpenError> {
        records.clear();
        let seal = self.seal;
        let nothing = Ok((Found::Nothing, *chain));
        let (header, crc) = match BatchHeader::decode(self.bytes(at, HEADER_BYTES)?, at, seal) {
            Ok(decoded) => decoded,
            Err(DecodeError::Invalid) => return nothing,
            Err(DecodeError::Unsupported(what)) => return Err(self.unsupported(what)),
        };
        if !follows(&header, chain, self.segment.end()) {
            return nothing;
        }
        let chain_after = Chain { crc: Some(crc), epoch: header.epoch, written_ms: header.written_ms };
        let record_at = Position(at.0 + HEADER_BYTES);
        let segment_end = self.segment.end();
        if is_pad(self.bytes(record_at, HEADER_BYTES)?, &header, segment_end, seal) {
            return Ok((Found::Whole(header), chain_after));
        }
        if u64::from(header.bytes) > BATCH_BYTES_MAX {
            return nothing;
        }
        let bodies = self.bodies;
        let bytes = self.bytes(at, u64::from(header.bytes))?;
        let found = match check_records(bytes, &header, seal, bodies, records) {
            Ok(true) => Found::Whole(header),
            Ok(false) => Found::Rotten(header),
            Err(DecodeError::Invalid) => return nothing,
            Err(DecodeError::Unsupported(what)) => return Err(self.unsupported(what)),
        };
        Ok((found, chain_after))
    }

    /// The bytes of a record that `batch` has just found.
    pub(crate) fn record(&mut self, header: &RecordHeader) -> Result<&[u8], OpenError> {
        self.bytes(header.position, header.bytes())
    }

    /// Whether an intact batch header from `from` on and before `to` says that more than `below` had been synced.
    pub(crate) fn proves(
        &mut self,
        from: Position,
        to: Position,
        below: Position,
    ) -> Result<bool, OpenError> {
        Ok(self.find(from, to, |header| header.durable > below)?.is_some())
    }

    /// The first intact batch header from `from` on and before `to` that is wanted.
    pub(crate) fn find(
        &mut self,
        from: Position,
        to: Position,
        is_wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<BatchHeader>, OpenError> {
        let to = Position(to.0.min(self.segment.end().0));
        let mut at = from;
        while at < to {
            // Headers that cross the end of a chunk are found in the next one, which begins early enough.
            let seal = self.seal;
            let chunk = self.bytes(at, CHUNK_BYTES.min(to.0 - at.0).max(HEADER_BYTES))?;
            if chunk.len() < HEADER_BYTES as usize {
                break;
            }
            let found = headers(chunk, at, seal).map(|(header, _)| header).find(&is_wanted);
            if found.is_some() {
                return Ok(found);
            }
            at.0 += chunk.len() as u64 - HEADER_BYTES + ALIGN_BYTES;
        }
        Ok(None)
    }

    /// The link to the batch that ends at `end`, or so close before the segment's end that none can follow.
    pub(crate) fn chain_to(&mut self, end: Position) -> Result<Option<Chain>, OpenError> {
        let mut back = BACK_BYTES;
        loop {
            let from = Position(end.0.saturating_sub(back).max(self.segment.first().0));
            let (seal, segment_end) = (self.seal, self.segment.end());
            let bytes = self.bytes(from, end.0 - from.0)?;
            let last = headers(bytes, from, seal).filter(|(header, _)| {
                header.end() == end
                    || (end == segment_end && header.end() < end && end.0 - header.end().0 < PAD_BYTES_MIN)
            });
            if let Some((header, crc)) = last.last() {
                return Ok(Some(Chain {
                    crc: Some(crc),
                    epoch: header.epoch,
                    written_ms: header.written_ms,
                }));
            }
            if from == self.segment.first() {
                return Ok(None);
            }
            back *= 8;
        }
    }

    /// Writes the bytes between two positions again as they are.
    pub(crate) fn rewrite(&mut self, from: Position, to: Position) -> Result<(), OpenError> {
        let mut at = from;
        while at < to {
            let segment = Arc::clone(&self.segment);
            let chunk = self.bytes(at, CHUNK_BYTES.min(to.0 - at.0))?;
            if chunk.is_empty() {
                break;
            }
            let slices = [std::io::IoSlice::new(chunk)];
            segment.file.write_at(&slices, segment.at(at)).map_err(|source| io_error(&segment, source))?;
            at.0 += chunk.len() as u64;
        }
        self.segment.file.sync().map_err(|source| io_error(&self.segment, source))
    }

    /// The bytes from `at` on; fewer than `bytes` only at the end of the file or at the limit.
    fn bytes(&mut self, at: Position, bytes: u64) -> Result<&[u8], OpenError> {
        let at = self.segment.at(at);
        let bytes = bytes.min(self.limit.saturating_sub(at));
        let held = self.buffer_at <= at && at + bytes <= self.buffer_at + self.buffer.len() as u64;
        if !held {
            let length = bytes.max(CHUNK_BYTES).min(self.limit.saturating_sub(at));
            self.buffer.resize(length as usize, 0);
            self.buffer_at = at;
            let read = self.segment.file.read_at(&mut self.buffer, at);
            // Not kept after an error: half of it would be of another place.
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read.map_err(|source| io_error(&self.segment, source))?;
        }
        let from = (at - self.buffer_at) as usize;
        let to = (from + bytes as usize).min(self.buffer.len());
        Ok(&self.buffer[from.min(to)..to])
    }

    fn unsupported(&self, what: String) -> OpenError {
        OpenError::Unsupported { file: self.segment.path(), what }
    }
}

/// All intact batch headers in `bytes`, which lie at `from`.
fn headers(bytes: &[u8], from: Position, seal: Seal) -> impl Iterator<Item = (BatchHeader, u32)> {
    let magic = BATCH_MAGIC.to_le_bytes();
    let last = (bytes.len() + ALIGN_BYTES as usize).saturating_sub(HEADER_BYTES as usize);
    (0..last)
        .step_by(ALIGN_BYTES as usize)
        .filter(move |&at| bytes.get(at + 4..at + 8) == Some(&magic))
        .filter_map(move |at| BatchHeader::decode(&bytes[at..], Position(from.0 + at as u64), seal).ok())
}

/// Whether the batch, whose first record is `record`, fills the rest of a segment that ends at `segment_end`.
pub(crate) fn is_pad(record: &[u8], header: &BatchHeader, segment_end: Position, seal: Seal) -> bool {
    let position = Position(header.start.0 + HEADER_BYTES);
    // One that needs more than these bytes has a head, so it is none.
    let record = record.get(..HEADER_BYTES as usize).unwrap_or_default();
    let Ok(record) = RecordHeader::decode(record, position, seal) else { return false };
    let fills = position.0 + record.bytes() == header.end().0 && header.end() == segment_end;
    record.kind == Kind::Pad && header.count == 1 && fills
}

/// Whether the batch can be the one after `chain` in a segment that ends at `segment_end`.
pub(crate) fn follows(header: &BatchHeader, chain: &Chain, segment_end: Position) -> bool {
    let bytes = u64::from(header.bytes);
    header.end() <= segment_end
        && bytes >= PAD_BYTES_MIN
        && bytes.is_multiple_of(ALIGN_BYTES)
        && (1..=bytes / HEADER_BYTES).contains(&u64::from(header.count))
        && header.durable <= header.start
        && header.epoch >= chain.epoch
        && header.written_ms >= chain.written_ms
        && chain.crc.is_none_or(|crc| crc == header.previous_crc)
}

/// Reads the records of a batch; false if the body of a message does not verify.
pub(crate) fn check_records(
    batch: &[u8],
    header: &BatchHeader,
    seal: Seal,
    bodies: Bodies,
    records: &mut Vec<RecordHeader>,
) -> Result<bool, DecodeError> {
    if batch.len() as u64 != u64::from(header.bytes) {
        return Err(DecodeError::Invalid);
    }
    let mut intact = true;
    let mut at = HEADER_BYTES as usize;
    while at < batch.len() {
        let position = Position(header.start.0 + at as u64);
        let record = RecordHeader::decode(&batch[at..], position, seal)?;
        let end = at + record.bytes() as usize;
        let bytes = batch.get(at..end).ok_or(DecodeError::Invalid)?;
        if record.kind == Kind::Pad || record.epoch != header.epoch {
            return Err(DecodeError::Invalid);
        }
        let is_checked = bodies == Bodies::All || !record.kind.holds_message();
        if is_checked && !record.verifies(bytes) {
            // A control record is its body: without it the state would be another one.
            if !record.kind.holds_message() {
                return Err(DecodeError::Invalid);
            }
            intact = false;
        }
        records.push(record);
        at = end;
    }
    if records.len() != header.count as usize {
        return Err(DecodeError::Invalid);
    }
    Ok(intact)
}

pub(crate) fn io_error(segment: &Segment, source: std::io::Error) -> OpenError {
    OpenError::Io { file: segment.path(), source }
}

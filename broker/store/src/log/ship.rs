//! The bytes of the log as another copy takes them: whole batches, as they lie on the disk.
//!
//! ```text
//!   segment:  [page | batch | batch | batch | pad .......... ]
//!   span:                    start >--------------128 B      end
//! ```
//!
//! A pad is sent as the 128 bytes that are written of it; the span ends where the pad does, at the segment's end.
//! Cost: one read, and 64 bytes to look at for each batch. Not here: verifying records, which the taker does.

use std::sync::Arc;

use super::LogReader;
use super::codec::{BatchHeader, HEADER_BYTES, Seal};
use super::error::ReadError;
use super::scan::is_pad;
use super::segment::{PAD_BYTES_MIN, PAGE_BYTES, Segment};
use crate::units::Position;

/// A segment: where it starts and how much it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    /// Position of its first byte.
    pub start: Position,
    /// Length when it is full.
    pub bytes: u64,
}

/// What bytes that were read for another copy are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanHead {
    /// The segment that they lie in.
    pub segment: SegmentSpan,
    /// Position of the first batch.
    pub start: Position,
    /// End of the last batch.
    pub end: Position,
}

/// Batches of one segment, for another copy. Without bytes it only says that the log goes on in that segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSpan<'a> {
    /// The segment that they lie in.
    pub segment: SegmentSpan,
    /// Position of the first batch.
    pub start: Position,
    /// End of the last batch; lies beyond the bytes if that is a pad.
    pub end: Position,
    /// The batches, one after another; of a pad its two headers.
    pub bytes: &'a [u8],
}

impl SpanHead {
    /// The span of these bytes.
    pub fn of<'a>(&self, bytes: &'a [u8]) -> RawSpan<'a> {
        RawSpan { segment: self.segment, start: self.start, end: self.end, bytes }
    }
}

impl LogReader {
    /// Reads whole batches of one segment from `from` on into `out`, up to `to`: at most `bytes_max`, but at least
    /// one batch. `None` at `to`. Both lie between batches, at most at `written`.
    ///
    /// At the end of a segment it goes on in the next one.
    pub fn read_raw(
        &self,
        from: Position,
        to: Position,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<SpanHead>, ReadError> {
        out.clear();
        if from == to {
            return Ok(None);
        }
        let written = self.written();
        let out_of_range = || ReadError::OutOfRange { position: from, bytes: 0, written };
        if self.is_end(from, to, written) {
            return Ok(None);
        }
        if from > to || to > written {
            return Err(out_of_range());
        }
        if from < self.head() {
            return Err(ReadError::Trimmed { head: self.head() });
        }
        let Some(segment) = self.shipped(from) else { return Err(out_of_range()) };
        let start = from.max(segment.first());
        // A position in the rest of a segment, and the one where the next begins, are the same place.
        let to = to.max(start).min(segment.end());
        self.shared.cache.note_read(start);
        let wanted = (to.0 - start.0).min((bytes_max as u64).max(PAD_BYTES_MIN));
        fill(&segment, start, wanted, out)?;
        let mut cut = self.cut(&segment, start, to, out)?;
        if let Cut { batches: 0, needed, .. } = cut
            && needed > wanted
        {
            fill(&segment, start, needed, out)?;
            cut = self.cut(&segment, start, to, out)?;
        }
        if cut.batches == 0 && start < to {
            return Err(self.damaged(&segment, start));
        }
        out.truncate(cut.bytes);
        let segment = SegmentSpan { start: segment.start, bytes: segment.bytes };
        Ok(Some(SpanHead { segment, start, end: cut.end }))
    }

    /// Whether `from` is where the segment begins that will follow the one that ends at `to`: the same place.
    fn is_end(&self, from: Position, to: Position, written: Position) -> bool {
        let active = self.shared.active();
        to == written && !active.takes(to) && from > to && from.0 <= active.end().0 + PAGE_BYTES
    }

    /// The segment in which the batch at `from` lies.
    fn shipped(&self, from: Position) -> Option<Arc<Segment>> {
        let segment = self.shared.segment_of(from)?;
        if from < segment.first() || segment.takes(from) {
            return Some(segment);
        }
        self.shared.segment_of(segment.end())
    }

    /// Finds the last batch that is there as a whole.
    fn cut(&self, segment: &Segment, start: Position, to: Position, bytes: &[u8]) -> Result<Cut, ReadError> {
        let mut cut = Cut { end: start, bytes: 0, batches: 0, needed: 0 };
        while cut.end < to && segment.takes(cut.end) {
            let rest = &bytes[cut.bytes..];
            if rest.len() < HEADER_BYTES as usize {
                break;
            }
            let Some((header, length)) = measure(rest, cut.end, segment.end(), self.shared.seal) else {
                return Err(self.damaged(segment, cut.end));
            };
            if header.end() > to || length > rest.len() as u64 {
                cut.needed = if header.end() > to { 0 } else { length };
                break;
            }
            cut.end = header.end();
            cut.bytes += length as usize;
            cut.batches += 1;
        }
        Ok(cut)
    }

    fn damaged(&self, segment: &Segment, position: Position) -> ReadError {
        match self.head() {
            head if position < head => ReadError::Trimmed { head },
            _ => ReadError::Corrupt { file: segment.path(), position },
        }
    }
}

/// How far whole batches reach.
struct Cut {
    end: Position,
    bytes: usize,
    batches: usize,
    /// Length of the first batch that does not fit.
    needed: u64,
}

fn fill(segment: &Segment, start: Position, bytes: u64, out: &mut Vec<u8>) -> Result<(), ReadError> {
    out.resize(bytes as usize, 0);
    let read = segment.file.read_at(out, segment.at(start));
    let read = read.map_err(|source| ReadError::Io { file: segment.path(), position: start, source })?;
    out.truncate(read);
    Ok(())
}

/// The header of the batch at `at`, and how many bytes of it there are.
fn measure(bytes: &[u8], at: Position, segment_end: Position, seal: Seal) -> Option<(BatchHeader, u64)> {
    let (header, _) = BatchHeader::decode(bytes, at, seal).ok()?;
    let is_pad = is_pad(&bytes[HEADER_BYTES as usize..], &header, segment_end, seal);
    Some((header, if is_pad { PAD_BYTES_MIN } else { u64::from(header.bytes) }))
}

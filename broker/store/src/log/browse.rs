//! Looking through stretches of the log for what somebody wants to see: from anywhere on, in any order, past damage.
//!
//! ```text
//!   [......|batch|batch|XXXX|batch|...]     stretch: the batches that begin in it are shown, the others are not
//!    ^start             ^damage      ^end
//! ```
//!
//! Promise: headers, heads and control records that are shown verified; what does not verify is counted and passed
//! over. Bodies of messages are verified when they are read. Not here: recovery and folding, which pass over nothing.

use std::ops::Range;
use std::sync::Arc;

use super::codec::{ALIGN_BYTES, HEADER_BYTES};
use super::error::OpenError;
use super::packed::each_message;
use super::scan::{Found, Scanner};
use super::segment::Segment;
use super::writer::Chain;
use super::{Encoding, Entry, LogReader};
use crate::units::Position;

/// A search by time ends when it knows the place this well.
const FINE_BYTES: u64 = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// Where a segment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPlace {
    /// Where the one before it ends.
    pub start: Position,
    /// Where its first batch begins.
    pub first: Position,
    /// Where the next one starts.
    pub end: Position,
}

/// What was met in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Browsed {
    /// Where the first batch that was shown begins; the end of the stretch if there is none.
    pub first: Position,
    /// Where the last one ends; the start of the stretch if there is none.
    pub end: Position,
    /// Parts that do not verify: between them, and where the first of a segment should be.
    pub damaged: u64,
}

impl LogReader {
    /// The segment that `position` is in; `None`: it is not kept, or not there yet.
    pub fn segment_around(&self, position: Position) -> Option<SegmentPlace> {
        let segment = self.shared.segment_of(position)?;
        Some(SegmentPlace { start: segment.start, first: segment.first(), end: segment.end() })
    }

    /// When the oldest segment was begun; `None`: it is empty.
    pub fn kept_from_ms(&self) -> Option<u64> {
        self.shared.oldest().first_ms()
    }

    /// Batches that begin before the first of these were written before `ms`, those from the second on were not.
    pub fn around_time(&self, ms: u64) -> Result<Range<Position>, OpenError> {
        let Some(segment) = self.shared.begun_before(ms) else {
            return Ok(self.head()..self.head());
        };
        let (mut low, mut high) = (segment.first(), self.written().min(segment.end()));
        let mut scanner = Scanner::until(Arc::clone(&segment), self.shared.seal, high);
        while low.0 + FINE_BYTES < high.0 {
            let middle = aligned(Position(low.0 + (high.0 - low.0) / 2));
            match scanner.find(middle, high, |header| header.start >= middle)? {
                Some(header) if header.written_ms < ms => low = header.start,
                Some(_) | None => high = middle,
            }
        }
        Ok(low..high.max(low))
    }

    /// Calls `visit` with the entry and the head of each record in the batches that begin in the stretch, in order; of a
    /// record that messages share, with those of each message, and its number in the record. The stretch lies in one segment; nothing is read from `end` on, which lies between batches.
    pub fn browse(
        &self,
        stretch: Range<Position>,
        end: Position,
        visit: &mut dyn FnMut(&Entry<'_>, &[u8], u16),
    ) -> Result<Browsed, OpenError> {
        let missing = OpenError::Missing { position: stretch.start };
        let segment = self.shared.segment_of(stretch.start).ok_or(missing)?;
        let browsed = self.browse_segment(&segment, &stretch, end, visit);
        // Retention may have given the file to a new segment while it was read.
        if stretch.start < self.head() {
            return Err(OpenError::Missing { position: stretch.start });
        }
        browsed
    }

    fn browse_segment(
        &self,
        segment: &Arc<Segment>,
        stretch: &Range<Position>,
        end: Position,
        visit: &mut dyn FnMut(&Entry<'_>, &[u8], u16),
    ) -> Result<Browsed, OpenError> {
        let to = stretch.end.min(end);
        let mut scanner = Scanner::until(Arc::clone(segment), self.shared.seal, end);
        let mut browsed = Browsed { first: stretch.end, end: stretch.start, damaged: 0 };
        let (mut chain, mut records) = (Chain::default(), Vec::new());
        let mut at = aligned(stretch.start.max(segment.first()));
        // Whether a batch has to begin at `at`, and whether it was looked for in vain.
        let (mut is_due, mut is_missed) = (at == segment.first(), false);
        while at < to && segment.takes(at) {
            let (found, linked) = scanner.batch(at, &chain, &mut records)?;
            let (Found::Whole(header) | Found::Rotten(header)) = found else {
                (chain, is_missed) = (Chain::default(), true);
                let next = Position(at.0 + ALIGN_BYTES);
                match scanner.find(next, to, |header| header.start >= next)? {
                    Some(header) => at = header.start,
                    None => break,
                }
                continue;
            };
            browsed.damaged += u64::from(is_due && is_missed);
            (is_due, is_missed) = (true, false);
            browsed.first = browsed.first.min(header.start);
            for record in &records {
                let bytes = scanner.record(record)?;
                if record.encoding == Encoding::RocketmqV2Batch {
                    browsed.damaged += u64::from(!each_message(record, bytes, visit));
                } else {
                    visit(&record.entry_in(bytes), &bytes[HEADER_BYTES as usize..record.body_at()], 0);
                }
            }
            (chain, at) = (linked, header.end());
            browsed.end = if segment.takes(at) { at } else { segment.end() };
        }
        Ok(browsed)
    }
}

/// The next place where a batch may begin.
fn aligned(position: Position) -> Position {
    Position(position.0.next_multiple_of(ALIGN_BYTES))
}

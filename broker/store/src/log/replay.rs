//! Showing the records of a stretch of the log again, in order: after a start, and as batches are agreed.

use std::sync::Arc;

use super::Entry;
use super::LogReader;
use super::error::OpenError;
use super::scan::{Found, Scanner};
use super::segment::Segment;
use super::writer::Chain;
use crate::units::Position;

impl LogReader {
    /// Calls `fold` for each record from `from` to `to`, in order; both lie between batches, at most at `written`.
    ///
    /// Headers and control records are verified, and the links between the batches; bodies of messages are verified
    /// when they are read. Reads little more than the stretch.
    pub fn replay(
        &self,
        from: Position,
        to: Position,
        fold: &mut dyn FnMut(&Entry<'_>),
    ) -> Result<(), OpenError> {
        if to > self.written() {
            return Err(OpenError::Missing { position: self.written() });
        }
        let mut at = from;
        let mut chain = Chain::default();
        while at < to {
            let segment = self.shared.segment_of(at).ok_or(OpenError::Missing { position: at })?;
            at = at.max(segment.first());
            self.replay_segment(&segment, &mut at, to.min(segment.end()), &mut chain, fold)?;
            at = segment.end();
        }
        Ok(())
    }

    fn replay_segment(
        &self,
        segment: &Arc<Segment>,
        at: &mut Position,
        to: Position,
        chain: &mut Chain,
        fold: &mut dyn FnMut(&Entry<'_>),
    ) -> Result<(), OpenError> {
        let mut scanner = Scanner::until(Arc::clone(segment), self.shared.seal, to);
        let mut records = Vec::new();
        while *at < to && segment.takes(*at) {
            let (found, linked) = scanner.batch(*at, chain, &mut records)?;
            let header = match found {
                Found::Whole(header) | Found::Rotten(header) if header.end() <= to => header,
                // Retention may have taken the segment while it was read.
                Found::Whole(_) | Found::Rotten(_) | Found::Nothing if *at < self.head() => {
                    return Err(OpenError::Missing { position: *at });
                }
                Found::Whole(_) | Found::Rotten(_) | Found::Nothing => {
                    return Err(OpenError::Corrupt { file: segment.path(), position: *at });
                }
            };
            for record in &records {
                fold(&record.entry_in(scanner.record(record)?));
            }
            *chain = linked;
            *at = header.end();
        }
        Ok(())
    }
}

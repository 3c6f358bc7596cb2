//! The rows of a topic's queues, newest first: where a topic is a small part of the log, its messages are found by them.
//!
//! ```text
//!   queue 0   first ....[page]  end      the page with the greatest position gives the next row
//!   queue 1   first ..[page]    end
//! ```

use store::index::{Index, IndexEntry, IndexError};
use store::{Offset, Position, QueueId};

/// Rows of one queue in memory.
const PAGE_ROWS: u64 = 64;
/// Rows of one batch ...
const BATCH_ROWS: usize = 256;
/// ... and bytes of their records, but for the first one.
const BATCH_BYTES: u64 = 8 << 20;

/// What is left to look at.
#[derive(Debug)]
pub(super) struct Rows {
    queues: Vec<QueueRows>,
}

#[derive(Debug)]
struct QueueRows {
    queue: QueueId,
    first: u64,
    /// All from here on were looked at, or are in the page.
    end: u64,
    /// Rising.
    page: Vec<IndexEntry>,
}

impl Rows {
    /// The rows of these queues that were stored from `from_ms` on and before `to_ms`.
    pub(super) fn new(
        index: &Index,
        queues: &[QueueId],
        from_ms: u64,
        to_ms: u64,
    ) -> Result<Self, IndexError> {
        let rows = |&queue: &QueueId| {
            let first = index.at_time(queue, from_ms)?.0;
            let end = if to_ms == u64::MAX { index.range(queue).1 } else { index.at_time(queue, to_ms)? };
            Ok(QueueRows { queue, first, end: end.0, page: Vec::new() })
        };
        Ok(Self { queues: queues.iter().map(rows).collect::<Result<_, IndexError>>()? })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.queues.iter().map(|rows| rows.end.saturating_sub(rows.first)).sum()
    }

    /// Leaves out what lies at `before` or behind it.
    pub(super) fn cut(&mut self, index: &Index, before: Position) -> Result<(), IndexError> {
        for rows in &mut self.queues {
            let (mut low, mut high) = (rows.first, rows.end);
            while low < high {
                let middle = low + (high - low) / 2;
                let mut found = Vec::with_capacity(1);
                match index.read(rows.queue, Offset(middle), 1, &mut found) {
                    // What retention took lies before everything.
                    Err(IndexError::Trimmed { .. }) => low = middle + 1,
                    Err(error) => return Err(error),
                    Ok(()) if found.first().is_some_and(|row| row.position < before) => low = middle + 1,
                    Ok(()) => high = middle,
                }
            }
            rows.end = low;
        }
        Ok(())
    }

    /// The next rows, by falling position; none: there are no more.
    pub(super) fn next_batch(&mut self, index: &Index) -> Result<Vec<IndexEntry>, IndexError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            for rows in self.queues.iter_mut().filter(|rows| rows.page.is_empty()) {
                rows.fill(index)?;
            }
            let newest = self.queues.iter_mut().max_by_key(|rows| rows.page.last().map(|row| row.position));
            let Some(row) = newest.and_then(|rows| rows.page.pop()) else { break };
            bytes += u64::from(row.bytes);
            batch.push(row);
        }
        Ok(batch)
    }
}

impl QueueRows {
    /// Reads the page before the one that is used up.
    fn fill(&mut self, index: &Index) -> Result<(), IndexError> {
        while self.page.is_empty() && self.first < self.end {
            let from = self.end.saturating_sub(PAGE_ROWS).max(self.first);
            let wanted = (self.end - from) as usize;
            match index.read(self.queue, Offset(from), wanted, &mut self.page) {
                Ok(()) => {
                    // Fewer are there only before an error, which the next one tells.
                    let next = self.page.last().map_or(from, |row| row.end().0);
                    let wanted = self.end.saturating_sub(next) as usize;
                    index.read(self.queue, Offset(next), wanted, &mut self.page)?;
                    // The first row may begin before.
                    self.end = self.page.first().map_or(from, |row| row.offset.0.min(from));
                }
                // Retention was faster.
                Err(IndexError::Trimmed { oldest }) => {
                    self.page.clear();
                    self.first = oldest.0.max(from + 1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

//! Looking for messages of a topic by id, key, filter and time: a bounded walk over its queues.
//!
//! ```text
//!   queue 0: begin ▶──────────▶ end   queue 1: begin ▶────────┊        ┊ enough, too many looks, or too late: a cursor
//! ```
//!
//! Promise: walking on from each cursor sees every message of the time once, oldest first within a queue.
//! Limits: `LOOKS_MAX` messages are looked at and `REPLY_BYTES_MAX` bytes returned at a time, one message at least.

use std::sync::Arc;

use engine::catalog::Topic;
use engine::group::{Group, Place, Pull, PullError, PulledMessage};
use store::Offset;
use store::log::{Encoding, ReadError};
use tracing::error;
use wire::stored::Head;

use crate::filter::Filter;

const LOOKS_MAX: u64 = 100_000;
/// Of records; gRPC clients take 4 MiB if they do not say otherwise.
const REPLY_BYTES_MAX: u64 = 3 << 20;
/// Messages that are read at a time.
const STRETCH: usize = 64;

/// What is looked for.
pub(super) struct Search {
    pub(super) topic: Arc<Topic>,
    /// Numbers of the queues, rising.
    pub(super) queues: Vec<u32>,
    pub(super) begin_ms: u64,
    /// Messages of this time still count.
    pub(super) end_ms: u64,
    pub(super) by: By,
    /// Hits that are returned at most.
    pub(super) max: usize,
    /// When to stop at the latest.
    pub(super) until_ms: u64,
}

/// What tells a hit.
pub(super) enum By {
    /// The time alone.
    Time,
    Id(String),
    Key(String),
    Filter(Filter),
}

/// Where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) queue: u32,
    pub(super) offset: Offset,
    /// Hits still to be passed over.
    pub(super) skip: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// Each with the number of its queue.
    pub(super) messages: Vec<(u32, PulledMessage)>,
    /// `None`: there is nothing more.
    pub(super) next: Option<Cursor>,
}

/// Why a search ended without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Waits for the disk.
pub(super) fn search(
    group: &Group,
    search: &Search,
    from: Cursor,
    now_ms: &dyn Fn() -> u64,
) -> Result<Hits, SearchError> {
    let walk = Walk { group, search, now_ms, hits: Hits::default(), looks: 0, bytes: 0, skip: from.skip };
    walk.run(from)
}

struct Walk<'a> {
    group: &'a Group,
    search: &'a Search,
    now_ms: &'a dyn Fn() -> u64,
    hits: Hits,
    looks: u64,
    bytes: u64,
    skip: u64,
}

impl Walk<'_> {
    fn run(mut self, from: Cursor) -> Result<Hits, SearchError> {
        for &queue in self.search.queues.iter().filter(|&&queue| queue >= from.queue) {
            let begin = if queue == from.queue { from.offset } else { Offset(0) };
            if let Some(offset) = self.queue(queue, begin)? {
                self.hits.next = Some(Cursor { queue, offset, skip: self.skip });
                break;
            }
        }
        Ok(self.hits)
    }

    /// Walks over one queue; returns where it stopped early.
    fn queue(&mut self, queue: u32, begin: Offset) -> Result<Option<Offset>, SearchError> {
        let Some(&id) = self.search.topic.queues.get(queue as usize) else { return Ok(None) };
        let at = |ms| self.group.offset_of(id, Place::Time(ms)).map_err(PullError::from);
        let end = at(self.search.end_ms.saturating_add(1))?;
        let mut next = at(self.search.begin_ms)?.max(begin);
        let tags = match &self.search.by {
            By::Filter(filter) => filter.tag_hashes(),
            By::Time | By::Id(_) | By::Key(_) => None,
        };
        while next < end {
            if self.looks >= LOOKS_MAX || (self.now_ms)() >= self.search.until_ms {
                return Ok(Some(next));
            }
            let asked =
                Pull { topic: &self.search.topic, queue, from: next, tags: tags.as_deref(), max: STRETCH };
            let pulled = match self.group.pull(&asked, (self.now_ms)(), None) {
                // Trimmed meanwhile.
                Err(PullError::OutOfRange { oldest, .. }) if next < oldest => {
                    next = oldest;
                    continue;
                }
                pulled => pulled?,
            };
            for message in pulled.messages.into_iter().filter(|message| message.offset < end) {
                let offset = message.offset;
                if !self.take(queue, message)? {
                    return Ok(Some(offset));
                }
            }
            if pulled.next == next {
                break;
            }
            self.looks += pulled.next.0 - next.0;
            next = pulled.next;
        }
        Ok(None)
    }

    /// Looks at one message; false if there is no room for it.
    fn take(&mut self, queue: u32, mut message: PulledMessage) -> Result<bool, SearchError> {
        if message.record.is_none() {
            match self.group.load_pulled(&mut message) {
                Ok(()) => {}
                Err(error @ ReadError::Io { .. }) => return Err(error.into()),
                Err(ReadError::Trimmed { .. }) => return Ok(true),
                Err(error @ (ReadError::Corrupt { .. } | ReadError::OutOfRange { .. })) => {
                    error!(%error, "skipped a message that does not verify");
                    return Ok(true);
                }
            }
        }
        let is_in_time = (self.search.begin_ms..=self.search.end_ms).contains(&message.stored_ms);
        if !is_in_time || !self.search.by.hits(&message) {
            return Ok(true);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(true);
        }
        let bytes = message.record.as_ref().map_or(0, |record| record.body().len() + record.head().len());
        self.bytes += bytes as u64;
        let found = self.hits.messages.len();
        if found >= self.search.max || (found > 0 && self.bytes > REPLY_BYTES_MAX) {
            return Ok(false);
        }
        self.hits.messages.push((queue, message));
        Ok(true)
    }
}

impl By {
    fn hits(&self, message: &PulledMessage) -> bool {
        let Some(record) = &message.record else { return false };
        let head = record.head();
        let Ok(head) = Head::parse(&head) else { return false };
        record.entry().encoding == Encoding::RocketmqV2
            && match self {
                Self::Time => true,
                Self::Id(id) => head.message_id() == id,
                Self::Key(key) => head.keys().any(|own| own == key),
                Self::Filter(filter) => filter.matches(head),
            }
    }
}

impl Cursor {
    /// As clients hand it back.
    pub(super) fn text(self) -> String {
        format!("{}.{}.{}", self.queue, self.offset.0, self.skip)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let cursor = Self {
            queue: numbers.next()?.parse().ok()?,
            offset: Offset(numbers.next()?.parse().ok()?),
            skip: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written_and_nothing_else_does() {
        let cursor = Cursor { queue: 3, offset: Offset(u64::MAX), skip: 7 };
        assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        for text in ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.2.3", "4294967296.0.0"] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }
}

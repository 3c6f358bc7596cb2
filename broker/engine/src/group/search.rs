//! Finding stored messages: the log is looked through from its end to its beginning, stretch by stretch.
//!
//! ```text
//!   head ....[   stretch   ][   stretch   ][###########] end
//!                            <-- search_on  looked through, newest matches first
//! ```
//!
//! What a message is, the caller says: the engine shows a record's entry and its head. Messages that wait for their time
//! or for a decision are found as well as those in queues; pointers to dead letters in the topic that they lie in.
//!
//! Where a topic is a small part of that, the rows of its queues are gone through instead (`rows`), by falling position too.
//!
//! Promise: no lock is held while the disk works. Where it ends early (`max`, or the caller stops calling), `scroll` says
//! where a later search goes on; what does not verify is counted and passed over.
//! Cost: it reads the stretch of the log in the asked time, or the topic's messages of that time. Not here: the caller's deadline.

mod rows;

use bytes::Bytes;
use store::log::{Browsed, Encoding, Entry, Kind, OpenError, ReadError, Record, SegmentPlace};
use store::{Offset, Position, QueueId};

use self::rows::Rows;
use super::{Group, Origin, SearchError};
use crate::catalog::Topic;
use crate::records::{decode_link, origin_of_copy};

/// Looked through with one call.
const STRETCH_BYTES: u64 = 4 << 20;

/// Reading a lone record takes as long as going through so many bytes.
const ROW_BYTES: u64 = 16 << 10;

/// Which messages are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Of this topic only.
    pub topic: Option<&'a Topic>,
    /// Stored then or later.
    pub from_ms: u64,
    /// Stored before.
    pub to_ms: u64,
    /// Only below this position: where a search before this one stopped.
    pub before: Option<Position>,
    /// At most so many; a few more if they share a record.
    pub max: usize,
}

/// A search on its way; see `Group::search_on`.
#[derive(Debug)]
pub struct Search {
    queues: Option<Vec<QueueId>>,
    /// Only these are to be read.
    rows: Option<Rows>,
    from_ms: u64,
    to_ms: u64,
    before: Position,
    max: usize,
    /// Nothing below is looked at.
    floor: Position,
    /// All batches that begin here or later were looked at.
    low: Position,
    /// Where the lowest of them begins, or where the search began.
    at: Position,
    found: Vec<Sighting>,
    damaged: u64,
    is_over: bool,
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What its record is.
    pub kind: Kind,
    /// How its head is encoded.
    pub encoding: Encoding,
    /// Where the record lies; of a dead letter, the pointer's.
    pub position: Position,
    /// Length of that record.
    pub bytes: u32,
    /// Where the message itself lies, and the length of that record.
    pub message: (Position, u32),
    /// Which message of that record it is, from 0.
    pub number: u16,
    /// The queue it is in, or will be in.
    pub queue: QueueId,
    /// Its number there; none while it waits.
    pub offset: Option<Offset>,
    /// In milliseconds since 1970: its time, or when its sender is asked about it first.
    pub due_ms: Option<u64>,
    /// When the record was stored.
    pub stored_ms: u64,
    /// Where a dead letter came from.
    pub origin: Option<Origin>,
    /// The fields beside the body.
    pub head: Bytes,
}

impl Group {
    /// A search that has looked at nothing yet.
    pub fn search(&self, wanted: &Wanted<'_>) -> Result<Search, SearchError> {
        let end = self.published();
        let floor = self.reader.around_time(wanted.from_ms)?.start.max(self.reader.head());
        let top = if wanted.to_ms == u64::MAX { end } else { self.reader.around_time(wanted.to_ms)?.end };
        let before = wanted.before.unwrap_or(end).min(end);
        let at = top.min(before);
        let queues = wanted.topic.map(|topic| {
            let mut queues = topic.queues.clone();
            queues.sort_unstable();
            queues
        });
        let rows = wanted.topic.map(|topic| self.rows(topic, wanted)).transpose()?.flatten();
        let rows = rows.filter(|rows| rows.len().saturating_mul(ROW_BYTES) < at.0.saturating_sub(floor.0));
        Ok(Search {
            queues,
            rows,
            from_ms: wanted.from_ms,
            to_ms: wanted.to_ms,
            before,
            max: wanted.max,
            floor,
            low: at,
            at,
            found: Vec::new(),
            damaged: 0,
            is_over: at <= floor,
        })
    }

    /// Looks through the next stretch for messages that match; false: the search is over. Reads the disk.
    pub fn search_on(
        &self,
        search: &mut Search,
        matches: &mut dyn FnMut(&Entry<'_>, &[u8]) -> bool,
    ) -> Result<bool, SearchError> {
        if search.is_over || search.found.len() >= search.max {
            return Ok(false);
        }
        if let Some(mut rows) = search.rows.take() {
            let looked = self.search_rows(search, &mut rows, matches);
            search.rows = Some(rows);
            return looked;
        }
        let segment = match self.reader.segment_around(Position(search.low.0 - 1)) {
            Some(segment) if search.low > self.reader.head() => segment,
            // Retention was faster.
            Some(_) | None => return Ok(search.end()),
        };
        let from = segment.start.max(Position(search.low.0.saturating_sub(STRETCH_BYTES)));
        let mut met = Vec::new();
        let browsed = self.reader.browse(from..search.low, self.published(), &mut |entry, head, number| {
            if search.covers(entry) {
                let sighting = self.sight(entry, head, search.queues.is_some(), matches);
                met.extend(sighting.map(|sighting| sighting.of(number)));
            }
        });
        let browsed = match browsed {
            Err(OpenError::Missing { .. }) => return Ok(search.end()),
            browsed => browsed?,
        };
        search.note(&browsed, &segment, from);
        search.found.extend(met.into_iter().rev());
        Ok(search.goes_on())
    }

    /// The rows of a topic's queues; `None`: messages that wait have no row yet.
    fn rows(&self, topic: &Topic, wanted: &Wanted<'_>) -> Result<Option<Rows>, SearchError> {
        if !topic.spec.topic_type.puts_at_once() {
            return Ok(None);
        }
        let index = &self.state.index;
        let mut rows = Rows::new(index, &topic.queues, wanted.from_ms, wanted.to_ms)?;
        if let Some(before) = wanted.before {
            rows.cut(index, before)?;
        }
        Ok(Some(rows))
    }

    /// Looks at the next rows.
    fn search_rows(
        &self,
        search: &mut Search,
        rows: &mut Rows,
        matches: &mut dyn FnMut(&Entry<'_>, &[u8]) -> bool,
    ) -> Result<bool, SearchError> {
        let batch = rows.next_batch(&self.state.index)?;
        let Some(last) = batch.last() else { return Ok(search.end()) };
        search.at = last.position;
        let wanted: Vec<_> = batch.iter().rev().map(|row| (row.position, row.bytes)).collect();
        for read in self.reader.read_span(&wanted).into_iter().rev() {
            match read {
                Ok(record) if search.covers(&record.entry()) => {
                    let numbers = (0..record.entry().count.max(1)).rev();
                    let messages = numbers.filter_map(|number| Some((number, record.message(number)?)));
                    search.found.extend(messages.filter_map(|(number, message)| {
                        let sighting = self.sight(&message.entry(), &message.head(), true, matches)?;
                        Some(sighting.of(number))
                    }));
                }
                Ok(_) | Err(ReadError::Trimmed { .. }) => {}
                Err(ReadError::Corrupt { .. } | ReadError::OutOfRange { .. }) => search.damaged += 1,
                Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            }
        }
        Ok(search.goes_on())
    }

    /// What a record is to a search, if it matches.
    fn sight(
        &self,
        entry: &Entry<'_>,
        head: &[u8],
        shows_letters: bool,
        matches: &mut dyn FnMut(&Entry<'_>, &[u8]) -> bool,
    ) -> Option<Sighting> {
        if entry.kind != Kind::Link {
            return matches(entry, head).then(|| Sighting::new(entry, Bytes::copy_from_slice(head)));
        }
        if entry.encoding != Encoding::None {
            let topic = origin_of_copy(head).ok()?;
            let sighting =
                || Sighting { origin: origin(topic), ..Sighting::new(entry, Bytes::copy_from_slice(head)) };
            return matches(entry, head).then(sighting);
        }
        let link = decode_link(entry.body).ok().filter(|link| shows_letters && !link.origin.is_empty())?;
        let (position, bytes) = link.target();
        // What its message lost, a letter cannot show.
        let record = self.reader.read(position, bytes).ok()?.message(link.number())?;
        let message = record.entry();
        matches(&message, &record.head()).then(|| Sighting {
            encoding: message.encoding,
            message: (position, bytes),
            number: link.number(),
            origin: origin(link.origin),
            ..Sighting::new(entry, record.head())
        })
    }
}

impl Search {
    /// What was found so far, newest first.
    pub fn found(&self) -> &[Sighting] {
        &self.found
    }

    /// Where a later search goes on that wants what this one did not come to; `None`: it came to the end.
    pub fn scroll(&self) -> Option<Position> {
        match self.found.last() {
            Some(last) if self.found.len() >= self.max => Some(last.position),
            Some(_) | None => (!self.is_over).then_some(self.at),
        }
    }

    /// Parts of the log that do not verify.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    fn covers(&self, entry: &Entry<'_>) -> bool {
        (entry.kind.holds_message() || entry.kind == Kind::Link)
            && (self.from_ms..self.to_ms).contains(&entry.stored_ms)
            && entry.position < self.before
            && self.queues.as_ref().is_none_or(|queues| queues.binary_search(&entry.queue).is_ok())
    }

    /// The stretch that begins at `from` was looked through.
    fn note(&mut self, browsed: &Browsed, segment: &SegmentPlace, from: Position) {
        let is_empty = browsed.first >= self.low;
        let is_lost =
            if is_empty { from == segment.start && self.low > segment.first } else { browsed.end < self.at };
        self.damaged += browsed.damaged + u64::from(is_lost);
        self.low = from;
        if from == segment.start {
            self.at = from;
        } else if !is_empty {
            self.at = browsed.first;
        }
        self.is_over = self.low <= self.floor;
    }

    fn goes_on(&mut self) -> bool {
        let has_room = self.found.len() < self.max;
        // Messages that share a record are found together: a later search goes on before it.
        let mut end = self.max.min(self.found.len());
        while end > 0 && end < self.found.len() && self.found[end].position == self.found[end - 1].position {
            end += 1;
        }
        self.found.truncate(end);
        has_room && !self.is_over
    }

    fn end(&mut self) -> bool {
        self.is_over = true;
        false
    }
}

impl Sighting {
    /// The message of that number, if its record is shared; a pointer has said which it means.
    fn of(self, number: u16) -> Self {
        if number == 0 { self } else { Self { number, ..self } }
    }

    fn new(entry: &Entry<'_>, head: Bytes) -> Self {
        // Of a message that waits, the record has a time instead of a number.
        let waits = !entry.kind.takes_offset();
        Self {
            kind: entry.kind,
            encoding: entry.encoding,
            position: entry.position,
            bytes: entry.bytes,
            message: (entry.position, entry.bytes),
            number: 0,
            queue: entry.queue,
            offset: (!waits).then_some(entry.offset),
            due_ms: waits.then_some(entry.offset.0),
            stored_ms: entry.stored_ms,
            origin: None,
            head,
        }
    }
}

impl From<&Record> for Sighting {
    fn from(record: &Record) -> Self {
        let (entry, head) = (record.entry(), record.head());
        let is_copy = entry.kind == Kind::Link;
        let topic = if is_copy { origin_of_copy(&head).unwrap_or_default() } else { String::new() };
        Self { origin: origin(topic), ..Self::new(&entry, head) }
    }
}

fn origin(topic: String) -> Option<Origin> {
    (!topic.is_empty()).then_some(Origin { topic })
}

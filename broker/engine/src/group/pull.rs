//! Reading a queue by offset: no lease, no consumer group, nothing changes.
//!
//! ```text
//!   from --> index entries --> wanted? --> records from memory        next: behind the last one looked at
//!     \--> at the tail: the waiter is woken by the next message
//! ```
//!
//! Promise: all messages between `from` and `next` that are wanted are there, in order; whoever finds nothing is
//! registered under the lock that showed the tail, so no message is missed.
//! Not here: where a group stands (`offsets`).

use std::sync::Arc;

use store::index::IndexError;
use store::log::{ReadError, Record};
use store::{Offset, Position};

use super::receive::resolve;
use super::{Group, Origin};
use crate::batch::{Piece, pieces};
use crate::catalog::Topic;
use crate::waiter::Waiter;

/// Offsets that one pull looks at before it returns what it has.
const LOOKS_MAX: usize = 4096;
/// Index entries that are read at a time.
const STRETCH: usize = 256;
/// Bytes of records that one pull returns, unless the first one is larger all by itself.
const BYTES_MAX: u64 = 8 << 20;

/// What a reader wants.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// From where.
    pub topic: &'a Topic,
    /// Number of the queue in its topic.
    pub queue: u32,
    /// The first offset.
    pub from: Offset,
    /// Java hashes of the wanted tags; `None`: all. Other messages are passed over; of a record that is not in
    /// memory some may be there.
    pub tags: Option<&'a [u32]>,
    /// At most so many messages.
    pub max: usize,
}

/// What a pull found.
#[derive(Debug)]
pub struct Pulled {
    /// The messages, in order.
    pub messages: Vec<PulledMessage>,
    /// Where to go on.
    pub next: Offset,
    /// There is nothing more for now; without messages, the waiter is registered.
    pub is_at_tail: bool,
}

/// A message as it lies in its queue.
#[derive(Debug)]
pub struct PulledMessage {
    /// Where the queue's record lies; of a message that waited for something, the pointer's.
    pub position: Position,
    /// Size of that record.
    pub bytes: u32,
    /// Which message of the record it is, from 0.
    pub number: u16,
    /// Its number in the queue.
    pub offset: Offset,
    /// When it was stored.
    pub stored_ms: u64,
    /// The message; `None`: not in memory, call `Group::load_pulled` where waiting is allowed.
    pub record: Option<Record>,
    /// Dead letters: where it came from. Known once the record is there.
    pub origin: Option<Origin>,
}

/// Why a pull could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The topic has fewer queues in this group.
    #[error("topic `{topic}` has no queue {queue} in this group")]
    NoSuchQueue {
        /// Name of the topic.
        topic: String,
        /// The one that was asked for.
        queue: u32,
    },
    /// Nothing is kept there: not any more, or not yet.
    #[error("offset {asked} is outside of {oldest} to {tail}")]
    OutOfRange {
        /// What was asked for.
        asked: Offset,
        /// The oldest that is kept.
        oldest: Offset,
        /// The next one to be stored.
        tail: Offset,
    },
    /// Another member leads.
    #[error("this member does not lead")]
    NotLeading,
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Group {
    /// Reads messages by offset; does not wait for the disk's records. Registers `waiter` if there is nothing yet.
    pub fn pull(
        &self,
        request: &Pull<'_>,
        now_ms: u64,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Pulled, PullError> {
        let Pull { topic, queue, from, max, .. } = *request;
        let Some(&id) = topic.queues.get(queue as usize) else {
            return Err(PullError::NoSuchQueue { topic: topic.spec.name.clone(), queue });
        };
        let tail = {
            let mut reading = topic.state.lock();
            // Under the lock: a waiter that is registered after the last ones were woken would wait for ever.
            if !self.is_leading() {
                return Err(PullError::NotLeading);
            }
            let tail = reading.tail(queue as usize);
            if let Some(waiter) = waiter.filter(|_| tail == from) {
                reading.wait_for_more(queue, waiter);
            }
            tail
        };
        let (oldest, _) = self.state.index.range(id);
        let out_of_range = |oldest| PullError::OutOfRange { asked: from, oldest, tail };
        if from < oldest || from > tail {
            return Err(out_of_range(oldest));
        }
        let mut found = Vec::new();
        let (mut next, mut bytes, mut looks) = (from, 0, 0);
        let mut entries = Vec::with_capacity(STRETCH);
        'stretches: while next < tail && looks < LOOKS_MAX {
            entries.clear();
            match self.state.index.read(id, next, STRETCH.min((tail.0 - next.0) as usize), &mut entries) {
                Ok(()) => {}
                // What was found is worth having; the next pull begins at the trouble and tells it.
                Err(_) if !found.is_empty() => break,
                Err(IndexError::Trimmed { oldest }) => return Err(out_of_range(oldest)),
                Err(error) => return Err(error.into()),
            }
            // What is there and not in the index yet comes with the next pull.
            if entries.is_empty() {
                break;
            }
            // The first record may begin before, and the last one end later.
            let from = next;
            let new = entries.iter().flat_map(pieces).filter(|piece| (from..tail).contains(&piece.offset()));
            for piece in new {
                if is_wanted(request, &piece, now_ms) {
                    let shares = found
                        .last()
                        .is_some_and(|last: &PulledMessage| last.position == piece.entry.position);
                    bytes += if shares { 0 } else { u64::from(piece.entry.bytes) };
                    if found.len() >= max || (bytes > BYTES_MAX && !found.is_empty()) {
                        break 'stretches;
                    }
                    found.push(message(&piece));
                }
                next = Offset(piece.offset().0 + 1);
                looks += 1;
            }
        }
        self.fill_pulled(&mut found);
        found.retain(|message| has_tag(request, message));
        Ok(Pulled { messages: found, next, is_at_tail: next == tail })
    }

    /// Reads a message's record, waiting for the disk.
    pub fn load_pulled(&self, message: &mut PulledMessage) -> Result<(), ReadError> {
        let first = self.reader.read(message.position, message.bytes)?;
        let read = |position, bytes| self.reader.read(position, bytes).map(Some);
        if let Some((record, origin)) = resolve(first, message.number, &read)? {
            message.record = Some(record);
            message.origin = origin;
        }
        Ok(())
    }

    /// Puts in the records that are in memory; one that does not verify is told when it is loaded.
    fn fill_pulled(&self, found: &mut [PulledMessage]) {
        let mut wanted: Vec<_> = found.iter().map(|message| (message.position, message.bytes)).collect();
        wanted.dedup();
        let records = self.reader.read_span_cached(&wanted);
        let read = |position, bytes| self.reader.read_cached(position, bytes);
        let sharing = found.chunk_by_mut(|one, next| one.position == next.position);
        for (messages, record) in sharing.zip(records) {
            let Ok(Some(record)) = record else { continue };
            for message in messages {
                if let Ok(Some((record, origin))) = resolve(record.clone(), message.number, &read) {
                    message.record = Some(record);
                    message.origin = origin;
                }
            }
        }
    }
}

fn message(piece: &Piece) -> PulledMessage {
    let (entry, number) = (&piece.entry, piece.number);
    PulledMessage {
        position: entry.position,
        bytes: entry.bytes,
        number,
        offset: piece.offset(),
        stored_ms: entry.stored_ms,
        record: None,
        origin: None,
    }
}

/// Whether the message is not known to have another tag than the wanted ones.
fn has_tag(request: &Pull<'_>, message: &PulledMessage) -> bool {
    let tag_hash = message.record.as_ref().map(|record| record.entry().tag_hash);
    request.tags.is_none_or(|tags| tag_hash.is_none_or(|hash| tags.contains(&hash)))
}

/// Where only the record knows the tag, the caller looks at it.
fn is_wanted(request: &Pull<'_>, piece: &Piece, now_ms: u64) -> bool {
    let retention_ms = request.topic.spec.retention_ms;
    let is_kept = retention_ms == 0 || piece.entry.stored_ms.saturating_add(retention_ms) > now_ms;
    let tag_hash = piece.tag_hash();
    is_kept && request.tags.is_none_or(|tags| tag_hash.is_none_or(|hash| tags.contains(&hash)))
}

//! What happened to one stored message: the log is looked through from the message on, for records that concern it.
//!
//! ```text
//!   [message] .... [Link] .... [Attempts, Handed] .... [Acks] .... [Link to a dead letter] .... end
//!       ^-- trail_on: stretch by stretch; each record that names the message, or an entry that reads through to it
//! ```
//!
//! Promise: told is what the log says, so that after a restart it is the same; where it ends early, `scroll` says what a
//! later trail goes on with. No lock is held while the disk works. What is only in memory is a `Standing`.
//! Limit: a first delivery leaves a record only for consumer groups that trace. Not here: the caller's deadline.

use prost::Message;
use store::log::{BATCH_BYTES_MAX, Encoding, Entry, Kind, OpenError, Record};
use store::{Offset, Position, QueueId};

use super::{Group, SearchError, TrailError};
use crate::catalog::{self, ABANDONED_TRANSACTIONS_TOPIC, Broadcast, DEAD_LETTER_PREFIX};
use crate::halves::Decision;
use crate::handed;
use crate::lease::{Standing, contains};
use crate::records::{
    Cell, Floor, decode_acks, decode_attempts, decode_decided, decode_floors, decode_link, decode_settled,
    origin_of_copy_of,
};

/// Looked through with one call.
const STRETCH_BYTES: u64 = 4 << 20;

/// An entry of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The queue.
    pub queue: QueueId,
    /// Its number there.
    pub offset: Offset,
}

/// Something that a record tells of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When that was stored.
    pub at_ms: u64,
    /// What it is.
    pub what: Happened,
    /// The entry that it is about; none: the message is no entry yet.
    pub place: Option<Spot>,
}

/// What happens to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its time came.
    Visible,
    /// It was taken back before its time, or its topic was gone by then.
    Recalled,
    /// Its transaction was committed.
    Committed,
    /// Its transaction was rolled back.
    RolledBack,
    /// Nobody decided its transaction.
    GivenUp,
    /// It was handed out.
    Delivered {
        /// Id of the consumer group.
        group: u32,
        /// Which time, from 1.
        attempt: u16,
        /// To whom, if the consumer group traces.
        client: Option<String>,
    },
    /// A consumer group acknowledged it, or its filter passed over it.
    Done {
        /// Id of the consumer group.
        group: u32,
    },
    /// A consumer group was moved to another place: before the message, so that it comes again, or behind it. One that
    /// stopped to read the topic begins anew.
    Moved {
        /// Id of the consumer group.
        group: u32,
        /// It was passed over.
        is_behind: bool,
    },
    /// A consumer group gave up on it; the place is that of the dead letter.
    DeadLettered {
        /// Name of the consumer group; empty: its topic was deleted.
        group: String,
        /// How often it had been handed out.
        attempts: u16,
    },
}

/// A history on its way; see `Group::trail_on`.
#[derive(Debug)]
pub struct Trail {
    record: Record,
    mark: Mark,
    /// Whether a batch has to begin at `mark.at`.
    is_between: bool,
    events: Vec<Event>,
    damaged: u64,
}

/// Where a trail is, and what it knows already. Fields may be added; their numbers are never used again.
#[derive(Clone, PartialEq, Message)]
struct Mark {
    /// All batches that begin before were looked at.
    #[prost(uint64, tag = "1")]
    at: u64,
    /// Where the message lies, and copies of it.
    #[prost(uint64, repeated, tag = "2")]
    targets: Vec<u64>,
    /// Queues and offsets of the entries that read through to it.
    #[prost(uint32, repeated, tag = "3")]
    queues: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    offsets: Vec<u64>,
    /// It waited, and does not any more.
    #[prost(bool, tag = "5")]
    is_settled: bool,
    /// Which message of the first target's record it is; in a copy it is alone.
    #[prost(uint32, tag = "6")]
    number: u32,
}

impl Group {
    /// The trail of the message of that number in the record that lies there, or where `scroll` of an earlier one ended.
    /// Reads the disk.
    pub fn trail(
        &self,
        position: Position,
        bytes: u32,
        number: u16,
        scroll: &[u8],
    ) -> Result<Trail, TrailError> {
        if u64::from(bytes) > BATCH_BYTES_MAX {
            return Err(TrailError::Bytes(bytes));
        }
        if position >= self.published() {
            return Err(TrailError::NotThere(position));
        }
        let record = self.reader.read(position, bytes)?;
        let record = record.message(number).ok_or(TrailError::NotThere(position))?;
        let entry = record.entry();
        let is_copy = entry.kind == Kind::Link && entry.encoding != Encoding::None;
        if !entry.kind.holds_message() && !is_copy {
            return Err(TrailError::NotThere(position));
        }
        let begun = || {
            let mut mark =
                Mark { at: position.0, targets: vec![position.0], number: number.into(), ..Mark::default() };
            if entry.kind.takes_offset() {
                mark.add(Spot { queue: entry.queue, offset: entry.offset });
            }
            mark
        };
        let mark = match scroll {
            [] => begun(),
            scroll => Mark::decode(scroll).ok().filter(Mark::is_whole).ok_or(TrailError::Scroll)?,
        };
        Ok(Trail { record, mark, is_between: false, events: Vec::new(), damaged: 0 })
    }

    /// Looks through the next stretch of the log; false: the trail is at the end. Reads the disk.
    pub fn trail_on(&self, trail: &mut Trail) -> Result<bool, SearchError> {
        let end = self.published();
        let at = Position(trail.mark.at).max(self.reader.head());
        let Some(segment) = self.reader.segment_around(at).filter(|_| at < end) else { return Ok(false) };
        let to = Position(at.0.saturating_add(STRETCH_BYTES)).min(segment.end);
        let browsed = self.reader.browse(at..to, end, &mut |entry, head, _| {
            // One that cannot be decoded was never folded.
            let _ = self.follow(trail, entry, head);
        });
        let browsed = match browsed {
            // Retention was faster.
            Err(OpenError::Missing { .. }) if at < self.reader.head() => return Ok(true),
            browsed => browsed?,
        };
        let is_lost = trail.is_between && segment.first < at && at < browsed.first;
        trail.damaged += browsed.damaged + u64::from(is_lost);
        let bound = to.min(end);
        trail.is_between = browsed.end >= bound;
        trail.mark.at = browsed.end.max(bound).0;
        Ok(Position(trail.mark.at) < end)
    }

    /// How consumer groups stand to the entries of a trail now, by id.
    pub fn standings(&self, trail: &Trail, now_ms: u64) -> Vec<(u32, Spot, Standing)> {
        let catalog = self.state.catalog.read();
        let mut standings = Vec::new();
        for place in trail.mark.places() {
            if let Some((queues, queue)) = catalog.home(place.queue) {
                let found = queues.lock().standings(*queue, place.offset, now_ms);
                standings.extend(found.into_iter().map(|(group, standing)| (group, place, standing)));
            }
        }
        standings
    }

    /// Notes what a record says of the message.
    fn follow(&self, trail: &mut Trail, entry: &Entry<'_>, head: &[u8]) -> Result<(), String> {
        match entry.kind {
            Kind::Link if entry.encoding == Encoding::None => {
                let link = decode_link(entry.body)?;
                if trail.mark.is_target(link.target().0, link.number()) {
                    self.follow_link(trail, entry, &link.origin);
                }
            }
            Kind::Link => {
                if let Some(origin) = origin_of_copy_of(head, &trail.record.head()) {
                    trail.mark.targets.push(entry.position.0);
                    self.follow_link(trail, entry, &origin);
                }
            }
            Kind::Acks => {
                for cell in decode_acks(entry.body)? {
                    for place in trail.mark.places_in(&cell) {
                        self.note_end(trail, entry.stored_ms, cell.group, place);
                    }
                }
            }
            Kind::Attempts => {
                for (cell, attempt) in decode_attempts(entry.body)? {
                    trail.deliver(entry.stored_ms, &cell, attempt, None);
                }
            }
            Kind::Handed => {
                for handed in handed::decode(entry.body)? {
                    trail.deliver(entry.stored_ms, &handed.cell, handed.attempt, Some(&handed.client));
                }
            }
            Kind::Settled => {
                for (_, position) in decode_settled(entry.body)? {
                    trail.settle(entry.stored_ms, position, Happened::Recalled);
                }
            }
            Kind::Decided => {
                for (position, decision) in decode_decided(entry.body)? {
                    let what = match decision {
                        Decision::Commit => Happened::Committed,
                        Decision::RollBack => Happened::RolledBack,
                    };
                    trail.settle(entry.stored_ms, position, what);
                }
            }
            Kind::Floors => {
                for floor in decode_floors(entry.body)? {
                    trail.move_to(entry.stored_ms, &floor);
                }
            }
            Kind::Meta => {
                let whats = catalog::decode(entry.body)?;
                for floor in whats.iter().flat_map(|what| self.state.stopped_floors(what)) {
                    trail.move_to(entry.stored_ms, &floor);
                }
            }
            Kind::Message | Kind::Epoch | Kind::Pad | Kind::Timed | Kind::Half => {}
        }
        Ok(())
    }

    /// An entry that reads through to the message.
    fn follow_link(&self, trail: &mut Trail, entry: &Entry<'_>, origin: &str) {
        let place = Spot { queue: entry.queue, offset: entry.offset };
        let topic = self.topic_of(entry.queue).map(|topic| topic.spec.name.clone()).unwrap_or_default();
        let what = if origin.is_empty() {
            trail.mark.is_settled = true;
            let is_half = trail.record.entry().kind == Kind::Half;
            if is_half { Happened::Committed } else { Happened::Visible }
        } else if topic == ABANDONED_TRANSACTIONS_TOPIC {
            trail.mark.is_settled = true;
            Happened::GivenUp
        } else {
            let group = topic.strip_prefix(DEAD_LETTER_PREFIX).unwrap_or_default().to_owned();
            Happened::DeadLettered { group, attempts: entry.attempt }
        };
        trail.mark.add(place);
        trail.events.push(Event { at_ms: entry.stored_ms, what, place: Some(place) });
    }

    /// The first end that a consumer group comes to with an entry counts, and a dead letter is one.
    fn note_end(&self, trail: &mut Trail, at_ms: u64, group: u32, place: Spot) {
        let reader = self.consumer_group_by_id(group);
        let is_member =
            reader.as_ref().is_some_and(|group| matches!(group.spec.broadcast, Broadcast::Member(_)));
        let name = reader.and_then(|group| self.letters_from(&group));
        let is_end = |event: &Event| match &event.what {
            Happened::Done { group: known } | Happened::Moved { group: known, is_behind: true } => {
                *known == group && event.place == Some(place)
            }
            Happened::DeadLettered { group, .. } => {
                // The dead letters of all members are their group's: each lies in the batch of its own end.
                let is_same = !is_member || event.at_ms == at_ms;
                Some(group) == name.as_ref() && event.place != Some(place) && is_same
            }
            Happened::Visible
            | Happened::Recalled
            | Happened::Committed
            | Happened::RolledBack
            | Happened::GivenUp
            | Happened::Moved { is_behind: false, .. }
            | Happened::Delivered { .. } => false,
        };
        let anew = Happened::Moved { group, is_behind: false };
        let begins = |event: &Event| event.what == anew && event.place == Some(place);
        let since = trail.events.iter().rposition(begins).map_or(0, |at| at + 1);
        if !trail.events[since..].iter().any(is_end) {
            trail.events.push(Event { at_ms, what: Happened::Done { group }, place: Some(place) });
        }
    }
}

impl Trail {
    /// The message.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What was found so far, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What a later trail goes on with.
    pub fn scroll(&self) -> Vec<u8> {
        self.mark.encode_to_vec()
    }

    /// Parts of the log that do not verify.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// A delivery; the record of whom to comes after the one that counts it.
    fn deliver(&mut self, at_ms: u64, cell: &Cell, attempt: u16, client: Option<&str>) {
        for place in self.mark.places_in(cell) {
            let group = cell.group;
            let counted = Happened::Delivered { group, attempt, client: None };
            let known = self
                .events
                .iter_mut()
                .rev()
                .find(|event| client.is_some() && event.place == Some(place) && event.what == counted);
            let what = Happened::Delivered { group, attempt, client: client.map(str::to_owned) };
            match known {
                Some(event) => event.what = what,
                None => self.events.push(Event { at_ms, what, place: Some(place) }),
            }
        }
    }

    /// A consumer group stands elsewhere now.
    fn move_to(&mut self, at_ms: u64, floor: &Floor) {
        let places: Vec<_> = self.mark.places().filter(|place| place.queue == floor.queue).collect();
        for place in places {
            let what = Happened::Moved { group: floor.group, is_behind: place.offset < floor.offset };
            self.events.push(Event { at_ms, what, place: Some(place) });
        }
    }

    /// The message does not wait any more; if it became an entry, that was told before.
    fn settle(&mut self, at_ms: u64, position: Position, what: Happened) {
        if self.mark.targets.contains(&position.0) && !self.mark.is_settled {
            self.mark.is_settled = true;
            self.events.push(Event { at_ms, what, place: None });
        }
    }
}

impl Mark {
    fn is_target(&self, position: Position, number: u16) -> bool {
        let place = self.targets.iter().position(|target| *target == position.0);
        place.is_some_and(|place| u32::from(number) == if place == 0 { self.number } else { 0 })
    }

    fn add(&mut self, place: Spot) {
        self.queues.push(place.queue.0);
        self.offsets.push(place.offset.0);
    }

    fn is_whole(&self) -> bool {
        self.queues.len() == self.offsets.len() && !self.targets.is_empty()
    }

    fn places(&self) -> impl Iterator<Item = Spot> + '_ {
        let places = self.queues.iter().zip(&self.offsets);
        places.map(|(&queue, &offset)| Spot { queue: QueueId(queue), offset: Offset(offset) })
    }

    fn places_in(&self, cell: &Cell) -> Vec<Spot> {
        let is_in = |place: &Spot| place.queue == cell.queue && contains(cell.base, cell.mask, place.offset);
        self.places().filter(is_in).collect()
    }
}

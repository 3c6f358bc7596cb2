//! Where consumer groups stand in queues, and moving them elsewhere.
//!
//! ```text
//!   move_offsets --[Start?][Floors]--> log --commit--> fold: Deliveries begin anew at the offset
//! ```
//!
//! Promise: a move that is answered is stored, and all queues of it are moved or none. From then on all messages below
//! the place are done for the group, and all at or above it come, as if for the first time; receipts from before are no
//! good any more. A move that is refused changed nothing. What a client acks while a move is on its way may count or not.
//! Not here: which move a definition asks for (`admin`), reading without a lease (`pull`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::index::{Index, IndexError};
use store::log::Draft;
use store::{Offset, QueueId};

use super::Group;
use crate::catalog::{Broadcast, Change, ConsumeFrom, ConsumerGroup, Reset, Start, Topic, What, drafts};
use crate::inbox::{SubmitError, Ticket};
use crate::mailbox::Mailbox;
use crate::records::{Floor, floor_drafts};
use crate::topic::Reading;

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The oldest message that is kept.
    Earliest,
    /// The next one to be stored.
    Latest,
    /// The first one stored at that time (unix ms) or later.
    Time(u64),
    /// The one with that number; if it is not kept any more, the oldest that is.
    Offset(Offset),
}

/// Why a consumer group was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The topic has fewer queues.
    #[error("topic `{topic}` has {queues} queues in this group, there is no queue {queue}")]
    NoSuchQueue {
        /// Name of the topic.
        topic: String,
        /// Its queues.
        queues: usize,
        /// The one that was asked for.
        queue: u32,
    },
    /// Nothing is stored there yet.
    #[error("offset {offset} is beyond the end of the queue, {tail}")]
    BeyondTail {
        /// What was asked for.
        offset: Offset,
        /// The next one to be stored.
        tail: Offset,
    },
    /// That time has not come yet.
    #[error(
        "time {time_ms} ms is in the future, it is {now_ms} ms now; `latest` is what is sent from now on"
    )]
    InFuture {
        /// What was asked for.
        time_ms: u64,
        /// The time of the broker.
        now_ms: u64,
    },
    /// The log takes nothing now.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Where a group begins to read a topic.
pub(super) enum Starts {
    Earliest,
    Latest,
    /// By number of the queue; looked up before any lock is taken.
    Offsets(Vec<Offset>),
}

impl Group {
    /// The offset of a place in a queue, as of now.
    pub fn offset_of(&self, queue: QueueId, place: Place) -> Result<Offset, IndexError> {
        let (oldest, tail) = self.state.index.range(queue);
        Ok(match place {
            Place::Earliest => oldest,
            Place::Latest => tail,
            Place::Time(ms) => self.state.index.at_time(queue, ms)?.clamp(oldest, tail),
            Place::Offset(offset) => offset.clamp(oldest, tail),
        })
    }

    /// Up to where a consumer group is done with a queue; `None`: it never read the topic.
    pub fn floor(&self, topic: &Topic, group: &ConsumerGroup, queue: u32) -> Option<Offset> {
        let (oldest, _) = self.state.index.range(*topic.queues.get(queue as usize)?);
        let mut reading = topic.state.lock();
        let (deliveries, _) = reading.deliveries(group.id, queue)?;
        deliveries.trim(oldest);
        Some(deliveries.floor())
    }

    /// Where moves would lead, each with its queue's number; for those who want to see before they move.
    pub fn places(
        &self,
        topic: &Topic,
        queues: impl Iterator<Item = u32>,
        place: Place,
        now_ms: u64,
    ) -> Result<Vec<(u32, Offset)>, MoveError> {
        if let Place::Time(time_ms) = place
            && time_ms > now_ms
        {
            return Err(MoveError::InFuture { time_ms, now_ms });
        }
        queues.map(|queue| Ok((queue, self.place(topic, queue, place)?))).collect()
    }

    /// Moves a consumer group in queues of topics, all at once; offsets as `places` gives them.
    pub fn move_offsets(
        &self,
        group: &ConsumerGroup,
        moves: &[(&Topic, &[(u32, Offset)])],
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, MoveError> {
        let mut drafts = Vec::new();
        for (topic, places) in moves {
            drafts.extend(self.move_all_drafts(topic, group, places)?);
        }
        if drafts.is_empty() {
            return Ok(Ticket::stored(mailbox));
        }
        Ok(self.inbox.submit(drafts, mailbox)?)
    }

    /// The topics that a consumer group reads, or a member of it, by name.
    pub fn topics_read_by(&self, group: &ConsumerGroup) -> Vec<Arc<Topic>> {
        let ids = self.reader_ids(group);
        let mut topics = self.topics();
        topics.retain(|topic| is_read_by(topic, &ids));
        topics
    }

    /// Whether a consumer group reads a topic, or a member of it.
    pub fn reads(&self, topic: &Topic, group: &ConsumerGroup) -> bool {
        is_read_by(topic, &self.reader_ids(group))
    }

    /// The records of the move that comes with a definition; none if the group has made it, or is new and has nowhere to
    /// go back to. An error says what is wrong with it.
    pub(super) fn reset_drafts(
        &self,
        group: Option<&ConsumerGroup>,
        reset: Option<&Reset>,
    ) -> Result<Vec<Draft>, String> {
        let (Some(group), Some(reset)) = (group, reset) else { return Ok(Vec::new()) };
        if group.spec.reset.as_ref().is_some_and(|done| done.id == reset.id) {
            return Ok(Vec::new());
        }
        let place = match reset.to {
            ConsumeFrom::Earliest => Place::Earliest,
            ConsumeFrom::Latest => Place::Latest,
            ConsumeFrom::Time(ms) => Place::Time(ms),
        };
        let named = reset
            .topics
            .iter()
            .map(|name| self.topic(name).ok_or_else(|| format!("reset: topic `{name}` does not exist")));
        let mut topics = named.collect::<Result<Vec<_>, _>>()?;
        if topics.is_empty() {
            topics = self.topics_read_by(group);
        }
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        let mut drafts = Vec::new();
        for topic in topics {
            let queues = 0..topic.queues.len() as u32;
            let moved = self
                .places(&topic, queues, place, now_ms)
                .and_then(|places| self.move_all_drafts(&topic, group, &places));
            drafts.extend(moved.map_err(|error| format!("reset: {error}"))?);
        }
        Ok(drafts)
    }

    /// Looks up where a group begins; waits for the disk, so no lock may be held.
    pub(super) fn starts(&self, topic: &Topic, from: ConsumeFrom) -> Result<Starts, IndexError> {
        Ok(match from {
            ConsumeFrom::Earliest => Starts::Earliest,
            ConsumeFrom::Latest => Starts::Latest,
            ConsumeFrom::Time(ms) => {
                let offset = |&queue: &QueueId| self.offset_of(queue, Place::Time(ms));
                Starts::Offsets(topic.queues.iter().map(offset).collect::<Result<_, _>>()?)
            }
        })
    }

    fn place(&self, topic: &Topic, queue: u32, place: Place) -> Result<Offset, MoveError> {
        let Some(&id) = topic.queues.get(queue as usize) else { return Err(no_such_queue(topic, queue)) };
        let (_, tail) = self.state.index.range(id);
        match place {
            Place::Offset(offset) if offset > tail => Err(MoveError::BeyondTail { offset, tail }),
            Place::Earliest | Place::Latest | Place::Time(_) | Place::Offset(_) => {
                Ok(self.offset_of(id, place)?)
            }
        }
    }

    /// Of a broadcast all members are moved.
    fn move_all_drafts(
        &self,
        topic: &Topic,
        group: &ConsumerGroup,
        places: &[(u32, Offset)],
    ) -> Result<Vec<Draft>, MoveError> {
        if !matches!(group.spec.broadcast, Broadcast::ByHost | Broadcast::ByClient) {
            return self.move_drafts(topic, group, places);
        }
        let mut drafts = Vec::new();
        for member in self.members_of(group.id) {
            drafts.extend(self.move_drafts(topic, &member, places)?);
        }
        Ok(drafts)
    }

    /// Each move begins with the group's start, which changes nothing if that is known: where the group began a moment ago,
    /// the record of it may come later, or never.
    fn move_drafts(
        &self,
        topic: &Topic,
        group: &ConsumerGroup,
        places: &[(u32, Offset)],
    ) -> Result<Vec<Draft>, MoveError> {
        let known = topic.state.lock().floors(group.id);
        let offsets = if let Some(floors) = known {
            floors
        } else {
            let starts = self.starts(topic, group.spec.consume_from)?;
            starts.offsets(topic, &topic.state.lock(), &self.state.index)
        };
        let start = Start { group: group.id, topic: topic.id, offsets };
        let mut all = drafts(vec![Change::from(What::Start(start))]);
        let floor = |&(queue, offset): &(u32, Offset)| match topic.queues.get(queue as usize) {
            Some(&queue) => Ok(Floor { group: group.id, queue, offset }),
            None => Err(no_such_queue(topic, queue)),
        };
        let floors = places.iter().map(floor).collect::<Result<Vec<_>, _>>()?;
        all.extend(floor_drafts(&floors));
        Ok(all)
    }
}

fn is_read_by(topic: &Topic, readers: &[u32]) -> bool {
    let mut reading = topic.state.lock();
    readers.iter().any(|&id| reading.subscription(id).is_some())
}

fn no_such_queue(topic: &Topic, queue: u32) -> MoveError {
    let (topic, queues) = (topic.spec.name.clone(), topic.queues.len());
    MoveError::NoSuchQueue { topic, queues, queue }
}

impl Starts {
    /// By number of the queue.
    pub(super) fn offsets(&self, topic: &Topic, reading: &Reading, index: &Index) -> Vec<u64> {
        let oldest = |queue| index.range(queue).0;
        let offset = |(number, &queue): (usize, &QueueId)| match self {
            Self::Earliest => oldest(queue),
            Self::Latest => reading.tail(number),
            // A queue that has come since holds nothing older.
            Self::Offsets(offsets) => offsets.get(number).copied().unwrap_or_else(|| oldest(queue)),
        };
        topic.queues.iter().enumerate().map(|pair| offset(pair).0).collect()
    }
}

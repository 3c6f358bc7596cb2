//! How far consumer groups have come, and forgetting it.

use std::sync::Arc;

use store::index::IndexError;
use store::{Offset, QueueId};

use super::{Backlog, Group, Progress};
use crate::catalog::{Change, ConsumerGroup, Stop, Topic, What, drafts};
use crate::inbox::{SubmitError, Ticket};
use crate::lease::Deliveries;
use crate::mailbox::Mailbox;

impl Group {
    /// How far a consumer group has come, by topic name and queue; topics that it never read are left out.
    pub fn progress(&self, consumer_group: &ConsumerGroup) -> Vec<Progress> {
        let topics = self.topics();
        topics.iter().flat_map(|topic| self.progress_on(topic, consumer_group.id)).collect()
    }

    /// What a consumer group has before it in each queue of a topic, of a broadcast each of its members; nothing if it never
    /// read it.
    pub fn backlog(&self, topic: &Topic, group: &ConsumerGroup, now_ms: u64) -> Vec<Backlog> {
        self.reader_ids(group).into_iter().flat_map(|id| self.backlog_of(topic, id, now_ms)).collect()
    }

    pub(super) fn backlog_of(&self, topic: &Topic, group: u32, now_ms: u64) -> Vec<Backlog> {
        self.each_queue(topic, group, |queue, oldest, tail, deliveries| {
            let in_flight = deliveries.held_at(now_ms);
            Backlog {
                id: topic.queues[queue as usize],
                queue,
                oldest,
                tail,
                floor: deliveries.floor(),
                next: deliveries.next(),
                in_flight,
                ready: undone(deliveries, tail).saturating_sub(in_flight),
                first_ready: deliveries.first_ready(tail, now_ms),
            }
        })
    }

    /// When a message of a queue was stored; `None`: there is none, not any more or not yet. May wait for the disk.
    pub fn stored_ms(&self, queue: QueueId, offset: Offset) -> Result<Option<u64>, IndexError> {
        let mut entries = Vec::with_capacity(1);
        match self.state.index.read(queue, offset, 1, &mut entries) {
            Ok(()) => Ok(entries.first().map(|entry| entry.stored_ms)),
            Err(IndexError::Trimmed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets where a consumer group stands in a topic, of a broadcast each of its members: it starts anew when it reads the
    /// topic again, and no receipt from before is good any more. `None`: it never read the topic.
    pub fn forget(
        &self,
        topic: &Topic,
        group: &ConsumerGroup,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Result<Ticket, SubmitError>> {
        let mut readers = self.reader_ids(group);
        {
            let mut reading = topic.state.lock();
            readers.retain(|&id| reading.subscription(id).is_some());
        }
        if readers.is_empty() {
            return None;
        }
        let stop = |group| Change::from(What::Stop(Stop { group, topic: topic.id }));
        Some(self.inbox.submit(drafts(readers.into_iter().map(stop).collect()), mailbox))
    }

    fn progress_on(&self, topic: &Topic, group: u32) -> Vec<Progress> {
        self.each_queue(topic, group, |queue, _, tail, deliveries| Progress {
            topic: topic.spec.name.clone(),
            queue,
            tail,
            floor: deliveries.floor(),
            next: deliveries.next(),
            in_flight: deliveries.held(),
            lag: undone(deliveries, tail),
        })
    }

    /// Shows `tell` the number, the oldest offset, the tail and the deliveries of each queue; none if the group never read
    /// the topic.
    fn each_queue<T>(
        &self,
        topic: &Topic,
        group: u32,
        tell: impl Fn(u32, Offset, Offset, &Deliveries) -> T,
    ) -> Vec<T> {
        let mut reading = topic.state.lock();
        let mut all = Vec::new();
        for (queue, &id) in (0..).zip(&topic.queues) {
            let (oldest, _) = self.state.index.range(id);
            let Some((deliveries, tail)) = reading.deliveries(group, queue) else { break };
            deliveries.trim(oldest);
            all.push(tell(queue, oldest, tail, deliveries));
        }
        all
    }
}

/// Messages that are not done: ready and in flight.
fn undone(deliveries: &Deliveries, tail: Offset) -> u64 {
    deliveries.undone() + tail.0.saturating_sub(deliveries.next().0)
}

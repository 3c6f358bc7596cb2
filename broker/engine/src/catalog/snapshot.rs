//! The engine's section of a checkpoint: the catalog, and how far each consumer group has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use store::{Epoch, Offset};

use super::change::{GroupPut, TopicPut};
use super::{Catalog, Topic};
use crate::lease::{Held, State};

const VERSION: u32 = 1;

/// What the section holds. Fields may be added; their numbers are never used again.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint32, tag = "2")]
    last_topic_id: u32,
    #[prost(uint32, tag = "3")]
    last_group_id: u32,
    #[prost(uint32, tag = "4")]
    last_queue_id: u32,
    #[prost(message, repeated, tag = "5")]
    topics: Vec<TopicPut>,
    #[prost(message, repeated, tag = "6")]
    groups: Vec<GroupPut>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) subscriptions: Vec<Subscribed>,
    #[prost(message, repeated, tag = "8")]
    stopped: Vec<Stopped>,
}

/// The epoch in which a consumer group stopped to read a topic last.
#[derive(Clone, Copy, PartialEq, Message)]
struct Stopped {
    #[prost(uint32, tag = "1")]
    topic: u32,
    #[prost(uint32, tag = "2")]
    epoch: u32,
}

/// A consumer group on a topic.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscribed {
    #[prost(uint32, tag = "1")]
    group: u32,
    #[prost(uint32, tag = "2")]
    topic: u32,
    /// By number of the queue in the topic.
    #[prost(message, repeated, tag = "3")]
    queues: Vec<QueueState>,
}

#[derive(Clone, PartialEq, Message)]
struct QueueState {
    #[prost(uint64, tag = "1")]
    next: u64,
    #[prost(uint64, repeated, tag = "2")]
    bases: Vec<u64>,
    #[prost(fixed64, repeated, tag = "3")]
    masks: Vec<u64>,
    #[prost(uint32, repeated, tag = "4")]
    attempts: Vec<u32>,
    #[prost(uint32, tag = "5")]
    moved_in: u32,
}

impl Snapshot {
    pub(crate) fn decode_section(section: &[u8]) -> Result<Self, String> {
        let this = Self::decode(section).map_err(|error| error.to_string())?;
        if this.version != VERSION {
            return Err(format!("version {} is not known", this.version));
        }
        Ok(this)
    }
}

impl Catalog {
    /// Names, ids and definitions; the caller adds the subscriptions.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let put = |t: &Arc<Topic>| TopicPut {
            lane_queues: t.lane_queues,
            ..TopicPut::new(t.id, &t.spec, &t.queues)
        };
        let topics = self.topics().iter().map(put).collect();
        let groups = self.consumer_groups().iter().map(|g| GroupPut::new(g.id, &g.spec)).collect();
        Snapshot {
            version: VERSION,
            last_topic_id: self.last_topic_id,
            last_group_id: self.last_group_id,
            last_queue_id: self.last_queue_id,
            topics,
            groups,
            subscriptions: Vec::new(),
            stopped: self.topics().iter().filter_map(stopped).collect(),
        }
    }

    /// The catalog with all subscriptions as a snapshot holds them.
    pub(crate) fn restore(snapshot: Snapshot) -> Self {
        let mut this = Self {
            last_topic_id: snapshot.last_topic_id,
            last_group_id: snapshot.last_group_id,
            last_queue_id: snapshot.last_queue_id,
            ..Self::default()
        };
        for put in snapshot.topics {
            this.put_topic(put);
        }
        for put in snapshot.groups {
            this.put_consumer_group(put);
        }
        for Stopped { topic, epoch } in snapshot.stopped {
            if let Some(topic) = this.topics_by_id.get(&topic) {
                topic.state.lock().set_stopped_in(Epoch(epoch));
            }
        }
        for subscribed in snapshot.subscriptions {
            if let Some(topic) = this.topics_by_id.get(&subscribed.topic) {
                topic.state.lock().restore(subscribed.group, &subscribed.states());
            }
        }
        this
    }
}

impl Subscribed {
    pub(crate) fn new(group: u32, topic: u32, states: &[State]) -> Self {
        Self { group, topic, queues: states.iter().map(QueueState::new).collect() }
    }

    fn states(&self) -> Vec<State> {
        self.queues.iter().map(QueueState::state).collect()
    }
}

fn stopped(topic: &Arc<Topic>) -> Option<Stopped> {
    let epoch = topic.state.lock().stopped_in();
    (epoch > Epoch(0)).then_some(Stopped { topic: topic.id, epoch: epoch.0 })
}

/// All subscriptions of one topic.
pub(crate) fn subscribed(topic: u32, states: &BTreeMap<u32, Vec<State>>) -> impl Iterator<Item = Subscribed> {
    states.iter().map(move |(&group, states)| Subscribed::new(group, topic, states))
}

impl QueueState {
    fn new(state: &State) -> Self {
        Self {
            next: state.next.0,
            bases: state.undone.iter().map(|held| held.base.0).collect(),
            masks: state.undone.iter().map(|held| held.mask).collect(),
            attempts: state.undone.iter().map(|held| u32::from(held.attempts)).collect(),
            moved_in: state.moved_in.0,
        }
    }

    fn state(&self) -> State {
        let undone = self.bases.iter().zip(&self.masks).zip(&self.attempts);
        let undone = undone.map(|((&base, &mask), &attempts)| Held {
            base: Offset(base),
            mask,
            attempts: attempts.min(u32::from(u16::MAX)) as u16,
        });
        State { next: Offset(self.next), undone: undone.collect(), moved_in: Epoch(self.moved_in) }
    }
}

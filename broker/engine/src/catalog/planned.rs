//! Requests on their way: what a name is to become before its record is folded.
//!
//! ```text
//!   plan --> planned, in flight --record committed, folded--> settled, forgotten with the next request
//!                  \--refused--> settled: the ids stay with the name until it gets a record
//! ```
//!
//! Promise: a request sees those before it, in the order in which their records will lie in the log, even if none of
//! them is folded yet.

use std::sync::{Arc, Weak};

use store::QueueId;

use super::{Catalog, ConsumerGroupSpec, TopicSpec};

/// What a topic is to become.
#[derive(Clone, Debug)]
pub(super) struct PlannedTopic {
    pub(super) id: u32,
    pub(super) queues: Vec<QueueId>,
    pub(super) spec: TopicSpec,
    /// Gone once the outcome is known and folded.
    pub(super) waiting: Weak<()>,
}

/// What a consumer group is to become.
#[derive(Clone, Debug)]
pub(super) struct PlannedGroup {
    pub(super) id: u32,
    pub(super) spec: ConsumerGroupSpec,
    pub(super) waiting: Weak<()>,
}

/// A topic as the next request has to see it.
pub(super) struct LatestTopic {
    pub(super) id: u32,
    pub(super) spec: TopicSpec,
    pub(super) queues: Vec<QueueId>,
    /// Its record may still be refused, or lost with the leadership.
    pub(super) is_in_flight: bool,
    /// It is there already, under this id.
    pub(super) is_folded: bool,
}

/// A consumer group as the next request has to see it.
pub(super) struct LatestGroup {
    pub(super) id: u32,
    pub(super) spec: ConsumerGroupSpec,
    pub(super) is_in_flight: bool,
    pub(super) is_folded: bool,
}

impl PlannedTopic {
    pub(super) fn is_in_flight(&self) -> bool {
        self.waiting.strong_count() > 0
    }
}

impl PlannedGroup {
    pub(super) fn is_in_flight(&self) -> bool {
        self.waiting.strong_count() > 0
    }
}

impl Catalog {
    /// Drops what was settled by records that are folded.
    pub(crate) fn forget_settled(&mut self) {
        let (topics, groups) = (&self.topics, &self.groups);
        self.planned_topics.retain(|name, planned| planned.is_in_flight() || !topics.contains_key(name));
        self.planned_groups.retain(|name, planned| planned.is_in_flight() || !groups.contains_key(name));
    }

    pub(super) fn latest_topic(&self, name: &str) -> Option<LatestTopic> {
        let folded = self.topic(name);
        if let Some(planned) = self.planned_topics.get(name).filter(|planned| planned.is_in_flight()) {
            let PlannedTopic { id, queues, spec, .. } = planned.clone();
            let is_folded = folded.is_some_and(|topic| topic.id == id);
            return Some(LatestTopic { id, spec, queues, is_in_flight: true, is_folded });
        }
        folded.map(|topic| LatestTopic {
            id: topic.id,
            spec: topic.spec.clone(),
            queues: topic.queues.clone(),
            is_in_flight: false,
            is_folded: true,
        })
    }

    pub(super) fn latest_group(&self, name: &str) -> Option<LatestGroup> {
        let folded = self.consumer_group(name);
        if let Some(planned) = self.planned_groups.get(name).filter(|planned| planned.is_in_flight()) {
            let PlannedGroup { id, spec, .. } = planned.clone();
            let is_folded = folded.is_some_and(|group| group.id == id);
            return Some(LatestGroup { id, spec, is_in_flight: true, is_folded });
        }
        folded.map(|group| LatestGroup {
            id: group.id,
            spec: group.spec.clone(),
            is_in_flight: false,
            is_folded: true,
        })
    }

    pub(super) fn note_topic(&mut self, spec: &TopicSpec, id: u32, queues: &[QueueId], waiting: &Arc<()>) {
        let waiting = Arc::downgrade(waiting);
        let planned = PlannedTopic { id, queues: queues.to_vec(), spec: spec.clone(), waiting };
        self.planned_topics.insert(spec.name.clone(), planned);
    }

    pub(super) fn note_group(&mut self, spec: &ConsumerGroupSpec, id: u32, waiting: &Arc<()>) {
        let planned = PlannedGroup { id, spec: spec.clone(), waiting: Arc::downgrade(waiting) };
        self.planned_groups.insert(spec.name.clone(), planned);
    }
}

//! Requests on their way: what a name is to become before its record is folded.
//!
//! ```text
//!   plan --> planned, in flight --record committed, folded--> settled, forgotten with the next request
//!                  \--refused--> settled: as if it had never been asked for, but for the ids, which nobody gets
//! ```
//!
//! Promise: a request sees those before it, in the order in which their records will lie in the log, even if none of
//! them is folded yet. One that is refused hides none of those before it.

use std::sync::{Arc, Weak};

use store::QueueId;

use super::{Broadcast, Catalog, ConsumerGroupSpec, TopicSpec};

/// What a topic is to become.
#[derive(Clone, Debug)]
pub(super) struct PlannedTopic {
    pub(super) id: u32,
    pub(super) queues: Vec<QueueId>,
    pub(super) spec: TopicSpec,
    /// It is to go: whoever puts the name after this gets new ids.
    pub(super) is_delete: bool,
    /// Gone once the outcome is known and folded.
    pub(super) waiting: Weak<()>,
}

/// What a consumer group is to become.
#[derive(Clone, Debug)]
pub(super) struct PlannedGroup {
    pub(super) id: u32,
    pub(super) spec: ConsumerGroupSpec,
    pub(super) is_delete: bool,
    pub(super) waiting: Weak<()>,
}

/// A topic as the next request has to see it.
pub(super) struct LatestTopic {
    pub(super) id: u32,
    pub(super) spec: TopicSpec,
    pub(super) queues: Vec<QueueId>,
    /// It is to go.
    pub(super) is_delete: bool,
    /// Its record may still be refused, or lost with the leadership.
    pub(super) is_in_flight: bool,
    /// It is there already, under this id.
    pub(super) is_folded: bool,
}

/// A consumer group as the next request has to see it.
pub(super) struct LatestGroup {
    pub(super) id: u32,
    pub(super) spec: ConsumerGroupSpec,
    pub(super) is_delete: bool,
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
    /// Drops what is folded, or refused.
    pub(crate) fn forget_settled(&mut self) {
        self.planned_topics.retain(|_, planned| {
            planned.retain(PlannedTopic::is_in_flight);
            !planned.is_empty()
        });
        self.planned_groups.retain(|_, planned| {
            planned.retain(PlannedGroup::is_in_flight);
            !planned.is_empty()
        });
    }

    pub(super) fn latest_topic(&self, name: &str) -> Option<LatestTopic> {
        let folded = self.topic(name);
        let mut planned = self.planned_topics.get(name).into_iter().flatten();
        if let Some(planned) = planned.rfind(|planned| planned.is_in_flight()) {
            let PlannedTopic { id, queues, spec, is_delete, .. } = planned.clone();
            let is_folded = folded.is_some_and(|topic| topic.id == id);
            return Some(LatestTopic { id, spec, queues, is_delete, is_in_flight: true, is_folded });
        }
        folded.map(|topic| LatestTopic {
            id: topic.id,
            spec: topic.spec.clone(),
            queues: topic.queues.clone(),
            is_delete: false,
            is_in_flight: false,
            is_folded: true,
        })
    }

    pub(super) fn latest_group(&self, name: &str) -> Option<LatestGroup> {
        let folded = self.consumer_group(name);
        let mut planned = self.planned_groups.get(name).into_iter().flatten();
        if let Some(planned) = planned.rfind(|planned| planned.is_in_flight()) {
            let PlannedGroup { id, spec, is_delete, .. } = planned.clone();
            let is_folded = folded.is_some_and(|group| group.id == id);
            return Some(LatestGroup { id, spec, is_delete, is_in_flight: true, is_folded });
        }
        folded.map(|group| LatestGroup {
            id: group.id,
            spec: group.spec.clone(),
            is_delete: false,
            is_in_flight: false,
            is_folded: true,
        })
    }

    /// Whether there is no group of this name, and none on its way.
    pub(crate) fn is_new_group(&self, name: &str) -> bool {
        self.latest_group(name).is_none_or(|latest| latest.is_delete)
    }

    /// Members of a broadcast, with those on their way.
    pub(crate) fn members_to_be(&self, of: u32) -> usize {
        let is_member = |spec: &ConsumerGroupSpec| spec.broadcast == Broadcast::Member(of);
        let is_coming =
            |planned: &PlannedGroup| planned.is_in_flight() && !planned.is_delete && is_member(&planned.spec);
        let there = self.groups.values().filter(|group| is_member(&group.spec)).count();
        let new = self.planned_groups.iter().filter(|(name, _)| !self.groups.contains_key(*name));
        there + new.filter(|(_, planned)| planned.iter().any(is_coming)).count()
    }

    pub(super) fn note_topic(&mut self, spec: &TopicSpec, id: u32, queues: &[QueueId], waiting: &Arc<()>) {
        let waiting = Arc::downgrade(waiting);
        let planned =
            PlannedTopic { id, queues: queues.to_vec(), spec: spec.clone(), is_delete: false, waiting };
        self.planned_topics.entry(spec.name.clone()).or_default().push(planned);
    }

    pub(super) fn note_topic_delete(&mut self, topic: LatestTopic, waiting: &Arc<()>) {
        let LatestTopic { id, spec, queues, .. } = topic;
        let waiting = Arc::downgrade(waiting);
        let of_name = self.planned_topics.entry(spec.name.clone()).or_default();
        of_name.push(PlannedTopic { id, queues, spec, is_delete: true, waiting });
    }

    pub(super) fn note_group(&mut self, spec: &ConsumerGroupSpec, id: u32, waiting: &Arc<()>) {
        let waiting = Arc::downgrade(waiting);
        let planned = PlannedGroup { id, spec: spec.clone(), is_delete: false, waiting };
        self.planned_groups.entry(spec.name.clone()).or_default().push(planned);
    }

    pub(super) fn note_group_delete(&mut self, group: LatestGroup, waiting: &Arc<()>) {
        let LatestGroup { id, spec, .. } = group;
        let waiting = Arc::downgrade(waiting);
        let of_name = self.planned_groups.entry(spec.name.clone()).or_default();
        of_name.push(PlannedGroup { id, spec, is_delete: true, waiting });
    }
}

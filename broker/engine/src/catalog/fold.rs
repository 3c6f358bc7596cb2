//! Applies changes in log order.

use std::sync::Arc;

use store::{Epoch, QueueId};

use super::change::{GroupPut, TopicPut, What};
use super::{Catalog, ConsumerGroup, Topic, TopicSpec};
use crate::topic::Queues;

impl Catalog {
    /// Applies one change of an epoch; applying it again, or after later ones, changes nothing that those later ones decided.
    pub(crate) fn fold(&mut self, what: What, epoch: Epoch) {
        match what {
            What::TopicPut(put) => self.put_topic(put),
            What::TopicDelete(id) => self.delete_topic(id),
            What::GroupPut(put) => self.put_consumer_group(put),
            What::GroupDelete(id) => self.delete_consumer_group(id),
            What::Start(start) => {
                let is_known = self.groups_by_id.contains_key(&start.group);
                if let (true, Some(topic)) = (is_known, self.topics_by_id.get(&start.topic)) {
                    topic.state.lock().start(start.group, &start.offsets);
                }
            }
            What::Stop(stop) => {
                if let Some(topic) = self.topics_by_id.get(&stop.topic) {
                    topic.state.lock().stop(stop.group, epoch);
                }
            }
        }
    }

    pub(super) fn put_topic(&mut self, put: TopicPut) {
        self.last_topic_id = self.last_topic_id.max(put.id);
        self.last_queue_id = put.queues.iter().copied().fold(self.last_queue_id, u32::max);
        let old = self.topics.get(&put.name).cloned();
        // The record is of a topic of that name that was deleted before this one came to be, or just now.
        if old.as_ref().map_or(put.is_change, |old| put.id < old.id) {
            return;
        }
        let (id, state, mut queues) = match &old {
            Some(old) => (old.id, Arc::clone(&old.state), old.queues.clone()),
            None => (put.id, Arc::new(Queues::new(put.id)), Vec::new()),
        };
        if put.id == id && put.queues.len() > queues.len() {
            for &queue in &put.queues[queues.len()..] {
                self.place(QueueId(queue), &state, queues.len() as u32);
                queues.push(QueueId(queue));
            }
            state.lock().grow(&queues);
        }
        let first_lanes = if put.lane_queues == 0 { queues.len() as u32 } else { put.lane_queues };
        let lane_queues = old.as_ref().map_or(first_lanes, |old| old.lane_queues);
        let spec = TopicSpec {
            name: put.name.clone(),
            topic_type: put.topic_type(),
            queues: queues.len() as u32,
            retention_ms: put.retention_ms,
            groups: put.groups,
            owner: put.owner,
        };
        let topic = Arc::new(Topic { id, spec, queues, lane_queues, state });
        self.topics_by_id.insert(id, Arc::clone(&topic));
        self.topics.insert(put.name, topic);
    }

    pub(super) fn put_consumer_group(&mut self, put: GroupPut) {
        self.last_group_id = self.last_group_id.max(put.id);
        let old_id = self.groups.get(&put.name).map(|old| old.id);
        if old_id.map_or(put.is_change, |old| put.id < old) {
            return;
        }
        let id = old_id.unwrap_or(put.id);
        let group = Arc::new(ConsumerGroup { id, spec: put.into_spec() });
        self.groups_by_id.insert(id, Arc::clone(&group));
        self.groups.insert(group.spec.name.clone(), group);
    }

    fn delete_topic(&mut self, id: u32) {
        let Some(topic) = self.topics_by_id.remove(&id) else { return };
        self.topics.remove(&topic.spec.name);
        for queue in &topic.queues {
            self.queues[queue.0 as usize] = None;
        }
        topic.state.lock().close();
    }

    fn delete_consumer_group(&mut self, id: u32) {
        let Some(group) = self.groups_by_id.remove(&id) else { return };
        self.groups.remove(&group.spec.name);
        for topic in self.topics.values() {
            topic.state.lock().unsubscribe(id);
        }
    }

    fn place(&mut self, queue: QueueId, state: &Arc<Queues>, number: u32) {
        let at = queue.0 as usize;
        if self.queues.len() <= at {
            self.queues.resize(at + 1, None);
        }
        self.queues[at] = Some((Arc::clone(state), number));
    }
}

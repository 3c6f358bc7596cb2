//! How far consumer groups have come.

use super::{Group, Progress};
use crate::catalog::{ConsumerGroup, Topic};

impl Group {
    /// How far a consumer group has come, by topic name and queue; topics that it never read are left out.
    pub fn progress(&self, consumer_group: &ConsumerGroup) -> Vec<Progress> {
        let topics = self.topics();
        topics.iter().flat_map(|topic| self.progress_on(topic, consumer_group.id)).collect()
    }

    fn progress_on(&self, topic: &Topic, group: u32) -> Vec<Progress> {
        let mut reading = topic.state.lock();
        let mut all = Vec::new();
        for (queue, &id) in (0..).zip(&topic.queues) {
            let (oldest, _) = self.state.index.range(id);
            let Some((deliveries, tail)) = reading.deliveries(group, queue) else { break };
            deliveries.trim(oldest);
            all.push(Progress {
                topic: topic.spec.name.clone(),
                queue,
                tail,
                floor: deliveries.floor(),
                next: deliveries.next(),
                in_flight: deliveries.held(),
                lag: deliveries.undone() + tail.0.saturating_sub(deliveries.next().0),
            });
        }
        all
    }
}

//! What metrics tell of single topics, consumer groups and what these have before them, however many there are.
//!
//! ```text
//!   topics by id: 1 2 3 ... limit | counted only        (topic, consumer group): 1 2 3 ... limit | counted only
//! ```
//!
//! Promise: never more than `CensusLimits` says, and always the same ones: those with the lowest ids, which are the oldest.
//! What is left out is counted. A pair of topic and consumer group stands for all of the topic's queues, and in a broadcast
//! for all members. Its figures are those of `Group::backlog`.
//! Cost: each lock is held for one page of the catalogue or for one consumer group's queues in one topic. It grows with the
//! queues of the pairs that are told; `looks` bounds the reads of the index, which may wait for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::index::IndexError;

use super::{Backlog, Group};
use crate::catalog::{ABANDONED_TRANSACTIONS_TOPIC, Broadcast, ConsumerGroup, DEAD_LETTER_PREFIX, Topic};
use crate::traffic::Outflow;

/// How much a census tells at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusLimits {
    /// Topics.
    pub topics: usize,
    /// Consumer groups.
    pub consumer_groups: usize,
    /// Consumer groups on topics.
    pub pairs: usize,
    /// Messages whose time is looked up.
    pub looks: usize,
}

/// Topics, consumer groups, and what these have before them.
#[derive(Debug, Default)]
pub struct Census {
    /// By id, without those that the broker alone fills.
    pub topics: Vec<TopicFigures>,
    /// By id, without members of broadcasts.
    pub consumer_groups: Vec<GroupFigures>,
    /// By topic, then by consumer group.
    pub pairs: Vec<Pair>,
    /// Topics that there are, whether they are told or not.
    pub topic_count: u64,
    /// Consumer groups that there are, without members of broadcasts.
    pub consumer_group_count: u64,
    /// Topics that would be told with a higher limit; and so on.
    pub topics_left_out: u64,
    /// As `topics_left_out`.
    pub consumer_groups_left_out: u64,
    /// As `topics_left_out`.
    pub pairs_left_out: u64,
}

/// A topic.
#[derive(Debug)]
pub struct TopicFigures {
    /// The topic, which knows itself what was sent to it.
    pub topic: Arc<Topic>,
    /// Messages whose transaction is not decided.
    pub undecided: u64,
}

/// A consumer group.
#[derive(Debug)]
pub struct GroupFigures {
    /// The consumer group.
    pub group: Arc<ConsumerGroup>,
    /// Messages that were ever put into its dead letter topic.
    pub dead_letters: u64,
}

/// A consumer group on a topic that it reads.
#[derive(Debug)]
pub struct Pair {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The consumer group.
    pub group: Arc<ConsumerGroup>,
    /// Messages that were handed out, are not done, and whose time is not over.
    pub in_flight: u64,
    /// Messages that are not done and held by nobody.
    pub ready: u64,
    /// How long the oldest ones have been there; `None`: not looked up, it would take too long or the disk refused.
    pub waits: Option<Waits>,
    /// What it was handed.
    pub outflow: Outflow,
}

/// How long messages have been in their queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The oldest one that is not done; 0: there is none.
    pub undone_ms: u64,
    /// The oldest one that is not done and held by nobody; 0: there is none.
    pub ready_ms: u64,
}

impl Group {
    /// Counts what there is. May wait for the disk.
    pub fn census(&self, limits: &CensusLimits, now_ms: u64) -> Census {
        let mut census = Census::default();
        let undecided = self.undecided_by_topic();
        let mut looks = limits.looks;
        let mut next = Some(0);
        while let Some(from) = next {
            let topics;
            (topics, next) = self.state.catalog.read().topics_from(from);
            for topic in topics {
                census.topic_count += 1;
                for (group, readers) in self.readers_of(&topic) {
                    if census.pairs.len() < limits.pairs {
                        census.pairs.push(self.pair(&topic, group, &readers, now_ms, &mut looks));
                    } else {
                        census.pairs_left_out += 1;
                    }
                }
                if is_filled_by_the_broker(&topic.spec.name) {
                    continue;
                }
                if census.topics.len() < limits.topics {
                    let undecided = undecided.get(&topic.id).copied().unwrap_or(0);
                    census.topics.push(TopicFigures { topic, undecided });
                } else {
                    census.topics_left_out += 1;
                }
            }
        }
        self.count_consumer_groups(limits, &mut census);
        census
    }

    fn count_consumer_groups(&self, limits: &CensusLimits, census: &mut Census) {
        let mut next = Some(0);
        while let Some(from) = next {
            let mut groups;
            (groups, next) = self.state.catalog.read().consumer_groups_from(from);
            groups.retain(|group| !matches!(group.spec.broadcast, Broadcast::Member(_)));
            census.consumer_group_count += groups.len() as u64;
            let room = limits.consumer_groups - census.consumer_groups.len();
            census.consumer_groups_left_out += groups.len().saturating_sub(room) as u64;
            census.consumer_groups.extend(groups.into_iter().take(room).map(|group| {
                let dead_letters = self.dead_letters_of(&group);
                GroupFigures { group, dead_letters }
            }));
        }
    }

    /// The consumer groups that read a topic, by id, each with the ids that it reads under.
    fn readers_of(&self, topic: &Topic) -> impl Iterator<Item = (Arc<ConsumerGroup>, Vec<u32>)> + use<> {
        let readers = topic.state.lock().readers();
        let mut by_group: BTreeMap<u32, (Arc<ConsumerGroup>, Vec<u32>)> = BTreeMap::new();
        for reader in readers {
            let known = self.consumer_group_by_id(reader);
            let group = known.and_then(|known| match known.spec.broadcast {
                Broadcast::Member(of) => self.consumer_group_by_id(of),
                Broadcast::No | Broadcast::ByHost | Broadcast::ByClient => Some(known),
            });
            // One that was deleted a moment ago, or a member that is left over.
            let Some(group) = group else { continue };
            by_group.entry(group.id).or_insert_with(|| (group, Vec::new())).1.push(reader);
        }
        by_group.into_values()
    }

    fn pair(
        &self,
        topic: &Arc<Topic>,
        group: Arc<ConsumerGroup>,
        readers: &[u32],
        now_ms: u64,
        looks: &mut usize,
    ) -> Pair {
        let waits = Some(Waits::default());
        let topic = Arc::clone(topic);
        let mut pair = Pair { topic, group, in_flight: 0, ready: 0, waits, outflow: Outflow::default() };
        for &reader in readers {
            if let Some(subscription) = pair.topic.state.lock().subscription(reader) {
                pair.outflow += subscription.outflow;
            }
            let mut backlog = self.backlog_of(&pair.topic, reader, now_ms);
            backlog.retain(|queue| queue.floor < queue.tail);
            pair.in_flight += backlog.iter().map(|queue| queue.in_flight).sum::<u64>();
            pair.ready += backlog.iter().map(|queue| queue.ready).sum::<u64>();
            pair.waits = pair.waits.and_then(|waits| {
                let more = self.waits(&backlog, now_ms, looks).ok().flatten()?;
                Some(waits.or_longer(more))
            });
        }
        pair
    }

    /// How long messages of queues that have some have been there; `None`: that would be more looks than are left.
    fn waits(
        &self,
        backlog: &[Backlog],
        now_ms: u64,
        looks: &mut usize,
    ) -> Result<Option<Waits>, IndexError> {
        let mut longest = Waits::default();
        for queue in backlog {
            let ready = queue.first_ready.filter(|&first| first != queue.floor);
            let needed = 1 + usize::from(ready.is_some());
            let Some(left) = looks.checked_sub(needed) else { return Ok(None) };
            *looks = left;
            let waited_ms = |offset| {
                let stored_ms = self.stored_ms(queue.id, offset)?;
                Ok(stored_ms.map_or(0, |stored_ms| now_ms.saturating_sub(stored_ms)))
            };
            let undone_ms = waited_ms(queue.floor)?;
            let ready_ms = match ready {
                Some(first) => waited_ms(first)?,
                None => queue.first_ready.map_or(0, |_| undone_ms),
            };
            longest = longest.or_longer(Waits { undone_ms, ready_ms });
        }
        Ok(Some(longest))
    }

    fn undecided_by_topic(&self) -> BTreeMap<u32, u64> {
        let by_queue = self.state.halves.by_queue();
        let catalog = self.state.catalog.read();
        let mut by_topic = BTreeMap::new();
        for (queue, count) in by_queue {
            if let Some((queues, _)) = catalog.home(queue) {
                *by_topic.entry(queues.topic).or_insert(0) += count;
            }
        }
        by_topic
    }

    fn dead_letters_of(&self, group: &ConsumerGroup) -> u64 {
        let topic = self.topic(&format!("{DEAD_LETTER_PREFIX}{}", group.spec.name));
        let queues = topic.iter().flat_map(|topic| &topic.queues);
        queues.map(|&queue| self.queue_range(queue).1.0).sum()
    }
}

/// Producers have no business there.
fn is_filled_by_the_broker(topic: &str) -> bool {
    topic.starts_with(DEAD_LETTER_PREFIX) || topic == ABANDONED_TRANSACTIONS_TOPIC
}

impl Waits {
    fn or_longer(self, other: Self) -> Self {
        Self { undone_ms: self.undone_ms.max(other.undone_ms), ready_ms: self.ready_ms.max(other.ready_ms) }
    }
}

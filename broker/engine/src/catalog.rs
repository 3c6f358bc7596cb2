//! Topics and consumer groups by name: what exists, under which ids, and what a change would do.
//!
//! ```text
//!   apply --plan (checks, ids from counters)--> Meta record --log order--> fold: names, ids, queues
//! ```
//!
//! Promise: ids are never used twice; of two concurrent changes the later record in the log stands, and a name keeps
//! the ids it got first. Folding a record again changes nothing.
//! Limits: names and numbers in `rules`. Not here: where readers stand (`topic`).

mod change;
mod fold;
mod plan;
mod planned;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use store::QueueId;

use crate::topic::Queues;

pub(crate) use change::{Change, Start, Stop, What, decode, drafts};
pub(crate) use plan::Plan;
use planned::{PlannedGroup, PlannedTopic};
pub use rules::{ABANDONED_TRANSACTIONS_TOPIC, DEAD_LETTER_PREFIX, PRIORITY_LEVELS};
pub(crate) use snapshot::{Snapshot, subscribed};

/// What a topic shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Unique name.
    pub name: String,
    /// What kind of messages it takes.
    pub topic_type: TopicType,
    /// Queues in this broker group, 1 to 1024; may grow, never shrink. A topic of type PRIORITY has one per level, whatever
    /// this says.
    pub queues: u32,
    /// Messages older than this are not delivered any more; 0: as long as the log keeps them.
    pub retention_ms: u64,
    /// Broker groups of the cluster that have queues of it, in the order by which producers choose one; empty: all.
    pub groups: Vec<String>,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
}

/// What kind of messages a topic takes. The engine keeps order by lanes, whatever the type; gateways refuse what does not
/// fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicType {
    /// Messages without order among them.
    #[default]
    Normal,
    /// Messages in order within a message group.
    Fifo,
    /// Messages that become visible at a time.
    Delay,
    /// Messages that become visible with the outcome of a transaction.
    Transaction,
    /// Messages of which the urgent ones go first: a queue for each of 10 levels.
    Priority,
    /// All of these but those with a priority.
    Mixed,
}

/// What a consumer group shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSpec {
    /// Unique name.
    pub name: String,
    /// Messages of one message group are handed out in order: one when those before it are done.
    pub ordered: bool,
    /// Which levels of a PRIORITY topic it gets messages from.
    pub priority: PriorityPolicy,
    /// How often and when a message is delivered again.
    pub retry: RetryPolicy,
    /// Each delivery leaves a record that says to which client.
    pub trace: bool,
    /// Where the group starts on a topic that it never read.
    pub consume_from: ConsumeFrom,
    /// A move of the group that was asked for with its definition; done once for each `id`.
    pub reset: Option<Reset>,
    /// Whether its consumers share the messages, or each of them gets all.
    pub broadcast: Broadcast,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
}

/// Which levels of a PRIORITY topic a consumer group gets messages from, while several have some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityPolicy {
    /// The highest.
    #[default]
    Strict,
    /// All of them, level n in n + 1 parts.
    Weighted,
    /// The highest, where a level rises by one for each interval in which it gets nothing.
    Aging {
        /// 1 ms to 24 h.
        interval_ms: u64,
    },
}

/// How often and when a message is delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Deliveries of one message before it goes to the dead letter topic, 1 to 1000.
    pub max_attempts: u32,
    /// Waiting time before each next delivery.
    pub backoff: Backoff,
}

/// Waiting time before the next delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// `initial · multiplier^(attempt-1)`, at most `max`.
    Exponential {
        /// Before the second delivery.
        initial_ms: u64,
        /// Never longer than this.
        max_ms: u64,
        /// Growth per attempt in thousandths: 2000 doubles.
        multiplier_permille: u32,
    },
    /// One time per attempt, the last one repeats.
    Custom(Vec<u64>),
}

/// Where a consumer group starts on a topic that it never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumeFrom {
    /// With the oldest message kept.
    #[default]
    Earliest,
    /// With the first message after the group's first receive.
    Latest,
    /// With the first message stored at that time (unix ms) or later.
    Time(u64),
}

/// Whether the consumers of a group share the messages, or each of them gets all. In a broadcast each has a group of its
/// own, a *member*, which is made with its first receive or update of its offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broadcast {
    /// They share.
    #[default]
    No,
    /// Each host gets all: consumers go by what stands before the first `@` of their client ids.
    ByHost,
    /// Each client id gets all.
    ByClient,
    /// It is the member of the group with this id.
    Member(u32),
}

/// Moves a consumer group to another place in topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Tells this move from the one before: another id moves the group, the same one does not. 1 to 64 bytes.
    pub id: String,
    /// The topics; none: all that the group reads.
    pub topics: Vec<String>,
    /// Where to; in all queues of these topics.
    pub to: ConsumeFrom,
}

/// Who may take over an object that exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// The same owner; or anybody, if nobody owns it and the definition is equal.
    #[default]
    IfCompatible,
    /// Anybody.
    Always,
    /// The same owner only.
    Never,
}

/// What became of one item of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It did not exist.
    Created,
    /// It exists and differs.
    Changed,
    /// It exists as asked; nothing is written.
    Unchanged,
    /// It is gone.
    Deleted,
    /// There is nothing of that name.
    NotFound,
    /// A name, number or combination is not allowed.
    Invalid(String),
    /// The change is not possible on what exists; the old state stays.
    InvalidChange(String),
    /// It belongs to somebody else.
    Conflict(String),
    /// What it builds on is not stored yet; nothing was changed, ask again.
    Pending(String),
}

/// A topic as of one moment; a changed topic is a new value that shares the state of its queues.
#[derive(Debug)]
pub struct Topic {
    /// Never used twice.
    pub id: u32,
    /// Its definition.
    pub spec: TopicSpec,
    /// Its queues in this group, in order.
    pub queues: Vec<QueueId>,
    /// Message groups are spread over so many of the queues, the first ones: as many as there were in the beginning, so
    /// that a group stays in its queue when there come more.
    pub lane_queues: u32,
    /// Shared by all values of the same topic.
    pub(crate) state: Arc<Queues>,
}

impl TopicType {
    /// The protocol's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Fifo => "FIFO",
            Self::Delay => "DELAY",
            Self::Transaction => "TRANSACTION",
            Self::Priority => "PRIORITY",
            Self::Mixed => "MIXED",
        }
    }
}

impl TopicType {
    /// Whether its messages are entries of their queues as soon as they are stored.
    pub(crate) fn puts_at_once(self) -> bool {
        match self {
            Self::Normal | Self::Fifo | Self::Priority => true,
            Self::Delay | Self::Transaction | Self::Mixed => false,
        }
    }
}

impl Topic {
    /// Whether a broker group has queues of it.
    pub fn is_in(&self, group: &str) -> bool {
        self.spec.groups.is_empty() || self.spec.groups.iter().any(|name| name == group)
    }

    /// The queue for messages of a priority, in a topic of type PRIORITY. Those above the highest level belong to it.
    pub fn queue_of_priority(&self, priority: u32) -> QueueId {
        self.queues[(priority as usize).min(self.queues.len() - 1)]
    }

    /// The queue of the messages of a lane.
    pub(crate) fn queue_of_lane(&self, lane: u32) -> QueueId {
        self.queues[(lane % self.lane_queues.max(1)) as usize % self.queues.len()]
    }
}

/// A consumer group as of one moment.
#[derive(Debug)]
pub struct ConsumerGroup {
    /// Never used twice.
    pub id: u32,
    /// Its definition.
    pub spec: ConsumerGroupSpec,
}

/// Ids that are looked at in one go.
const PAGE_IDS: u32 = 1024;

/// A hasher without a random seed: the order of a run must not depend on it.
type ByName<T> = HashMap<String, T, BuildHasherDefault<DefaultHasher>>;
type ById<T> = HashMap<u32, T, BuildHasherDefault<DefaultHasher>>;

/// Everything that has a name, and the counters of ids.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    topics: ByName<Arc<Topic>>,
    topics_by_id: ById<Arc<Topic>>,
    groups: ByName<Arc<ConsumerGroup>>,
    groups_by_id: ById<Arc<ConsumerGroup>>,
    /// By queue id: the state it belongs to and its number there.
    queues: Vec<Option<(Arc<Queues>, u32)>>,
    /// What names are to become whose records are on their way, so that requests for one name build on each other.
    planned_topics: ByName<Vec<PlannedTopic>>,
    planned_groups: ByName<Vec<PlannedGroup>>,
    last_topic_id: u32,
    last_group_id: u32,
    last_queue_id: u32,
}

impl Catalog {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn topic_by_id(&self, id: u32) -> Option<&Arc<Topic>> {
        self.topics_by_id.get(&id)
    }

    pub(crate) fn consumer_group(&self, name: &str) -> Option<&Arc<ConsumerGroup>> {
        self.groups.get(name)
    }

    pub(crate) fn consumer_group_by_id(&self, id: u32) -> Option<&Arc<ConsumerGroup>> {
        self.groups_by_id.get(&id)
    }

    /// The state that a queue belongs to, and the queue's number there.
    pub(crate) fn home(&self, queue: QueueId) -> Option<&(Arc<Queues>, u32)> {
        self.queues.get(queue.0 as usize)?.as_ref()
    }

    /// All topics by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self.topics.values().cloned().collect();
        topics.sort_unstable_by(|a, b| a.spec.name.cmp(&b.spec.name));
        topics
    }

    /// Topics by id, beginning with `from`, and where to go on. Looks at a limited number of ids, so that whoever wants all
    /// can let others have the lock in between.
    pub(crate) fn topics_from(&self, from: u32) -> (Vec<Arc<Topic>>, Option<u32>) {
        page_of(&self.topics_by_id, from, self.last_topic_id)
    }

    /// As `topics_from`, of consumer groups.
    pub(crate) fn consumer_groups_from(&self, from: u32) -> (Vec<Arc<ConsumerGroup>>, Option<u32>) {
        page_of(&self.groups_by_id, from, self.last_group_id)
    }

    /// How many topics and consumer groups there are, members of broadcasts among these.
    pub(crate) fn counts(&self) -> [usize; 2] {
        [self.topics.len(), self.groups.len()]
    }

    /// All consumer groups by name.
    pub(crate) fn consumer_groups(&self) -> Vec<Arc<ConsumerGroup>> {
        let mut groups: Vec<_> = self.groups.values().cloned().collect();
        groups.sort_unstable_by(|a, b| a.spec.name.cmp(&b.spec.name));
        groups
    }

    fn fresh_topic_id(&mut self) -> u32 {
        self.last_topic_id += 1;
        self.last_topic_id
    }

    fn fresh_group_id(&mut self) -> u32 {
        self.last_group_id += 1;
        self.last_group_id
    }

    fn fresh_queue_id(&mut self) -> QueueId {
        self.last_queue_id += 1;
        QueueId(self.last_queue_id)
    }
}

fn page_of<T>(by_id: &ById<Arc<T>>, from: u32, last: u32) -> (Vec<Arc<T>>, Option<u32>) {
    let end = from.saturating_add(PAGE_IDS).min(last.saturating_add(1));
    let found = (from..end).filter_map(|id| by_id.get(&id).cloned()).collect();
    (found, (end <= last).then_some(end))
}

/// Decodes the bytes as changes and as a checkpoint's section; for the fuzz target.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = (change::decode(bytes), Snapshot::decode_section(bytes));
}

//! Changes of the catalog as `Meta` records hold them. Fields may be added; their numbers are never used again.

use bytes::Bytes;
use prost::Message;
use store::QueueId;
use store::log::{Draft, Kind};

use super::{
    Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, Reset, RetryPolicy, TopicSpec,
    TopicType,
};

/// The version that this program writes; it refuses later ones.
const VERSION: u32 = 1;
/// Changes per record: large requests become several records, so that no record is out of proportion.
const CHANGES_MAX: usize = 256;

#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<Change>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Change {
    #[prost(oneof = "What", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum What {
    #[prost(message, tag = "1")]
    TopicPut(TopicPut),
    #[prost(uint32, tag = "2")]
    TopicDelete(u32),
    #[prost(message, tag = "3")]
    GroupPut(GroupPut),
    #[prost(uint32, tag = "4")]
    GroupDelete(u32),
    #[prost(message, tag = "5")]
    Start(Start),
    #[prost(message, tag = "6")]
    Stop(Stop),
}

/// A topic is created or changed.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicPut {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) queues: Vec<u32>,
    #[prost(uint64, tag = "4")]
    pub(crate) retention_ms: u64,
    #[prost(string, tag = "5")]
    pub(crate) owner: String,
    /// The topic was there when this was asked for; if it has been deleted since, it stays so.
    #[prost(bool, tag = "6")]
    pub(crate) is_change: bool,
    /// See `TopicType::number`.
    #[prost(uint32, tag = "7")]
    pub(super) topic_type: u32,
    /// Queues that message groups are spread over; 0: all of these, it is the first put.
    #[prost(uint32, tag = "8")]
    pub(crate) lane_queues: u32,
    /// Empty: all, as in records from before topics were in some groups only.
    #[prost(string, repeated, tag = "9")]
    pub(crate) groups: Vec<String>,
}

/// A consumer group is created or changed.
#[allow(clippy::struct_excessive_bools, reason = "flags as they are stored")]
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GroupPut {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(uint32, tag = "3")]
    max_attempts: u32,
    #[prost(uint64, repeated, tag = "4")]
    custom_ms: Vec<u64>,
    #[prost(uint64, tag = "5")]
    initial_ms: u64,
    #[prost(uint64, tag = "6")]
    max_ms: u64,
    #[prost(uint32, tag = "7")]
    multiplier_permille: u32,
    #[prost(bool, tag = "8")]
    from_latest: bool,
    #[prost(string, tag = "9")]
    owner: String,
    /// As for topics.
    #[prost(bool, tag = "10")]
    pub(crate) is_change: bool,
    #[prost(bool, tag = "11")]
    ordered: bool,
    /// See `PriorityPolicy::numbers`; records from before there were policies have 0 in both.
    #[prost(uint32, tag = "12")]
    priority_policy: u32,
    #[prost(uint64, tag = "13")]
    aging_interval_ms: u64,
    /// 0: `from_latest` tells it.
    #[prost(uint64, tag = "14")]
    from_ms: u64,
    #[prost(message, optional, tag = "15")]
    reset: Option<GroupReset>,
    /// See `Broadcast::numbers`; records from before there were broadcasts have 0 in both.
    #[prost(uint32, tag = "16")]
    broadcast: u32,
    #[prost(uint32, tag = "17")]
    member_of: u32,
    #[prost(bool, tag = "18")]
    trace: bool,
}

/// The move that came with a group's definition; where it led is in a record of floors.
#[derive(Clone, PartialEq, Message)]
struct GroupReset {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "2")]
    topics: Vec<String>,
    #[prost(bool, tag = "3")]
    to_latest: bool,
    /// 0: `to_latest` tells it.
    #[prost(uint64, tag = "4")]
    to_ms: u64,
}

/// A consumer group reads a topic for the first time.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Start {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) topic: u32,
    /// By number of the queue in the topic.
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) offsets: Vec<u64>,
}

/// A consumer group reads a topic no more: where it stood is forgotten, until a later start.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Stop {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) topic: u32,
}

/// Records that hold the changes, in order.
pub(crate) fn drafts(mut changes: Vec<Change>) -> Vec<Draft> {
    let mut drafts = Vec::with_capacity(changes.len() / CHANGES_MAX + 1);
    while !changes.is_empty() {
        let rest = changes.split_off(changes.len().min(CHANGES_MAX));
        let meta = Meta { version: VERSION, changes };
        drafts.push(Draft::control(Kind::Meta, Bytes::from(meta.encode_to_vec())));
        changes = rest;
    }
    drafts
}

/// The changes in a record.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<What>, String> {
    let meta = Meta::decode(payload).map_err(|error| error.to_string())?;
    if meta.version != VERSION {
        return Err(format!("version {} is not known", meta.version));
    }
    let mut whats = Vec::with_capacity(meta.changes.len());
    for change in meta.changes {
        let what = change.what.ok_or_else(|| "a change of an unknown sort".to_owned())?;
        if let What::TopicPut(TopicPut { topic_type, .. }) = &what
            && TopicType::of_number(*topic_type).is_none()
        {
            return Err(format!("topic type {topic_type} is not known"));
        }
        if let What::GroupPut(put) = &what
            && put.priority().is_none()
        {
            return Err(format!("priority policy {} is not known", put.priority_policy));
        }
        if let What::GroupPut(put) = &what
            && put.broadcast().is_none()
        {
            return Err(format!("broadcast {} is not known", put.broadcast));
        }
        whats.push(what);
    }
    Ok(whats)
}

impl From<What> for Change {
    fn from(what: What) -> Self {
        Self { what: Some(what) }
    }
}

impl TopicPut {
    pub(crate) fn new(id: u32, spec: &TopicSpec, queues: &[QueueId]) -> Self {
        Self {
            id,
            name: spec.name.clone(),
            queues: queues.iter().map(|queue| queue.0).collect(),
            retention_ms: spec.retention_ms,
            owner: spec.owner.clone(),
            is_change: false,
            topic_type: spec.topic_type.number(),
            lane_queues: 0,
            groups: spec.groups.clone(),
        }
    }

    pub(crate) fn topic_type(&self) -> TopicType {
        TopicType::of_number(self.topic_type).unwrap_or_default()
    }
}

impl TopicType {
    const ALL: [Self; 6] =
        [Self::Normal, Self::Fifo, Self::Delay, Self::Transaction, Self::Priority, Self::Mixed];

    /// As records hold it.
    fn number(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::Fifo => 1,
            Self::Delay => 2,
            Self::Transaction => 3,
            Self::Priority => 4,
            Self::Mixed => 5,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|topic_type| topic_type.number() == number)
    }
}

impl PriorityPolicy {
    /// As records hold it: which one, and the interval of the one that has any.
    fn numbers(self) -> (u32, u64) {
        match self {
            Self::Strict => (0, 0),
            Self::Weighted => (1, 0),
            Self::Aging { interval_ms } => (2, interval_ms),
        }
    }

    fn of_numbers(policy: u32, interval_ms: u64) -> Option<Self> {
        let all = [Self::Strict, Self::Weighted, Self::Aging { interval_ms }];
        all.into_iter().find(|known| known.numbers().0 == policy)
    }
}

impl Broadcast {
    /// As records hold it: which one, and the group that a member is of.
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::No => (0, 0),
            Self::ByHost => (1, 0),
            Self::ByClient => (2, 0),
            Self::Member(of) => (3, of),
        }
    }

    fn of_numbers(number: u32, of: u32) -> Option<Self> {
        let all = [Self::No, Self::ByHost, Self::ByClient, Self::Member(of)];
        all.into_iter().find(|known| known.numbers().0 == number)
    }
}

impl ConsumeFrom {
    fn time_ms(self) -> u64 {
        match self {
            Self::Earliest | Self::Latest => 0,
            Self::Time(ms) => ms,
        }
    }

    fn of_numbers(is_latest: bool, time_ms: u64) -> Self {
        match (is_latest, time_ms) {
            (true, _) => Self::Latest,
            (false, 0) => Self::Earliest,
            (false, ms) => Self::Time(ms),
        }
    }
}

impl GroupReset {
    fn new(reset: &Reset) -> Self {
        let Reset { id, topics, to } = reset.clone();
        Self { id, topics, to_latest: to == ConsumeFrom::Latest, to_ms: to.time_ms() }
    }

    fn into_reset(self) -> Reset {
        let to = ConsumeFrom::of_numbers(self.to_latest, self.to_ms);
        Reset { id: self.id, topics: self.topics, to }
    }
}

impl GroupPut {
    pub(crate) fn new(id: u32, spec: &ConsumerGroupSpec) -> Self {
        let (priority_policy, aging_interval_ms) = spec.priority.numbers();
        let (broadcast, member_of) = spec.broadcast.numbers();
        let mut this = Self {
            id,
            name: spec.name.clone(),
            max_attempts: spec.retry.max_attempts,
            from_latest: spec.consume_from == ConsumeFrom::Latest,
            from_ms: spec.consume_from.time_ms(),
            reset: spec.reset.as_ref().map(GroupReset::new),
            broadcast,
            member_of,
            owner: spec.owner.clone(),
            ordered: spec.ordered,
            priority_policy,
            aging_interval_ms,
            trace: spec.trace,
            ..Self::default()
        };
        match &spec.retry.backoff {
            Backoff::Custom(times_ms) => this.custom_ms.clone_from(times_ms),
            Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
                this.initial_ms = *initial_ms;
                this.max_ms = *max_ms;
                this.multiplier_permille = *multiplier_permille;
            }
        }
        this
    }

    fn priority(&self) -> Option<PriorityPolicy> {
        PriorityPolicy::of_numbers(self.priority_policy, self.aging_interval_ms)
    }

    fn broadcast(&self) -> Option<Broadcast> {
        Broadcast::of_numbers(self.broadcast, self.member_of)
    }

    pub(crate) fn into_spec(self) -> ConsumerGroupSpec {
        let broadcast = self.broadcast().unwrap_or_default();
        let priority = self.priority().unwrap_or_default();
        let backoff = if self.custom_ms.is_empty() {
            Backoff::Exponential {
                initial_ms: self.initial_ms,
                max_ms: self.max_ms,
                multiplier_permille: self.multiplier_permille,
            }
        } else {
            Backoff::Custom(self.custom_ms)
        };
        let consume_from = ConsumeFrom::of_numbers(self.from_latest, self.from_ms);
        let retry = RetryPolicy { max_attempts: self.max_attempts, backoff };
        ConsumerGroupSpec {
            name: self.name,
            ordered: self.ordered,
            priority,
            retry,
            trace: self.trace,
            consume_from,
            reset: self.reset.map(GroupReset::into_reset),
            broadcast,
            owner: self.owner,
        }
    }
}

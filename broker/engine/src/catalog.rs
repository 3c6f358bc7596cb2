//! Topics and consumer groups by name: what exists, under which ids, and what a change would do.

use std::sync::Arc;

use store::QueueId;

/// What a topic shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Unique name.
    pub name: String,
    /// Queues in this broker group, 1 to 1024; may grow, never shrink.
    pub queues: u32,
    /// Messages older than this are not delivered any more; 0: as long as the log keeps them.
    pub retention_ms: u64,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
}

/// What a consumer group shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSpec {
    /// Unique name.
    pub name: String,
    /// How often and when a message is delivered again.
    pub retry: RetryPolicy,
    /// Where the group starts on a topic that it never read.
    pub consume_from: ConsumeFrom,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
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
}

/// A consumer group as of one moment.
#[derive(Debug)]
pub struct ConsumerGroup {
    /// Never used twice.
    pub id: u32,
    /// Its definition.
    pub spec: ConsumerGroupSpec,
}

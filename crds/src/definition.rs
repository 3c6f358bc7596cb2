//! What a broker has to know of a Topic or a ConsumerGroup: names and numbers, without Kubernetes.
//!
//! ```text
//!   Topic (custom resource, or YAML file) ──► TopicDefinition ──► admin API of a broker
//! ```
//!
//! Promise: the operator and a standalone broker make the same definition of the same manifest, and refuse the same
//! ones. So the rules that the API server checks with CEL are checked here again: a file never met an API server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::amount::AmountError;
use crate::consumer_group::{Backoff, ConsumeFrom, ConsumerGroup, Delivery, Priority, PriorityPolicy, Reset};
use crate::names::{CONSUMER_GROUP_NAME_LEN_MAX, TOPIC_NAME_LEN_MAX};
use crate::topic::{Topic, TopicType};

/// Waiting times between deliveries when a manifest names none: after 10 s, 30 s, 1 to 10 min, 20, 30 min, 1 and 2 h.
pub const BACKOFF_DEFAULT_MS: [u64; 16] = [
    10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000, 600_000,
    1_200_000, 1_800_000, 3_600_000, 7_200_000,
];

/// How long a level waits to rise by one when a manifest does not say.
const AGING_INTERVAL_DEFAULT_MS: u64 = 10_000;
const AGING_INTERVAL_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A topic as a broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDefinition {
    /// Name for clients.
    pub name: String,
    /// What kind of messages it takes.
    pub topic_type: TopicType,
    /// Queues in each group; the broker knows better how many a topic of type PRIORITY has.
    pub queues: u32,
    /// Milliseconds a message is kept at least; 0: as long as the log keeps it.
    pub retention_ms: u64,
}

/// A consumer group as a broker keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerGroupDefinition {
    /// Name for clients.
    pub name: String,
    /// Whether its consumers share the messages.
    pub delivery: Delivery,
    /// Messages of one message group are delivered in order.
    pub ordered: bool,
    /// Which levels of a topic of type PRIORITY it gets messages from.
    pub priority: PriorityDefinition,
    /// Deliveries of one message before it goes to the dead letter topic.
    pub max_attempts: u32,
    /// How long each next delivery waits.
    pub backoff: BackoffDefinition,
    /// Each delivery leaves a record that says to which client.
    pub trace: bool,
    /// Where the group starts on a topic it never read.
    pub consume_from: StartDefinition,
    /// A move that is done once for each id.
    pub reset: Option<ResetDefinition>,
}

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartDefinition {
    /// The oldest message that is kept.
    Earliest,
    /// The next one that arrives.
    Latest,
    /// The first one stored at that time (unix ms) or later.
    Timestamp(u64),
}

/// Moves a group to another place in topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetDefinition {
    /// Tells this move from the one before.
    pub id: String,
    /// Names of the topics; none: all that the group reads.
    pub topics: Vec<String>,
    /// Where to.
    pub to: StartDefinition,
}

/// Which levels of a topic of type PRIORITY a group gets messages from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorityDefinition {
    /// The highest.
    Strict,
    /// Level n in n + 1 parts.
    Weighted,
    /// The highest, where a level rises while it waits.
    Aging {
        /// How long it waits to rise by one.
        interval_ms: u64,
    },
}

/// How long each next delivery waits.
#[derive(Debug, Clone, PartialEq)]
pub enum BackoffDefinition {
    /// One time in milliseconds per delivery; the last one repeats.
    Custom(Vec<u64>),
    /// Times that grow by a factor.
    Exponential {
        /// The first time.
        initial_ms: u64,
        /// The longest time.
        max_ms: u64,
        /// What each time is multiplied by to get the next one.
        multiplier: f64,
    },
}

/// Why a manifest cannot become a definition. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DefinitionError {
    /// A name that clients could not use.
    #[error(
        "the name `{name}` must be 1 to {len_max} letters, digits, `-` or `_`; set spec.name to such a name"
    )]
    Name {
        /// The name.
        name: String,
        /// Most characters.
        len_max: usize,
    },
    /// A number outside of its range.
    #[error("{field}: {value} must be from {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// Not exactly one way to wait.
    #[error("spec.retry.backoff: give exactly one of custom and exponential")]
    Backoff,
    /// A first waiting time above the longest.
    #[error(
        "spec.retry.backoff.exponential: initial must not be longer than max; lower initial or raise max"
    )]
    InitialAboveMax,
    /// An aging interval for a policy that has none.
    #[error("spec.priority.agingInterval is for policy Aging; leave it out, or set policy to Aging")]
    AgingInterval,
    /// An aging interval that is too long.
    #[error("spec.priority.agingInterval must be at most 24h")]
    AgingIntervalTooLong,
    /// A time without a place that needs one, or the other way round.
    #[error("{field}: give a timestamp after 1970 with Timestamp, and none with Earliest and Latest")]
    Timestamp {
        /// The field.
        field: &'static str,
    },
    /// An id that is too short or too long.
    #[error("spec.reset.id must have 1 to 64 characters")]
    ResetId,
    /// Not a duration.
    #[error("{field}: {source}")]
    Amount {
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: AmountError,
    },
}

impl Topic {
    /// Name of the topic for clients.
    pub fn client_name(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.name_any())
    }

    /// What a broker has to know.
    pub fn definition(&self) -> Result<TopicDefinition, DefinitionError> {
        let name = checked_name(self.client_name(), TOPIC_NAME_LEN_MAX)?;
        let queues = checked_number("spec.queues.perGroup", self.spec.queues.per_group, 1024)?;
        let retention_ms = match &self.spec.retention {
            Some(retention) => millis("spec.retention.maxAge", &retention.max_age)?,
            None => 0,
        };
        Ok(TopicDefinition { name, topic_type: self.spec.topic_type, queues, retention_ms })
    }
}

impl ConsumerGroup {
    /// Name of the group for clients.
    pub fn client_name(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.name_any())
    }

    /// What a broker has to know.
    pub fn definition(&self) -> Result<ConsumerGroupDefinition, DefinitionError> {
        let retry = &self.spec.retry;
        Ok(ConsumerGroupDefinition {
            name: checked_name(self.client_name(), CONSUMER_GROUP_NAME_LEN_MAX)?,
            delivery: self.spec.delivery,
            ordered: self.spec.ordered,
            priority: priority_definition(&self.spec.priority)?,
            max_attempts: checked_number("spec.retry.maxAttempts", retry.max_attempts, 1000)?,
            backoff: match &retry.backoff {
                None => BackoffDefinition::Custom(BACKOFF_DEFAULT_MS.to_vec()),
                Some(backoff) => backoff_definition(backoff)?,
            },
            trace: self.spec.trace,
            consume_from: start_definition(
                "spec.consumeFromTimestamp",
                self.spec.consume_from,
                self.spec.consume_from_timestamp.as_ref(),
            )?,
            reset: self.spec.reset.as_ref().map(reset_definition).transpose()?,
        })
    }
}

fn start_definition(
    field: &'static str,
    from: ConsumeFrom,
    timestamp: Option<&Time>,
) -> Result<StartDefinition, DefinitionError> {
    let ms = timestamp.map(|time| u64::try_from(time.0.as_millisecond()).unwrap_or(0));
    match (from, ms) {
        (ConsumeFrom::Earliest, None) => Ok(StartDefinition::Earliest),
        (ConsumeFrom::Latest, None) => Ok(StartDefinition::Latest),
        (ConsumeFrom::Timestamp, Some(ms @ 1..)) => Ok(StartDefinition::Timestamp(ms)),
        (ConsumeFrom::Earliest | ConsumeFrom::Latest | ConsumeFrom::Timestamp, _) => {
            Err(DefinitionError::Timestamp { field })
        }
    }
}

fn reset_definition(reset: &Reset) -> Result<ResetDefinition, DefinitionError> {
    if !(1..=64).contains(&reset.id.len()) {
        return Err(DefinitionError::ResetId);
    }
    checked_range("spec.reset.topics", reset.topics.len() as f64, 0.0, 64.0)?;
    Ok(ResetDefinition {
        id: reset.id.clone(),
        topics: reset.topics.clone(),
        to: start_definition("spec.reset.timestamp", reset.to, reset.timestamp.as_ref())?,
    })
}

fn priority_definition(priority: &Priority) -> Result<PriorityDefinition, DefinitionError> {
    let interval = priority.aging_interval.as_ref();
    let interval_ms = interval.map(|span| millis("spec.priority.agingInterval", span)).transpose()?;
    match (priority.policy, interval_ms) {
        (PriorityPolicy::Strict, None) => Ok(PriorityDefinition::Strict),
        (PriorityPolicy::Weighted, None) => Ok(PriorityDefinition::Weighted),
        (PriorityPolicy::Strict | PriorityPolicy::Weighted, Some(_)) => Err(DefinitionError::AgingInterval),
        (PriorityPolicy::Aging, interval_ms) => match interval_ms.unwrap_or(AGING_INTERVAL_DEFAULT_MS) {
            interval_ms @ ..=AGING_INTERVAL_MS_MAX => Ok(PriorityDefinition::Aging { interval_ms }),
            _ => Err(DefinitionError::AgingIntervalTooLong),
        },
    }
}

fn backoff_definition(backoff: &Backoff) -> Result<BackoffDefinition, DefinitionError> {
    match (&backoff.custom, &backoff.exponential) {
        (Some(custom), None) => {
            const FIELD: &str = "spec.retry.backoff.custom";
            checked_range(FIELD, custom.len() as f64, 1.0, 64.0)?;
            let times = custom.iter().map(|span| millis(FIELD, span)).collect::<Result<_, _>>()?;
            Ok(BackoffDefinition::Custom(times))
        }
        (None, Some(growth)) => {
            let initial_ms = millis("spec.retry.backoff.exponential.initial", &growth.initial)?;
            let max_ms = millis("spec.retry.backoff.exponential.max", &growth.max)?;
            if initial_ms > max_ms {
                return Err(DefinitionError::InitialAboveMax);
            }
            let multiplier = growth.multiplier;
            checked_range("spec.retry.backoff.exponential.multiplier", multiplier, 1.0, 100.0)?;
            Ok(BackoffDefinition::Exponential { initial_ms, max_ms, multiplier })
        }
        (Some(_), Some(_)) | (None, None) => Err(DefinitionError::Backoff),
    }
}

fn checked_name(name: String, len_max: usize) -> Result<String, DefinitionError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.len() <= len_max && name.bytes().all(fits) {
        Ok(name)
    } else {
        Err(DefinitionError::Name { name, len_max })
    }
}

fn checked_number(field: &'static str, value: i32, max: u32) -> Result<u32, DefinitionError> {
    let number = u32::try_from(value).ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| DefinitionError::Range { field, value: value.into(), min: 1.0, max: max.into() })
}

fn checked_range(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), DefinitionError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(DefinitionError::Range { field, value, min, max }) }
}

fn millis(field: &'static str, span: &crate::amount::Span) -> Result<u64, DefinitionError> {
    span.millis().map_err(|source| DefinitionError::Amount { field, source })
}

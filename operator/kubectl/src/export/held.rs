//! What a broker holds, as `millpond topics list` and `millpond groups list` print it in JSON.
//!
//! Promise: an answer that lacks a field is not read at all, so a manifest never has a usual value where the broker has another.

use crds::topic::TopicType;
use serde::Deserialize;

/// Topics that the broker makes itself and nobody may declare.
const SYSTEM_TOPICS: [&str; 1] = ["TRANS_CHECK_MAX_TIME_TOPIC"];
const SYSTEM_TOPIC_PREFIXES: [&str; 2] = ["rmq_sys_", "RMQ_SYS_"];
/// Consumer groups that nobody may declare, and those of `millpond tail`, which are gone in a moment.
const SYSTEM_GROUP_PREFIXES: [&str; 2] = ["CID_RMQ_SYS_", "millpond-tail-"];

/// What topics and consumer groups have in common.
pub(crate) trait Held: Clone + PartialEq {
    /// The word for it in sentences.
    const NOUN: &'static str;
    /// Its name for clients.
    fn name(&self) -> &str;
    /// The custom resource that it belongs to, as `namespace/name`; empty: none.
    fn owner(&self) -> &str;
    /// Whether users may not declare it.
    fn is_system(&self) -> bool;
    /// Whether it is the same, whoever it belongs to.
    fn is_like(&self, other: &Self) -> bool;
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Topic {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: TopicType,
    pub(crate) queues: u32,
    /// 0: as long as the log keeps them.
    pub(crate) retention_ms: u64,
    pub(crate) owner: String,
    /// The groups that it stays in; none: it is spread over all.
    pub(crate) groups: Vec<String>,
}

impl Held for Topic {
    const NOUN: &'static str = "topic";

    fn name(&self) -> &str {
        &self.name
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn is_system(&self) -> bool {
        self.name.contains('%')
            || SYSTEM_TOPICS.contains(&&*self.name)
            || SYSTEM_TOPIC_PREFIXES.iter().any(|prefix| self.name.starts_with(prefix))
    }

    fn is_like(&self, other: &Self) -> bool {
        *self == Self { owner: self.owner.clone(), ..other.clone() }
    }
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) broadcast: Broadcast,
    pub(crate) ordered: bool,
    pub(crate) retry: Retry,
    pub(crate) priority: Priority,
    pub(crate) trace: bool,
    pub(crate) consume_from: Start,
    pub(crate) consume_from_ms: u64,
    pub(crate) reset: Option<Reset>,
    pub(crate) owner: String,
}

impl Held for Group {
    const NOUN: &'static str = "consumer group";

    fn name(&self) -> &str {
        &self.name
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn is_system(&self) -> bool {
        self.name.contains('%') || SYSTEM_GROUP_PREFIXES.iter().any(|prefix| self.name.starts_with(prefix))
    }

    fn is_like(&self, other: &Self) -> bool {
        *self == Self { owner: self.owner.clone(), ..other.clone() }
    }
}

/// Whether consumers share the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Broadcast {
    No,
    ByHost,
    ByClient,
}

/// What happens to a message that is not acknowledged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Retry {
    pub(crate) max_attempts: u32,
    /// None: exponential.
    pub(crate) custom_ms: Vec<u64>,
    pub(crate) initial_ms: u64,
    pub(crate) max_ms: u64,
    /// A float of 32 bits in the broker.
    pub(crate) multiplier: f32,
}

/// Which levels come first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Priority {
    pub(crate) policy: Policy,
    pub(crate) aging_interval_ms: u64,
}

/// How levels share the group's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Policy {
    Strict,
    Weighted,
    Aging,
}

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Start {
    Earliest,
    Latest,
    Timestamp,
}

/// A move that was done once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reset {
    pub(crate) id: String,
    pub(crate) topics: Vec<String>,
    pub(crate) to: Start,
    pub(crate) to_ms: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The same text as in the tests of `millpond topics` and `millpond groups`, which write it.
    #[test]
    fn what_the_command_line_writes_is_read() {
        let topic = json!({
            "name": "Orders_1", "type": "FIFO", "queues": 4, "retentionMs": 3_600_000, "owner": "mq/orders",
            "groups": ["g0", "g1"],
        });
        let topic: Topic = serde_json::from_value(topic).unwrap();
        assert_eq!((topic.kind, topic.groups.len()), (TopicType::Fifo, 2));
        let group = json!({
            "name": "billing", "broadcast": "BY_HOST", "ordered": true, "trace": true, "owner": "mq/billing",
            "retry": {"maxAttempts": 5, "customMs": [1000], "initialMs": 5000, "maxMs": 7_200_000, "multiplier": 2.0},
            "priority": {"policy": "AGING", "agingIntervalMs": 30_000},
            "consumeFrom": "TIMESTAMP", "consumeFromMs": 2500,
            "reset": {"id": "monday", "topics": ["orders"], "to": "TIMESTAMP", "toMs": 1500},
        });
        let group: Group = serde_json::from_value(group).unwrap();
        assert_eq!((group.broadcast, group.priority.policy), (Broadcast::ByHost, Policy::Aging));
        assert_eq!(group.reset.map(|reset| (reset.to, reset.to_ms)), Some((Start::Timestamp, 1500)));
    }

    #[test]
    fn an_answer_of_an_older_broker_is_refused() {
        let old = r#"{"name": "orders", "type": "FIFO", "queues": 8, "retentionMs": 0, "owner": ""}"#;
        let error = serde_json::from_str::<Topic>(old).unwrap_err().to_string();
        assert!(error.contains("groups"), "{error}");
    }
}

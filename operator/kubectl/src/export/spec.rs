//! From what a broker holds to a manifest: `definition()` of `crds` the other way round.
//!
//! Promise: the definition of the manifest is what the broker holds; one that would be refused is not made. Tested there and back.

use crds::amount::Span;
use crds::consumer_group::{
    Backoff, ConsumeFrom, ConsumerGroup, ConsumerGroupSpec, Delivery, Exponential, Priority, PriorityPolicy,
    Reset, Retry,
};
use crds::definition::BACKOFF_DEFAULT_MS;
use crds::object::{AdoptionPolicy, ClusterRef, DeletionPolicy, Management};
use crds::topic::{QueuePlacement, Queues, Topic, TopicRetention, TopicSpec, TopicType};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::{Value, json};

use super::held;
use super::name::{Key, is_plain};

const AGING_INTERVAL_DEFAULT_MS: u64 = 10_000;

/// The manifest of a topic, or why there can be none.
pub(crate) fn topic(held: &held::Topic, key: &Key, cluster: ClusterRef) -> Result<Value, String> {
    // One of type PRIORITY has a queue for each level, whatever a manifest says.
    let per_group = match held.kind {
        TopicType::Priority => Queues::default().per_group,
        TopicType::Normal
        | TopicType::Fifo
        | TopicType::Delay
        | TopicType::Transaction
        | TopicType::Mixed => i32::try_from(held.queues).unwrap_or(i32::MAX),
    };
    let mut spec = TopicSpec {
        cluster_ref: cluster,
        name: client_name(&held.name, key),
        topic_type: held.kind,
        queues: Queues { per_group, placement: None },
        retention: (held.retention_ms > 0).then(|| TopicRetention { max_age: span(held.retention_ms) }),
        deletion_policy: DeletionPolicy::default(),
        deletion_protection: false,
        adoption_policy: AdoptionPolicy::default(),
        management: Management::default(),
    };
    let placement = if held.groups.is_empty() { QueuePlacement::Spread } else { QueuePlacement::Stay };
    if spec.placement() != placement {
        spec.queues.placement = Some(placement);
    }
    let topic = Topic::new(&key.name, spec);
    topic.definition().map_err(|error| error.to_string())?;
    manifest(&topic, key)
}

/// The manifest of a consumer group, or why there can be none.
pub(crate) fn group(held: &held::Group, key: &Key, cluster: ClusterRef) -> Result<Value, String> {
    let from_ms = of_timestamp(held.consume_from, held.consume_from_ms);
    let reset_ms = held.reset.as_ref().and_then(|reset| of_timestamp(reset.to, reset.to_ms));
    let spec = ConsumerGroupSpec {
        cluster_ref: cluster,
        name: client_name(&held.name, key),
        delivery: match held.broadcast {
            held::Broadcast::No => Delivery::Shared,
            held::Broadcast::ByHost => Delivery::BroadcastByHost,
            held::Broadcast::ByClient => Delivery::BroadcastByClient,
        },
        ordered: held.ordered,
        priority: priority(&held.priority),
        retry: Retry {
            max_attempts: i32::try_from(held.retry.max_attempts).unwrap_or(i32::MAX),
            backoff: backoff(&held.retry),
        },
        trace: held.trace,
        consume_from: place(held.consume_from),
        consume_from_timestamp: from_ms.and_then(time),
        reset: held.reset.as_ref().map(|reset| Reset {
            id: reset.id.clone(),
            to: place(reset.to),
            timestamp: reset_ms.and_then(time),
            topics: reset.topics.clone(),
        }),
        deletion_policy: DeletionPolicy::default(),
        deletion_protection: false,
        adoption_policy: AdoptionPolicy::default(),
        management: Management::default(),
    };
    let group = ConsumerGroup::new(&key.name, spec);
    group.definition().map_err(|error| error.to_string())?;
    let mut value = manifest(&group, key)?;
    // `Time` writes whole seconds; a broker holds milliseconds, and another time would be another start.
    for (ms, pointer) in [(from_ms, "/spec/consumeFromTimestamp"), (reset_ms, "/spec/reset/timestamp")] {
        if let (Some(time), Some(text)) = (ms.and_then(time), value.pointer_mut(pointer)) {
            *text = json!(time.0.to_string());
        }
    }
    Ok(value)
}

/// Only where `metadata.name` does not say it.
fn client_name(name: &str, key: &Key) -> Option<String> {
    (name != key.name || !is_plain(name)).then(|| name.to_owned())
}

fn manifest(object: &impl Serialize, key: &Key) -> Result<Value, String> {
    let mut value = serde_json::to_value(object).map_err(|error| error.to_string())?;
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    if let Some(namespace) = &key.namespace {
        value["metadata"]["namespace"] = json!(namespace);
    }
    Ok(value)
}

fn priority(held: &held::Priority) -> Priority {
    let policy = match held.policy {
        held::Policy::Strict => PriorityPolicy::Strict,
        held::Policy::Weighted => PriorityPolicy::Weighted,
        held::Policy::Aging => PriorityPolicy::Aging,
    };
    let told =
        policy == PriorityPolicy::Aging && ![0, AGING_INTERVAL_DEFAULT_MS].contains(&held.aging_interval_ms);
    Priority { policy, aging_interval: told.then(|| span(held.aging_interval_ms)) }
}

fn backoff(retry: &held::Retry) -> Option<Backoff> {
    if retry.custom_ms == BACKOFF_DEFAULT_MS {
        return None;
    }
    if !retry.custom_ms.is_empty() {
        let times = retry.custom_ms.iter().copied().map(span).collect();
        return Some(Backoff { custom: Some(times), exponential: None });
    }
    // By way of text, because 1.1 of 32 bits is not 1.1 of 64 bits.
    let multiplier = retry.multiplier.to_string().parse().unwrap_or_else(|_| retry.multiplier.into());
    let exponential = Exponential { initial: span(retry.initial_ms), max: span(retry.max_ms), multiplier };
    Some(Backoff { custom: None, exponential: Some(exponential) })
}

fn place(start: held::Start) -> ConsumeFrom {
    match start {
        held::Start::Earliest => ConsumeFrom::Earliest,
        held::Start::Latest => ConsumeFrom::Latest,
        held::Start::Timestamp => ConsumeFrom::Timestamp,
    }
}

fn of_timestamp(start: held::Start, ms: u64) -> Option<u64> {
    (start == held::Start::Timestamp).then_some(ms)
}

fn time(ms: u64) -> Option<Time> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok().map(Time)
}

/// With the largest whole unit that a manifest knows.
fn span(ms: u64) -> Span {
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => Span(format!("{}{name}", ms / unit)),
        None => Span(format!("{ms}ms")),
    }
}

#[cfg(test)]
mod tests {
    use crds::definition::{BackoffDefinition, PriorityDefinition, ResetDefinition, StartDefinition};

    use super::*;

    fn shop() -> ClusterRef {
        ClusterRef { name: "shop".to_owned(), namespace: None }
    }

    fn key(name: &str) -> Key {
        Key { name: name.to_owned(), namespace: None }
    }

    fn held_topic(kind: TopicType, groups: &[&str]) -> held::Topic {
        held::Topic {
            name: "Orders".to_owned(),
            kind,
            queues: 10,
            retention_ms: 90_000,
            owner: String::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    fn made_topic(held: &held::Topic) -> Topic {
        serde_json::from_value(topic(held, &key("orders"), shop()).unwrap()).unwrap()
    }

    #[test]
    fn the_definition_of_a_topics_manifest_is_what_the_broker_holds() {
        let made = made_topic(&held_topic(TopicType::Delay, &[]));
        let definition = made.definition().unwrap();
        assert_eq!((definition.name.as_str(), definition.topic_type), ("Orders", TopicType::Delay));
        assert_eq!((definition.queues, definition.retention_ms), (10, 90_000));
        assert_eq!(made.spec.retention, Some(TopicRetention { max_age: Span::from("90s") }));
    }

    #[test]
    fn the_placement_is_told_only_where_it_is_not_that_of_the_type() {
        for (topic_type, groups, placement) in [
            (TopicType::Fifo, &["g0"][..], None),
            (TopicType::Fifo, &[], Some(QueuePlacement::Spread)),
            (TopicType::Normal, &[], None),
            (TopicType::Normal, &["g0"], Some(QueuePlacement::Stay)),
        ] {
            assert_eq!(made_topic(&held_topic(topic_type, groups)).spec.queues.placement, placement);
        }
        assert_eq!(made_topic(&held_topic(TopicType::Priority, &[])).spec.queues, Queues::default());
    }

    fn held_group() -> held::Group {
        held::Group {
            name: "billing".to_owned(),
            broadcast: held::Broadcast::ByHost,
            ordered: true,
            retry: held::Retry {
                max_attempts: 5,
                custom_ms: Vec::new(),
                initial_ms: 1500,
                max_ms: 7_200_000,
                multiplier: 1.1,
            },
            priority: held::Priority { policy: held::Policy::Aging, aging_interval_ms: 30_000 },
            trace: true,
            consume_from: held::Start::Timestamp,
            consume_from_ms: 1_795_348_800_250,
            reset: Some(held::Reset {
                id: "monday".to_owned(),
                topics: vec!["orders".to_owned()],
                to: held::Start::Timestamp,
                to_ms: 1_795_348_800_001,
            }),
            owner: String::new(),
        }
    }

    #[test]
    fn the_definition_of_a_groups_manifest_is_what_the_broker_holds_to_the_millisecond() {
        let value = group(&held_group(), &key("billing"), shop()).unwrap();
        let made: ConsumerGroup = serde_json::from_value(value).unwrap();
        assert_eq!(made.spec.name, None);
        let definition = made.definition().unwrap();
        assert_eq!(definition.name, "billing");
        assert_eq!((definition.delivery, definition.ordered), (Delivery::BroadcastByHost, true));
        assert_eq!((definition.max_attempts, definition.trace), (5, true));
        let expected =
            BackoffDefinition::Exponential { initial_ms: 1500, max_ms: 7_200_000, multiplier: 1.1 };
        assert_eq!(definition.backoff, expected);
        assert_eq!(definition.priority, PriorityDefinition::Aging { interval_ms: 30_000 });
        assert_eq!(definition.consume_from, StartDefinition::Timestamp(1_795_348_800_250));
        let reset = ResetDefinition {
            id: "monday".to_owned(),
            topics: vec!["orders".to_owned()],
            to: StartDefinition::Timestamp(1_795_348_800_001),
        };
        assert_eq!(definition.reset, Some(reset));
    }

    #[test]
    fn a_group_with_nothing_special_has_a_short_manifest() {
        let plain = held::Group {
            broadcast: held::Broadcast::No,
            ordered: false,
            retry: held::Retry {
                max_attempts: 17,
                custom_ms: BACKOFF_DEFAULT_MS.to_vec(),
                ..held_group().retry
            },
            priority: held::Priority { policy: held::Policy::Strict, aging_interval_ms: 0 },
            trace: false,
            consume_from: held::Start::Earliest,
            consume_from_ms: 0,
            reset: None,
            ..held_group()
        };
        let made: ConsumerGroup =
            serde_json::from_value(group(&plain, &key("billing"), shop()).unwrap()).unwrap();
        assert_eq!((made.spec.retry, made.spec.priority), (Retry::default(), Priority::default()));
    }

    #[test]
    fn a_group_that_no_manifest_can_describe_is_refused_with_the_reason() {
        let retry = held::Retry { custom_ms: vec![1000; 65], ..held_group().retry };
        let refused = group(&held::Group { retry, ..held_group() }, &key("billing"), shop()).unwrap_err();
        assert!(refused.contains("spec.retry.backoff.custom"), "{refused}");
    }
}

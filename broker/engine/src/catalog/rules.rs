//! What names and numbers are allowed; each refusal names the value and the limit.

use std::borrow::Cow;

use super::{
    Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, Reset, TopicSpec, TopicType,
};

/// Dead letters of a consumer group go to the topic with this prefix and the group's name.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Levels of a topic of type PRIORITY, each with a queue of its own.
pub const PRIORITY_LEVELS: u32 = 10;

/// Messages of transactions that nobody decided end here.
pub const ABANDONED_TRANSACTIONS_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

const TOPIC_NAME_BYTES_MAX: usize = 127;
const GROUP_NAME_BYTES_MAX: usize = 120;
const BROKER_GROUP_NAME_BYTES_MAX: usize = 63;
const MEMBER_NAME_BYTES_MAX: usize = 255;
const QUEUES_MAX: u32 = 1024;
/// As many as a cluster has.
const TOPIC_GROUPS_MAX: usize = 32;
const ATTEMPTS_MAX: u32 = 1000;
const BACKOFF_STEPS_MAX: usize = 1000;
/// A message cannot be held longer than this by a client either.
const BACKOFF_MS_MAX: u64 = 12 * 60 * 60 * 1000;
const AGING_INTERVAL_MS_MAX: u64 = 24 * 60 * 60 * 1000;
const RESET_ID_BYTES_MAX: usize = 64;
const RESET_TOPICS_MAX: usize = 64;
const RESERVED_TOPICS: [&str; 10] = [
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    ABANDONED_TRANSACTIONS_TOPIC,
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
];
const RESERVED_TOPIC_PREFIXES: [&str; 2] = ["rmq_sys_", "RMQ_SYS_ROCKSDB_"];
const RESERVED_GROUPS: [&str; 1] = ["DEFAULT_CONSUMER"];
const RESERVED_GROUP_PREFIXES: [&str; 1] = ["CID_RMQ_SYS_"];

/// The topic as it can be had: the levels of one of type PRIORITY are not up to anybody.
pub(super) fn settled(spec: &TopicSpec) -> Cow<'_, TopicSpec> {
    if spec.topic_type == TopicType::Priority {
        Cow::Owned(TopicSpec { queues: PRIORITY_LEVELS, ..spec.clone() })
    } else {
        Cow::Borrowed(spec)
    }
}

/// Whether the name, the queues and the rest may be.
pub(super) fn check_topic(spec: &TopicSpec) -> Result<(), String> {
    check_name("topic", &spec.name, TOPIC_NAME_BYTES_MAX)?;
    check_reserved("topic", &spec.name, &RESERVED_TOPICS, &RESERVED_TOPIC_PREFIXES)?;
    if spec.queues == 0 || spec.queues > QUEUES_MAX {
        return Err(format!("queues is {}, allowed are 1 to {QUEUES_MAX}", spec.queues));
    }
    if spec.groups.len() > TOPIC_GROUPS_MAX {
        return Err(format!("groups has {} names, the limit is {TOPIC_GROUPS_MAX}", spec.groups.len()));
    }
    spec.groups.iter().try_for_each(|name| check_name("broker group", name, BROKER_GROUP_NAME_BYTES_MAX))
}

/// Whether the name and the policies may be.
pub(super) fn check_consumer_group(spec: &ConsumerGroupSpec) -> Result<(), String> {
    let bytes_max = match spec.broadcast {
        Broadcast::Member(_) => MEMBER_NAME_BYTES_MAX,
        Broadcast::No | Broadcast::ByHost | Broadcast::ByClient => GROUP_NAME_BYTES_MAX,
    };
    check_name("consumer group", &spec.name, bytes_max)?;
    check_reserved("consumer group", &spec.name, &RESERVED_GROUPS, &RESERVED_GROUP_PREFIXES)?;
    check_priority(spec.priority)?;
    check_start(spec.consume_from)?;
    spec.reset.as_ref().map_or(Ok(()), check_reset)?;
    let attempts = spec.retry.max_attempts;
    if attempts == 0 || attempts > ATTEMPTS_MAX {
        return Err(format!("max attempts is {attempts}, allowed are 1 to {ATTEMPTS_MAX}"));
    }
    match &spec.retry.backoff {
        Backoff::Custom(times_ms) => {
            if times_ms.is_empty() || times_ms.len() > BACKOFF_STEPS_MAX {
                let count = times_ms.len();
                return Err(format!("backoff has {count} times, allowed are 1 to {BACKOFF_STEPS_MAX}"));
            }
            times_ms.iter().try_for_each(|&ms| check_backoff_ms(ms))
        }
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
            check_backoff_ms(*max_ms)?;
            if initial_ms > max_ms {
                return Err(format!("backoff begins with {initial_ms} ms, over its maximum of {max_ms} ms"));
            }
            if *multiplier_permille < 1000 {
                return Err(format!(
                    "backoff multiplier is {multiplier_permille} permille, the least is 1000"
                ));
            }
            Ok(())
        }
    }
}

fn check_priority(policy: PriorityPolicy) -> Result<(), String> {
    match policy {
        PriorityPolicy::Aging { interval_ms } if !(1..=AGING_INTERVAL_MS_MAX).contains(&interval_ms) => {
            Err(format!("aging interval is {interval_ms} ms, allowed are 1 to {AGING_INTERVAL_MS_MAX} ms"))
        }
        PriorityPolicy::Strict | PriorityPolicy::Weighted | PriorityPolicy::Aging { .. } => Ok(()),
    }
}

fn check_start(from: ConsumeFrom) -> Result<(), String> {
    match from {
        ConsumeFrom::Time(0) => Err("a time to start at is missing, 0 is none".to_owned()),
        ConsumeFrom::Earliest | ConsumeFrom::Latest | ConsumeFrom::Time(_) => Ok(()),
    }
}

fn check_reset(reset: &Reset) -> Result<(), String> {
    let (bytes, topics) = (reset.id.len(), reset.topics.len());
    if !(1..=RESET_ID_BYTES_MAX).contains(&bytes) {
        return Err(format!("reset id has {bytes} bytes, allowed are 1 to {RESET_ID_BYTES_MAX}"));
    }
    if topics > RESET_TOPICS_MAX {
        return Err(format!("reset names {topics} topics, the limit is {RESET_TOPICS_MAX}"));
    }
    check_start(reset.to)
}

fn check_backoff_ms(ms: u64) -> Result<(), String> {
    if ms > BACKOFF_MS_MAX {
        return Err(format!("backoff of {ms} ms is over the limit of {BACKOFF_MS_MAX} ms"));
    }
    Ok(())
}

fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} name is empty"));
    }
    if name.len() > bytes_max {
        return Err(format!("{what} name has {} bytes, the limit is {bytes_max}", name.len()));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    match name.chars().find(|&c| !is_allowed(c)) {
        Some(c) => Err(format!("{what} name `{name}` has {c:?}, allowed are letters, digits and % | _ -")),
        None => Ok(()),
    }
}

fn check_reserved(what: &str, name: &str, names: &[&str], prefixes: &[&str]) -> Result<(), String> {
    if names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(format!("{what} name `{name}` is reserved"));
    }
    Ok(())
}

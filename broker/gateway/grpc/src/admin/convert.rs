//! Between the administration protocol and the engine's definitions.

use engine::catalog::{
    Adopt, ApplyOutcome, Backoff, Broadcast, ConsumeFrom, ConsumerGroup, ConsumerGroupSpec, PriorityPolicy,
    Reset, RetryPolicy, Topic, TopicSpec, TopicType,
};
use wire::admin::{self, Code};
use wire::validate;

/// Deliveries of a group that says nothing about retries: a first one and 16 more.
const ATTEMPTS: u32 = 17;
const INITIAL_MS: u64 = 5000;
const MAX_MS: u64 = 2 * 3600 * 1000;
const MULTIPLIER: f32 = 2.0;
const AGING_INTERVAL_MS: u64 = 10_000;

pub(super) fn topic_spec(topic: admin::Topic) -> Result<TopicSpec, String> {
    validate::topic_to_send(&topic.name).map_err(|violation| violation.to_string())?;
    let topic_type = match admin::TopicType::try_from(topic.r#type) {
        Ok(admin::TopicType::Unspecified | admin::TopicType::Normal) => TopicType::Normal,
        Ok(admin::TopicType::Fifo) => TopicType::Fifo,
        Ok(admin::TopicType::Delay) => TopicType::Delay,
        Ok(admin::TopicType::Transaction) => TopicType::Transaction,
        Ok(admin::TopicType::Mixed) => TopicType::Mixed,
        Ok(admin::TopicType::Priority) => TopicType::Priority,
        Err(_) => return Err(format!("topic type {} is not known, NORMAL is 1", topic.r#type)),
    };
    Ok(TopicSpec {
        name: topic.name,
        topic_type,
        queues: topic.queues,
        retention_ms: topic.retention_ms,
        groups: topic.groups,
        owner: topic.owner,
    })
}

pub(super) fn consumer_group_spec(group: admin::ConsumerGroup) -> Result<ConsumerGroupSpec, String> {
    validate::group(&group.name).map_err(|violation| violation.to_string())?;
    let consume_from = consume_from(group.consume_from, group.consume_from_ms)?;
    let reset = group.reset.map(reset).transpose()?;
    let broadcast = match admin::Broadcast::try_from(group.broadcast) {
        Ok(admin::Broadcast::No) => Broadcast::No,
        Ok(admin::Broadcast::ByHost) => Broadcast::ByHost,
        Ok(admin::Broadcast::ByClient) => Broadcast::ByClient,
        Err(_) => return Err(format!("broadcast {} is not known", group.broadcast)),
    };
    let priority = priority(group.priority, group.aging_interval_ms)?;
    let retry = retry(
        group.retry.unwrap_or_else(|| admin::RetryPolicy { max_attempts: ATTEMPTS, ..Default::default() }),
    )?;
    Ok(ConsumerGroupSpec {
        name: group.name,
        ordered: group.ordered,
        priority,
        retry,
        trace: group.trace,
        consume_from,
        reset,
        broadcast,
        owner: group.owner,
    })
}

fn reset(reset: admin::Reset) -> Result<Reset, String> {
    let to = consume_from(reset.to, reset.to_ms)?;
    Ok(Reset { id: reset.id, topics: reset.topics, to })
}

pub(super) fn consume_from(number: i32, ms: u64) -> Result<ConsumeFrom, String> {
    match (admin::ConsumeFrom::try_from(number), ms) {
        (Ok(admin::ConsumeFrom::Earliest), 0) => Ok(ConsumeFrom::Earliest),
        (Ok(admin::ConsumeFrom::Latest), 0) => Ok(ConsumeFrom::Latest),
        (Ok(admin::ConsumeFrom::Timestamp), ms) => Ok(ConsumeFrom::Time(ms)),
        (Ok(from @ (admin::ConsumeFrom::Earliest | admin::ConsumeFrom::Latest)), _) => {
            Err(format!("{} has no time, only TIMESTAMP has one", from.as_str_name()))
        }
        (Err(_), _) => Err(format!("consume from {number} is not known")),
    }
}

fn consume_from_numbers(from: ConsumeFrom) -> (i32, u64) {
    match from {
        ConsumeFrom::Earliest => (admin::ConsumeFrom::Earliest.into(), 0),
        ConsumeFrom::Latest => (admin::ConsumeFrom::Latest.into(), 0),
        ConsumeFrom::Time(ms) => (admin::ConsumeFrom::Timestamp.into(), ms),
    }
}

fn priority(policy: i32, aging_interval_ms: u64) -> Result<PriorityPolicy, String> {
    let policy = admin::PriorityPolicy::try_from(policy)
        .map_err(|_| format!("priority policy {policy} is not known, STRICT is 0"))?;
    match (policy, aging_interval_ms) {
        (admin::PriorityPolicy::Strict, 0) => Ok(PriorityPolicy::Strict),
        (admin::PriorityPolicy::Weighted, 0) => Ok(PriorityPolicy::Weighted),
        (admin::PriorityPolicy::Aging, 0) => Ok(PriorityPolicy::Aging { interval_ms: AGING_INTERVAL_MS }),
        (admin::PriorityPolicy::Aging, interval_ms) => Ok(PriorityPolicy::Aging { interval_ms }),
        (admin::PriorityPolicy::Strict | admin::PriorityPolicy::Weighted, _) => {
            Err(format!("priority policy {} has no aging interval, only AGING has one", policy.as_str_name()))
        }
    }
}

/// Numbers that are left out of an exponential backoff have defaults.
fn retry(policy: admin::RetryPolicy) -> Result<RetryPolicy, String> {
    let backoff = if policy.custom_ms.is_empty() {
        let given = |value: u64, default| if value == 0 { default } else { value };
        let multiplier = if policy.multiplier == 0.0 { MULTIPLIER } else { policy.multiplier };
        if !(1.0..=1000.0).contains(&multiplier) {
            return Err(format!("multiplier {multiplier} is outside of 1 to 1000"));
        }
        Backoff::Exponential {
            initial_ms: given(policy.initial_ms, INITIAL_MS),
            max_ms: given(policy.max_ms, MAX_MS),
            multiplier_permille: permille(multiplier),
        }
    } else {
        Backoff::Custom(policy.custom_ms)
    };
    Ok(RetryPolicy { max_attempts: policy.max_attempts, backoff })
}

#[expect(clippy::cast_sign_loss, reason = "the caller checked that it is 1 to 1000")]
fn permille(multiplier: f32) -> u32 {
    (multiplier * 1000.0).round() as u32
}

pub(super) fn topic(topic: &Topic) -> admin::Topic {
    let TopicSpec { name, topic_type, queues, retention_ms, groups, owner } = topic.spec.clone();
    let r#type = match topic_type {
        TopicType::Normal => admin::TopicType::Normal,
        TopicType::Fifo => admin::TopicType::Fifo,
        TopicType::Delay => admin::TopicType::Delay,
        TopicType::Transaction => admin::TopicType::Transaction,
        TopicType::Priority => admin::TopicType::Priority,
        TopicType::Mixed => admin::TopicType::Mixed,
    };
    admin::Topic { name, r#type: r#type.into(), queues, retention_ms, owner, groups }
}

pub(super) fn consumer_group(group: &ConsumerGroup) -> admin::ConsumerGroup {
    let ConsumerGroupSpec { name, ordered, priority, retry, trace, consume_from, reset, broadcast, owner } =
        group.spec.clone();
    let broadcast = match broadcast {
        Broadcast::No | Broadcast::Member(_) => admin::Broadcast::No,
        Broadcast::ByHost => admin::Broadcast::ByHost,
        Broadcast::ByClient => admin::Broadcast::ByClient,
    };
    let (consume_from, consume_from_ms) = consume_from_numbers(consume_from);
    let reset = reset.map(|Reset { id, topics, to }| {
        let (to, to_ms) = consume_from_numbers(to);
        admin::Reset { id, topics, to, to_ms }
    });
    let mut policy = admin::RetryPolicy { max_attempts: retry.max_attempts, ..Default::default() };
    match retry.backoff {
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
            policy.initial_ms = initial_ms;
            policy.max_ms = max_ms;
            policy.multiplier = multiplier_permille as f32 / 1000.0;
        }
        Backoff::Custom(times) => policy.custom_ms = times,
    }
    let (priority, aging_interval_ms) = match priority {
        PriorityPolicy::Strict => (admin::PriorityPolicy::Strict, 0),
        PriorityPolicy::Weighted => (admin::PriorityPolicy::Weighted, 0),
        PriorityPolicy::Aging { interval_ms } => (admin::PriorityPolicy::Aging, interval_ms),
    };
    admin::ConsumerGroup {
        name,
        retry: Some(policy),
        consume_from,
        consume_from_ms,
        reset,
        broadcast: broadcast.into(),
        owner,
        ordered,
        priority: priority.into(),
        aging_interval_ms,
        trace,
    }
}

pub(super) fn outcome(outcome: ApplyOutcome) -> (Code, String) {
    match outcome {
        ApplyOutcome::Created => (Code::Created, String::new()),
        ApplyOutcome::Changed => (Code::Changed, String::new()),
        ApplyOutcome::Unchanged => (Code::Unchanged, String::new()),
        ApplyOutcome::Deleted => (Code::Deleted, String::new()),
        ApplyOutcome::NotFound => (Code::NotFound, String::new()),
        ApplyOutcome::Invalid(why) => (Code::Invalid, why),
        ApplyOutcome::InvalidChange(why) => (Code::InvalidChange, why),
        ApplyOutcome::Conflict(why) => (Code::Conflict, why),
        ApplyOutcome::Pending(why) => (Code::Unavailable, why),
    }
}

pub(super) fn adopt(number: i32) -> Option<Adopt> {
    Some(match admin::Adopt::try_from(number).ok()? {
        admin::Adopt::IfCompatible => Adopt::IfCompatible,
        admin::Adopt::Always => Adopt::Always,
        admin::Adopt::Never => Adopt::Never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_retry_policy_gets_the_usual_one() {
        let spec =
            consumer_group_spec(admin::ConsumerGroup { name: "g".into(), ..Default::default() }).unwrap();
        let backoff = Backoff::Exponential { initial_ms: 5000, max_ms: 7_200_000, multiplier_permille: 2000 };
        assert_eq!(spec.retry, RetryPolicy { max_attempts: 17, backoff });
    }

    #[test]
    fn a_multiplier_that_does_not_grow_is_refused() {
        for multiplier in [-1.0, 0.5, f32::NAN, f32::INFINITY] {
            let policy = admin::RetryPolicy { max_attempts: 1, multiplier, ..Default::default() };
            assert!(retry(policy).is_err(), "{multiplier}");
        }
    }
}

//! Settings: what the broker tells a client to do, merged into what the client says it does.
//!
//! | field | value |
//! |---|---|
//! | `publishing.max_body_size`, `validate_message_type` | the broker's limit, true |
//! | `backoff_policy` of a producer | 3 attempts; 10 ms doubling up to 1 s |
//! | `subscription.fifo` | whether the group reads in order: the only word a client gets about it |
//! | `subscription.receive_batch_size`, `long_polling_timeout` | 32, 20 s |
//! | `subscription.lite_subscription_quota`, `max_lite_topic_size` | 2000, 64: one SDK waits until they are not 0 |
//! | `backoff_policy` of a consumer | the group's |
//! | metric | off, and said so: one SDK release waits for it |
//!
//! Everything else comes back as sent, fields we do not use included: one SDK takes its own namespace from the reply.

use engine::catalog::{Backoff, ConsumerGroupSpec, RetryPolicy};
use prost_types::Duration;
use wire::v2::{self, retry_policy::Strategy, settings::PubSub};

/// Messages that one receive hands out at most.
pub(crate) const RECEIVE_BATCH_MAX: u16 = 32;
/// Longest wait of a receive for messages.
pub(crate) const LONG_POLLING_MS_MAX: u64 = 20_000;
const PRODUCER_ATTEMPTS: i32 = 3;
const LITE_SUBSCRIPTIONS_MAX: i32 = 2000;
const LITE_TOPIC_BYTES_MAX: i32 = 64;

/// The reply to a producer's settings.
pub(crate) fn for_producer(mut settings: v2::Settings, body_bytes_max: usize) -> v2::Settings {
    if let Some(PubSub::Publishing(publishing)) = &mut settings.pub_sub {
        publishing.max_body_size = i32::try_from(body_bytes_max).unwrap_or(i32::MAX);
        publishing.validate_message_type = true;
    }
    let backoff =
        v2::ExponentialBackoff { initial: Some(duration(10)), max: Some(duration(1000)), multiplier: 2.0 };
    settings.backoff_policy = Some(v2::RetryPolicy {
        max_attempts: PRODUCER_ATTEMPTS,
        strategy: Some(Strategy::ExponentialBackoff(backoff)),
    });
    settings.metric = Some(v2::Metric { on: false, endpoints: None });
    settings
}

/// The reply to a consumer's settings.
pub(crate) fn for_consumer(mut settings: v2::Settings, group: &ConsumerGroupSpec) -> v2::Settings {
    if let Some(PubSub::Subscription(subscription)) = &mut settings.pub_sub {
        subscription.fifo = Some(group.ordered);
        subscription.receive_batch_size = Some(RECEIVE_BATCH_MAX.into());
        subscription.long_polling_timeout = Some(duration(LONG_POLLING_MS_MAX));
        subscription.lite_subscription_quota = Some(LITE_SUBSCRIPTIONS_MAX);
        subscription.max_lite_topic_size = Some(LITE_TOPIC_BYTES_MAX);
    }
    settings.backoff_policy = Some(policy(&group.retry));
    settings.metric = Some(v2::Metric { on: false, endpoints: None });
    settings
}

/// Milliseconds of a duration that a client sent; negative ones are told as such.
pub(crate) fn millis(duration: &Duration) -> i64 {
    duration.seconds.saturating_mul(1000).saturating_add(i64::from(duration.nanos / 1_000_000))
}

pub(crate) fn duration(ms: u64) -> Duration {
    Duration { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 }
}

fn policy(retry: &RetryPolicy) -> v2::RetryPolicy {
    let strategy = match &retry.backoff {
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
            Strategy::ExponentialBackoff(v2::ExponentialBackoff {
                initial: Some(duration(*initial_ms)),
                max: Some(duration(*max_ms)),
                multiplier: *multiplier_permille as f32 / 1000.0,
            })
        }
        Backoff::Custom(times) => Strategy::CustomizedBackoff(v2::CustomizedBackoff {
            next: times.iter().copied().map(duration).collect(),
        }),
    };
    v2::RetryPolicy {
        max_attempts: i32::try_from(retry.max_attempts).unwrap_or(i32::MAX),
        strategy: Some(strategy),
    }
}

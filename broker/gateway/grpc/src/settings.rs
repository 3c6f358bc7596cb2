//! Settings: what the broker tells a client to do, merged into what the client says it does.
//!
//! | field | value |
//! |---|---|
//! | `publishing.max_body_size`, `validate_message_type` | the broker's limit, true |
//! | `backoff_policy` of a producer | 3 attempts; 10 ms doubling up to 1 s |
//! | `subscription.fifo` | whether the group reads in order: the only word a client gets about it |
//! | `subscription.receive_batch_size`, `long_polling_timeout` | 32, 20 s |
//! | `subscription.lite_subscription_quota`, `max_lite_topic_size` | 2000, 64: one SDK waits until they are not 0 |
//! | `backoff_policy` of a consumer | the group's, in the form that the client's SDK understands |
//! | metric | off, and said so: one SDK release waits for it |
//!
//! The Node SDK (1.0.8) knows only growing waiting times of whole seconds and takes a list for none at all, the Python SDK (5.1.2) in its push
//! consumer only lists: each is told the nearest that it understands.
//!
//! Everything else comes back as sent, fields we do not use included: one SDK takes its own namespace from the reply.

use engine::catalog::{Backoff, ConsumerGroupSpec, RetryPolicy};
use prost_types::{Duration, Timestamp};
use wire::v2::{self, Language, retry_policy::Strategy, settings::PubSub};

/// Messages that one receive hands out at most.
pub(crate) const RECEIVE_BATCH_MAX: u16 = 32;
/// Longest wait of a receive for messages.
pub(crate) const LONG_POLLING_MS_MAX: u64 = 20_000;
/// A reply that waited leaves this long before the client's deadline.
pub(crate) const RESERVE_MS: u64 = 500;
const PRODUCER_ATTEMPTS: i32 = 3;
/// Times of a list that was made from growing ones.
const LISTED_MAX: usize = 64;
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
    // The header is no help: Node calls itself HTTP there.
    let language = settings.user_agent.as_ref().map_or(Language::Unspecified, v2::Ua::language);
    if let Some(PubSub::Subscription(subscription)) = &mut settings.pub_sub {
        subscription.fifo = Some(group.ordered);
        subscription.receive_batch_size = Some(RECEIVE_BATCH_MAX.into());
        subscription.long_polling_timeout = Some(duration(LONG_POLLING_MS_MAX));
        subscription.lite_subscription_quota = Some(LITE_SUBSCRIPTIONS_MAX);
        subscription.max_lite_topic_size = Some(LITE_TOPIC_BYTES_MAX);
    }
    settings.backoff_policy = Some(policy(&understood(&group.retry, language)));
    settings.metric = Some(v2::Metric { on: false, endpoints: None });
    settings
}

/// Milliseconds of a duration that a client sent; negative ones are told as such.
pub(crate) fn millis(duration: &Duration) -> i64 {
    duration.seconds.saturating_mul(1000).saturating_add(i64::from(duration.nanos / 1_000_000))
}

/// Milliseconds since 1970 of a time that a client sent; negative ones are told as such.
pub(crate) fn unix_ms(time: &Timestamp) -> i64 {
    millis(&Duration { seconds: time.seconds, nanos: time.nanos })
}

pub(crate) fn duration(ms: u64) -> Duration {
    Duration { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 }
}

/// The group's retries in a form that clients of this language understand.
fn understood(retry: &RetryPolicy, language: Language) -> RetryPolicy {
    let backoff = if language == Language::NodeJs {
        growing(&retry.backoff)
    } else if let Backoff::Exponential { initial_ms, max_ms, multiplier_permille } = &retry.backoff
        && language == Language::Python
    {
        listed(*initial_ms, *max_ms, *multiplier_permille)
    } else {
        retry.backoff.clone()
    };
    RetryPolicy { backoff, ..retry.clone() }
}

/// Of a list from its first time to its longest, doubling; in whole seconds, because the rest would be cut off.
fn growing(backoff: &Backoff) -> Backoff {
    let seconds = |ms: u64| ms.div_ceil(1000).saturating_mul(1000);
    let (initial_ms, max_ms, multiplier_permille) = match backoff {
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille } => {
            (*initial_ms, *max_ms, *multiplier_permille)
        }
        Backoff::Custom(times_ms) => {
            let initial_ms = times_ms.first().copied().unwrap_or_default();
            (initial_ms, times_ms.iter().copied().fold(initial_ms, u64::max), 2000)
        }
    };
    Backoff::Exponential { initial_ms: seconds(initial_ms), max_ms: seconds(max_ms), multiplier_permille }
}

/// Growing times up to the longest, which repeats.
fn listed(initial_ms: u64, max_ms: u64, multiplier_permille: u32) -> Backoff {
    let mut times_ms = vec![initial_ms.min(max_ms)];
    while times_ms.len() < LISTED_MAX && times_ms[times_ms.len() - 1] < max_ms {
        let next = times_ms[times_ms.len() - 1].saturating_mul(u64::from(multiplier_permille)) / 1000;
        // A factor of 1 never gets there.
        if next <= times_ms[times_ms.len() - 1] {
            break;
        }
        times_ms.push(next.min(max_ms));
    }
    Backoff::Custom(times_ms)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(initial_ms: u64, max_ms: u64, multiplier_permille: u32) -> Backoff {
        Backoff::Exponential { initial_ms, max_ms, multiplier_permille }
    }

    fn told(backoff: &Backoff, language: Language) -> Backoff {
        let retry = RetryPolicy { max_attempts: 5, backoff: backoff.clone() };
        understood(&retry, language).backoff
    }

    #[test]
    fn most_languages_are_told_the_groups_own_form() {
        for backoff in [exponential(1000, 60_000, 2000), Backoff::Custom(vec![10, 20])] {
            for language in [Language::Java, Language::Golang, Language::Rust, Language::Unspecified] {
                assert_eq!(told(&backoff, language), backoff, "{language:?}");
            }
        }
        assert_eq!(told(&Backoff::Custom(vec![1, 2]), Language::Python), Backoff::Custom(vec![1, 2]));
    }

    #[test]
    fn node_is_told_growing_times_instead_of_a_list() {
        let node = |backoff| told(&backoff, Language::NodeJs);
        assert_eq!(node(Backoff::Custom(vec![1000, 3000, 6000])), exponential(1000, 6000, 2000));
        assert_eq!(node(Backoff::Custom(vec![3000, 100])), exponential(3000, 3000, 2000));
        assert_eq!(node(exponential(500, 1500, 1500)), exponential(1000, 2000, 1500), "whole seconds");
    }

    #[test]
    fn python_is_told_a_list_instead_of_growing_times() {
        let listed = |times: &[u64]| Backoff::Custom(times.to_vec());
        assert_eq!(told(&exponential(1000, 5000, 2000), Language::Python), listed(&[1000, 2000, 4000, 5000]));
        assert_eq!(told(&exponential(1000, 5000, 1000), Language::Python), listed(&[1000]));
        assert_eq!(told(&exponential(0, 5000, 2000), Language::Python), listed(&[0]));
        let Backoff::Custom(times) = told(&exponential(1000, u64::MAX, 1001), Language::Python) else {
            panic!()
        };
        assert_eq!(times.len(), LISTED_MAX);
    }
}

//! What a server tells a consumer to do.
//!
//! Promise: a server that leaves something out, or says what cannot be done, gets the protocol's usual values.

use std::time::Duration;

use wire::v2;
use wire::v2::retry_policy::Strategy;
use wire::v2::settings::PubSub;

const BATCH: usize = 32;
const WAIT: Duration = Duration::from_secs(20);
const WAIT_MAX: Duration = Duration::from_mins(1);
const ATTEMPTS_MAX: i32 = 17;
const BACKOFF: Duration = Duration::from_secs(1);
/// Longest time that the protocol hides a message.
const HIDDEN_MAX: Duration = Duration::from_hours(12);

/// How to consume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guidance {
    /// Whether the messages of a message group are handled one after the other.
    pub(crate) is_fifo: bool,
    /// Messages of one receive.
    pub(crate) batch: usize,
    /// How long a receive waits for the first message.
    pub(crate) wait: Duration,
    /// Deliveries of a message, the first included.
    pub(crate) attempts_max: i32,
    backoff: Backoff,
}

#[derive(Debug, Clone, PartialEq)]
enum Backoff {
    Listed(Vec<Duration>),
    Growing { initial: Duration, max: Duration, factor: f64 },
}

impl Default for Guidance {
    fn default() -> Self {
        Self {
            is_fifo: false,
            batch: BATCH,
            wait: WAIT,
            attempts_max: ATTEMPTS_MAX,
            backoff: Backoff::Listed(vec![BACKOFF]),
        }
    }
}

impl Guidance {
    pub(crate) fn from_proto(settings: &v2::Settings) -> Self {
        let mut guidance = Self::default();
        if let Some(PubSub::Subscription(subscription)) = &settings.pub_sub {
            guidance.is_fifo = subscription.fifo.unwrap_or_default();
            let batch = subscription.receive_batch_size.and_then(|size| usize::try_from(size).ok());
            guidance.batch = batch.filter(|&size| size > 0).unwrap_or(BATCH);
            let wait = subscription.long_polling_timeout.as_ref().map(time);
            // Without a wait a consumer would ask in a tight loop.
            guidance.wait = wait.filter(|wait| !wait.is_zero()).unwrap_or(WAIT).min(WAIT_MAX);
        }
        if let Some(policy) = &settings.backoff_policy {
            guidance.attempts_max = if policy.max_attempts > 0 { policy.max_attempts } else { ATTEMPTS_MAX };
            guidance.backoff = policy.strategy.as_ref().map_or(guidance.backoff, Backoff::from_proto);
        }
        guidance
    }

    /// How long a message rests after its `attempt`-th delivery has failed.
    pub(crate) fn rest_after(&self, attempt: i32) -> Duration {
        let failed = usize::try_from(attempt).unwrap_or(0).saturating_sub(1);
        let rest = match &self.backoff {
            Backoff::Listed(times) => times.get(failed).or_else(|| times.last()).copied().unwrap_or(BACKOFF),
            Backoff::Growing { initial, max, factor } => {
                let exponent = i32::try_from(failed).unwrap_or(i32::MAX);
                let seconds = initial.as_secs_f64() * factor.powi(exponent);
                Duration::try_from_secs_f64(seconds).map_or(*max, |time| time.min(*max))
            }
        };
        rest.min(HIDDEN_MAX)
    }
}

impl Backoff {
    fn from_proto(strategy: &Strategy) -> Self {
        match strategy {
            Strategy::CustomizedBackoff(listed) => Self::Listed(listed.next.iter().map(time).collect()),
            Strategy::ExponentialBackoff(growing) => Self::Growing {
                initial: growing.initial.as_ref().map_or(BACKOFF, time),
                max: growing.max.as_ref().map_or(HIDDEN_MAX, time),
                factor: f64::from(growing.multiplier).max(1.0),
            },
        }
    }
}

fn time(duration: &prost_types::Duration) -> Duration {
    Duration::try_from(*duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::duration;

    fn told(fifo: bool, batch: i32, wait: Duration, policy: Option<v2::RetryPolicy>) -> Guidance {
        let subscription = v2::Subscription {
            fifo: Some(fifo),
            receive_batch_size: Some(batch),
            long_polling_timeout: Some(duration(wait)),
            ..Default::default()
        };
        Guidance::from_proto(&v2::Settings {
            pub_sub: Some(PubSub::Subscription(subscription)),
            backoff_policy: policy,
            ..Default::default()
        })
    }

    fn policy(max_attempts: i32, strategy: Strategy) -> v2::RetryPolicy {
        v2::RetryPolicy { max_attempts, strategy: Some(strategy) }
    }

    #[test]
    fn a_list_of_waits_repeats_its_last_one() {
        let next = [1, 5].map(|seconds| duration(Duration::from_secs(seconds))).to_vec();
        let listed = Strategy::CustomizedBackoff(v2::CustomizedBackoff { next });
        let guidance = told(true, 8, Duration::from_secs(9), Some(policy(3, listed)));
        assert!(guidance.is_fifo);
        assert_eq!((guidance.batch, guidance.wait, guidance.attempts_max), (8, Duration::from_secs(9), 3));
        assert_eq!([1, 2, 3, 99].map(|attempt| guidance.rest_after(attempt).as_secs()), [1, 5, 5, 5]);
    }

    #[test]
    fn growing_waits_end_at_their_longest() {
        let growing = Strategy::ExponentialBackoff(v2::ExponentialBackoff {
            initial: Some(duration(Duration::from_millis(500))),
            max: Some(duration(Duration::from_secs(3))),
            multiplier: 2.0,
        });
        let guidance = told(false, 32, Duration::from_secs(20), Some(policy(5, growing)));
        let waits = [0, 1, 2, 3, 4, i32::MAX].map(|attempt| guidance.rest_after(attempt).as_millis());
        assert_eq!(waits, [500, 500, 1000, 2000, 3000, 3000]);
    }

    #[test]
    fn what_cannot_be_done_is_the_usual() {
        let nothing = Strategy::CustomizedBackoff(v2::CustomizedBackoff::default());
        let guidance = told(false, 0, Duration::ZERO, Some(policy(0, nothing)));
        assert_eq!((guidance.batch, guidance.wait, guidance.attempts_max), (BATCH, WAIT, ATTEMPTS_MAX));
        assert_eq!(guidance.rest_after(1), BACKOFF);
    }
}

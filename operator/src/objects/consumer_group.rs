//! Consumer groups, as the reconciler needs them.

use std::collections::BTreeSet;

use client::Endpoint;
use client::admin::{
    Broadcast, ConsumeFrom, ConsumerGroup as Wire, Outcome, PriorityPolicy, Reset, RetryPolicy,
};
use crds::consumer_group::{ConsumerGroup, ConsumerGroupStatus, Delivery, Lag};
use crds::definition::{
    BackoffDefinition, ConsumerGroupDefinition, DefinitionError, PriorityDefinition, ResetDefinition,
    StartDefinition,
};
use serde_json::Value;

use super::kind::{Common, Findings, Kind, Known, Progress};
use crate::admin::{BrokerAdmin, BrokerError};

/// Consumer groups.
pub struct ConsumerGroups;

impl Kind for ConsumerGroups {
    type Object = ConsumerGroup;
    type Wire = Wire;
    const NOUN: &'static str = "consumer group";

    fn common(object: &ConsumerGroup) -> Common<'_> {
        let spec = &object.spec;
        Common {
            cluster: &spec.cluster_ref,
            deletion: spec.deletion_policy,
            adoption: spec.adoption_policy,
            management: spec.management,
        }
    }

    fn known(object: &ConsumerGroup) -> Known<'_> {
        object.status.as_ref().map_or_else(Known::default, |status| Known {
            state: Some(status.state),
            generation: status.observed_generation,
            conditions: &status.conditions,
        })
    }

    fn client_name(object: &ConsumerGroup) -> String {
        object.client_name()
    }

    fn wanted(object: &ConsumerGroup, owner: &str) -> Result<Wire, DefinitionError> {
        let definition = object.definition()?;
        let (consume_from, consume_from_ms) = start(definition.consume_from);
        let reset = definition.reset.clone().map(|ResetDefinition { id, topics, to }| {
            let (to, to_ms) = start(to);
            Reset { id, topics, to, to_ms }
        });
        let (priority, aging_interval_ms) = match definition.priority {
            PriorityDefinition::Strict => (PriorityPolicy::Strict, 0),
            PriorityDefinition::Weighted => (PriorityPolicy::Weighted, 0),
            PriorityDefinition::Aging { interval_ms } => (PriorityPolicy::Aging, interval_ms),
        };
        Ok(Wire {
            retry: Some(retry(&definition)),
            name: definition.name,
            consume_from,
            consume_from_ms,
            reset,
            broadcast: broadcast(definition.delivery).into(),
            owner: owner.to_owned(),
            ordered: definition.ordered,
            priority: priority.into(),
            aging_interval_ms,
            trace: definition.trace,
        })
    }

    fn status(object: &ConsumerGroup, findings: Findings<'_, Wire>) -> Option<Value> {
        let old = object.status.clone().unwrap_or_default();
        let lag = findings.progress.map(|progress| Lag {
            messages: progress.messages,
            in_flight: progress.in_flight,
            topics: progress.topics,
        });
        let status = ConsumerGroupStatus {
            observed_generation: object.metadata.generation,
            state: findings.verdict.state,
            name: Some(object.client_name()),
            clients: findings.progress.map(|progress| progress.clients).or(old.clients),
            reset_id: reset_id(&findings.held).or(old.reset_id),
            lag: lag.or(old.lag),
            conditions: findings.conditions,
        };
        if object.status.as_ref() == Some(&status) {
            return None;
        }
        serde_json::to_value(status).ok()
    }

    fn name(wire: &Wire) -> &str {
        &wire.name
    }

    fn owner(wire: &Wire) -> &str {
        &wire.owner
    }

    fn differences(held: &Wire, wanted: &Wire) -> Vec<String> {
        let mut all = Vec::new();
        let (old, new) = (held.retry.clone().unwrap_or_default(), wanted.retry.clone().unwrap_or_default());
        if old.max_attempts != new.max_attempts {
            all.push(format!("retry.maxAttempts {} instead of {}", old.max_attempts, new.max_attempts));
        }
        if backoff(&old) != backoff(&new) {
            all.push(format!("retry.backoff {} instead of {}", backoff(&old), backoff(&new)));
        }
        if held.ordered != wanted.ordered {
            all.push(format!("ordered {} instead of {}", held.ordered, wanted.ordered));
        }
        if priority(held) != priority(wanted) {
            all.push(format!("priority {} instead of {}", priority(held), priority(wanted)));
        }
        if held.trace != wanted.trace {
            all.push(format!("trace {} instead of {}", held.trace, wanted.trace));
        }
        if (held.consume_from, held.consume_from_ms) != (wanted.consume_from, wanted.consume_from_ms) {
            all.push("consumeFrom is another".to_owned());
        }
        if held.broadcast != wanted.broadcast {
            all.push(format!("delivery {:?} instead of {:?}", held.broadcast(), wanted.broadcast()));
        }
        if held.reset != wanted.reset {
            all.push("reset is another".to_owned());
        }
        all
    }

    fn impossible(_: &Wire, _: &Wire) -> Option<String> {
        None
    }

    async fn list<A: BrokerAdmin>(admin: &A, at: &Endpoint) -> Result<Vec<Wire>, BrokerError> {
        admin.consumer_groups(at).await
    }

    async fn apply<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        wanted: Vec<Wire>,
    ) -> Result<Vec<Outcome>, BrokerError> {
        admin.apply_consumer_groups(at, wanted).await
    }

    async fn delete<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        name: &str,
        owner: &str,
    ) -> Result<Vec<Outcome>, BrokerError> {
        admin.delete_consumer_group(at, name, owner).await
    }

    async fn progress<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        name: &str,
    ) -> Result<Option<Progress>, BrokerError> {
        let answer = admin.consumer_group(at, name).await?;
        let topics: BTreeSet<&str> = answer.progress.iter().map(|queue| queue.topic.as_str()).collect();
        let sum = |part: fn(&client::admin::GroupProgress) -> u64| {
            answer.progress.iter().map(|queue| i64::try_from(part(queue)).unwrap_or(i64::MAX)).sum()
        };
        Ok(Some(Progress {
            messages: sum(|queue| queue.lag),
            in_flight: sum(|queue| queue.in_flight),
            topics: i64::try_from(topics.len()).unwrap_or(i64::MAX),
            clients: i64::try_from(answer.clients.len()).unwrap_or(i64::MAX),
        }))
    }
}

/// The reset that all broker groups have done.
fn reset_id(held: &[Wire]) -> Option<String> {
    let mut ids = held.iter().map(|group| group.reset.as_ref().map(|reset| &reset.id));
    let first = ids.next()??;
    ids.all(|id| id == Some(first)).then(|| first.clone())
}

fn broadcast(delivery: Delivery) -> Broadcast {
    match delivery {
        Delivery::Shared => Broadcast::No,
        Delivery::BroadcastByHost => Broadcast::ByHost,
        Delivery::BroadcastByClient => Broadcast::ByClient,
    }
}

fn start(from: StartDefinition) -> (i32, u64) {
    match from {
        StartDefinition::Earliest => (ConsumeFrom::Earliest.into(), 0),
        StartDefinition::Latest => (ConsumeFrom::Latest.into(), 0),
        StartDefinition::Timestamp(ms) => (ConsumeFrom::Timestamp.into(), ms),
    }
}

fn retry(definition: &ConsumerGroupDefinition) -> RetryPolicy {
    let max_attempts = definition.max_attempts;
    match &definition.backoff {
        BackoffDefinition::Custom(times) => {
            RetryPolicy { max_attempts, custom_ms: times.clone(), ..RetryPolicy::default() }
        }
        BackoffDefinition::Exponential { initial_ms, max_ms, multiplier } => RetryPolicy {
            max_attempts,
            custom_ms: Vec::new(),
            initial_ms: *initial_ms,
            max_ms: *max_ms,
            multiplier: *multiplier as f32,
        },
    }
}

fn priority(group: &Wire) -> String {
    match group.priority() {
        PriorityPolicy::Aging => format!("Aging by {} ms", group.aging_interval_ms),
        other @ (PriorityPolicy::Strict | PriorityPolicy::Weighted) => other.as_str_name().to_owned(),
    }
}

/// As text, because fields that do not apply may hold anything, and two floats may differ in what nobody wrote.
fn backoff(retry: &RetryPolicy) -> String {
    if retry.custom_ms.is_empty() {
        format!("{} ms to {} ms by {:.3}", retry.initial_ms, retry.max_ms, retry.multiplier)
    } else {
        format!("{:?} ms", retry.custom_ms)
    }
}

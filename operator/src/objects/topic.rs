//! Topics, as the reconciler needs them.

use client::Endpoint;
use client::admin::{Outcome, Topic as Wire, TopicType};
use crds::definition::DefinitionError;
use crds::names;
use crds::topic::{QueuePlacement, Topic, TopicStatus};
use serde_json::Value;

use super::kind::{Common, Findings, Kind, Known, Progress};
use crate::admin::{BrokerAdmin, BrokerError};

/// Topics.
pub struct Topics;

impl Kind for Topics {
    type Object = Topic;
    type Wire = Wire;
    const NOUN: &'static str = "topic";

    fn common(object: &Topic) -> Common<'_> {
        let spec = &object.spec;
        Common {
            cluster: &spec.cluster_ref,
            deletion: spec.deletion_policy,
            adoption: spec.adoption_policy,
            management: spec.management,
        }
    }

    fn known(object: &Topic) -> Known<'_> {
        object.status.as_ref().map_or_else(Known::default, |status| Known {
            state: Some(status.state),
            generation: status.observed_generation,
            conditions: &status.conditions,
        })
    }

    fn client_name(object: &Topic) -> String {
        object.client_name()
    }

    fn wanted(object: &Topic, owner: &str) -> Result<Wire, DefinitionError> {
        let definition = object.definition()?;
        Ok(Wire {
            name: definition.name,
            r#type: type_of(definition.topic_type).into(),
            queues: definition.queues,
            retention_ms: definition.retention_ms,
            owner: owner.to_owned(),
            groups: Vec::new(),
        })
    }

    /// A topic that stays goes on where it was placed; one that has no place yet stays where it is, or is placed in all groups
    /// that are not about to leave.
    fn place(object: &Topic, wanted: &mut Wire, held: &[Option<&Wire>], staying: &[u32]) {
        if object.spec.placement() == QueuePlacement::Spread {
            return;
        }
        let placed = held.iter().flatten().find(|held| !held.groups.is_empty());
        wanted.groups = placed.map_or_else(
            || {
                let holds = |group: &u32| held.get(*group as usize).is_some_and(Option::is_some);
                let is_new = held.iter().all(Option::is_none);
                let all = 0..u32::try_from(held.len()).unwrap_or(u32::MAX);
                let homes = all.filter(|group| if is_new { staying.contains(group) } else { holds(group) });
                homes.map(names::group_name).collect()
            },
            |placed| placed.groups.clone(),
        );
    }

    fn status(object: &Topic, findings: Findings<'_, Wire>) -> Option<Value> {
        let old = object.status.clone().unwrap_or_default();
        let known = !findings.held.is_empty();
        let in_groups =
            |topic: &Wire| if topic.groups.is_empty() { findings.held.len() } else { topic.groups.len() };
        let groups = findings.held.first().map_or(0, in_groups);
        let queues = findings.held.iter().take(groups).map(|topic| i64::from(topic.queues)).sum();
        let status = TopicStatus {
            observed_generation: object.metadata.generation,
            state: findings.verdict.state,
            name: Some(object.client_name()),
            queues: if known { Some(queues) } else { old.queues },
            groups: if known { i32::try_from(groups).ok() } else { old.groups },
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

    fn is_placed(held: &Wire, wanted: &Wire) -> bool {
        held.groups == wanted.groups
    }

    fn differences(held: &Wire, wanted: &Wire) -> Vec<String> {
        let mut all = Vec::new();
        if held.r#type != wanted.r#type {
            all.push(format!("type {} instead of {}", type_word(held), type_word(wanted)));
        }
        if asks_for_queues(wanted) && held.queues != wanted.queues {
            all.push(format!("queues.perGroup {} instead of {}", held.queues, wanted.queues));
        }
        if held.retention_ms != wanted.retention_ms {
            all.push(format!("retention {} ms instead of {} ms", held.retention_ms, wanted.retention_ms));
        }
        all
    }

    fn impossible(held: &Wire, wanted: &Wire) -> Option<String> {
        if held.r#type != wanted.r#type {
            return Some(format!(
                "the topic is of type {} and cannot become {}; set type to {}, or create another Topic",
                type_word(held),
                type_word(wanted),
                type_word(held)
            ));
        }
        (asks_for_queues(wanted) && held.queues > wanted.queues).then(|| {
            format!(
                "the topic has {} queues per group and cannot have {}: queues never go away, because messages are in \
                 them; set queues.perGroup to {} or more",
                held.queues, wanted.queues, held.queues
            )
        })
    }

    async fn list<A: BrokerAdmin>(admin: &A, at: &Endpoint) -> Result<Vec<Wire>, BrokerError> {
        admin.topics(at).await
    }

    async fn apply<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        wanted: Vec<Wire>,
    ) -> Result<Vec<Outcome>, BrokerError> {
        admin.apply_topics(at, wanted).await
    }

    async fn delete<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        name: &str,
        owner: &str,
    ) -> Result<Vec<Outcome>, BrokerError> {
        admin.delete_topic(at, name, owner).await
    }

    async fn progress<A: BrokerAdmin>(_: &A, _: &Endpoint, _: &str) -> Result<Option<Progress>, BrokerError> {
        Ok(None)
    }
}

/// Whether the number of queues is up to the manifest; the broker gives a topic of type PRIORITY one per level.
fn asks_for_queues(wanted: &Wire) -> bool {
    wanted.r#type() != TopicType::Priority
}

fn type_of(topic_type: crds::topic::TopicType) -> TopicType {
    match topic_type {
        crds::topic::TopicType::Normal => TopicType::Normal,
        crds::topic::TopicType::Fifo => TopicType::Fifo,
        crds::topic::TopicType::Delay => TopicType::Delay,
        crds::topic::TopicType::Transaction => TopicType::Transaction,
        crds::topic::TopicType::Mixed => TopicType::Mixed,
        crds::topic::TopicType::Priority => TopicType::Priority,
    }
}

fn type_word(wire: &Wire) -> &'static str {
    match TopicType::try_from(wire.r#type) {
        Ok(kind) => kind.as_str_name(),
        Err(_) => "unknown",
    }
}

//! Topics and consumer groups from a folder of YAML files, for a broker without Kubernetes.
//!
//! ```text
//!   folder --every second, if it changed--> crds::manifests --> Group::apply_* --> log
//! ```
//!
//! Promise: what the files say is applied once at start, before clients are served, and again after each change.
//! An object that left the folder stays, as `deletionPolicy: Retain` does in Kubernetes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crds::consumer_group::Delivery;
use crds::definition::{
    BackoffDefinition, ConsumerGroupDefinition, PriorityDefinition, ResetDefinition, StartDefinition,
    TopicDefinition,
};
use crds::manifests::read_folder;
use crds::topic::TopicType;
use engine::catalog::{
    self, Adopt, ApplyOutcome, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, Reset,
    RetryPolicy, TopicSpec,
};
use engine::inbox::{SubmitError, Ticket};
use engine::mailbox::Mailbox;
use gateway_grpc::leader::{Leadership, Place};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Who owns what a folder declares.
const OWNER: &str = "folder";
/// How often the folder is looked at; works on every file system and for mounted `ConfigMap`s.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A folder that declares objects.
pub(crate) struct Folder {
    path: PathBuf,
    leadership: Arc<Leadership>,
    mailbox: Arc<Mailbox>,
    seen: Vec<(PathBuf, Option<SystemTime>, u64)>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf, leadership: Arc<Leadership>, mailbox: Arc<Mailbox>) -> Self {
        Self { path, leadership, mailbox, seen: Vec::new() }
    }

    /// Applies changes until `stop`.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                _ = looks.tick() => self.apply_if_changed().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Applies what the folder says, unless it says the same as last time; a broker that does not lead leaves it to the one
    /// that does, and looks again when it leads.
    pub(crate) async fn apply_if_changed(&mut self) {
        let Place::Here(group) = self.leadership.get() else { return self.seen.clear() };
        let seen = fingerprint(&self.path);
        if seen == self.seen && !seen.is_empty() {
            return;
        }
        self.seen = seen;
        let (found, errors) = read_folder(&self.path);
        for error in errors {
            error!(%error, "manifest not applied");
        }
        let topics: Vec<TopicSpec> =
            found.topics.into_iter().map(|topic| topic_spec(topic.definition)).collect();
        let consumer_groups: Vec<ConsumerGroupSpec> =
            found.consumer_groups.into_iter().map(|group| consumer_group_spec(group.definition)).collect();
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        let applied = group.apply_topics(&topics, Adopt::Always, &self.mailbox);
        self.report("topic", names, applied).await;
        let names = consumer_groups.iter().map(|group| group.name.clone()).collect();
        let applied = group.apply_consumer_groups(&consumer_groups, Adopt::Always, &self.mailbox);
        self.report("consumer group", names, applied).await;
    }

    async fn report(
        &mut self,
        kind: &str,
        names: Vec<String>,
        applied: Result<(Vec<ApplyOutcome>, Option<Ticket>), SubmitError>,
    ) {
        let outcomes = match applied {
            Ok((outcomes, None)) => outcomes,
            Ok((outcomes, Some(ticket))) => match ticket.await {
                Ok(_) => outcomes,
                Err(error) => return self.again(kind, &error),
            },
            Err(refused) => return self.again(kind, &refused),
        };
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                ApplyOutcome::Created | ApplyOutcome::Changed => info!(kind, name, ?outcome, "applied"),
                ApplyOutcome::Unchanged | ApplyOutcome::Deleted | ApplyOutcome::NotFound => {}
                ApplyOutcome::Invalid(reason)
                | ApplyOutcome::InvalidChange(reason)
                | ApplyOutcome::Conflict(reason) => {
                    error!(kind, name, reason, "not applied");
                }
                ApplyOutcome::Pending(reason) => {
                    warn!(kind, name, reason, "not stored, trying again");
                    self.seen.clear();
                }
            }
        }
    }

    fn again(&mut self, kind: &str, error: &dyn std::error::Error) {
        warn!(kind, %error, "not stored, trying again");
        self.seen.clear();
    }
}

fn fingerprint(folder: &Path) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let metadata = std::fs::metadata(&path).ok()?;
            Some((path, metadata.modified().ok(), metadata.len()))
        })
        .collect();
    files.sort();
    files
}

fn topic_spec(definition: TopicDefinition) -> TopicSpec {
    let TopicDefinition { name, topic_type, queues, retention_ms } = definition;
    let topic_type = match topic_type {
        TopicType::Normal => catalog::TopicType::Normal,
        TopicType::Fifo => catalog::TopicType::Fifo,
        TopicType::Delay => catalog::TopicType::Delay,
        TopicType::Transaction => catalog::TopicType::Transaction,
        TopicType::Mixed => catalog::TopicType::Mixed,
        TopicType::Priority => catalog::TopicType::Priority,
    };
    TopicSpec { name, topic_type, queues, retention_ms, groups: Vec::new(), owner: OWNER.to_owned() }
}

fn consumer_group_spec(definition: ConsumerGroupDefinition) -> ConsumerGroupSpec {
    let backoff = match definition.backoff {
        BackoffDefinition::Custom(times) => Backoff::Custom(times),
        BackoffDefinition::Exponential { initial_ms, max_ms, multiplier } => Backoff::Exponential {
            initial_ms,
            max_ms,
            #[allow(clippy::cast_sign_loss, reason = "a definition's multiplier is from 1 to 100")]
            multiplier_permille: (multiplier * 1000.0).round() as u32,
        },
    };
    ConsumerGroupSpec {
        name: definition.name,
        ordered: definition.ordered,
        priority: match definition.priority {
            PriorityDefinition::Strict => PriorityPolicy::Strict,
            PriorityDefinition::Weighted => PriorityPolicy::Weighted,
            PriorityDefinition::Aging { interval_ms } => PriorityPolicy::Aging { interval_ms },
        },
        retry: RetryPolicy { max_attempts: definition.max_attempts, backoff },
        trace: definition.trace,
        consume_from: consume_from(definition.consume_from),
        broadcast: match definition.delivery {
            Delivery::Shared => Broadcast::No,
            Delivery::BroadcastByHost => Broadcast::ByHost,
            Delivery::BroadcastByClient => Broadcast::ByClient,
        },
        reset: definition.reset.map(|ResetDefinition { id, topics, to }| Reset {
            id,
            topics,
            to: consume_from(to),
        }),
        owner: OWNER.to_owned(),
    }
}

fn consume_from(start: StartDefinition) -> ConsumeFrom {
    match start {
        StartDefinition::Earliest => ConsumeFrom::Earliest,
        StartDefinition::Latest => ConsumeFrom::Latest,
        StartDefinition::Timestamp(ms) => ConsumeFrom::Time(ms),
    }
}

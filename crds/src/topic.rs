//! Topic: a named stream of messages in a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::Span;
use crate::object::{AdoptionPolicy, ClusterRef, DeletionPolicy, Management, ObjectState};

/// A topic of a BrokerCluster.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "millpond.io",
    version = "v1alpha1",
    kind = "Topic",
    plural = "topics",
    namespaced,
    derive = "PartialEq",
    status = "TopicStatus",
    shortname = "mpt",
    category = "millpond",
    category = "all",
    doc = "A named stream of messages in a BrokerCluster.",
    selectable = ".spec.clusterRef.name",
    selectable = ".status.state",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Queues", type_ = "integer", json_path = ".status.queues"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.name", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "has(self.spec.name) ? true : (self.metadata.name.matches('^[a-z0-9-]+$') && self.metadata.name.size() <= 127)"
    )
    .message(
        "metadata.name is also the topic's name and must be at most 127 letters, digits or '-'; for another name set spec.name"
    ),
    validation = Rule::new(
        "(has(self.spec.name) ? self.spec.name : self.metadata.name) == (has(oldSelf.spec.name) ? oldSelf.spec.name : oldSelf.metadata.name)"
    )
    .message("the name of a topic cannot be changed; create another Topic and move its producers and consumers")
)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// The cluster that holds the topic.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "a topic cannot be moved to another cluster; create another Topic with the new clusterRef"
    ))]
    pub cluster_ref: ClusterRef,
    /// Name of the topic for clients; left out: the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9_-]+$')").message(
        "must consist of letters, digits, '-' and '_'; names with '%' belong to the broker"
    ))]
    pub name: Option<String>,
    /// What kind of messages it takes.
    #[serde(default, rename = "type")]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message(
            "the type of a topic cannot be changed; create another Topic with the new type"
        )
    )]
    pub topic_type: TopicType,
    /// How many queues it has. Of a topic of type PRIORITY this says nothing: it has one for each of 10 levels.
    #[serde(default)]
    pub queues: Queues,
    /// How long messages are kept at least; left out: as long as the cluster keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<TopicRetention>,
    /// Whether the topic and its messages go when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Nobody can delete the object while this is true.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Whether a topic that already exists may be taken over.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// Whether the operator writes or only looks.
    #[serde(default)]
    pub management: Management,
}

impl TopicSpec {
    /// What becomes of the topic when groups come and go.
    pub fn placement(&self) -> QueuePlacement {
        self.queues.placement.unwrap_or(match self.topic_type {
            TopicType::Fifo | TopicType::Mixed => QueuePlacement::Stay,
            TopicType::Normal | TopicType::Delay | TopicType::Transaction | TopicType::Priority => {
                QueuePlacement::Spread
            }
        })
    }
}

/// What kind of messages a topic takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TopicType {
    /// Messages without order among them.
    #[default]
    Normal,
    /// Messages in order within their message group.
    Fifo,
    /// Messages that are delivered at a time of their own.
    Delay,
    /// Messages that are delivered once their sender commits them.
    Transaction,
    /// Messages of which the urgent ones are delivered first.
    Priority,
    /// All of these but those with a priority.
    Mixed,
}

impl TopicType {
    /// The word in a manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Fifo => "FIFO",
            Self::Delay => "DELAY",
            Self::Transaction => "TRANSACTION",
            Self::Mixed => "MIXED",
            Self::Priority => "PRIORITY",
        }
    }
}

/// Queues of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queues {
    /// Queues in each group of the cluster. May grow; a lower number is reported as InvalidChange.
    #[serde(default = "Queues::per_group_default")]
    #[schemars(range(min = 1, max = 1024))]
    pub per_group: i32,
    /// What becomes of the topic when groups come and go; left out: `Stay` for the types FIFO and MIXED, `Spread` for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<QueuePlacement>,
}

/// What becomes of a topic when groups come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QueuePlacement {
    /// It has queues in every group. Of a message group the messages sent after a change may be received before those sent
    /// before it, because they may be in another group.
    Spread,
    /// It stays in the groups that it has, so that message groups keep their order. A group that it is in cannot leave.
    Stay,
}

impl Queues {
    fn per_group_default() -> i32 {
        4
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self { per_group: Self::per_group_default(), placement: None }
    }
}

/// How long a topic's messages are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicRetention {
    /// Messages younger than this are kept.
    pub max_age: Span,
}

/// What the operator saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the topic stands, in one word.
    #[serde(default)]
    pub state: ObjectState,
    /// Name of the topic for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Queues the cluster has for it, in all groups together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<i64>,
    /// Groups of the cluster that hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i32>,
    /// What is true, since when and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

//! ConsumerGroup: consumers that share the messages of the topics they read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::Span;
use crate::object::{AdoptionPolicy, ClusterRef, DeletionPolicy, Management, ObjectState};

/// A consumer group of a BrokerCluster.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "millpond.io",
    version = "v1alpha1",
    kind = "ConsumerGroup",
    plural = "consumergroups",
    namespaced,
    derive = "PartialEq",
    status = "ConsumerGroupStatus",
    shortname = "mpg",
    category = "millpond",
    category = "all",
    doc = "Consumers of a BrokerCluster that share the messages of the topics they read.",
    selectable = ".spec.clusterRef.name",
    selectable = ".status.state",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag.messages"),
    printcolumn(name = "Clients", type_ = "integer", json_path = ".status.clients"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "In-Flight", type_ = "integer", json_path = ".status.lag.inFlight", priority = 1),
    printcolumn(name = "Group", type_ = "string", json_path = ".status.name", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.name) ? true : self.metadata.name.matches('^[a-z0-9-]+$')").message(
        "metadata.name is also the group's name and must be letters, digits or '-'; for another name set spec.name"
    ),
    validation = Rule::new(
        "(has(self.spec.name) ? self.spec.name : self.metadata.name) == (has(oldSelf.spec.name) ? oldSelf.spec.name : oldSelf.metadata.name)"
    )
    .message("the name of a consumer group cannot be changed; create another ConsumerGroup"),
    validation = Rule::new(
        "has(self.spec.consumeFromTimestamp) == (has(self.spec.consumeFrom) && self.spec.consumeFrom == 'Timestamp')"
    )
    .message("consumeFromTimestamp is for consumeFrom: Timestamp; give both or neither")
)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupSpec {
    /// The cluster that holds the group.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "a consumer group cannot be moved to another cluster; create another ConsumerGroup with the new clusterRef"
    ))]
    pub cluster_ref: ClusterRef,
    /// Name of the group for clients; left out: the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9_-]+$')").message(
        "must consist of letters, digits, '-' and '_'; names with '%' belong to the broker"
    ))]
    pub name: Option<String>,
    /// Whether the group's consumers share the messages, or each of them gets all.
    #[serde(default)]
    pub delivery: Delivery,
    /// Whether the messages of a message group are delivered in order: one when those before it are done. A message that
    /// is not done holds up its own message group and no other.
    #[serde(default)]
    pub ordered: bool,
    /// Which levels of a topic of type PRIORITY the group gets messages from, while several have some.
    #[serde(default)]
    pub priority: Priority,
    /// What happens to a message that is not acknowledged.
    #[serde(default)]
    pub retry: Retry,
    /// Whether each delivery leaves a record of when it was and which client got it, for `millpond trace`. It costs some 30
    /// bytes of the log a message, less where messages are delivered together.
    #[serde(default)]
    pub trace: bool,
    /// Where the group starts on a topic it never read.
    #[serde(default)]
    pub consume_from: ConsumeFrom,
    /// With consumeFrom Timestamp: messages stored before are not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consume_from_timestamp: Option<Time>,
    /// Moves the group to another place, once for each id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// Whether the group and its progress go when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Nobody can delete the object while this is true.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Whether a group that already exists may be taken over.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// Whether the operator writes or only looks.
    #[serde(default)]
    pub management: Management,
}

/// Whether a group's consumers share the messages, or each of them gets all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Delivery {
    /// Each message goes to one of them.
    #[default]
    Shared,
    /// Each message goes to each host; in Kubernetes, to each pod. The broker keeps how far each has come.
    BroadcastByHost,
    /// Each message goes to each client id. The SDKs make a new one with each start.
    BroadcastByClient,
}

/// Where a group starts on a topic it never read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsumeFrom {
    /// At the oldest message that is kept.
    #[default]
    Earliest,
    /// At the next message that arrives.
    Latest,
    /// At the first message stored at a given time or later.
    Timestamp,
}

/// Moves a group to another place in topics: what lies before is done, what lies behind is delivered again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.timestamp) == (self.to == 'Timestamp')").message(
    "timestamp is for to: Timestamp; give both or neither"
))]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// A new id moves the group, the same one does not move it again. A date will do.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Where to.
    pub to: ConsumeFrom,
    /// With to Timestamp: the time, not in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Time>,
    /// Names of topics for clients; left out: all that the group reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub topics: Vec<String>,
}

/// Which levels of a topic of type PRIORITY a group gets messages from, while several have some.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.agingInterval) ? self.policy == 'Aging' : true").message(
        "agingInterval is for policy Aging; leave it out, or set policy to Aging"
    ),
    validation = Rule::new("has(self.agingInterval) ? duration(self.agingInterval) <= duration('24h') : true").message(
        "agingInterval must be at most 24h"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct Priority {
    /// How the levels share the group's attention.
    #[serde(default)]
    pub policy: PriorityPolicy,
    /// With policy Aging: how long a level waits to rise by one; left out: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aging_interval: Option<Span>,
}

/// How the levels of a topic of type PRIORITY share a group's attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PriorityPolicy {
    /// The highest level that has a message.
    #[default]
    Strict,
    /// All levels that have messages: level n in n + 1 parts.
    Weighted,
    /// The highest level, where one that has messages rises by one for each interval in which it gives none.
    Aging,
}

/// What happens to a message that is not acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Deliveries of one message before it goes to the dead letter topic `%DLQ%` and the group's name.
    #[serde(default = "Retry::max_attempts_default")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: i32,
    /// How long each next delivery waits; left out: 10s, 30s, then 1m to 10m, 20m, 30m, 1h, 2h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

impl Retry {
    fn max_attempts_default() -> i32 {
        17
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: Self::max_attempts_default(), backoff: None }
    }
}

/// How long each next delivery waits: one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.custom) != has(self.exponential)").message(
    "give exactly one of custom and exponential"
))]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// One waiting time per delivery; the last one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub custom: Option<Vec<Span>>,
    /// Waiting times that grow by a factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponential: Option<Exponential>,
}

/// Waiting times that grow by a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("duration(self.initial) <= duration(self.max)").message(
    "initial must not be longer than max; lower initial or raise max"
))]
#[serde(rename_all = "camelCase")]
pub struct Exponential {
    /// The first waiting time.
    pub initial: Span,
    /// The longest waiting time.
    pub max: Span,
    /// What each waiting time is multiplied by to get the next one.
    #[serde(default = "Exponential::multiplier_default")]
    #[schemars(range(min = 1.0, max = 100.0))]
    pub multiplier: f64,
}

impl Exponential {
    fn multiplier_default() -> f64 {
        2.0
    }
}

/// What the operator saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the group stands, in one word.
    #[serde(default)]
    pub state: ObjectState,
    /// Name of the group for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Clients that are connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<i64>,
    /// Id of the reset that was done last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_id: Option<String>,
    /// What is not done yet, over all topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// What is true, since when and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What a group has not done yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Messages not acknowledged: waiting and in flight.
    pub messages: i64,
    /// Of these, messages a consumer holds right now.
    pub in_flight: i64,
    /// Topics the group reads.
    pub topics: i64,
}

//! BrokerCluster: groups of brokers that keep topics and consumer groups.
//!
//! The parts that only say how pods run are in [`placement`](crate::placement).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::{Quantity, Span};
use crate::broker_config::FlushMode;
use crate::object::DeletionPolicy;
use crate::placement::{Listener, PodTemplate, Resources, Scheduling};

/// A cluster of brokers.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "millpond.io",
    version = "v1alpha1",
    kind = "BrokerCluster",
    plural = "brokerclusters",
    namespaced,
    derive = "PartialEq",
    status = "BrokerClusterStatus",
    shortname = "mpc",
    category = "millpond",
    category = "all",
    doc = "Groups of brokers that keep topics and consumer groups.",
    scale(
        spec_replicas_path = ".spec.groups",
        status_replicas_path = ".status.groups",
        label_selector_path = ".status.selector"
    ),
    selectable = ".status.state",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Copies", type_ = "integer", json_path = ".spec.copies"),
    printcolumn(name = "Flush", type_ = "string", json_path = ".spec.flush"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage.size", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$') && self.metadata.name.size() <= 48")
        .message(
            "metadata.name must be at most 48 lower case letters, digits or '-', starting with a letter: pods and services carry it with a suffix, so choose a shorter name"
        ),
    validation = Rule::new(
        "!has(self.spec.listener) || self.spec.listener.serviceType == 'ClusterIP' || self.spec.groups == 1"
    )
    .message(
        "clients outside of Kubernetes reach clusters of one group only for now; set groups to 1, or listener.serviceType to ClusterIP"
    )
)]
#[x_kube(validation = Rule::new("!(has(self.image) && has(self.version))").message(
    "give version or image, not both: version is a tag of the standard image, image names a whole one"
))]
#[serde(rename_all = "camelCase")]
pub struct BrokerClusterSpec {
    /// Groups of the cluster: each has a log and a broker of its own, and takes its share of every topic.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message(
        "groups cannot be lowered for now, because a group's messages would be lost; keep the number, or move to a smaller cluster"
    ))]
    pub groups: i32,
    /// Copies that each group keeps of its log.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new("self == 1").message(
        "only 1 copy works for now, 2 and 3 come with replication; leave copies out or set 1"
    ))]
    pub copies: i32,
    /// Version of the brokers: a tag of the operator's broker image. Left out: what runs keeps running, and a new
    /// cluster gets the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version: Option<String>,
    /// Image of the brokers, when it is not the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When a send is answered.
    #[serde(default)]
    pub flush: FlushMode,
    /// How long messages are kept.
    #[serde(default)]
    pub retention: Retention,
    /// The disk of each group.
    #[x_kube(
        validation = Rule::new(
            "(has(self.className) ? self.className : '') == (has(oldSelf.className) ? oldSelf.className : '')"
        )
        .message("the storage class cannot be changed; create another BrokerCluster with the new class"),
        validation = Rule::new(
            "!isQuantity(string(self.size)) || !isQuantity(string(oldSelf.size)) || quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0"
        )
        .message("storage.size cannot be lowered, because disks do not shrink; keep the size, or create another BrokerCluster")
    )]
    pub storage: Storage,
    /// CPU and memory of each broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where brokers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// What else broker pods carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// How clients reach the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// Whether the disks go when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether the operator works on the cluster.
    #[serde(default)]
    pub reconciliation: Reconciliation,
    /// Other namespaces whose Topics and ConsumerGroups may use the cluster; `*`: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = Rule::new("self.all(name, name == '*' || name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'))").message(
        "must be names of namespaces, or '*' for all of them"
    ))]
    pub allowed_namespaces: Vec<String>,
}

fn one() -> i32 {
    1
}

/// How long messages are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Messages older than this may be removed.
    #[serde(default = "Retention::max_age_default")]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]+(ms|s|m|h))+$') || duration(self) >= duration('1m')").message(
        "must be at least 1m; a shorter time would remove messages before they are read"
    ))]
    pub max_age: Span,
    /// Bytes of one group's log above which its oldest messages are removed, whatever their age; left out: four
    /// fifths of `storage.size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(
        "isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('16Mi')) >= 0"
    ).message("must be a quantity of at least 16Mi, for example 8Gi"))]
    pub max_size: Option<Quantity>,
}

impl Retention {
    fn max_age_default() -> Span {
        Span::from("72h")
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_age: Self::max_age_default(), max_size: None }
    }
}

/// The disk of each group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size. May grow where the storage class allows it, and never shrinks.
    #[x_kube(validation = Rule::new(
        "isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('64Mi')) >= 0"
    ).message("must be a quantity of at least 64Mi, for example 10Gi"))]
    pub size: Quantity,
    /// Storage class; left out: the default class of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

/// Whether the operator works on the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reconciliation {
    /// It does.
    #[default]
    Active,
    /// It leaves the cluster, its topics and consumer groups as they are.
    Paused,
}

/// What the operator saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerClusterStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the cluster stands, in one word.
    #[serde(default)]
    pub state: ClusterState,
    /// Groups that exist.
    #[serde(default)]
    pub groups: i32,
    /// Groups that serve.
    #[serde(default)]
    pub groups_ready: i32,
    /// Both as a person reads it: `2/3`.
    #[serde(default)]
    pub ready: String,
    /// Label selector of the broker pods, for autoscalers.
    #[serde(default)]
    pub selector: String,
    /// Address for clients in Kubernetes: `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Image of the brokers in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub group_status: Vec<GroupStatus>,
    /// What is true, since when and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a cluster stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterState {
    /// Being created.
    #[default]
    Starting,
    /// Every group serves.
    Serving,
    /// Some groups serve.
    Degraded,
    /// No group serves.
    Unavailable,
    /// A change is being rolled out.
    Updating,
    /// The operator was asked to leave it alone.
    Paused,
    /// The spec cannot be carried out.
    Invalid,
}

/// One group of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its name: `g0`, `g1` and so on.
    pub name: String,
    /// What its broker says: `serving`, `disk-full`, `starting`, or `unreachable`.
    pub state: String,
    /// How often its log was opened; goes up by one with every start of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Version of its broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Stable address of its broker for clients.
    #[serde(default)]
    pub endpoint: String,
}

//! BrokerCluster: groups of brokers that keep topics and consumer groups.
//!
//! The parts that only say how pods run are in [`placement`](crate::placement).

mod status;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::{Quantity, Span};
use crate::broker_config::{FlushMode, ReplicationMode};
use crate::listener::Listener;
use crate::object::DeletionPolicy;
use crate::placement::{PodTemplate, Resources, Scheduling};

pub use status::{
    BrokerClusterStatus, ClusterState, CopyLag, GroupAddress, GroupStatus, LastTransition, Leaving,
    ListenerStatus, RetainedVolume,
};

/// Most copies of a group's log.
pub const COPIES_MAX: u32 = 3;

/// Of a roll-out that says no other.
const PROGRESS_DEADLINE_MS: u64 = 10 * 60_000;

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
    printcolumn(
        name = "Safe",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"DataSafe\")].status"
    ),
    printcolumn(name = "Copies", type_ = "string", json_path = ".status.inSync"),
    printcolumn(name = "Flush", type_ = "string", json_path = ".status.flush"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(
        name = "Data",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"DataSafe\")].message",
        priority = 1
    ),
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
        "!isQuantity(string(self.spec.storage.size)) || !isQuantity(string(oldSelf.spec.storage.size)) || quantity(string(self.spec.storage.size)).compareTo(quantity(string(oldSelf.spec.storage.size))) >= 0 || (has(oldSelf.status) && has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(found, found.type == 'Stalled' && found.status == 'True' && found.reason == 'InvalidChange'))"
    )
    .message(
        "storage.size cannot be lowered, because disks do not shrink, unless they could not grow; keep the size, or create another BrokerCluster"
    )
)]
#[x_kube(
    validation = Rule::new("!(has(self.image) && has(self.version))").message(
        "give version or image, not both: version is a tag of the standard image, image names a whole one"
    ),
    validation = Rule::new("!has(self.pausedUntil) || (has(self.reconciliation) && self.reconciliation == 'Paused')").message(
        "pausedUntil ends a pause; set reconciliation to Paused, or leave pausedUntil out"
    ),
    validation = Rule::new("!has(self.minInSync) || self.minInSync <= self.copies").message(
        "minInSync cannot be above copies, because sends would never be answered; lower minInSync or raise copies"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BrokerClusterSpec {
    /// Groups of the cluster: each has a log and a broker of its own, and takes its share of the topics. May be raised and
    /// lowered while the cluster serves; no message moves from one group to another. A group that is too many takes no
    /// message any more and goes when its messages are consumed, see `scaleIn` and `status.groupStatus[].leaving`.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 32))]
    pub groups: i32,
    /// How groups leave when `groups` is lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in: Option<ScaleIn>,
    /// Copies that each group keeps of its log, each on a disk and a node of its own. May be raised and lowered
    /// while the cluster serves.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    pub copies: i32,
    /// Nothing is acknowledged while fewer copies are in sync; left out: 1, and 2 of 3 copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3))]
    pub min_in_sync: Option<i32>,
    /// Which copies have a message before its send is answered.
    #[serde(default)]
    pub replication: ReplicationMode,
    /// Version of the brokers: a tag of the operator's broker image. Left out: what runs keeps running, and a new
    /// cluster gets the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version: Option<String>,
    /// Image of the brokers, when it is not the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When a copy counts a message as stored; left out: Sync with one copy, Async with two and three. The status
    /// shows which one is in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<FlushMode>,
    /// How long messages are kept.
    #[serde(default)]
    pub retention: Retention,
    /// How far ahead of its time a message may be sent, at most 60 days; left out: 24h. Until then the message and all
    /// that came after it stay on the disk, whatever the retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Span>,
    /// When producers are asked about transactions that they neither commit nor roll back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Transactions>,
    /// Export of spans: what brokers did with messages that carry a sampled trace context; left out: none. Changes without a
    /// restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// The disk of each copy of a group.
    #[x_kube(
        validation = Rule::new(
            "(has(self.className) ? self.className : '') == (has(oldSelf.className) ? oldSelf.className : '')"
        )
        .message("the storage class cannot be changed; create another BrokerCluster with the new class")
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
    /// Ways for clients outside of Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(one, self.exists_one(other, other.port == one.port))").message(
            "two listeners cannot have one port; give each its own"
        )
    )]
    pub listeners: Vec<Listener>,
    /// Whether the disks go when this object is deleted, and those of copies and groups when `copies` or `groups` is lowered.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How a new version, image or template reaches the brokers: one after the other, those that lead last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Whether the operator works on the cluster.
    #[serde(default)]
    pub reconciliation: Reconciliation,
    /// When a pause ends by itself, so that nobody forgets it: a time such as `2026-12-24T18:00:00Z`; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Time>,
    /// Nobody can delete the object while this is true.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Other namespaces whose Topics and ConsumerGroups may use the cluster; `*`: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = Rule::new("self.all(name, name == '*' || name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'))").message(
        "must be names of namespaces, or '*' for all of them"
    ))]
    pub allowed_namespaces: Vec<String>,
    /// DANGEROUS. Makes a member lead although it may lack acknowledged messages, which are then LOST. Only for a
    /// group whose in-sync copies are all gone for good; each entry is used once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["group".into()]))]
    pub unclean_elections: Vec<UncleanElection>,
}

impl BrokerClusterSpec {
    /// Copies of each group.
    pub fn copies(&self) -> u32 {
        u32::try_from(self.copies).unwrap_or(1).clamp(1, COPIES_MAX)
    }

    /// How many copies have to be in sync for a send to be answered.
    pub fn min_in_sync(&self) -> u32 {
        let default = if self.copies() == COPIES_MAX { 2 } else { 1 };
        let asked = self.min_in_sync.and_then(|asked| u32::try_from(asked).ok());
        asked.unwrap_or(default).clamp(1, self.copies())
    }

    /// How long a restarted broker has to serve and to be in sync, in milliseconds.
    pub fn progress_deadline_ms(&self) -> u64 {
        let asked = self.rollout.as_ref().and_then(|rollout| rollout.progress_deadline.as_ref());
        asked.and_then(|deadline| deadline.millis().ok()).unwrap_or(PROGRESS_DEADLINE_MS)
    }

    /// Whether the operator leaves the cluster alone at this time.
    pub fn is_paused(&self, now: Timestamp) -> bool {
        let is_over = self.paused_until.as_ref().is_some_and(|until| until.0 <= now);
        self.reconciliation == Reconciliation::Paused && !is_over
    }

    /// When a copy counts a message as stored.
    pub fn flush(&self) -> FlushMode {
        self.flush.unwrap_or_else(|| FlushMode::of_copies(self.copies()))
    }
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

/// Questions to producers about transactions that they neither commit nor roll back. Only those count that a producer was
/// there to hear; a message that is half as old as the retention is put aside whatever their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transactions {
    /// Time until the first question, 1s to 1h, if the message itself says no other; left out: 6s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_after: Option<Span>,
    /// Time between two questions, 1s to 1h; left out: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_interval: Option<Span>,
    /// After so many the message is put aside, in topic `TRANS_CHECK_MAX_TIME_TOPIC`; left out: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_checks: Option<i32>,
}

/// Export of spans by OpenTelemetry's protocol. Only messages whose sender began a trace, and sampled it, have spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Where a collector takes OTLP over gRPC, in plaintext, for example `http://collector.monitoring.svc:4317`.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^http://([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[1-9][0-9]{0,4}$')").message(
        "must be http://host:port, where a collector takes OTLP over gRPC, for example http://collector.monitoring.svc:4317"
    ))]
    pub otlp_endpoint: String,
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

/// How a new version, image or template reaches the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// A restarted broker that does not serve and is not in sync after this time halts the roll-out: condition
    /// `Stalled` says why, and nobody else is restarted; left out: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]+(ms|s|m|h))+$') || duration(self) >= duration('10s')").message(
        "must be at least 10s; a broker needs a moment to start and to catch up"
    ))]
    pub progress_deadline: Option<Span>,
}

/// How groups leave when `groups` is lowered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleIn {
    /// A group goes after this time although messages in it were not consumed; left out: never. They stay on its disks if
    /// `deletionPolicy` is `Retain`, and are lost if it is `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.matches('^([0-9]+(ms|s|m|h))+$') || duration(self) >= duration('1m')").message(
        "must be at least 1m; clients need a while to learn that a group is leaving"
    ))]
    pub deadline: Option<Span>,
}

/// The disk of each group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size. May grow where the storage class allows it, and never shrinks: only a size that disks could not grow to
    /// can be taken back.
    #[x_kube(validation = Rule::new(
        "isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('64Mi')) >= 0"
    ).message("must be a quantity of at least 64Mi, for example 10Gi"))]
    pub size: Quantity,
    /// Storage class; left out: the default class of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

/// Permission for one election that may lose acknowledged messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UncleanElection {
    /// The group: `g0`, `g1` and so on.
    #[schemars(length(min = 2, max = 3), regex(pattern = "^g[0-9]{1,2}$"))]
    pub group: String,
    /// Any word that was never used before for this group, for example the date and your name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9._-]+$"))]
    pub token: String,
    /// The epoch that `status.groupStatus` shows for the group: a later one is not touched.
    #[schemars(range(min = 0))]
    pub epoch: i64,
    /// Number of the pod that shall lead: 1 for `shop-g0-1`.
    #[schemars(range(min = 0, max = 2))]
    pub ordinal: i32,
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

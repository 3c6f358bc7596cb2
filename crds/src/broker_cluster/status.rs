//! What the operator tells about a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::broker_config::{FlushMode, GroupPhase};
use crate::group_record::Cause;

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
    /// Copies in sync of the group that has the fewest, and copies asked for: `3/3`.
    #[serde(default)]
    pub in_sync: String,
    /// How many copies have to be in sync for a send to be answered, in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_in_sync: Option<i32>,
    /// When a copy counts a message as stored, in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<FlushMode>,
    /// Label selector of the broker pods, for autoscalers.
    #[serde(default)]
    pub selector: String,
    /// Address for clients in Kubernetes: `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Addresses for clients outside of Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub listeners: Vec<ListenerStatus>,
    /// Image of the brokers in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Generation of the spec with which all brokers served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_generation: Option<i64>,
    /// Image with which all brokers served last. While `spec` names neither `image` nor `version`, this is the one in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_image: Option<String>,
    /// Each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub group_status: Vec<GroupStatus>,
    /// Disks of copies that are no longer kept. They are taken back when `copies` or `groups` is raised again, and are yours
    /// to delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".into()]))]
    pub retained_volumes: Vec<RetainedVolume>,
    /// What is true, since when and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a cluster stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterState {
    /// Being created.
    #[default]
    Starting,
    /// Every group serves, with all of its copies in sync.
    Serving,
    /// Some groups serve, or some copies are not in sync.
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

/// Addresses of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// What clients dial first: `host:port`, where `*` stands for any node; left out: not known yet, or known to your proxy
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where clients are told to find each group; with one group they are told what they dialled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub groups: Vec<GroupAddress>,
    /// What Kubernetes has not given yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// Where clients of a listener find a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupAddress {
    /// Name of the group.
    pub name: String,
    /// `host:port`, where `*` stands for the host that a client dialled.
    pub address: String,
}

/// One group of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its name: `g0`, `g1` and so on.
    pub name: String,
    /// What its leader says: `serving`, `disk-full`, `starting`, or `unreachable`.
    pub state: String,
    /// Pod of the copy that leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Term of the leader; goes up with every change of it and with every start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Number of the last change to the group's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Pods of the copies that hold everything that was ever acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_sync: Vec<String>,
    /// Pods of the copies that are catching up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning: Vec<String>,
    /// Nothing is acknowledged while fewer are in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_in_sync: Option<i32>,
    /// How far copies are behind the leader, as far as brokers tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".into()]))]
    pub lag: Vec<CopyLag>,
    /// The last change of who leads or who is in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<LastTransition>,
    /// Tokens of elections that were forced although acknowledged messages could be lost, for ever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclean: Vec<String>,
    /// Version of its broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Stable address for clients, which leads to whoever leads.
    #[serde(default)]
    pub endpoint: String,
    /// Since when it joins the cluster: clients are sent to it when it serves and holds every topic and consumer group;
    /// absent: they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<Time>,
    /// How far it has come on its way out of the cluster; absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// How far a group has come on its way out of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    /// What is being done.
    pub phase: GroupPhase,
    /// When the operator saw that it is to go.
    pub since: Time,
    /// When the phase began.
    pub phase_since: Time,
    /// Messages in it that wait for a consumer group, for their time, or for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// The same as a sentence, with the topics and consumer groups that have most.
    #[serde(default)]
    pub message: String,
}

/// How far a copy is behind its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyLag {
    /// Its pod.
    pub pod: String,
    /// Bytes of the log that it lacks.
    pub bytes: i64,
}

/// A change of who leads or who is in sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastTransition {
    /// Why.
    pub cause: Cause,
    /// When the operator saw it.
    pub at: Time,
    /// Milliseconds during which no send was answered before the leader of this epoch began to serve, as it measured them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<i64>,
}

/// The disk of a copy that is no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetainedVolume {
    /// Name of its volume claim.
    pub claim: String,
    /// Group that it belonged to.
    pub group: String,
}

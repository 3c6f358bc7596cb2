//! The Kubernetes objects of a cluster, as they should be. Pure: a cluster in, objects out.
//!
//! ```text
//!   BrokerCluster `shop`, groups: 2
//!     ├─ ServiceAccount, Role, RoleBinding, NetworkPolicy, Service `shop`                once
//!     ├─ PodDisruptionBudget: `shop` with one copy, `shop-g0` and so on with more
//!     ├─ Lease, ConfigMap, Service, StatefulSet `shop-g0`, `shop-g1`                     per group
//!     ├─ Service, EndpointSlice `shop-g0-leader`, `shop-g1-leader`                       per group
//!     │  the Service stays when the group leaves, and leads to the others
//!     └─ Service `shop-public`, with several groups `shop-g0-public`, `shop-g1-public`  per listener
//! ```
//!
//! Promise: equal clusters make equal objects, whatever the operator's version did before, so an operator's restart
//! changes nothing. Every object carries the cluster as its owner and goes with it, except Leases that have to
//! outlive it as long as the disks do. The number of copies is in no pod template, so changing it restarts nobody.

mod access;
mod config;
mod labels;
mod lease;
mod listener;
mod pod;
mod service;
mod signpost;
mod stateful_set;

use std::collections::{BTreeMap, BTreeSet};

use crds::broker_config::GroupPhase;
use crds::listener::Given;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub use config::{InvalidSpec, broker_config};
pub use labels::{GROUP_LABEL, cluster_labels, cluster_selector, group_of, selector_text};
pub use lease::{RECORD_FINALIZER, lease};
pub use listener::{LISTENER_LABEL, addresses, given, listener_of};
pub use signpost::{LeaderSlice, SLICE_SELECTOR, leader_endpoint};

use crate::fingerprint;

/// Name of the claim template, and so the beginning of every claim's name. Never changes: claims are found by it.
pub const CLAIM: &str = "data";
/// Annotation with a fingerprint of what was applied.
pub const APPLIED_ANNOTATION: &str = "millpond.io/applied";
/// Annotation of pods with a fingerprint of that part of the configuration they were started with that needs a restart.
pub const CONFIG_ANNOTATION: &str = "millpond.io/config";
/// Annotation of pods with a fingerprint of the whole configuration. A pod whose annotations change gets its mounted
/// `ConfigMap` at once, and not with one of the looks that a node takes every minute or so.
pub const FRESH_ANNOTATION: &str = "millpond.io/fresh-config";
/// Labels of every pod with a broker, of whatever cluster.
pub const BROKER_PODS: &str = "app.kubernetes.io/name=millpond,app.kubernetes.io/component=broker";
/// Port of clients.
pub const CLIENT_PORT: i32 = 8081;
/// Port of the admin API.
pub const ADMIN_PORT: i32 = 8082;
/// Port of probes and metrics.
pub const HTTP_PORT: i32 = 8083;
/// Port where the members of a group talk to each other.
pub const PEER_PORT: u16 = 8084;

/// A cluster that was found to make sense, with all that is needed to build its objects.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Its name.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// The owner that every object carries.
    pub owner: OwnerReference,
    /// What the user wrote.
    pub spec: crds::BrokerClusterSpec,
    /// How many groups to build: those asked for, and any that exist beyond.
    pub groups: u32,
    /// How many groups have pods or are to have some: brokers of one that has left still need their rights to end in order.
    pub running: u32,
    /// Groups that have left and whose address clients may still have.
    pub detours: BTreeSet<u32>,
    /// What Kubernetes gave the Services of listeners that there are, by name.
    pub given: BTreeMap<String, Given>,
    /// Bytes of the smallest disk of groups whose disks are not as large yet as `storage.size`.
    pub smaller_disks: BTreeMap<u32, u64>,
    /// Groups that clients are not sent to yet.
    pub joining: BTreeSet<u32>,
    /// Groups that leave, with how far they have come.
    pub phases: BTreeMap<u32, GroupPhase>,
    /// Image of the brokers.
    pub image: String,
    /// When nodes pull it.
    pub image_pull_policy: Option<String>,
    /// They log JSON.
    pub log_json: bool,
    /// Namespace whose operator pods may use the admin port.
    pub operator_namespace: String,
}

/// What a group has that only its history tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Pods that it has to have.
    pub replicas: u32,
    /// The size in its existing claim template: Kubernetes lets nobody change it, so it stays as it is and the claims
    /// themselves are grown.
    pub claim_size: Option<String>,
    /// How its pods are started, if that was decided already: it cannot be changed either.
    pub management: Option<String>,
    /// The family of the address that leads to its leader, once Kubernetes has given it one.
    pub family: Option<String>,
}

/// One object of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    /// Identity of the broker pods.
    ServiceAccount(ServiceAccount),
    /// What broker pods may do: read and change the Leases and the EndpointSlices of their own groups.
    Role(Role),
    /// Gives the role to the identity.
    RoleBinding(RoleBinding),
    /// Who may talk to brokers.
    NetworkPolicy(Box<NetworkPolicy>),
    /// How many brokers may be moved at once.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// Configuration of a group's brokers.
    ConfigMap(ConfigMap),
    /// An address: of the cluster, of a group, or of a group's leader.
    Service(Box<Service>),
    /// Where the address of a group's leader leads to.
    EndpointSlice(LeaderSlice),
    /// The brokers of a group.
    StatefulSet(Box<StatefulSet>),
}

/// Runs the same expression on the object inside, whatever its kind.
macro_rules! with_object {
    ($child:expr, $object:ident => $body:expr) => {
        match $child {
            Child::ServiceAccount($object) => $body,
            Child::Role($object) => $body,
            Child::RoleBinding($object) => $body,
            Child::NetworkPolicy($object) => $body,
            Child::PodDisruptionBudget($object) => $body,
            Child::ConfigMap($object) => $body,
            Child::Service($object) => $body,
            Child::EndpointSlice($object) => $body,
            Child::StatefulSet($object) => $body,
        }
    };
}

impl Child {
    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        with_object!(self, object => &object.metadata)
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Role(_) => "Role",
            Self::RoleBinding(_) => "RoleBinding",
            Self::NetworkPolicy(_) => "NetworkPolicy",
            Self::PodDisruptionBudget(_) => "PodDisruptionBudget",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Service(_) => "Service",
            Self::EndpointSlice(_) => "EndpointSlice",
            Self::StatefulSet(_) => "StatefulSet",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Adds the fingerprint of the whole object, so that a later change by somebody else can be told from a change of
    /// the spec.
    fn sealed(mut self) -> Result<Self, InvalidSpec> {
        let json = with_object!(&self, object => serde_json::to_string(object));
        let json = json.map_err(|error| InvalidSpec(error.to_string()))?;
        let metadata = with_object!(&mut self, object => &mut object.metadata);
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(APPLIED_ANNOTATION.to_owned(), fingerprint::of(&json));
        Ok(self)
    }
}

/// All objects of a cluster but its Leases, in the order they are to be applied: what a pod needs comes before it.
pub fn children(blueprint: &Blueprint, shape: impl Fn(u32) -> Shape) -> Result<Vec<Child>, InvalidSpec> {
    let mut children = vec![
        Child::ServiceAccount(access::service_account(blueprint)),
        Child::Role(access::role(blueprint)),
        Child::RoleBinding(access::role_binding(blueprint)),
        Child::NetworkPolicy(Box::new(access::network_policy(blueprint))),
    ];
    let budgets = access::disruption_budgets(blueprint).into_iter().map(Box::new);
    children.extend(budgets.map(Child::PodDisruptionBudget));
    children.push(Child::Service(Box::new(service::client_service(blueprint))));
    for group in 0..blueprint.groups {
        let config = config::broker_config(blueprint, group)?;
        let text = config::text(&config)?;
        let shape = shape(group);
        // What a running broker takes over must not make another template.
        let cold = fingerprint::of(&config::text(&config.cold())?);
        let stateful_set = stateful_set::stateful_set(blueprint, group, &shape, &cold);
        children.push(Child::ConfigMap(config::config_map(blueprint, group, text)));
        children.push(Child::Service(Box::new(service::group_service(blueprint, group))));
        children.push(Child::Service(Box::new(signpost::leader_service(blueprint, group))));
        let slice = |family: &String| signpost::leader_slice(blueprint, group, family);
        children.extend(shape.family.as_ref().map(slice).map(Child::EndpointSlice));
        children.push(Child::StatefulSet(Box::new(stateful_set)));
    }
    let detours = blueprint.detours.iter().map(|group| signpost::detour_service(blueprint, *group));
    children.extend(detours.map(Box::new).map(Child::Service));
    children.extend(listener::services(blueprint).into_iter().map(Box::new).map(Child::Service));
    children.into_iter().map(Child::sealed).collect()
}

#[cfg(test)]
mod tests;

//! The Kubernetes objects of a cluster, as they should be. Pure: a cluster in, objects out.
//!
//! ```text
//!   BrokerCluster `shop`, groups: 2
//!     ├─ ServiceAccount, NetworkPolicy, PodDisruptionBudget, Service `shop`      once
//!     └─ ConfigMap, Service, StatefulSet `shop-g0`, `shop-g1`                    per group
//! ```
//!
//! Promise: equal clusters make equal objects, whatever the operator's version did before, so an operator's restart
//! changes nothing. Every object carries the cluster as its owner and goes with it.

mod access;
mod config;
mod labels;
mod pod;
mod service;
mod stateful_set;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub use config::{InvalidSpec, broker_config};
pub use labels::{GROUP_LABEL, cluster_labels, cluster_selector, group_of, selector_text};

use crate::fingerprint;

/// Name of the claim template, and so the beginning of every claim's name. Never changes: claims are found by it.
pub const CLAIM: &str = "data";
/// Annotation with a fingerprint of what was applied.
pub const APPLIED_ANNOTATION: &str = "millpond.io/applied";
/// Annotation of pods with a fingerprint of the configuration they were started with.
pub const CONFIG_ANNOTATION: &str = "millpond.io/config";
/// Port of clients.
pub const CLIENT_PORT: i32 = 8081;
/// Port of the admin API.
pub const ADMIN_PORT: i32 = 8082;
/// Port of probes and metrics.
pub const HTTP_PORT: i32 = 8083;

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
    /// Image of the brokers.
    pub image: String,
    /// When nodes pull it.
    pub image_pull_policy: Option<String>,
    /// Namespace whose operator pods may use the admin port.
    pub operator_namespace: String,
}

/// One object of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    /// Identity of the broker pods; has no rights and no token.
    ServiceAccount(ServiceAccount),
    /// Who may talk to brokers.
    NetworkPolicy(Box<NetworkPolicy>),
    /// How many brokers may be moved at once.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// Configuration of a group's broker.
    ConfigMap(ConfigMap),
    /// An address: of the cluster, or of a group.
    Service(Box<Service>),
    /// The broker of a group.
    StatefulSet(Box<StatefulSet>),
}

impl Child {
    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ServiceAccount(object) => &object.metadata,
            Self::NetworkPolicy(object) => &object.metadata,
            Self::PodDisruptionBudget(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::NetworkPolicy(_) => "NetworkPolicy",
            Self::PodDisruptionBudget(_) => "PodDisruptionBudget",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Service(_) => "Service",
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
        let json = match &self {
            Self::ServiceAccount(object) => serde_json::to_string(object),
            Self::NetworkPolicy(object) => serde_json::to_string(object),
            Self::PodDisruptionBudget(object) => serde_json::to_string(object),
            Self::ConfigMap(object) => serde_json::to_string(object),
            Self::Service(object) => serde_json::to_string(object),
            Self::StatefulSet(object) => serde_json::to_string(object),
        };
        let json = json.map_err(|error| InvalidSpec(error.to_string()))?;
        let metadata = match &mut self {
            Self::ServiceAccount(object) => &mut object.metadata,
            Self::NetworkPolicy(object) => &mut object.metadata,
            Self::PodDisruptionBudget(object) => &mut object.metadata,
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::StatefulSet(object) => &mut object.metadata,
        };
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(APPLIED_ANNOTATION.to_owned(), fingerprint::of(&json));
        Ok(self)
    }
}

/// All objects of a cluster, in the order they are to be applied: what a pod needs comes before it.
///
/// `claim_size` tells the size in a group's existing claim template: Kubernetes lets nobody change it, so it stays as
/// it is and the claims themselves are grown.
pub fn children(
    blueprint: &Blueprint,
    claim_size: impl Fn(u32) -> Option<String>,
) -> Result<Vec<Child>, InvalidSpec> {
    let mut children = vec![
        Child::ServiceAccount(access::service_account(blueprint)),
        Child::NetworkPolicy(Box::new(access::network_policy(blueprint))),
        Child::PodDisruptionBudget(Box::new(access::disruption_budget(blueprint))),
        Child::Service(Box::new(service::client_service(blueprint))),
    ];
    for group in 0..blueprint.groups {
        let text = config::config_text(blueprint, group)?;
        let size = claim_size(group).unwrap_or_else(|| blueprint.spec.storage.size.0.clone());
        let stateful_set = stateful_set::stateful_set(blueprint, group, &size, &fingerprint::of(&text));
        children.push(Child::ConfigMap(config::config_map(blueprint, group, text)));
        children.push(Child::Service(Box::new(service::group_service(blueprint, group))));
        children.push(Child::StatefulSet(Box::new(stateful_set)));
    }
    children.into_iter().map(Child::sealed).collect()
}

#[cfg(test)]
mod tests;

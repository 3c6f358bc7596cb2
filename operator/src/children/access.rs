//! Who brokers are, who may talk to them, and how many may be moved at once.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, labels};

fn metadata(blueprint: &Blueprint) -> ObjectMeta {
    labels::metadata(blueprint, blueprint.cluster.clone(), labels::cluster_labels(&blueprint.cluster))
}

/// Brokers ask Kubernetes for nothing, so they get no token.
pub(super) fn service_account(blueprint: &Blueprint) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(blueprint),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// One broker at a time, over all groups: a cluster of one group never blocks a node's drain, and a cluster of many
/// loses one group's share at most. A broker that does not serve may always be moved.
pub(super) fn disruption_budget(blueprint: &Blueprint) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(blueprint),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(labels::selector(labels::cluster_selector(&blueprint.cluster))),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// Clients and metrics from anywhere; the admin port from the operator only.
pub(super) fn network_policy(blueprint: &Blueprint) -> NetworkPolicy {
    let label = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(labels::selector(label(
            "kubernetes.io/metadata.name",
            &blueprint.operator_namespace,
        ))),
        pod_selector: Some(labels::selector(label("app.kubernetes.io/name", "millpond-operator"))),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicy {
        metadata: metadata(blueprint),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels::selector(labels::cluster_selector(&blueprint.cluster))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule { ports: Some(vec![port("client"), port("http")]), from: None },
                NetworkPolicyIngressRule { ports: Some(vec![port("admin")]), from: Some(vec![operator]) },
            ]),
            egress: None,
        }),
    }
}

fn port(name: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

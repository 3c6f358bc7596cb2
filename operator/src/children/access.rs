//! Who brokers are, what they may do, who may talk to them, and how many may be moved at once.

use std::collections::BTreeMap;

use crds::names;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, labels};

fn metadata(blueprint: &Blueprint) -> ObjectMeta {
    labels::metadata(blueprint, blueprint.cluster.clone(), labels::cluster_labels(&blueprint.cluster))
}

/// The token comes with the pod alone, not with every pod that names this account.
pub(super) fn service_account(blueprint: &Blueprint) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(blueprint),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// The Leases of the cluster's own groups and the way to their leaders, by their names, and nothing else. They may neither
/// make nor delete them.
pub(super) fn role(blueprint: &Blueprint) -> Role {
    let rule = |group: &str, resource: &str, name: fn(&str, u32) -> String, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some((0..blueprint.running).map(|group| name(&blueprint.cluster, group)).collect()),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    Role {
        metadata: metadata(blueprint),
        rules: Some(vec![
            rule(
                "coordination.k8s.io",
                "leases",
                names::group_object_name,
                &["get", "list", "watch", "patch"],
            ),
            rule("discovery.k8s.io", "endpointslices", names::leader_object_name, &["get", "patch"]),
        ]),
    }
}

pub(super) fn role_binding(blueprint: &Blueprint) -> RoleBinding {
    RoleBinding {
        metadata: metadata(blueprint),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: blueprint.cluster.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: blueprint.cluster.clone(),
            namespace: Some(blueprint.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

/// How many brokers may be moved at once. A broker is ready when it holds every acknowledged message, so what is counted
/// are copies; one that is not ready may always be moved.
///
/// With one copy: one broker over all groups, so a drain never hangs, and of many groups one share is gone at most.
/// With more: one of each group, so a group always serves.
pub(super) fn disruption_budgets(blueprint: &Blueprint) -> Vec<PodDisruptionBudget> {
    if blueprint.spec.copies() == 1 {
        return vec![budget(metadata(blueprint), labels::cluster_selector(&blueprint.cluster))];
    }
    let of_group = |group| {
        let name = names::group_object_name(&blueprint.cluster, group);
        let labels_of_group = labels::group_labels(&blueprint.cluster, group);
        let metadata = labels::metadata(blueprint, name, labels_of_group);
        budget(metadata, labels::group_selector(&blueprint.cluster, group))
    };
    (0..blueprint.groups).map(of_group).collect()
}

fn budget(metadata: ObjectMeta, selected: BTreeMap<String, String>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(labels::selector(selected)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// Clients and metrics from anywhere; the admin port from the operator and from brokers, which pass on what only the
/// leader may do; the peer port from brokers alone.
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
    let brokers = || NetworkPolicyPeer {
        pod_selector: Some(labels::selector(labels::cluster_selector(&blueprint.cluster))),
        ..NetworkPolicyPeer::default()
    };
    let listeners = blueprint.spec.listeners.iter().map(|listener| NetworkPolicyPort {
        port: Some(IntOrString::Int(listener.port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    });
    let public = [port("client"), port("http")].into_iter().chain(listeners).collect();
    NetworkPolicy {
        metadata: metadata(blueprint),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels::selector(labels::cluster_selector(&blueprint.cluster))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule { ports: Some(public), from: None },
                NetworkPolicyIngressRule {
                    ports: Some(vec![port("admin")]),
                    from: Some(vec![operator, brokers()]),
                },
                NetworkPolicyIngressRule { ports: Some(vec![port("peers")]), from: Some(vec![brokers()]) },
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

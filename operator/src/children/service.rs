//! Addresses: one for clients of the cluster, and the names of each group's members.

use crds::names;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ADMIN_PORT, Blueprint, CLIENT_PORT, HTTP_PORT, PEER_PORT, labels};

/// What clients in Kubernetes dial: any ready broker of the cluster.
pub(super) fn client_service(blueprint: &Blueprint) -> Service {
    Service {
        metadata: labels::metadata(
            blueprint,
            blueprint.cluster.clone(),
            labels::cluster_labels(&blueprint.cluster),
        ),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::cluster_selector(&blueprint.cluster)),
            ports: Some(vec![port("client", CLIENT_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// All members of a group, and under it the name of each: `shop-g0-1.shop-g0.prod.svc`.
pub(super) fn group_service(blueprint: &Blueprint, group: u32) -> Service {
    let name = names::group_object_name(&blueprint.cluster, group);
    Service {
        metadata: labels::metadata(blueprint, name, labels::group_labels(&blueprint.cluster, group)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(labels::group_selector(&blueprint.cluster, group)),
            // A broker that is not ready, one that catches up for instance, has to be reachable for its peers and the
            // admin API, and passes on what only the leader can do.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![
                port("client", CLIENT_PORT),
                port("admin", ADMIN_PORT),
                port("http", HTTP_PORT),
                port("peers", PEER_PORT.into()),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

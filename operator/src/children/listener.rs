//! Ways for clients outside of Kubernetes: for each listener a Service that they dial first, and one for each group.
//!
//! ```text
//!   shop-public ──► any ready broker        shop-g1-public ──► the ready brokers of g1, which pass on to their leader
//! ```
//!
//! With one group clients go on with what they dialled, so there are Services of groups only when there are several, or were:
//! one that has an address keeps it. That of a group that has left leads to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crds::broker_config::{AdvertisedGroup, ListenerConfig};
use crds::listener::{Given, Listener};
use crds::names;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, InvalidSpec, labels};

/// Label with the name of a listener.
pub const LISTENER_LABEL: &str = "millpond.io/listener";

/// The listener an object belongs to, by its label.
pub fn listener_of(metadata: &ObjectMeta) -> Option<&String> {
    metadata.labels.as_ref()?.get(LISTENER_LABEL)
}

/// What Kubernetes gave the Service of a listener.
pub fn given(service: &Service) -> Given {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let balancer = || {
        let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
        ingress.hostname.clone().or_else(|| ingress.ip.clone())
    };
    Given {
        node_port: ports.first().and_then(|port| port.node_port),
        load_balancer: balancer().filter(|host| !host.is_empty()),
    }
}

/// The Services of all listeners.
pub(super) fn services(blueprint: &Blueprint) -> Vec<Service> {
    let listeners = blueprint.spec.listeners.iter();
    listeners
        .flat_map(|listener| {
            let groups = groups(blueprint, listener).into_iter().map(Some);
            std::iter::once(None).chain(groups).map(|group| service(blueprint, listener, group))
        })
        .collect()
}

/// The groups with a Service of their own.
fn groups(blueprint: &Blueprint, listener: &Listener) -> BTreeSet<u32> {
    let is_there = |group: &u32| blueprint.given.contains_key(&name(blueprint, listener, Some(*group)));
    let several = if blueprint.groups > 1 { 0..blueprint.groups } else { 0..0 };
    several.chain((0..labels::GROUPS_MAX).filter(is_there)).collect()
}

fn name(blueprint: &Blueprint, listener: &Listener, group: Option<u32>) -> String {
    names::listener_object_name(&blueprint.cluster, group, &listener.name)
}

fn service(blueprint: &Blueprint, listener: &Listener, group: Option<u32>) -> Service {
    let mut labels = group.map_or_else(
        || labels::cluster_labels(&blueprint.cluster),
        |group| labels::group_labels(&blueprint.cluster, group),
    );
    labels.insert(LISTENER_LABEL.to_owned(), listener.name.clone());
    let mut metadata = labels::metadata(blueprint, name(blueprint, listener, group), labels);
    let annotations = listener.annotations_of(group);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    // The address of a group that has left leads to the others: clients go on with it for longer than they should.
    let selector = match group.filter(|group| *group < blueprint.groups) {
        Some(group) => labels::group_selector(&blueprint.cluster, group),
        None => labels::cluster_selector(&blueprint.cluster),
    };
    let port = ServicePort {
        name: Some("client".to_owned()),
        port: listener.port,
        protocol: Some("TCP".to_owned()),
        // By its number: a name would have to be in the pods, which would then be made anew.
        target_port: Some(IntOrString::Int(listener.port)),
        node_port: listener.node_port_of(group),
        ..ServicePort::default()
    };
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(listener.service_type.word().to_owned()),
            selector: Some(selector),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Where clients of a listener find those of the groups whose address is known. None where they go on with what they dialled.
pub fn addresses(
    listener: &Listener,
    cluster: &str,
    namespace: &str,
    groups: &[u32],
    given: &BTreeMap<String, Given>,
) -> BTreeMap<u32, String> {
    let address = |group: u32| {
        let name = names::listener_object_name(cluster, Some(group), &listener.name);
        let given = given.get(&name).cloned().unwrap_or_default();
        Some((group, listener.address(cluster, namespace, group, &given)?))
    };
    let several = if groups.len() > 1 { groups } else { &[] };
    several.iter().copied().filter_map(address).collect()
}

/// What brokers are told of the listeners.
pub(super) fn configs(blueprint: &Blueprint, told: &[u32]) -> Result<Vec<ListenerConfig>, InvalidSpec> {
    let config = |listener: &Listener| {
        let port = u16::try_from(listener.port).map_err(|_| {
            InvalidSpec(format!(
                "listeners: {} has port {}; it must be below 65536",
                listener.name, listener.port
            ))
        })?;
        let found =
            addresses(listener, &blueprint.cluster, &blueprint.namespace, told, &blueprint.given).into_iter();
        let advertised = |(group, endpoint)| AdvertisedGroup { name: names::group_name(group), endpoint };
        Ok(ListenerConfig {
            name: listener.name.clone(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            groups: found.map(advertised).collect(),
        })
    };
    blueprint.spec.listeners.iter().map(config).collect()
}

//! The addresses of a listener, as far as Kubernetes has given them. Pure.

use crds::broker_cluster::{GroupAddress, ListenerStatus};
use crds::listener::{Listener, ServiceType};
use crds::{BrokerCluster, names};
use kube::ResourceExt;

use super::observe::Observed;
use super::plan::Plan;
use crate::children::addresses;

/// What clients dial first, where they find each group, and what is not known yet.
pub(super) fn status(
    cluster: &BrokerCluster,
    observed: &Observed,
    plan: &Plan,
    listener: &Listener,
) -> ListenerStatus {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let groups: Vec<u32> = (0..plan.groups).filter(|group| !plan.joining.contains_key(group)).collect();
    let found = addresses(listener, &name, &namespace, &groups, &observed.given);
    let first = names::listener_object_name(&name, None, &listener.name);
    let address = observed.given.get(&first).and_then(|given| listener.first_address(given));
    let several = groups.iter().filter(|_| groups.len() > 1);
    let mut missing: Vec<String> = several
        .filter(|group| !found.contains_key(group))
        .map(|group| names::listener_object_name(&name, Some(*group), &listener.name))
        .collect();
    if address.is_none() && listener.service_type != ServiceType::ClusterIP {
        missing.insert(0, first);
    }
    let what = match listener.service_type {
        ServiceType::LoadBalancer => "load balancer",
        ServiceType::NodePort | ServiceType::ClusterIP => "port",
    };
    ListenerStatus {
        name: listener.name.clone(),
        address,
        groups: found
            .into_iter()
            .map(|(group, address)| GroupAddress { name: names::group_name(group), address })
            .collect(),
        waiting: (!missing.is_empty())
            .then(|| format!("Kubernetes has not given a {what} to Service {}", missing.join(", "))),
    }
}

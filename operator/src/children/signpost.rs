//! The address of a group's leader: a Service that selects nobody, and the EndpointSlice that says where it leads to.
//!
//! Without endpoints and ports: whoever leads writes them, and applying what one does not own would take it away. With one
//! copy as with three, so that the address stays when the number of copies changes.

use crds::names;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::TypeMeta;
use serde::{Deserialize, Serialize};

use super::service::port;
use super::{Blueprint, CLIENT_PORT, labels};

/// Label that tells Kubernetes which Service a slice is of.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Finds the slices that are not made by Kubernetes itself: those carry the labels of our Services as well.
pub const SLICE_SELECTOR: &str = "endpointslice.kubernetes.io/managed-by=millpond.io";

/// What the operator owns of an EndpointSlice. The type that Kubernetes has would always say that there are no endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Resource)]
#[resource(inherit = "EndpointSlice")]
#[serde(rename_all = "camelCase")]
pub struct LeaderSlice {
    /// Kind and version.
    #[serde(flatten, default)]
    pub types: Option<TypeMeta>,
    /// Its name, its labels, its owner.
    pub metadata: ObjectMeta,
    /// The family of its addresses.
    pub address_type: String,
}

/// The stable address of whoever leads a group: `shop-g0-leader.prod.svc`.
pub(super) fn leader_service(blueprint: &Blueprint, group: u32) -> Service {
    let name = names::leader_object_name(&blueprint.cluster, group);
    Service {
        metadata: labels::metadata(blueprint, name, labels::group_labels(&blueprint.cluster, group)),
        spec: Some(ServiceSpec { ports: Some(vec![port("client", CLIENT_PORT)]), ..ServiceSpec::default() }),
        ..Service::default()
    }
}

/// The same address once the group has left: it leads to any ready broker of the cluster. Clients that still have it find one
/// there: an SDK that polls it for ever would wait 5 s for each try, and do nothing else meanwhile.
pub(super) fn detour_service(blueprint: &Blueprint, group: u32) -> Service {
    let mut service = leader_service(blueprint, group);
    let spec = service.spec.get_or_insert_default();
    spec.selector = Some(labels::cluster_selector(&blueprint.cluster));
    service
}

/// That address for clients: `shop-g0-leader.prod.svc:8081`.
pub fn leader_endpoint(cluster: &str, namespace: &str, group: u32) -> String {
    format!("{}.{namespace}.svc:{CLIENT_PORT}", names::leader_object_name(cluster, group))
}

/// Where it leads to, as far as the operator says. The family of addresses can never be changed, so it is the one that
/// Kubernetes gave the Service.
pub(super) fn leader_slice(blueprint: &Blueprint, group: u32, family: &str) -> LeaderSlice {
    let name = names::leader_object_name(&blueprint.cluster, group);
    let mut labels_of_slice = labels::group_labels(&blueprint.cluster, group);
    labels_of_slice.insert(SERVICE_LABEL.to_owned(), name.clone());
    labels_of_slice
        .extend(SLICE_SELECTOR.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
    LeaderSlice {
        types: Some(TypeMeta::resource::<EndpointSlice>()),
        metadata: labels::metadata(blueprint, name, labels_of_slice),
        address_type: family.to_owned(),
    }
}

//! What an EndpointSlice says, and the bodies of the patches that change it.

use std::net::IpAddr;

use crds::group_record::EPOCH_ANNOTATION;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Whereabouts;

/// Name of the port, as in the Service.
const PORT: &str = "client";

/// The family of an address, in the words of Kubernetes.
pub(super) fn family(ip: &IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// The epoch of whoever wrote the address; none: nobody did, or somebody else wrote something else.
pub(super) fn epoch(slice: &EndpointSlice) -> Option<u32> {
    slice.annotations().get(EPOCH_ANNOTATION)?.parse().ok()
}

/// Whether it leads there, and nowhere else.
pub(super) fn leads_to(slice: &EndpointSlice, ip: IpAddr, port: u16) -> bool {
    let [endpoint] = slice.endpoints.as_slice() else { return false };
    let [found] = slice.ports.as_deref().unwrap_or_default() else { return false };
    let is_ready = endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false));
    let is_port = found.name.as_deref() == Some(PORT) && found.port == Some(port.into());
    is_ready && is_port && endpoint.addresses == [ip.to_string()]
}

/// It leads there from this version on.
pub(super) fn pointing(version: &str, epoch: u32, namespace: &str, own: &Whereabouts, ip: IpAddr) -> Value {
    json!({
        "metadata": { "resourceVersion": version, "annotations": { EPOCH_ANNOTATION: epoch.to_string() } },
        "endpoints": [{
            "addresses": [ip],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "kind": "Pod", "namespace": namespace, "name": own.pod },
        }],
        "ports": [{ "name": PORT, "port": own.port, "protocol": "TCP" }],
    })
}

/// It leads nowhere from this version on.
pub(super) fn empty(version: &str) -> Value {
    json!({ "metadata": { "resourceVersion": version }, "endpoints": [] })
}

//! What a namespace holds, without what is different each time: so that two ends can be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::cluster::Place;

const KINDS: &str = "statefulsets,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,\
                     rolebindings,endpointslices,leases,persistentvolumeclaims,brokerclusters,topics,consumergroups";
/// Ours by their kind.
const OWN: [&str; 3] = ["BrokerCluster", "Topic", "ConsumerGroup"];
/// Of them only the metadata is compared: brokers and Kubernetes write the rest.
const BARE: [&str; 3] = ["Lease", "EndpointSlice", "PersistentVolumeClaim"];
const PARTS: [&str; 6] = ["spec", "data", "rules", "subjects", "roleRef", "status"];
/// Chosen by Kubernetes.
const CHOSEN: [&str; 4] = ["clusterIP", "clusterIPs", "volumeName", "healthCheckNodePort"];

/// Objects by kind and name.
pub type Snapshot = BTreeMap<String, Value>;

/// What the operator made here, and what it says of our objects.
pub fn snapshot(place: &Place) -> Snapshot {
    let said = place.kubectl(&["get", KINDS, "-o", "json"]);
    assert!(said.ok, "{}", said.text);
    // So that two places compare.
    let text = said.text.replace(&place.namespace, "NAMESPACE");
    let list: Value = serde_json::from_str(&text).expect("kubectl writes JSON");
    let objects = list["items"].as_array().cloned().unwrap_or_default();
    objects.iter().filter(|object| is_compared(object)).map(reduced).collect()
}

/// What the two do not have in common, an object a line.
pub fn differences(wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let differs = |name: &&&String| wanted.get(**name) != found.get(**name);
    let text = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), ToString::to_string);
    let say = |name: &String| {
        format!("{name}:\n  wanted {}\n  found  {}", text(wanted.get(name)), text(found.get(name)))
    };
    names.iter().filter(differs).map(|name| say(name)).collect()
}

fn is_compared(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    let labels = &object["metadata"]["labels"];
    // Slices that Kubernetes makes for a Service have its labels, and names that it chose.
    let is_derived = labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io";
    OWN.contains(&kind) || (labels["app.kubernetes.io/managed-by"] == "millpond-operator" && !is_derived)
}

fn reduced(object: &Value) -> (String, Value) {
    let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
    let (kind, name) = (kind.unwrap_or_default(), name.unwrap_or_default());
    let mut kept = Map::new();
    for part in ["labels", "finalizers"] {
        kept.insert(part.to_owned(), object["metadata"][part].clone());
    }
    if !BARE.contains(&kind) {
        for part in PARTS {
            kept.insert(part.to_owned(), object[part].clone());
        }
    }
    kept.insert("status".to_owned(), if OWN.contains(&kind) { told(&object["status"]) } else { Value::Null });
    let mut kept = Value::Object(kept);
    // A fingerprint of what has the namespace in it.
    if let Some(config) = kept.pointer_mut("/spec/template/metadata/annotations/millpond.io~1config") {
        config.take();
    }
    if let Some(spec) = kept["spec"].as_object_mut() {
        spec.retain(|key, _| !CHOSEN.contains(&key.as_str()));
    }
    (format!("{kind}/{name}"), kept)
}

/// Of a status what does not depend on when things happened.
fn told(status: &Value) -> Value {
    let mut status = status.clone();
    if let Some(all) = status.as_object_mut() {
        all.remove("groupStatus");
        all.remove("progress");
    }
    if let Some(conditions) = status["conditions"].as_array_mut() {
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            condition.retain(|key, _| matches!(key.as_str(), "type" | "status" | "reason"));
        }
    }
    status
}

//! Objects of a bundle: which ones, how they are found, and the events about them.

use std::collections::BTreeSet;
use std::io::{self, Write};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::{Value, json};

use super::archive::Archive;
use super::redact::redact;
use crate::error::Failure;
use crate::kubernetes::{Kubernetes, selector};

/// Pods of the operator carry this, whatever the name of the release.
const OPERATOR: &str = "app.kubernetes.io/name=millpond-operator";

/// Group, version, kind and plural of what a cluster consists of, found by its labels. Never Secrets.
const PARTS: [(&str, &str, &str, &str); 8] = [
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Service", "services"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("", "v1", "ConfigMap", "configmaps"),
];
/// What users write about it, in whatever namespace they do.
const TENANTS: [(&str, &str, &str, &str); 2] = [
    ("millpond.io", "v1alpha1", "Topic", "topics"),
    ("millpond.io", "v1alpha1", "ConsumerGroup", "consumergroups"),
];

/// Adds the cluster and all that belongs to it; returns them.
pub(crate) async fn of_cluster<W: Write>(
    kubernetes: &Kubernetes,
    cluster: &str,
    archive: &mut Archive<W>,
) -> io::Result<Vec<Value>> {
    let own = ListParams::default().fields(&format!("metadata.name={cluster}"));
    let kind = resource(("millpond.io", "v1alpha1", "BrokerCluster", "brokerclusters"));
    let mut all = list(kubernetes, &kind, Scope::Namespace, &own, archive).await;
    add(&kind.plural, &all, archive)?;
    for part in PARTS.map(resource) {
        let params = ListParams::default().labels(&selector(cluster));
        let found = list(kubernetes, &part, Scope::Namespace, &params, archive).await;
        add(&part.plural, &found, archive)?;
        all.extend(found);
    }
    for tenant in TENANTS.map(resource) {
        let params = ListParams::default().fields(&format!("spec.clusterRef.name={cluster}"));
        let mut found = list(kubernetes, &tenant, Scope::All, &params, archive).await;
        found.retain(|object| is_of(object, &kubernetes.namespace));
        add(&tenant.plural, &found, archive)?;
        all.extend(found);
    }
    Ok(all)
}

/// Adds the pods of operators, wherever they may be seen; returns them.
pub(crate) async fn operators<W: Write>(
    kubernetes: &Kubernetes,
    archive: &mut Archive<W>,
) -> io::Result<Vec<Value>> {
    let params = ListParams::default().labels(OPERATOR);
    let found = list(kubernetes, &resource(PARTS[1]), Scope::All, &params, archive).await;
    add("operator-pods", &found, archive)?;
    Ok(found)
}

/// Adds the events of the namespace that are about one of these objects.
pub(crate) async fn events<W: Write>(
    kubernetes: &Kubernetes,
    about: &[Value],
    archive: &mut Archive<W>,
) -> io::Result<()> {
    let kind = resource(("", "v1", "Event", "events"));
    let mut found = list(kubernetes, &kind, Scope::Namespace, &ListParams::default(), archive).await;
    let name = |object: &Value, at: &str| {
        Some((object["kind"].as_str()?.to_owned(), object.pointer(at)?.as_str()?.to_owned()))
    };
    let known: BTreeSet<_> = about.iter().filter_map(|object| name(object, "/metadata/name")).collect();
    found.retain(|event| name(&event["involvedObject"], "/name").is_some_and(|name| known.contains(&name)));
    add(&kind.plural, &found, archive)
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In the cluster's namespace.
    Namespace,
    /// In all of them, or in the cluster's where more is not allowed.
    All,
}

fn resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// What was found, fit to be shown. What may not be listed is noted.
async fn list<W: Write>(
    kubernetes: &Kubernetes,
    kind: &ApiResource,
    scope: Scope,
    params: &ListParams,
    archive: &mut Archive<W>,
) -> Vec<Value> {
    let client = kubernetes.client.clone();
    if scope == Scope::All {
        let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), kind);
        match everywhere.list(params).await {
            Ok(list) => return list.items.into_iter().map(|object| shown(object, kind)).collect(),
            Err(error) => archive.miss(
                &format!("{} of other namespaces", kind.plural),
                Failure::of(format!("list {} in all namespaces", kind.plural), error),
            ),
        }
    }
    let here: Api<DynamicObject> = Api::namespaced_with(client, &kubernetes.namespace, kind);
    match here.list(params).await {
        Ok(list) => list.items.into_iter().map(|object| shown(object, kind)).collect(),
        Err(error) => {
            archive.miss(&kind.plural, Failure::of(format!("list {}", kind.plural), error));
            Vec::new()
        }
    }
}

/// Items of a list do not say what they are.
fn shown(object: DynamicObject, kind: &ApiResource) -> Value {
    let mut value = json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": object.metadata});
    if let (Some(all), Value::Object(rest)) = (value.as_object_mut(), object.data) {
        all.extend(rest);
    }
    redact(&mut value);
    value
}

/// Whether a topic or consumer group means the cluster of this namespace, and not one of the same name in its own.
fn is_of(object: &Value, namespace: &str) -> bool {
    let meant =
        object.pointer("/spec/clusterRef/namespace").or_else(|| object.pointer("/metadata/namespace"));
    meant.and_then(Value::as_str) == Some(namespace)
}

fn add<W: Write>(name: &str, objects: &[Value], archive: &mut Archive<W>) -> io::Result<()> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(object).map_err(io::Error::other)?);
    }
    archive.add(&format!("objects/{name}.yaml"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_asked_for() {
        assert!(PARTS.iter().chain(&TENANTS).all(|(_, _, kind, _)| *kind != "Secret"));
    }

    #[test]
    fn a_topic_of_another_cluster_of_the_same_name_is_not_meant() {
        let topic = |namespace: &str, cluster: Value| json!({"metadata": {"namespace": namespace}, "spec": {"clusterRef": cluster}});
        assert!(is_of(&topic("mq", json!({"name": "shop"})), "mq"));
        assert!(is_of(&topic("web", json!({"name": "shop", "namespace": "mq"})), "mq"));
        assert!(!is_of(&topic("web", json!({"name": "shop"})), "mq"));
    }
}

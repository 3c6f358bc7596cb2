//! `export`: everything that the brokers of a cluster hold, as manifests.
//!
//! ```text
//!   a Ready pod of each group ──► `millpond topics list`, `groups list` as JSON (`held`)
//!       ──► one of each name ──► what users may declare ──► metadata.name (`name`), spec (`spec`) ──► YAML (`yaml`)
//! ```
//!
//! Promise: what is printed can be applied as it is, to this cluster, where it changes nothing, or to another one; what cannot be
//! declared is named on standard error. An object that Kubernetes made keeps its name and namespace.
//! Limit: policies of an object (`deletionPolicy` and the like) are not in the brokers, so they are the usual ones.

mod held;
mod name;
mod spec;
mod yaml;

use std::collections::BTreeMap;

use crds::object::ClusterRef;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli;
use crate::error::Failure;
use crate::exec;
use crate::kubernetes::Kubernetes;
use crate::run;
use held::{Group, Held, Topic};
use name::Key;

/// All manifests, and what is to be said about what is not among them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Export {
    /// YAML documents.
    pub(crate) manifests: String,
    /// A line each.
    pub(crate) remarks: Vec<String>,
}

/// Asks a broker of each group and makes manifests of what they hold.
pub(crate) async fn report(kubernetes: &Kubernetes, args: &cli::Export) -> Result<Export, Failure> {
    let brokers = run::brokers(kubernetes, &args.cluster).await?;
    let pods: Api<Pod> = kubernetes.api();
    let (mut topics, mut groups) = (Vec::new(), Vec::new());
    for (group, pod) in brokers.one_of_each_group()? {
        topics.push((group.clone(), list::<Topic>(&pods, pod, "topics").await?));
        groups.push((group, list::<Group>(&pods, pod, "groups").await?));
    }
    let place = Place { namespace: &kubernetes.namespace, cluster: &args.cluster };
    let mut export = Export::default();
    add(&mut export, &place, topics, spec::topic);
    add(&mut export, &place, groups, spec::group);
    Ok(export)
}

async fn list<T: DeserializeOwned>(pods: &Api<Pod>, pod: &str, what: &str) -> Result<Vec<T>, Failure> {
    let args = [what, "list", "--output", "json"].map(str::to_owned);
    let said = exec::capture(pods, pod, &args).await?;
    if said.code != 0 {
        let message = String::from_utf8_lossy(&said.err).trim().to_owned();
        return Err(Failure::Command {
            pod: pod.to_owned(),
            command: format!("millpond {what} list"),
            message,
        });
    }
    serde_json::from_slice(&said.out)
        .map_err(|error| Failure::Unreadable { pod: pod.to_owned(), message: error.to_string() })
}

/// The cluster that is exported.
struct Place<'a> {
    namespace: &'a str,
    cluster: &'a str,
}

/// Adds a kind of objects: `held` is what each group has, and `manifest` makes one of them.
fn add<T: Held>(
    export: &mut Export,
    place: &Place<'_>,
    held: Vec<(String, Vec<T>)>,
    manifest: fn(&T, &Key, ClusterRef) -> Result<Value, String>,
) {
    let all = merge(held, &mut export.remarks);
    let declared: Vec<&T> = all.values().filter(|item| !item.is_system()).collect();
    let names: Vec<(&str, &str)> = declared.iter().map(|item| (item.name(), item.owner())).collect();
    for (item, key) in declared.iter().zip(name::assign(&names, place.namespace)) {
        let elsewhere = key.namespace.is_some().then(|| place.namespace.to_owned());
        let cluster = ClusterRef { name: place.cluster.to_owned(), namespace: elsewhere };
        match manifest(item, &key, cluster) {
            Ok(value) => export.manifests.push_str(&yaml::document(&value)),
            Err(why) => export.remarks.push(format!("left out: {} `{}`: {why}", T::NOUN, item.name())),
        }
    }
}

/// One of each name. Groups hold the same, unless somebody changed one of them by hand.
fn merge<T: Held>(held: Vec<(String, Vec<T>)>, remarks: &mut Vec<String>) -> BTreeMap<String, T> {
    let mut all: BTreeMap<String, (String, T)> = BTreeMap::new();
    for (group, items) in held {
        for item in items {
            let Some((first, known)) = all.get_mut(item.name()) else {
                all.insert(item.name().to_owned(), (group.clone(), item));
                continue;
            };
            if !known.is_like(&item) {
                let name = item.name();
                remarks.push(format!(
                    "{} `{name}` is different in {first} and {group}: {first}'s is shown",
                    T::NOUN
                ));
            } else if known.owner().is_empty() {
                *known = item;
            }
        }
    }
    all.into_iter().map(|(name, (_, item))| (name, item)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topic(name: &str, queues: u32, owner: &str) -> Topic {
        serde_json::from_value(json!({
            "name": name, "type": "NORMAL", "queues": queues, "retentionMs": 0, "owner": owner, "groups": [],
        }))
        .unwrap()
    }

    fn export(held: Vec<(String, Vec<Topic>)>) -> Export {
        let mut export = Export::default();
        add(&mut export, &Place { namespace: "mq", cluster: "shop" }, held, spec::topic);
        export
    }

    fn in_g0(topics: Vec<Topic>) -> Vec<(String, Vec<Topic>)> {
        vec![("g0".to_owned(), topics)]
    }

    #[test]
    fn a_topic_that_kubernetes_never_saw_becomes_a_manifest() {
        let expected = "\
---
apiVersion: millpond.io/v1alpha1
kind: Topic
metadata:
  name: orders-v1-e9a03874
spec:
  adoptionPolicy: IfCompatible
  clusterRef:
    name: shop
  deletionPolicy: Retain
  deletionProtection: false
  management: Managed
  name: Orders_v1
  queues:
    perGroup: 8
  type: NORMAL
";
        let export = export(in_g0(vec![topic("Orders_v1", 8, "")]));
        assert_eq!(export.manifests, expected);
        assert_eq!(export.remarks, Vec::<String>::new());
    }

    #[test]
    fn an_object_of_another_namespace_keeps_it_and_names_the_clusters() {
        let export = export(in_g0(vec![topic("orders", 8, "web/orders")]));
        assert!(export.manifests.contains("  name: orders\n  namespace: web\n"), "{}", export.manifests);
        assert!(export.manifests.contains("    name: shop\n    namespace: mq\n"), "{}", export.manifests);
    }

    #[test]
    fn what_belongs_to_the_broker_is_not_shown_and_what_cannot_be_declared_is_named() {
        let odd = topic("orders", 2000, "");
        let all = vec![topic("%DLQ%billing", 1, ""), topic("TRANS_CHECK_MAX_TIME_TOPIC", 1, ""), odd];
        let export = export(in_g0(all));
        assert_eq!(export.manifests, "");
        assert_eq!(export.remarks.len(), 1, "{:?}", export.remarks);
        assert!(export.remarks[0].starts_with("left out: topic `orders`: "), "{:?}", export.remarks);
    }

    #[test]
    fn a_name_that_several_groups_hold_is_shown_once() {
        let groups =
            |second| vec![("g0".to_owned(), vec![topic("orders", 8, "")]), ("g1".to_owned(), vec![second])];
        let same = export(groups(topic("orders", 8, "mq/orders-topic")));
        assert!(same.manifests.contains("name: orders-topic"), "{}", same.manifests);
        assert_eq!((same.manifests.matches("kind: Topic").count(), same.remarks.len()), (1, 0));
        let other = export(groups(topic("orders", 9, "")));
        assert!(other.manifests.contains("perGroup: 8"), "{}", other.manifests);
        assert_eq!(other.remarks, ["topic `orders` is different in g0 and g1: g0's is shown"]);
    }
}

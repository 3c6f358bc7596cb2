//! Labels: how the objects of a cluster are found, and how pods are selected.

use std::collections::BTreeMap;

use crds::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::Blueprint;

/// Label with the group of an object.
pub const GROUP_LABEL: &str = "millpond.io/group";
/// Groups have numbers below this.
pub(super) const GROUPS_MAX: u32 = 32;
/// Value of the label that says who manages an object.
pub(super) const MANAGED_BY: &str = "millpond-operator";

type Labels = BTreeMap<String, String>;

fn text(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Labels that select the broker pods of a cluster. Selectors cannot change, so neither may these.
pub fn cluster_selector(cluster: &str) -> Labels {
    text(&[
        ("app.kubernetes.io/name", "millpond"),
        ("app.kubernetes.io/component", "broker"),
        ("app.kubernetes.io/instance", cluster),
    ])
}

/// Labels that select the broker pod of a group.
pub(super) fn group_selector(cluster: &str, group: u32) -> Labels {
    let mut labels = cluster_selector(cluster);
    labels.insert(GROUP_LABEL.to_owned(), names::group_name(group));
    labels
}

/// Labels of every object of a cluster.
pub fn cluster_labels(cluster: &str) -> Labels {
    let mut labels = cluster_selector(cluster);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGED_BY.to_owned());
    labels
}

/// Labels of every object of a group.
pub(super) fn group_labels(cluster: &str, group: u32) -> Labels {
    let mut labels = cluster_labels(cluster);
    labels.insert(GROUP_LABEL.to_owned(), names::group_name(group));
    labels
}

/// The group an object belongs to, by its label.
pub fn group_of(metadata: &ObjectMeta) -> Option<u32> {
    names::group_number(metadata.labels.as_ref()?.get(GROUP_LABEL)?)
}

/// A selector as text.
pub fn selector_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

pub(super) fn selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

pub(super) fn metadata(blueprint: &Blueprint, name: String, labels: Labels) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(blueprint.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![blueprint.owner.clone()]),
        ..ObjectMeta::default()
    }
}

//! What a smaller number of copies or groups leaves behind. Pure.
//!
//! Promise: a disk goes only where `deletionPolicy` says so, and never one that a pod may have; the Lease of a group stays
//! for as long as its disks do, so that the group can come back.

use std::collections::BTreeSet;

use crds::object::DeletionPolicy;
use crds::{BrokerCluster, names};
use kube::ResourceExt;

use super::observe::{ChildMeta, Member, Observed};
use super::plan::{Plan, Removal, is_ours};
use super::record;
use crate::children::Child;

/// Adds what is not needed any more, and what stays although it is not needed.
pub(super) fn plan(cluster: &BrokerCluster, observed: &Observed, children: &[Child], plan: &mut Plan) {
    let budgets = observed.children.iter().filter(|((kind, name), meta)| {
        let is_wanted = children.iter().any(|child| child.kind() == *kind && child.name() == name);
        *kind == "PodDisruptionBudget"
            && meta.owner_uid.is_some()
            && meta.owner_uid == cluster.uid()
            && !is_wanted
    });
    plan.removals.extend(
        budgets.map(|((_, name), meta)| Removal::Budget { name: name.clone(), uid: meta.uid.clone() }),
    );
    plan.removals.extend(leftovers(cluster, observed, plan.groups));
    plan.removals.extend(closed(cluster, observed));
    for (member @ (group, ordinal), claim) in &observed.claims {
        let has_left = *group >= plan.groups;
        let replicas = plan.replicas.get(group).copied().unwrap_or(u32::MAX);
        let is_free = has_left || record::is_released(*ordinal, replicas, observed.leases.get(group));
        let is_kept = if has_left {
            observed.stateful_sets.contains_key(group)
        } else {
            scaled_to(observed, *group) > *ordinal
        };
        let runs = observed.pods.contains_key(member) || is_kept;
        if !is_free || runs || claim.deleting || !is_ours(&claim.name) {
            continue;
        }
        match cluster.spec.deletion_policy {
            DeletionPolicy::Retain => plan.retained.push((claim.name.clone(), *group)),
            DeletionPolicy::Delete => {
                plan.removals.push(Removal::Claim { name: claim.name.clone(), uid: claim.uid.clone() });
            }
        }
    }
}

/// What groups leave behind that have left. The Lease stays for as long as the disks do: it says who has what.
fn leftovers(cluster: &BrokerCluster, observed: &Observed, groups: u32) -> Vec<Removal> {
    let uid = cluster.uid();
    let has_left = |meta: &ChildMeta| meta.group.is_some_and(|group| group >= groups);
    let is_ours = |meta: &ChildMeta| meta.owner_uid.is_some() && meta.owner_uid == uid;
    let children = observed.children.iter().filter(|(_, meta)| has_left(meta) && is_ours(meta));
    let object = |((kind, name), meta): (&(&'static str, String), &ChildMeta)| {
        let runs = observed.pods.keys().any(|(of, _)| Some(*of) == meta.group);
        let is_kept = match *kind {
            "StatefulSet" => false,
            // Its brokers end in order.
            _ if runs => true,
            "Lease" => {
                cluster.spec.deletion_policy == DeletionPolicy::Retain || has_disks(observed, meta.group)
            }
            // Removed with those of the groups that stay.
            "PodDisruptionBudget" => true,
            "Service" if meta.listener.is_some() => true,
            "Service" => addresses(cluster, observed, groups)
                .iter()
                .any(|group| *name == names::leader_object_name(&cluster.name_any(), *group)),
            _ => false,
        };
        (!is_kept).then(|| Removal::Object { kind, name: name.clone(), uid: meta.uid.clone() })
    };
    children.filter_map(object).collect()
}

/// The Services of listeners that are not wanted any more.
fn closed(cluster: &BrokerCluster, observed: &Observed) -> Vec<Removal> {
    let (listeners, uid) = (&cluster.spec.listeners, cluster.uid());
    let is_wanted = |name: &String| listeners.iter().any(|listener| listener.name == *name);
    let object = |((kind, name), meta): (&(&'static str, String), &ChildMeta)| {
        let is_ours = meta.owner_uid.is_some() && meta.owner_uid == uid;
        let is_closed = meta.listener.as_ref().is_some_and(|listener| !is_wanted(listener));
        (is_ours && is_closed).then(|| Removal::Object { kind, name: name.clone(), uid: meta.uid.clone() })
    };
    observed.children.iter().filter_map(object).collect()
}

/// Groups that have left, whose address stays: clients may have it.
pub(super) fn addresses(cluster: &BrokerCluster, observed: &Observed, groups: u32) -> BTreeSet<u32> {
    let is_address = |((kind, name), meta): (&(&'static str, String), &ChildMeta)| {
        let group = meta.group.filter(|group| *group >= groups)?;
        let is_leaders = *name == names::leader_object_name(&cluster.name_any(), group);
        (*kind == "Service" && is_leaders).then_some(group)
    };
    observed.children.iter().filter_map(is_address).collect()
}

/// The address of a group that has come back is made anew: Kubernetes leaves the endpoints that it found by a selector when the
/// selector goes, and they are the brokers of other groups.
pub(super) fn undo_detours(
    cluster: &BrokerCluster,
    observed: &Observed,
    children: &mut Vec<Child>,
    plan: &mut Plan,
) {
    for group in observed.detours.iter().filter(|group| **group < plan.groups) {
        let address = names::leader_object_name(&cluster.name_any(), *group);
        let Some(meta) = observed.children.get(&("Service", address.clone())) else { continue };
        children.retain(|child| child.kind() != "Service" || child.name() != address);
        plan.removals.push(Removal::Object { kind: "Service", name: address, uid: meta.uid.clone() });
    }
}

fn has_disks(observed: &Observed, group: Option<u32>) -> bool {
    let is_its = |(of, _): &Member| Some(*of) == group;
    observed.claims.keys().any(is_its) || observed.pods.keys().any(is_its)
}

/// How many pods a group's StatefulSet makes now.
fn scaled_to(observed: &Observed, group: u32) -> u32 {
    let replicas = || observed.stateful_sets.get(&group)?.spec.as_ref()?.replicas;
    replicas().and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(u32::MAX)
}

//! What to do about a cluster next. Pure: the spec and what there is in, steps out.
//!
//! Promise: a plan restarts at most one broker. It restarts one that does not serve at once, and one that serves only
//! when every other group serves too, and only after Kubernetes has seen the newest template of every group.

use crds::BrokerCluster;
use crds::amount::Quantity;
use crds::broker_cluster::Reconciliation;
use crds::names;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{Resource, ResourceExt};

use super::observe::{ChildMeta, Observed};
use crate::children::{Blueprint, CLAIM, Child, InvalidSpec, children};
use crate::settings::Settings;

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Objects to apply, in order.
    pub children: Vec<Child>,
    /// Volume claims to enlarge.
    pub growths: Vec<Growth>,
    /// The broker to restart.
    pub restart: Option<Restart>,
    /// Groups whose broker runs with an older template.
    pub outdated: Vec<u32>,
    /// Image of the brokers in effect.
    pub image: String,
    /// How many groups the cluster has.
    pub groups: u32,
    /// What a person has to change.
    pub problem: Option<Problem>,
}

/// A volume claim to enlarge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The claim.
    pub claim: String,
    /// The new size.
    pub size: String,
}

/// A broker to restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Its group.
    pub group: u32,
    /// Its pod.
    pub pod: String,
    /// The pod's identity.
    pub uid: String,
}

/// What a person has to change before the operator can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The spec cannot be carried out; nothing is changed.
    InvalidSpec(String),
    /// A part of the spec cannot be carried out; the rest is.
    InvalidChange(String),
    /// Somebody else has an object with a name that the cluster needs; nothing is changed.
    NameTaken(String),
    /// Objects of an earlier cluster of this name are still being deleted. This passes by itself.
    Leftover(String),
}

impl Problem {
    /// One word, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::InvalidChange(_) => "InvalidChange",
            Self::NameTaken(_) => "NameTaken",
            Self::Leftover(_) => "EarlierClusterLeaving",
        }
    }

    /// A sentence, for people.
    pub fn message(&self) -> &str {
        match self {
            Self::InvalidSpec(text)
            | Self::InvalidChange(text)
            | Self::NameTaken(text)
            | Self::Leftover(text) => text,
        }
    }
}

/// Decides what to do next.
pub fn plan(cluster: &BrokerCluster, observed: &Observed, settings: &Settings) -> Plan {
    let existing = observed.stateful_sets.keys().next_back().map_or(0, |last| last + 1);
    let asked = u32::try_from(cluster.spec.groups).unwrap_or(1);
    let image = image(cluster, observed, settings);
    let mut plan = Plan { image, groups: asked.max(existing), ..Plan::default() };
    if asked < existing {
        plan.problem = Some(Problem::InvalidChange(format!(
            "the cluster has {existing} groups and cannot have {asked}: the messages of a group would be lost; set \
             groups to {existing}"
        )));
    }
    if cluster.spec.reconciliation == Reconciliation::Paused {
        return plan;
    }
    let wanted = blueprint(cluster, &plan, settings)
        .and_then(|blueprint| children(&blueprint, |group| claim_size(observed.stateful_sets.get(&group)?)));
    let children = match wanted {
        Ok(children) => children,
        Err(InvalidSpec(text)) => {
            plan.problem = Some(Problem::InvalidSpec(text));
            return plan;
        }
    };
    if let Some(problem) = taken(cluster, observed, &children) {
        plan.problem = Some(problem);
        return plan;
    }
    plan.growths = growths(cluster, observed);
    plan.outdated = outdated(observed);
    plan.restart = restart(&plan, observed, &children);
    plan.children = children;
    plan
}

/// What the user names, else what runs, else the operator's own: a newer operator restarts no broker.
fn image(cluster: &BrokerCluster, observed: &Observed, settings: &Settings) -> String {
    let running = || {
        let spec = observed.stateful_sets.values().next()?.spec.as_ref()?;
        spec.template.spec.as_ref()?.containers.first()?.image.clone()
    };
    match (&cluster.spec.image, &cluster.spec.version) {
        (Some(image), _) => image.clone(),
        (None, Some(version)) => format!("{}:{version}", repository(&settings.broker_image)),
        (None, None) => running().unwrap_or_else(|| settings.broker_image.clone()),
    }
}

/// An image without its tag and digest. A colon before the last slash belongs to a port.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        Some(_) | None => image,
    }
}

fn blueprint(cluster: &BrokerCluster, plan: &Plan, settings: &Settings) -> Result<Blueprint, InvalidSpec> {
    let owner = cluster
        .controller_owner_ref(&())
        .ok_or_else(|| InvalidSpec("the object has no name and uid yet".to_owned()))?;
    Ok(Blueprint {
        cluster: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        owner,
        spec: cluster.spec.clone(),
        groups: plan.groups,
        image: plan.image.clone(),
        image_pull_policy: settings.broker_image_pull_policy.clone(),
        operator_namespace: settings.namespace.clone(),
    })
}

fn claim_size(set: &StatefulSet) -> Option<String> {
    let claims = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let requests = claims.first()?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Some(requests.get("storage")?.0.clone())
}

/// Objects without an owner that carry the cluster's labels are taken over: somebody deleted the cluster and kept them.
fn taken(cluster: &BrokerCluster, observed: &Observed, children: &[Child]) -> Option<Problem> {
    let uid = cluster.uid();
    let foreign = |meta: &&ChildMeta| meta.owner_uid.is_some() && meta.owner_uid != uid;
    let (child, meta) = children.iter().find_map(|child| {
        let meta = observed.children.get(&(child.kind(), child.name().to_owned())).filter(foreign)?;
        Some((child, meta))
    })?;
    let (kind, name) = (child.kind(), child.name());
    let (owner_kind, owner) = (meta.owner_kind.as_deref(), meta.owner_name.as_deref().unwrap_or_default());
    if owner_kind == Some("BrokerCluster") && owner == cluster.name_any() {
        let text = format!("{kind} {name} of an earlier BrokerCluster {owner} is still being deleted");
        return Some(Problem::Leftover(text));
    }
    Some(Problem::NameTaken(format!(
        "{kind} {name} belongs to {} {owner}; delete that one, or name the cluster differently",
        owner_kind.unwrap_or_default()
    )))
}

fn growths(cluster: &BrokerCluster, observed: &Observed) -> Vec<Growth> {
    let size = &cluster.spec.storage.size;
    let Ok(wanted) = size.bytes() else { return Vec::new() };
    let smaller = |requested: &str| Quantity(requested.to_owned()).bytes().is_ok_and(|bytes| bytes < wanted);
    observed
        .claims
        .values()
        // Only what a StatefulSet made from our template: a pod may have other claims one day.
        .filter(|claim| claim.name.starts_with(&format!("{CLAIM}-")) && smaller(&claim.requested))
        .map(|claim| Growth { claim: claim.name.clone(), size: size.0.clone() })
        .collect()
}

fn outdated(observed: &Observed) -> Vec<u32> {
    let newest = |group: &u32| observed.stateful_sets.get(group)?.status.as_ref()?.update_revision.clone();
    let old = |(group, pod): (&u32, &super::PodView)| {
        newest(group).is_some_and(|newest| newest != pod.revision).then_some(*group)
    };
    observed.pods.iter().filter_map(old).collect()
}

fn restart(plan: &Plan, observed: &Observed, children: &[Child]) -> Option<Restart> {
    let all_seen = children.iter().all(|child| match child {
        Child::StatefulSet(set) => seen(set, observed),
        Child::ServiceAccount(_)
        | Child::NetworkPolicy(_)
        | Child::PodDisruptionBudget(_)
        | Child::ConfigMap(_)
        | Child::Service(_) => true,
    });
    // A pod that is on its way out is a restart already under way.
    if !all_seen || observed.pods.values().any(|pod| pod.deleting) {
        return None;
    }
    let pods = || plan.outdated.iter().filter_map(|group| Some((*group, observed.pods.get(group)?)));
    let all_serve = (0..plan.groups).all(|group| observed.pods.get(&group).is_some_and(|pod| pod.ready));
    let down = pods().find(|(_, pod)| !pod.ready);
    let (group, pod) = down.or_else(|| pods().next().filter(|_| all_serve))?;
    Some(Restart { group, pod: pod.name.clone(), uid: pod.uid.clone() })
}

/// Whether Kubernetes has this very StatefulSet and has looked at it.
fn seen(wanted: &StatefulSet, observed: &Observed) -> bool {
    let group =
        names::group_number(wanted.labels().get(crate::children::GROUP_LABEL).map_or("", |name| name));
    let Some(set) = group.and_then(|group| observed.stateful_sets.get(&group)) else { return false };
    let applied = |set: &StatefulSet| set.annotations().get(crate::children::APPLIED_ANNOTATION).cloned();
    let looked_at = set.status.as_ref().and_then(|status| status.observed_generation);
    applied(set) == applied(wanted) && looked_at.is_some() && looked_at >= set.metadata.generation
}

//! What to do about a cluster next. Pure: the spec and what there is in, steps out.
//!
//! Promise: a plan restarts at most one broker, see [`roll`]; what the record of a group names is not taken away, see
//! [`record`].
//!
//! [`roll`]: super::roll
//! [`record`]: super::record

use std::collections::BTreeMap;

use crds::BrokerCluster;
use crds::broker_config::GroupPhase;
use crds::group_record::GroupRecord;
use crds::names;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Resource, ResourceExt};

use super::observe::{ChildMeta, Member, Observed, PodView};
use super::problem::Problem;
use super::record::{self, LeaseView, RecordStep, Traces};
use super::{disks, fence, join, leave, removals, roll};
use crate::children::{Blueprint, CLAIM, Child, InvalidSpec, Shape, children, group_of, lease};
use crate::fingerprint;
use crate::settings::Settings;

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Nothing is done: the operator is to leave the cluster alone.
    pub paused: bool,
    /// Leases to apply, before everything else.
    pub leases: Vec<LeaseStep>,
    /// Objects to apply, in order.
    pub children: Vec<Child>,
    /// Objects that are not needed any more.
    pub removals: Vec<Removal>,
    /// Volume claims to enlarge.
    pub growths: Vec<Growth>,
    /// Volume claims that Kubernetes has not enlarged yet.
    pub growing: Vec<String>,
    /// Pods that have an older configuration.
    pub refreshes: Vec<Refresh>,
    /// The broker to restart.
    pub restart: Option<Restart>,
    /// The clusters that restart brokers now, so that this one waits.
    pub waits_for: Vec<String>,
    /// Members that run with an older template.
    pub outdated: Vec<Member>,
    /// Pods that each group has to have.
    pub replicas: BTreeMap<u32, u32>,
    /// Claims of members that are no longer kept, with their groups; they stay.
    pub retained: Vec<(String, u32)>,
    /// Image of the brokers in effect.
    pub image: String,
    /// Kubernetes has not looked at the newest template of every group yet: what comes of it cannot be seen.
    pub is_unseen: bool,
    /// Whether every broker has the newest template and serves with it.
    pub is_rolled_out: bool,
    /// How many groups the cluster has.
    pub groups: u32,
    /// How many groups have pods or are to have some.
    pub running: u32,
    /// Those of them that leave, with how far they have come.
    pub phases: BTreeMap<u32, GroupPhase>,
    /// Those that clients are not sent to yet, and since when they join.
    pub joining: BTreeMap<u32, Timestamp>,
    /// What a person has to change.
    pub problem: Option<Problem>,
}

/// The Lease of a group to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseStep {
    /// What the operator owns of it.
    pub wanted: Lease,
    /// The one that exists.
    pub found: Option<Found>,
    /// The record to write first.
    pub record: Option<GroupRecord>,
}

/// An object that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

/// An object that is not needed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A disruption budget for another number of copies: two of them over one pod forbid every eviction.
    Budget {
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
    },
    /// An object of a group that has left.
    Object {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
    },
    /// The disk of a member that is no longer kept.
    Claim {
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
    },
}

/// A volume claim to enlarge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The claim.
    pub claim: String,
    /// The new size.
    pub size: String,
}

/// A pod that is to get the newest configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The pod.
    pub pod: String,
    /// Its identity.
    pub uid: String,
    /// Fingerprint of the configuration.
    pub config: String,
}

/// A broker to restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Its group and number.
    pub member: Member,
    /// Its pod.
    pub pod: String,
    /// The pod's identity.
    pub uid: String,
}

/// Decides what to do next.
pub fn plan(cluster: &BrokerCluster, observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let existing = leave::existing(cluster, observed);
    let asked = u32::try_from(cluster.spec.groups).unwrap_or(1);
    let image = image(cluster, observed, settings);
    let phases = leave::phases(cluster, asked, existing);
    let paused = cluster.spec.is_paused(now);
    let mut plan = Plan { image, groups: asked.max(existing), phases, paused, ..Plan::default() };
    if paused {
        return plan;
    }
    // The numbers of groups have no gaps: the last one goes first.
    while let Some(last) = plan.phases.last_entry().filter(|last| *last.get() == GroupPhase::Removing) {
        plan.groups = *last.key();
        last.remove();
    }
    plan.joining = join::joining(cluster, observed, plan.groups, now);
    let running = observed.pods.keys().next_back().map_or(0, |(last, _)| last + 1);
    plan.running = plan.groups.max(running);
    plan.problem = leave::kept(cluster, observed, &plan.phases).map(Problem::TopicsStay);
    plan.replicas = replicas(cluster, observed, plan.groups);
    let wanted = blueprint(cluster, observed, &plan, settings).and_then(|blueprint| {
        let children = children(&blueprint, |group| shape(observed, &plan, group))?;
        Ok((blueprint, children))
    });
    let (blueprint, mut children) = match wanted {
        Ok(wanted) => wanted,
        Err(InvalidSpec(text)) => {
            plan.problem = Some(Problem::InvalidSpec(text));
            return plan;
        }
    };
    let problem = plan_leases(cluster, observed, &blueprint, &mut plan);
    if let Some(problem) = taken(cluster, observed, &plan, &children) {
        plan.leases.clear();
        plan.problem = Some(problem);
        return plan;
    }
    plan.problem = problem.or(plan.problem);
    removals::undo_detours(cluster, observed, &mut children, &mut plan);
    plan.growths = disks::growths(cluster, observed, &plan.replicas);
    plan.growing = disks::growing(observed, &plan.replicas);
    plan.refreshes = refreshes(observed, &children);
    plan.is_unseen = !roll::all_seen(&children, observed);
    plan.outdated = roll::outdated(observed);
    plan.restart = roll::restart(&plan, observed, &children);
    plan.is_rolled_out = roll::is_done(&plan, observed, &children);
    removals::plan(cluster, observed, &children, &mut plan);
    plan.children = children;
    plan
}

fn replicas(cluster: &BrokerCluster, observed: &Observed, groups: u32) -> BTreeMap<u32, u32> {
    let current = |group: u32| {
        let spec = observed.stateful_sets.get(&group)?.spec.as_ref()?;
        u32::try_from(spec.replicas.unwrap_or(1)).ok()
    };
    let wanted =
        |group: u32| record::replicas(cluster.spec.copies(), current(group), observed.leases.get(&group));
    (0..groups).map(|group| (group, wanted(group))).collect()
}

fn shape(observed: &Observed, plan: &Plan, group: u32) -> Shape {
    let existing = observed.stateful_sets.get(&group);
    Shape {
        family: observed.families.get(&group).cloned(),
        replicas: plan.replicas.get(&group).copied().unwrap_or(1),
        claim_size: existing.and_then(claim_size),
        management: existing.and_then(|set| set.spec.as_ref()?.pod_management_policy.clone()),
    }
}

/// The Leases to apply; what is lost is a problem, and its group is left as it is.
fn plan_leases(
    cluster: &BrokerCluster,
    observed: &Observed,
    blueprint: &Blueprint,
    plan: &mut Plan,
) -> Option<Problem> {
    let mut lost = Vec::new();
    for group in 0..plan.groups {
        let known = observed.leases.get(&group);
        let reports = observed.reports.get(&group).map(Vec::as_slice).unwrap_or_default();
        let step =
            record::record_step(known, traces(cluster, observed, group), cluster.spec.min_in_sync(), reports);
        let record = match step {
            RecordStep::Keep => None,
            RecordStep::Write(record) => Some(record),
            RecordStep::Lost(text) => {
                lost.push(format!("{}: {text}", names::group_name(group)));
                continue;
            }
        };
        let current = record.as_ref().or_else(|| known.and_then(LeaseView::readable));
        let fenced = fence::fenced(cluster, observed, group, current);
        plan.leases.push(LeaseStep {
            wanted: lease(blueprint, group, &record::request(&cluster.spec, group, current, fenced)),
            found: known.map(|known| Found {
                uid: known.uid.clone(),
                resource_version: known.resource_version.clone(),
            }),
            record,
        });
    }
    (!lost.is_empty()).then(|| {
        Problem::RecordLost(format!(
            "no new leader can be chosen for {}; see docs/copies.md",
            lost.join("; ")
        ))
    })
}

fn traces(cluster: &BrokerCluster, observed: &Observed, group: u32) -> Traces {
    let name = names::group_name(group);
    let statuses = cluster.status.iter().flat_map(|status| &status.group_status);
    Traces {
        seen: record::was_seen(statuses.into_iter().find(|status| status.name == name)),
        volumes: observed.claims.keys().filter(|(of, _)| *of == group).count(),
        runs: observed.stateful_sets.contains_key(&group),
    }
}

/// Only what a StatefulSet made from our template: a pod may have other claims one day.
pub(super) fn is_ours(claim: &str) -> bool {
    claim.starts_with(&format!("{CLAIM}-"))
}

/// What the user names; else what all brokers served with last, or what runs if some ever served: an image that was tried
/// in vain is left behind when its name is taken out of the spec. Else the operator's own: a newer one restarts no broker.
fn image(cluster: &BrokerCluster, observed: &Observed, settings: &Settings) -> String {
    let running = || {
        let spec = observed.stateful_sets.values().next()?.spec.as_ref()?;
        spec.template.spec.as_ref()?.containers.first()?.image.clone()
    };
    match (&cluster.spec.image, &cluster.spec.version) {
        (Some(image), _) => image.clone(),
        (None, Some(version)) => format!("{}:{version}", repository(&settings.broker_image)),
        (None, None) => {
            let proven = || cluster.status.as_ref()?.proven_image.clone();
            let has_served = cluster.status.as_ref().is_none_or(|status| {
                status.group_status.iter().any(|group| group.epoch.is_some_and(|epoch| epoch > 0))
            });
            let known = proven().or_else(|| running().filter(|_| has_served));
            known.unwrap_or_else(|| settings.broker_image.clone())
        }
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

fn blueprint(
    cluster: &BrokerCluster,
    observed: &Observed,
    plan: &Plan,
    settings: &Settings,
) -> Result<Blueprint, InvalidSpec> {
    let owner = cluster
        .controller_owner_ref(&())
        .ok_or_else(|| InvalidSpec("the object has no name and uid yet".to_owned()))?;
    Ok(Blueprint {
        cluster: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        owner,
        spec: cluster.spec.clone(),
        groups: plan.groups,
        running: plan.running,
        detours: removals::addresses(cluster, observed, plan.groups),
        given: observed.given.clone(),
        smaller_disks: disks::smaller(cluster, observed, &plan.replicas),
        phases: plan.phases.clone(),
        joining: plan.joining.keys().copied().collect(),
        image: plan.image.clone(),
        image_pull_policy: settings.broker_image_pull_policy.clone(),
        log_json: settings.broker_log_json,
        operator_namespace: settings.namespace.clone(),
    })
}

fn claim_size(set: &StatefulSet) -> Option<String> {
    let claims = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let requests = claims.first()?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Some(requests.get("storage")?.0.clone())
}

/// Objects without an owner that carry the cluster's labels are taken over: somebody deleted the cluster and kept them.
fn taken(cluster: &BrokerCluster, observed: &Observed, plan: &Plan, children: &[Child]) -> Option<Problem> {
    let uid = cluster.uid();
    let foreign = |meta: &&ChildMeta| meta.owner_uid.is_some() && meta.owner_uid != uid;
    let leases = plan.leases.iter().map(|step| ("Lease", step.wanted.name_any()));
    let mut wanted = children.iter().map(|child| (child.kind(), child.name().to_owned())).chain(leases);
    let ((kind, name), meta) = wanted.find_map(|key| {
        let meta = observed.children.get(&key).filter(foreign)?;
        Some((key, meta))
    })?;
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

/// Pods whose annotation is not the fingerprint of the configuration that their group has.
fn refreshes(observed: &Observed, children: &[Child]) -> Vec<Refresh> {
    let configs = children.iter().filter_map(|child| {
        let Child::ConfigMap(config) = child else { return None };
        let group = group_of(&config.metadata)?;
        Some((group, fingerprint::of(config.data.as_ref()?.values().next()?)))
    });
    let configs: BTreeMap<u32, String> = configs.collect();
    let stale = |((group, _), pod): (&Member, &PodView)| {
        let config =
            configs.get(group).filter(|config| pod.config.as_ref() != Some(*config) && !pod.deleting)?;
        Some(Refresh { pod: pod.name.clone(), uid: pod.uid.clone(), config: config.clone() })
    };
    observed.pods.iter().filter_map(stale).collect()
}

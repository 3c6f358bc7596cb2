//! Which broker is restarted next. Pure.
//!
//! Promise: at most one at a time. One that does not serve is restarted at once. One that serves is restarted only when
//! every copy of every group is there and in sync, and only after Kubernetes has seen the newest template of every
//! group; the leader of a group comes after its followers, so a group changes its leader once.

use crds::group_record::GroupRecord;
use crds::names;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::observe::{Member, Observed};
use super::plan::{Plan, Restart};
use super::record::LeaseView;
use crate::children::{APPLIED_ANNOTATION, Child, GROUP_LABEL};

/// Members that run with an older template.
pub(super) fn outdated(observed: &Observed) -> Vec<Member> {
    let newest = |group: u32| observed.stateful_sets.get(&group)?.status.as_ref()?.update_revision.clone();
    let old = |(member, pod): (&Member, &super::PodView)| {
        newest(member.0).is_some_and(|newest| newest != pod.revision).then_some(*member)
    };
    observed.pods.iter().filter_map(old).collect()
}

/// The broker to restart next.
pub(super) fn restart(plan: &Plan, observed: &Observed, children: &[Child]) -> Option<Restart> {
    let is_seen = |child: &Child| !matches!(child, Child::StatefulSet(set) if !seen(set, observed));
    // A pod that is on its way out is a restart already under way.
    if !children.iter().all(is_seen) || observed.pods.values().any(|pod| pod.deleting) {
        return None;
    }
    let down = |member: &&Member| observed.pods.get(*member).is_some_and(|pod| !pod.ready);
    let member = plan.outdated.iter().find(down).or_else(|| {
        let all_serve = plan.replicas.iter().all(|(group, pods)| is_whole(observed, *group, *pods));
        plan.outdated.iter().min_by_key(|member| (member.0, leads(observed, **member))).filter(|_| all_serve)
    })?;
    let pod = observed.pods.get(member)?;
    Some(Restart { member: *member, pod: pod.name.clone(), uid: pod.uid.clone() })
}

/// Whether every copy of a group is there, serves, and is in sync.
fn is_whole(observed: &Observed, group: u32, pods: u32) -> bool {
    let is_ready = |ordinal| observed.pods.get(&(group, ordinal)).is_some_and(|pod| pod.ready);
    let in_sync = record(observed, group).map_or(0, |record| record.in_sync.len());
    (0..pods).all(is_ready) && in_sync >= pods as usize
}

fn leads(observed: &Observed, (group, ordinal): Member) -> bool {
    let leader = record(observed, group).and_then(|record| record.leader);
    leader.is_some_and(|leader| leader.ordinal == ordinal)
}

fn record(observed: &Observed, group: u32) -> Option<&GroupRecord> {
    observed.leases.get(&group).and_then(LeaseView::readable)
}

/// Whether Kubernetes has this very StatefulSet and has looked at it.
fn seen(wanted: &StatefulSet, observed: &Observed) -> bool {
    let group = names::group_number(wanted.labels().get(GROUP_LABEL).map_or("", |name| name));
    let Some(set) = group.and_then(|group| observed.stateful_sets.get(&group)) else { return false };
    let applied = |set: &StatefulSet| set.annotations().get(APPLIED_ANNOTATION).cloned();
    let looked_at = set.status.as_ref().and_then(|status| status.observed_generation);
    applied(set) == applied(wanted) && looked_at.is_some() && looked_at >= set.metadata.generation
}

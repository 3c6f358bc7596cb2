//! Which broker is restarted next, and when a roll-out has come to a halt. Pure.
//!
//! Promise: at most one at a time. One that serves is restarted only when every copy of every group is there and in
//! sync, and only after Kubernetes has seen the newest template of every group; the leader of a group comes after its
//! followers, so a group changes its leader once. One that does not serve is restarted at once, unless the newest
//! template has not proved itself: a broker that has it does not serve either, and its group does without them.

use crds::group_record::GroupRecord;
use crds::names;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::observe::{Member, Observed, PodView};
use super::plan::{Plan, Restart};
use super::record::LeaseView;
use crate::children::{APPLIED_ANNOTATION, Child, GROUP_LABEL};

/// Members that run with an older template.
pub(super) fn outdated(observed: &Observed) -> Vec<Member> {
    let newest = |group: u32| observed.stateful_sets.get(&group)?.status.as_ref()?.update_revision.clone();
    let old = |(member, pod): (&Member, &PodView)| {
        newest(member.0).is_some_and(|newest| newest != pod.revision).then_some(*member)
    };
    observed.pods.iter().filter_map(old).collect()
}

/// The broker to restart next.
pub(super) fn restart(plan: &Plan, observed: &Observed, children: &[Child]) -> Option<Restart> {
    // A pod that is on its way out is a restart already under way.
    if !all_seen(children, observed) || observed.pods.values().any(|pod| pod.deleting) {
        return None;
    }
    let is_doubtful = updated(plan, observed).any(|(_, pod)| !pod.ready);
    let down = |member: &&Member| {
        observed.pods.get(*member).is_some_and(|pod| !pod.ready)
            && !(is_doubtful && is_led(observed, member.0))
    };
    let member = plan.outdated.iter().find(down).or_else(|| {
        let all_serve = all_whole(plan, observed);
        plan.outdated.iter().min_by_key(|member| (member.0, leads(observed, **member))).filter(|_| all_serve)
    })?;
    let pod = observed.pods.get(member)?;
    Some(Restart { member: *member, pod: pod.name.clone(), uid: pod.uid.clone() })
}

/// Whether every broker has the newest template and serves with it.
pub(super) fn is_done(plan: &Plan, observed: &Observed, children: &[Child]) -> bool {
    plan.outdated.is_empty() && all_seen(children, observed) && all_whole(plan, observed)
}

/// A broker that got the newest template and does not serve with it after `deadline_ms`, while others have an older one, or
/// `is_proven` is false: the spec has changed since all of them served.
pub(super) fn halted<'a>(
    plan: &Plan,
    is_proven: bool,
    observed: &'a Observed,
    deadline_ms: u64,
    now: Timestamp,
) -> Option<&'a PodView> {
    let is_late = |pod: &PodView| {
        let waits_ms =
            pod.since.map_or(0, |since| now.as_millisecond().saturating_sub(since.as_millisecond()));
        !pod.ready && u64::try_from(waits_ms).is_ok_and(|waits_ms| waits_ms >= deadline_ms)
    };
    let mut updated = updated(plan, observed).map(|(_, pod)| pod);
    updated.find(|pod| is_late(pod)).filter(|_| !is_proven || !plan.outdated.is_empty())
}

/// Members that run with the newest template.
fn updated<'a>(plan: &Plan, observed: &'a Observed) -> impl Iterator<Item = (&'a Member, &'a PodView)> {
    observed.pods.iter().filter(|(member, _)| !plan.outdated.contains(member))
}

/// Whether a group has a leader that serves.
fn is_led(observed: &Observed, group: u32) -> bool {
    let leader = record(observed, group).and_then(|record| record.leader);
    leader.and_then(|leader| observed.pods.get(&(group, leader.ordinal))).is_some_and(|pod| pod.ready)
}

fn all_whole(plan: &Plan, observed: &Observed) -> bool {
    plan.replicas.iter().all(|(group, pods)| is_whole(observed, *group, *pods))
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

/// Whether Kubernetes has all StatefulSets as they are wanted and has looked at them.
pub(super) fn all_seen(children: &[Child], observed: &Observed) -> bool {
    children.iter().all(|child| !matches!(child, Child::StatefulSet(set) if !seen(set, observed)))
}

/// Whether Kubernetes has this very StatefulSet and has looked at it.
fn seen(wanted: &StatefulSet, observed: &Observed) -> bool {
    let group = names::group_number(wanted.labels().get(GROUP_LABEL).map_or("", |name| name));
    let Some(set) = group.and_then(|group| observed.stateful_sets.get(&group)) else { return false };
    let applied = |set: &StatefulSet| set.annotations().get(APPLIED_ANNOTATION).cloned();
    let looked_at = set.status.as_ref().and_then(|status| status.observed_generation);
    applied(set) == applied(wanted) && looked_at.is_some() && looked_at >= set.metadata.generation
}

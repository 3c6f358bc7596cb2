//! Groups that leave: `spec.groups` is lower than the number of groups there are. Pure.
//!
//! ```text
//!   Diverting ──40 s──► Draining ──nothing left──► Emptied ──40 s──► Removing ──► StatefulSet, Services … deleted
//!   producers go         takes nothing,  ◄──some──  clients go        once it is the last one
//!   elsewhere            consumers read             elsewhere
//! ```
//!
//! Promise: a group goes when nothing in it waits for anybody, or when `spec.scaleIn.deadline` is over; until its objects
//! are being removed, raising `groups` again brings it back. A topic that is placed in it by name keeps it: its order
//! would be lost elsewhere. The phase is kept in the status, so an operator that starts anew goes on where it was.

use std::collections::BTreeMap;

use client::admin::Remains;
use crds::broker_cluster::Leaving;
use crds::broker_config::GroupPhase;
use crds::{BrokerCluster, names};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::{BrokerView, Observed};
use super::record::LeaseView;

/// SDKs ask for the way to a topic every 30 s, so after this time nobody goes by an old answer.
const ROUTES_FORGOTTEN_MS: u64 = 40_000;
/// So many topics are named in a sentence.
const NAMED_MAX: usize = 3;

/// How many groups there are: those with a StatefulSet, and those that are leaving and whose StatefulSet somebody else took away.
pub(super) fn existing(cluster: &BrokerCluster, observed: &Observed) -> u32 {
    let is_there = |(group, set): (&u32, &k8s_openapi::api::apps::v1::StatefulSet)| {
        let goes = known(cluster, *group).is_some_and(|leaving| leaving.phase == GroupPhase::Removing);
        (!goes || set.metadata.deletion_timestamp.is_none()).then_some(group + 1)
    };
    let running = observed.stateful_sets.iter().filter_map(is_there).max().unwrap_or(0);
    let statuses = cluster.status.iter().flat_map(|status| &status.group_status);
    let stays = |status: &&crds::broker_cluster::GroupStatus| {
        status.leaving.as_ref().is_some_and(|leaving| leaving.phase != GroupPhase::Removing)
    };
    let leaving =
        statuses.filter(stays).filter_map(|status| Some(names::group_number(&status.name)? + 1)).max();
    running.max(leaving.unwrap_or(0))
}

/// The groups beyond those asked for.
pub(super) fn phases(cluster: &BrokerCluster, asked: u32, existing: u32) -> BTreeMap<u32, GroupPhase> {
    let phase = |group| known(cluster, group).map_or(GroupPhase::Diverting, |leaving| leaving.phase);
    (asked..existing).map(|group| (group, phase(group))).collect()
}

/// How far a group has come that was in `phase` when this pass began.
pub(super) fn next(
    cluster: &BrokerCluster,
    observed: &Observed,
    group: u32,
    phase: GroupPhase,
    now: Timestamp,
) -> Leaving {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let old = known(cluster, group);
    let since = old.map_or(now, |old| old.since.0);
    let phase_since = old.map_or(now, |old| old.phase_since.0);
    let passed = |from: Timestamp| u64::try_from(now.duration_since(from).as_millis()).unwrap_or(0);
    let is_late = deadline_ms(cluster).is_some_and(|deadline_ms| passed(since) >= deadline_ms);
    let routes_forgotten = passed(phase_since) >= ROUTES_FORGOTTEN_MS;
    let remains = remains(observed, group);
    let told_in = |standing: &str| remains.filter(|remains| remains.standing == standing);
    let placed = remains.map(|remains| remains.placed_topics.as_slice()).unwrap_or_default();
    let is_empty = |remains: &Remains| left(remains) == 0 && remains.placed_topics.is_empty();
    let after = match phase {
        GroupPhase::Diverting if routes_forgotten && is_late => GroupPhase::Draining,
        GroupPhase::Diverting if routes_forgotten && told_in("diverting").is_some() && placed.is_empty() => {
            GroupPhase::Draining
        }
        GroupPhase::Draining if is_late || told_in("draining").is_some_and(is_empty) => GroupPhase::Emptied,
        GroupPhase::Emptied if !is_late && remains.is_some_and(|remains| !is_empty(remains)) => {
            GroupPhase::Draining
        }
        GroupPhase::Emptied if routes_forgotten && (is_late || told_in("closed").is_some()) => {
            GroupPhase::Removing
        }
        GroupPhase::Serving
        | GroupPhase::Diverting
        | GroupPhase::Draining
        | GroupPhase::Emptied
        | GroupPhase::Removing => phase,
    };
    let phase_since = if after == phase { phase_since } else { now };
    Leaving {
        phase: after,
        since: Time(since),
        phase_since: Time(phase_since),
        remaining: remains
            .map(|remains| i64::try_from(left(remains)).unwrap_or(i64::MAX))
            .or_else(|| old.and_then(|old| old.remaining)),
        message: say(after, remains),
    }
}

/// Topics that keep a group, by group; a person has to say that they may go elsewhere.
pub(super) fn kept(
    cluster: &BrokerCluster,
    observed: &Observed,
    phases: &BTreeMap<u32, GroupPhase>,
) -> Option<String> {
    let is_kept = |(group, phase): (&u32, &GroupPhase)| {
        let topics = &remains(observed, *group)?.placed_topics;
        (*phase <= GroupPhase::Diverting && !topics.is_empty())
            .then(|| format!("{}: {}", names::group_name(*group), list(topics)))
    };
    let all: Vec<_> = phases.iter().filter_map(is_kept).collect();
    (!all.is_empty() && deadline_ms(cluster).is_none()).then(|| {
        format!(
            "topics keep their order in groups that are to leave ({}): set queues.placement of these topics to Spread, \
             delete them, or set groups to {} again",
            all.join("; "),
            phases.keys().next_back().map_or(0, |last| last + 1)
        )
    })
}

fn say(phase: GroupPhase, remains: Option<&Remains>) -> String {
    let what = match phase {
        GroupPhase::Serving => "stays",
        GroupPhase::Diverting => "producers are being sent to other groups",
        GroupPhase::Draining => "takes no message any more",
        GroupPhase::Emptied => "is empty, and clients are being sent to other groups",
        GroupPhase::Removing => return "is being removed".to_owned(),
    };
    let Some(remains) = remains else { return format!("{what}; its leader does not say what is left") };
    let part = |part: &client::admin::Remainder| match part.consumer_group.as_str() {
        "" => format!("{} of {} that nobody reads here", part.messages, part.topic),
        reader => format!("{} of {} for {reader}", part.messages, part.topic),
    };
    let mut all: Vec<_> = remains.largest.iter().take(NAMED_MAX).map(part).collect();
    if remains.largest.len() > NAMED_MAX {
        all.push("others".to_owned());
    }
    if remains.pending_timers > 0 {
        all.push(format!("{} that wait for their time", remains.pending_timers));
    }
    if remains.open_transactions > 0 {
        all.push(format!("{} in open transactions", remains.open_transactions));
    }
    if all.is_empty() {
        return what.to_owned();
    }
    format!("{what}; {} messages are left: {}", left(remains), all.join(", "))
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX { format!("{shown} and others") } else { shown }
}

fn left(remains: &Remains) -> u64 {
    remains.messages.saturating_add(remains.pending_timers).saturating_add(remains.open_transactions)
}

fn deadline_ms(cluster: &BrokerCluster) -> Option<u64> {
    cluster.spec.scale_in.as_ref()?.deadline.as_ref()?.millis().ok()
}

fn known(cluster: &BrokerCluster, group: u32) -> Option<&Leaving> {
    let name = names::group_name(group);
    let statuses = cluster.status.iter().flat_map(|status| &status.group_status);
    statuses.into_iter().find(|status| status.name == name)?.leaving.as_ref()
}

/// What the leader of a group says is left in it.
fn remains(observed: &Observed, group: u32) -> Option<&Remains> {
    let leader = observed.leases.get(&group).and_then(LeaseView::readable)?.leader.as_ref()?.ordinal;
    match observed.brokers.get(&(group, leader))? {
        BrokerView::Answered(answer) => answer.remains.as_ref(),
        BrokerView::Unreachable(_) => None,
    }
}

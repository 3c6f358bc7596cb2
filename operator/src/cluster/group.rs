//! One group: what its record, its pods and its brokers say, as a status and as an answer to "is my data safe?". Pure.

use crds::broker_cluster::{CopyLag, GroupStatus, LastTransition};
use crds::group_record::{GroupRecord, MemberId};
use crds::{BrokerCluster, names};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::observe::{BrokerView, Observed};
use super::record::LeaseView;
use crate::children::leader_endpoint;

/// How a group is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Its name.
    pub name: String,
    /// Whether it answers sends.
    pub serves: bool,
    /// Copies that were asked for, hold every acknowledged message, and are up.
    pub in_sync: u32,
    /// What is wrong, by pod.
    pub troubles: Vec<String>,
    /// Members come or go.
    pub changing: bool,
    /// It has no pod at all.
    pub empty: bool,
    /// Pods without room on their disk.
    pub disk_full: Vec<String>,
}

impl Health {
    /// Looks at a group. `pods`: how many it has to have right now.
    pub(super) fn of(cluster: &BrokerCluster, observed: &Observed, group: u32, pods: u32) -> Self {
        let copies = cluster.spec.copies();
        let record = record(observed, group);
        let is_ready = |ordinal| observed.pods.get(&(group, ordinal)).is_some_and(|pod| pod.ready);
        let in_sync = |record: &GroupRecord| {
            let live = |member: &&MemberId| member.ordinal < copies && is_ready(member.ordinal);
            count(record.in_sync.iter().filter(live).count())
        };
        let mut health = Self {
            name: names::group_name(group),
            serves: record.is_some_and(|record| {
                let is_enough = record.in_sync.len() >= record.min_in_sync as usize;
                record.leader.is_some_and(|leader| is_ready(leader.ordinal)) && is_enough
            }),
            in_sync: record.map_or(0, in_sync),
            empty: observed.pods.range((group, 0)..=(group, u32::MAX)).next().is_none(),
            changing: pods > copies
                || record.is_some_and(|record| {
                    record.in_sync.len() < record.members.len() || record.members.len() < copies as usize
                }),
            ..Self::default()
        };
        let short = record
            .filter(|record| record.leader.is_some())
            .filter(|record| record.in_sync.len() < record.min_in_sync as usize);
        health.troubles.extend(
            short.map(|record| format!("sends are refused until {} copies are in sync", record.min_in_sync)),
        );
        for ordinal in 0..pods.max(copies) {
            let pod = names::pod_name(&cluster.name_any(), group, ordinal);
            if is_full(observed, group, ordinal) {
                health.disk_full.push(pod.clone());
            }
            health
                .troubles
                .extend(trouble(observed, record, group, ordinal).map(|what| format!("{pod} {what}")));
        }
        health
    }
}

/// What keeps a member from being a copy that counts.
fn trouble(observed: &Observed, record: Option<&GroupRecord>, group: u32, ordinal: u32) -> Option<String> {
    let has = |set: fn(&GroupRecord) -> &std::collections::BTreeSet<MemberId>| {
        record.is_some_and(|record| set(record).iter().any(|member| member.ordinal == ordinal))
    };
    let (is_member, is_in_sync) = (has(|record| &record.members), has(|record| &record.in_sync));
    let Some(pod) = observed.pods.get(&(group, ordinal)) else { return Some("has no pod yet".to_owned()) };
    match &pod.waiting {
        Some(reason) => Some(format!("waits: {reason}")),
        None if pod.ready && is_in_sync => None,
        None if is_full(observed, group, ordinal) => Some("has no room on its disk".to_owned()),
        None if is_member && !is_in_sync => Some(match lag(observed, record?, group, ordinal) {
            Some(bytes) if bytes > 0 => format!("is catching up ({bytes} bytes behind)"),
            Some(_) | None => "is catching up".to_owned(),
        }),
        None if pod.ready => Some("is joining".to_owned()),
        None => Some("is starting".to_owned()),
    }
}

fn is_full(observed: &Observed, group: u32, ordinal: u32) -> bool {
    let broker = observed.brokers.get(&(group, ordinal));
    matches!(broker, Some(BrokerView::Answered(answer)) if answer.state == "disk-full")
}

/// Bytes that a member has less than its leader.
fn lag(observed: &Observed, record: &GroupRecord, group: u32, ordinal: u32) -> Option<u64> {
    let written = |ordinal| match observed.brokers.get(&(group, ordinal))? {
        BrokerView::Answered(answer) => Some(answer.log_written),
        BrokerView::Unreachable(_) => None,
    };
    let leader = record.leader?.ordinal;
    (leader != ordinal).then_some(())?;
    Some(written(leader)?.saturating_sub(written(ordinal)?))
}

/// The status of a group. What a lost record said last stays, because it is what remains of it.
pub(super) fn status(
    cluster: &BrokerCluster,
    observed: &Observed,
    group: u32,
    now: Timestamp,
) -> GroupStatus {
    let name = names::group_name(group);
    let statuses = cluster.status.iter().flat_map(|status| &status.group_status);
    let old = statuses.into_iter().find(|status| status.name == name).cloned().unwrap_or_default();
    let record = record(observed, group);
    let leader = record.and_then(|record| record.leader).map_or(0, |leader| leader.ordinal);
    let (state, version) = match observed.brokers.get(&(group, leader)) {
        Some(BrokerView::Answered(answer)) => (answer.state.clone(), Some(answer.version.clone())),
        Some(BrokerView::Unreachable(_)) => ("unreachable".to_owned(), None),
        None => ("starting".to_owned(), None),
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let endpoint = leader_endpoint(&cluster.name_any(), &namespace, group);
    let status = GroupStatus { name, state, version, endpoint, ..old };
    match record {
        Some(record) => mirror(cluster, observed, group, record, status, now),
        None => status,
    }
}

fn mirror(
    cluster: &BrokerCluster,
    observed: &Observed,
    group: u32,
    record: &GroupRecord,
    old: GroupStatus,
    now: Timestamp,
) -> GroupStatus {
    let pod = |member: &MemberId| names::pod_name(&cluster.name_any(), group, member.ordinal);
    let revision = i64::try_from(record.revision).ok();
    let behind = |member: &MemberId| {
        let bytes = lag(observed, record, group, member.ordinal)?;
        Some(CopyLag { pod: pod(member), bytes: i64::try_from(bytes).unwrap_or(i64::MAX) })
    };
    let change = || {
        (record.revision > 0).then(|| LastTransition {
            cause: record.cause,
            at: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
            gap_ms: None,
        })
    };
    let epoch = Some(i64::from(record.epoch));
    // A leader that does not answer for once has said it before.
    let known = || old.last_transition.as_ref().filter(|_| old.epoch == epoch)?.gap_ms;
    let gap_ms = gap_ms(observed, record, group).or_else(known);
    let transition = if old.revision == revision { old.last_transition.clone() } else { change() };
    GroupStatus {
        leader: record.leader.as_ref().map(pod),
        epoch,
        revision,
        in_sync: record.in_sync.iter().map(pod).collect(),
        learning: record.members.difference(&record.in_sync).map(pod).collect(),
        min_in_sync: i32::try_from(record.min_in_sync).ok(),
        lag: record.members.iter().filter_map(behind).collect(),
        last_transition: transition.map(|transition| LastTransition { gap_ms, ..transition }),
        unclean: record.unclean.iter().map(|election| election.token.clone()).collect(),
        ..old
    }
}

/// How long nobody served before the leader of the record did, as it says; none until it serves in that epoch.
fn gap_ms(observed: &Observed, record: &GroupRecord, group: u32) -> Option<i64> {
    let Some(BrokerView::Answered(answer)) = observed.brokers.get(&(group, record.leader?.ordinal)) else {
        return None;
    };
    let transition = answer.member.as_ref()?.transition.as_ref()?;
    (transition.epoch == record.epoch).then(|| i64::try_from(transition.gap_ms).unwrap_or(i64::MAX))
}

fn record(observed: &Observed, group: u32) -> Option<&GroupRecord> {
    observed.leases.get(&group).and_then(LeaseView::readable)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

//! Groups that join: a cluster that serves gets one more. Pure.
//!
//! ```text
//!   made ──► serves ──► holds every topic and consumer group ──► clients are sent there
//! ```
//!
//! Promise: brokers tell clients of a new group when it can answer them; that it is joining is kept in the status, so an operator
//! that starts anew goes on where it was. The groups of a new cluster begin together: there is nobody else to send clients to.
//! Limit: after two minutes they are sent to it once it serves, so that a broker elsewhere that does not answer, and thus keeps
//! topics from being compared, does not keep the new group from helping.

use std::collections::BTreeMap;

use crds::broker_cluster::GroupStatus;
use crds::{BrokerCluster, names};
use jiff::Timestamp;

use super::observe::{BrokerView, Observed};
use super::record::LeaseView;

/// Nobody waits longer for topics in a group that serves.
const JOINED_AFTER_MS: i64 = 120_000;

/// The groups that clients are not sent to yet, and since when they join.
pub(super) fn joining(
    cluster: &BrokerCluster,
    observed: &Observed,
    groups: u32,
    now: Timestamp,
) -> BTreeMap<u32, Timestamp> {
    let statuses = cluster.status.as_ref().map(|status| status.group_status.as_slice()).unwrap_or_default();
    let has_served =
        |status: &GroupStatus| status.joining.is_none() && status.epoch.is_some_and(|epoch| epoch > 0);
    if !statuses.iter().any(has_served) {
        return BTreeMap::new();
    }
    let since = |group: u32| {
        let name = names::group_name(group);
        let Some(known) = statuses.iter().find(|status| status.name == name) else { return Some(now) };
        let since = known.joining.as_ref()?.0;
        let is_late = now.duration_since(since).as_millis() >= i128::from(JOINED_AFTER_MS);
        let has_joined = serves(observed, group) && (observed.holding > group || is_late);
        (!has_joined).then_some(since)
    };
    (0..groups).filter_map(|group| Some((group, since(group)?))).collect()
}

/// Whether the leader of a group says that it serves.
fn serves(observed: &Observed, group: u32) -> bool {
    let record = observed.leases.get(&group).and_then(LeaseView::readable);
    let leader = record.and_then(|record| record.leader);
    let broker = leader.and_then(|leader| observed.brokers.get(&(group, leader.ordinal)));
    matches!(broker, Some(BrokerView::Answered(answer)) if answer.state == "serving")
}

//! What the operator decides by the record of a group: whether it may be made, what to wish for, how many pods there
//! have to be. Pure.
//!
//! ```text
//!   copies raised    pods at once ──► members learn ──► brokers take them into the set
//!   copies lowered   wish first ──► brokers take them out of the record ──► pods ──► disks
//! ```
//!
//! Promise: a record is made only for a group that never had one; a member that the record names keeps its pod and its
//! disk; pods are taken away only after the wish for fewer copies is stored where the record is, because from then on
//! nobody can become a member any more.
//! Not here: who leads and who is in sync, which brokers decide alone.

use std::collections::BTreeSet;

use crds::broker_cluster::{BrokerClusterSpec, GroupStatus, UncleanElection};
use crds::group_record::{FORMAT, FormatError, GroupRecord, GroupRequest, MemberId, UncleanToken};
use crds::names;

/// The Lease of a group as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Its identity.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// What brokers agreed on; none when it holds no record.
    pub record: Option<Result<GroupRecord, FormatError>>,
    /// What the operator asked for last.
    pub request: Option<GroupRequest>,
}

/// What a member says about the record that it read or wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Who says it.
    pub member: MemberId,
    /// The record.
    pub record: GroupRecord,
}

/// What is known about a group apart from its Lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// The cluster's status has seen a record that brokers wrote.
    pub seen: bool,
    /// Disks that exist.
    pub volumes: usize,
    /// There is a StatefulSet.
    pub runs: bool,
}

/// What to do about a group's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordStep {
    /// Leave it to the brokers.
    Keep,
    /// Write this one.
    Write(GroupRecord),
    /// It is gone, and nobody can tell what it said. A sentence.
    Lost(String),
}

impl LeaseView {
    /// The record, if it can be read.
    pub fn readable(&self) -> Option<&GroupRecord> {
        self.record.as_ref()?.as_ref().ok()
    }
}

/// Decides what to do about a group's record.
pub(super) fn record_step(
    lease: Option<&LeaseView>,
    traces: Traces,
    min_in_sync: u32,
    reports: &[MemberReport],
) -> RecordStep {
    match lease.and_then(|lease| lease.record.as_ref()) {
        // Kept from an earlier cluster of this name, whose disks somebody deleted: it speaks of nothing that exists.
        Some(Ok(record))
            if record.revision > 0 && !traces.seen && traces.volumes == 0 && !traces.runs =>
        {
            RecordStep::Write(GroupRecord::created(min_in_sync))
        }
        Some(Ok(_)) => RecordStep::Keep,
        Some(Err(error)) => RecordStep::Lost(format!("its record cannot be read: {error}")),
        // With a single disk there is nothing to choose from: whoever holds it has all there is.
        None if !traces.seen && traces.volumes <= 1 => {
            RecordStep::Write(GroupRecord::created(min_in_sync))
        }
        None => reseed(reports).map_or_else(
            || {
                let text = "its record was deleted; who holds every acknowledged message is not known until all \
                            members that were in sync have answered";
                RecordStep::Lost(text.to_owned())
            },
            RecordStep::Write,
        ),
    }
}

/// The record that was lost, out of what members say; none as long as a later one may have existed.
///
/// The latest that is reported is the last one if everybody in its in-sync set has reported: whoever changed it after
/// that was one of them, and knows.
pub fn reseed(reports: &[MemberReport]) -> Option<GroupRecord> {
    let last =
        reports.iter().map(|report| &report.record).max_by_key(|record| (record.epoch, record.revision))?;
    let heard: BTreeSet<MemberId> = reports.iter().map(|report| report.member).collect();
    let is_last = last.epoch > 0 && last.in_sync.is_subset(&heard);
    is_last.then(|| last.clone())
}

/// What to ask of a group.
pub(super) fn request(
    spec: &BrokerClusterSpec,
    group: u32,
    record: Option<&GroupRecord>,
    fenced: BTreeSet<u32>,
) -> GroupRequest {
    let used = |entry: &&UncleanElection| {
        record.is_some_and(|record| record.unclean.iter().any(|done| done.token == entry.token))
    };
    let name = names::group_name(group);
    let unclean =
        spec.unclean_elections.iter().find(|entry| entry.group == name).filter(|entry| !used(entry));
    GroupRequest {
        format: FORMAT,
        copies: spec.copies(),
        min_in_sync: spec.min_in_sync(),
        leader: None,
        fenced,
        unclean: unclean.and_then(|entry| {
            Some(UncleanToken {
                token: entry.token.clone(),
                epoch: u32::try_from(entry.epoch).ok()?,
                ordinal: u32::try_from(entry.ordinal).ok()?,
            })
        }),
    }
}

/// How many pods a group has to have. `current`: what its StatefulSet says.
pub(super) fn replicas(copies: u32, current: Option<u32>, lease: Option<&LeaseView>) -> u32 {
    let Some(record) = lease.and_then(LeaseView::readable) else {
        // A new group, or one whose record is lost: then nobody may be taken away, and nobody could join.
        return current.unwrap_or(copies);
    };
    let named =
        record.members.iter().chain(&record.in_sync).map(|member| member.ordinal + 1).max().unwrap_or(0);
    let asked =
        lease.and_then(|lease| lease.request.as_ref()).is_some_and(|request| request.copies <= copies);
    let kept = if asked { 0 } else { current.unwrap_or(0) };
    copies.max(named).max(kept)
}

/// Whether a member's disk may go: it is beyond the pods that are needed, and the record does not name it.
pub(super) fn is_released(ordinal: u32, replicas: u32, lease: Option<&LeaseView>) -> bool {
    let Some(record) = lease.and_then(LeaseView::readable) else { return false };
    let is_named = record.members.iter().chain(&record.in_sync).any(|member| member.ordinal == ordinal);
    ordinal >= replicas && !is_named
}

/// Whether the status has seen a record that brokers wrote.
pub(super) fn was_seen(status: Option<&GroupStatus>) -> bool {
    status.and_then(|status| status.revision).is_some_and(|revision| revision > 0)
}

#[cfg(test)]
mod tests;

//! What the operator decides by the record of a group: whether it may be made, what to wish for, how many pods there
//! have to be. Pure.
//!
//! ```text
//!   copies raised    pods at once ──► members learn ──► brokers take them into the set
//!   copies lowered   wish first ──► brokers take them out of the record ──► pods ──► disks
//! ```
//!
//! Promise: a record is made only for a group that never had one, or made again when all members tell the last one
//! (`reseed`); a member that the record names keeps its pod and its disk; pods are taken away only after the wish for fewer copies is stored where the record is, because from then on
//! nobody can become a member any more.
//! Not here: who leads and who is in sync, which brokers decide alone.

use std::collections::BTreeSet;

use crds::broker_cluster::{BrokerClusterSpec, GroupStatus, UncleanElection};
use crds::group_record::{Cause, FORMAT, FormatError, GroupRecord, GroupRequest, MemberId, UncleanToken};
use crds::names;

/// A record that is made again is later by so much than the latest that is known.
const REVISIONS_SKIPPED: u64 = 100;

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
    /// Somebody deleted it, and its finalizer keeps it.
    pub is_deleted: bool,
}

/// What a member says about the record that it read or wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Who says it.
    pub member: MemberId,
    /// The record.
    pub record: GroupRecord,
    /// It knows what became of every change that it asked for.
    pub is_decided: bool,
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
                let text = "its record was deleted; who holds every acknowledged message is not known unless all \
                            members answer that have run since then";
                RecordStep::Lost(text.to_owned())
            },
            RecordStep::Write,
        ),
    }
}

/// The record that was lost, out of what members say; none as long as a later one may have existed.
///
/// Every member was asked after the Lease was seen to be gone, so nothing can have been written since: a change names the
/// version that it replaces, and that is gone for good. What may be unknown is a change from before. Whoever made it is a
/// member of the record that it replaced. It either waits for the answer, then it says that it is not decided; or it has
/// had one, then it knows a later record than this; or it has stopped since, then it knows none and is not in `reports`,
/// or it read the record again when it was back, before the change arrived. Only that last one is not noticed, and nobody
/// acts on it: its maker leads no more, and whoever stands for election by it asks for a change, as above. Members that
/// only follow decide nothing. So the latest that is known is the last one that anybody acted on, if all its members have
/// answered and are decided; two of three do not do, because the third may lead by a later one.
///
/// A change that nobody acted on may still be on its way to somebody. The new record is later than any such, so that
/// members that keep what they saw believe it.
pub fn reseed(reports: &[MemberReport]) -> Option<GroupRecord> {
    let last =
        reports.iter().map(|report| &report.record).max_by_key(|record| (record.epoch, record.revision))?;
    let heard: BTreeSet<MemberId> = reports.iter().map(|report| report.member).collect();
    let is_last = last.epoch > 0
        && last.members.is_subset(&heard)
        && last.in_sync.is_subset(&heard)
        && reports.iter().all(|report| report.is_decided);
    is_last.then(|| GroupRecord {
        revision: last.revision + REVISIONS_SKIPPED,
        cause: Cause::Reconfigured,
        ..last.clone()
    })
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

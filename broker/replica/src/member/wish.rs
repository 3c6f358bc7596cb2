//! What a leader would change in the record: the most urgent thing first.

use std::collections::BTreeSet;

use crds::group_record::{Cause, GroupRecord, MemberId};

use super::{Leader, Member};

impl Member {
    /// The record as it should be next, if it should change.
    pub(super) fn wish(&self) -> Option<(GroupRecord, Cause)> {
        let (leader, seen) = (self.leader()?, self.seen.as_ref()?);
        if seen.record.epoch != leader.epoch.0 || seen.record.leader != Some(self.id) {
            return None;
        }
        self.wish_shrink(leader, &seen.record)
            .or_else(|| self.wish_leave(leader, &seen.record, seen.request.copies))
            .or_else(|| wish_join(leader, &seen.record, seen.request.copies))
            .or_else(|| self.wish_expand(leader, &seen.record))
            .or_else(|| self.wish_min(&seen.record))
    }

    /// Who has nothing to go on with does not count; who does not answer does not, as long as enough do.
    fn wish_shrink(&self, leader: &Leader, record: &GroupRecord) -> Option<(GroupRecord, Cause)> {
        let without = |out: &BTreeSet<MemberId>| {
            let in_sync: BTreeSet<_> = record.in_sync.difference(out).copied().collect();
            let is_change = in_sync.contains(&self.id) && in_sync.len() < record.in_sync.len();
            is_change.then(|| (GroupRecord { in_sync, ..record.clone() }, Cause::Shrunk))
        };
        without(&leader.outdated).or_else(|| {
            let missing: BTreeSet<_> = leader.stalled.union(&self.leaving()).copied().collect();
            let left = record.in_sync.difference(&missing).count();
            // Fewer could not commit either, and whoever leaves the set can no longer lead.
            (left >= record.min_in_sync as usize).then(|| without(&missing))?
        })
    }

    /// Members that are about to stop.
    fn leaving(&self) -> BTreeSet<MemberId> {
        self.heard.iter().filter(|(_, beat)| beat.is_leaving).map(|(&member, _)| member).collect()
    }

    /// Members that shall keep no copy any more, and those whose volume was replaced.
    fn wish_leave(&self, leader: &Leader, record: &GroupRecord, copies: u32) -> Option<(GroupRecord, Cause)> {
        let is_there =
            |member: &MemberId| self.heard.contains_key(member) || leader.copies.contains_key(member);
        let is_replaced = |member: &MemberId| {
            let mut others = self.heard.keys().chain(leader.copies.keys());
            others.any(|other| other.ordinal == member.ordinal && other != member) && !is_there(member)
        };
        let leaves =
            |member: &MemberId| *member != self.id && (member.ordinal >= copies || is_replaced(member));
        let members: BTreeSet<_> = record.members.iter().filter(|member| !leaves(member)).copied().collect();
        if members.len() == record.members.len() {
            return None;
        }
        let in_sync: BTreeSet<_> = record.in_sync.intersection(&members).copied().collect();
        // Only as a wish of the operator, or when what is gone does not come back.
        let min_in_sync = record.min_in_sync.min(self.wished_min());
        Some((GroupRecord { members, in_sync, min_in_sync, ..record.clone() }, Cause::Reconfigured))
    }

    /// R3: whoever joins the set has everything that was or could have been committed.
    fn wish_expand(&self, leader: &Leader, record: &GroupRecord) -> Option<(GroupRecord, Cause)> {
        let needed = if self.settings.rules.expand_from_start {
            self.committed.max(leader.start)
        } else {
            self.committed
        };
        let end = self.written().0;
        let has_caught_up = |member: &MemberId| {
            let Some(copy) = leader.copies.get(member) else { return false };
            let held = if self.settings.flush_sync { copy.durable } else { copy.written };
            copy.is_aligned && held >= needed && end - held.0.min(end) <= self.settings.lag_bytes_max
        };
        let leaving = self.leaving();
        let is_missing = |member: &MemberId| leader.stalled.contains(member) || leaving.contains(member);
        let learners = record.members.difference(&record.in_sync);
        let mut ready = learners.filter(|member| !is_missing(member) && has_caught_up(member));
        let member = *ready.next()?;
        let mut record = record.clone();
        record.in_sync.insert(member);
        Some((record, Cause::Expanded))
    }

    /// Raised once enough are in sync, lowered at once.
    fn wish_min(&self, record: &GroupRecord) -> Option<(GroupRecord, Cause)> {
        let wanted = self.wished_min();
        let is_enough = record.in_sync.len() >= wanted as usize || !self.settings.rules.raise_waits;
        (wanted < record.min_in_sync || wanted > record.min_in_sync && is_enough)
            .then(|| (GroupRecord { min_in_sync: wanted, ..record.clone() }, Cause::Reconfigured))
    }

    fn wished_min(&self) -> u32 {
        self.seen.as_ref().map_or(1, |seen| seen.request.min_in_sync.max(1))
    }
}

fn wish_join(leader: &Leader, record: &GroupRecord, copies: u32) -> Option<(GroupRecord, Cause)> {
    let is_free = |ordinal| record.members.iter().all(|member| member.ordinal != ordinal);
    let joins = |member: &&MemberId| member.ordinal < copies && is_free(member.ordinal);
    let member = *leader.copies.keys().find(joins)?;
    let mut record = record.clone();
    record.members.insert(member);
    Some((record, Cause::Reconfigured))
}

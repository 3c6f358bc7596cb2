//! Who is elected or taken into the set has everything that is agreed: no wiped, dirty or learning member counts.
//!
//! Only when every member that was in sync may have lost its end, the one that lost least may lead; what nobody has any
//! more is lost then, with `flush: Async` alone.

use crds::group_record::{Cause, GroupRecord, MemberId};
use store::Position;

use crate::cluster::{Machine, Views};

/// The record was replaced; gives the end of what is left if something was lost by right.
pub(crate) fn only_whole_copies_count(
    before: &GroupRecord,
    after: &GroupRecord,
    machines: &[Machine],
    views: &Views,
) -> Result<Option<Position>, String> {
    let is_of = |member: &MemberId| {
        let file = machines[member.ordinal as usize].file.as_ref();
        file.is_some_and(|file| file.store == member.store)
    };
    let is_dirty = |member: &MemberId| {
        machines[member.ordinal as usize].file.as_ref().is_some_and(|file| file.vow.is_dirty)
    };
    let reach = |member: &MemberId| views.copies[member.ordinal as usize].reach(&views.truth);
    let is_whole = |member: &MemberId| {
        views.truth.is_empty() || views.copies[member.ordinal as usize].is_whole(&views.truth)
    };
    for member in after.in_sync.difference(&before.in_sync) {
        let is_first = before.leader.is_none() && after.leader == Some(*member);
        // A volume that was replaced meanwhile, or may have lost its end, does not lead.
        let may_lead = is_of(member) && !is_dirty(member);
        if !is_first && may_lead && after.cause != Cause::Unclean && !is_whole(member) {
            return Err(format!(
                "{member} is taken into the set with {} of {}",
                reach(member),
                views.agreed()
            ));
        }
    }
    let Some(leader) = after.leader.filter(|_| after.epoch != before.epoch && before.leader.is_some()) else {
        return Ok(None);
    };
    if after.epoch <= before.epoch {
        return Err(format!("epoch {} after {}", after.epoch, before.epoch));
    }
    if !after.in_sync.is_subset(&before.in_sync) && after.cause != Cause::Unclean {
        return Err(format!("the set grows with the election of {leader}"));
    }
    if is_whole(&leader) || !is_of(&leader) {
        return Ok(None);
    }
    let others: Vec<_> = before.in_sync.iter().filter(|other| **other != leader && is_of(other)).collect();
    let has_least_loss =
        is_dirty(&leader) && others.iter().all(|other| is_dirty(other) && reach(other) <= reach(&leader));
    if before.in_sync.contains(&leader) && has_least_loss || after.cause == Cause::Unclean {
        return Ok(Some(reach(&leader)));
    }
    Err(format!("{leader} is elected with {} of {}", reach(&leader), views.agreed()))
}

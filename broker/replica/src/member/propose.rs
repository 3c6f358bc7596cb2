//! Changes of the record by the leader: one at a time, and both sets count until the outcome is known.

use crds::group_record::{Cause, GroupRecord};

use super::{Member, Proposal, Role, Solo};
use crate::event::Effect;

impl Member {
    /// Proposes the next change that is due, unless one is under way.
    pub(super) fn propose_wish(&mut self, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &self.role else { return };
        if leader.proposal.is_some() || leader.began.is_none() {
            return;
        }
        let wish = self.wish();
        if !self.is_ready_for(wish.as_ref(), out) {
            return;
        }
        let (Some((record, cause)), Some(seen)) = (wish, &self.seen) else { return };
        let (base, revision) = (seen.version, seen.record.revision + 1);
        let record = GroupRecord { revision, nonce: self.nonce(base), cause, ..record };
        let Role::Leader(leader) = &mut self.role else { return };
        leader.proposal = Some(Proposal { base, record: record.clone() });
        // The larger set counts from now on, before anybody can know of it.
        self.advance(out);
        out.push(Effect::Cas { base, record: Box::new(record) });
    }

    /// Before the set grows, a leader that was alone has to know how far it has committed.
    fn is_ready_for(&mut self, wish: Option<&(GroupRecord, Cause)>, out: &mut Vec<Effect>) -> bool {
        let Some(seen) = &self.seen else { return false };
        let grows = wish.is_some_and(|(record, _)| !record.in_sync.is_subset(&seen.record.in_sync));
        let Role::Leader(leader) = &mut self.role else { return false };
        if grows != leader.is_growing {
            leader.is_growing = grows;
            self.advance(out);
        }
        let is_exact = self.leader().is_some_and(|leader| leader.solo == Solo::No);
        !grows || is_exact || !self.settings.rules.solo_ends_first || self.settings.is_async
    }
}

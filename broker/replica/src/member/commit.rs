//! Committing: what every member has whose absence could lose it.

use std::collections::BTreeSet;

use crds::group_record::{GroupRecord, MemberId};
use store::Position;

use super::{Leader, Member, Role, Solo};
use crate::event::{Effect, Message, Refusal};

impl Member {
    /// Draws the conclusions from how far the logs are.
    pub(super) fn advance(&mut self, out: &mut Vec<Effect>) {
        let own = if self.settings.flush_sync { self.durable } else { self.written() };
        let (Role::Leader(leader), Some(seen)) = (&mut self.role, &self.seen) else { return };
        let (Some(began), record) = (leader.began, &seen.record) else { return };
        if record.epoch != leader.epoch.0 {
            return;
        }
        let rules = self.settings.rules;
        let is_enough = record.in_sync.len() >= record.min_in_sync as usize || !rules.min_in_sync;
        let effective = leader.effective(record, rules.union, rules.shrink_waits);
        let held = if self.settings.is_async {
            own
        } else {
            let others = effective.iter().filter(|member| **member != self.id);
            others.map(|member| leader.held_by(*member, self.settings.flush_sync)).fold(own, Position::min)
        };
        let is_alone = effective.iter().all(|member| *member == self.id) || self.settings.is_async;
        // What was committed alone until the end of it is yet to be heard of; it is not less than this.
        if is_enough && held > self.committed && leader.solo != Solo::Ending {
            self.committed = held;
            if leader.solo == Solo::No {
                out.push(Effect::Commit(held));
            }
        }
        if self.committed >= began && !leader.is_serving {
            leader.is_serving = true;
            out.push(Effect::Serve(leader.epoch));
        }
        let is_solo = is_alone && is_enough && leader.is_serving && !leader.is_growing;
        match leader.solo {
            Solo::No if is_solo => {
                leader.solo = Solo::Yes;
                out.push(Effect::Solo(true));
            }
            Solo::Yes if !is_solo => {
                leader.solo = Solo::Ending;
                out.push(Effect::Solo(false));
            }
            Solo::No | Solo::Yes | Solo::Ending => {}
        }
        leader.refuse_or_take(record, out);
        self.ask_successor(out);
    }

    /// Asks the successor to stand once it has everything.
    fn ask_successor(&mut self, out: &mut Vec<Effect>) {
        let written = self.written();
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(handing) = &mut leader.handing else { return };
        let has_all =
            leader.copies.get(&handing.to).is_some_and(|copy| copy.is_aligned && copy.written == written);
        if has_all && self.committed == written && !handing.is_asked {
            handing.is_asked = true;
            out.push(Effect::Send { to: handing.to, message: Message::TakeOver { epoch: leader.epoch } });
        }
    }
}

impl Leader {
    /// End of what every other member in sync has on its disk for certain; for the proof in batch headers.
    pub fn durable_everywhere(&self, record: &GroupRecord, own: (MemberId, Position)) -> Position {
        let others = record.in_sync.iter().filter(|member| **member != own.0);
        others
            .map(|member| {
                self.copies
                    .get(member)
                    .filter(|copy| copy.is_aligned)
                    .map_or(Position(0), |copy| copy.durable)
            })
            .fold(own.1, Position::min)
    }

    /// Whose absence of a batch keeps it from being committed.
    fn effective(&self, record: &GroupRecord, union: bool, shrink_waits: bool) -> BTreeSet<MemberId> {
        let mut effective = record.in_sync.clone();
        if let Some(proposal) = &self.proposal {
            let proposed = &proposal.record.in_sync;
            if !shrink_waits && proposed.is_subset(&effective) {
                return proposed.clone();
            }
            if union {
                effective.extend(proposed);
            }
        }
        effective
    }

    fn held_by(&self, member: MemberId, flush_sync: bool) -> Position {
        match self.copies.get(&member) {
            Some(copy) if copy.is_aligned && flush_sync => copy.durable,
            Some(copy) if copy.is_aligned => copy.written,
            _ => Position(0),
        }
    }

    fn refuse_or_take(&mut self, record: &GroupRecord, out: &mut Vec<Effect>) {
        let in_sync = record.in_sync.difference(&self.stalled).count() as u32;
        let refusal = if self.handing.is_some() {
            Some(Refusal::HandingOver)
        } else if in_sync < record.min_in_sync {
            Some(Refusal::TooFewCopies { in_sync, min_in_sync: record.min_in_sync })
        } else {
            None
        };
        if refusal != self.refusal {
            self.refusal = refusal;
            out.push(Effect::Refuse(refusal));
        }
    }
}

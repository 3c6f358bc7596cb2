//! Elections: who may stand, what is asked of the arbiter, and what becomes of it.

use std::collections::BTreeSet;

use crds::group_record::{Cause, FORMAT, GroupRecord, MemberId, Seen, UncleanElection};
use store::Epoch;

use super::{Member, Proposal, Role};
use crate::event::{Candidacy, Effect, Fault, OnDisk};

impl Member {
    /// Whether the record allows this member to lead next.
    pub fn is_eligible(&self) -> bool {
        self.record().is_some_and(|record| self.right_to_lead(record).is_some())
    }

    pub(super) fn saw(&mut self, seen: Seen, out: &mut Vec<Effect>) {
        if self.seen.as_ref().is_some_and(|known| seen.version < known.version) {
            return;
        }
        let known = self.record().map_or(self.vow.revision, |record| record.revision.max(self.vow.revision));
        let found = seen.record.revision;
        if found >= known && Epoch(seen.record.epoch) < self.last_epoch() && known > 0 {
            return; // late: the leader of a later epoch was faster than the news of it; nobody may lead by this
        }
        if found < known {
            // Not believed; a leader goes on in its epoch, and nobody new can lead before there is a later one.
            out.push(Effect::Fault(Fault::RecordRegressed { known, found }));
            return;
        }
        self.seen = Some(seen);
        match &self.role {
            Role::Leader(_) => self.saw_leading(out),
            Role::Candidate(proposal) => {
                let proposal = proposal.clone();
                self.saw_standing(&proposal, out);
            }
            Role::Follower(_) => self.saw_following(out),
            Role::Closing | Role::Faulty(_) => {}
        }
    }

    fn saw_standing(&mut self, proposal: &Proposal, out: &mut Vec<Effect>) {
        let Some(seen) = &self.seen else { return };
        if seen.record.nonce == proposal.record.nonce {
            return self.elected(Epoch(proposal.record.epoch), out);
        }
        let is_over = seen.version > proposal.base;
        if is_over || !self.settings.rules.retract_late {
            self.role = Role::Follower(None);
            self.retract(out);
        }
    }

    fn saw_following(&mut self, out: &mut Vec<Effect>) {
        self.retract(out);
        let is_counted = self.record().is_some_and(|record| record.in_sync.contains(&self.id));
        if self.vow.is_dirty && !is_counted && !self.settings.rules.dirty_until_aligned {
            self.vow.is_dirty = false; // only under the model checker
            self.persist(out);
        }
        let names_me = self.record().is_some_and(|record| record.leader == Some(self.id));
        let epoch = self.record().map_or(Epoch(0), |record| Epoch(record.epoch));
        if names_me && !self.settings.rules.new_term && epoch == self.vow.promised {
            self.elected(epoch, out); // only under the model checker
        }
    }

    /// Takes the promise of a candidacy back once its compare-and-swap can no longer succeed.
    fn retract(&mut self, out: &mut Vec<Effect>) {
        let (Some(candidacy), Some(seen)) = (self.vow.candidacy, &self.seen) else { return };
        let epoch = Epoch(seen.record.epoch);
        if seen.version <= candidacy.base && self.settings.rules.retract_late {
            return;
        }
        if epoch < self.vow.promised {
            self.vow.promised = candidacy.promised_before.max(epoch);
        }
        self.vow.candidacy = None;
        self.persist(out);
    }

    /// Stands for election, if it may.
    pub(super) fn campaign(&mut self, alive: &BTreeSet<MemberId>, cause: Cause, out: &mut Vec<Effect>) {
        if !matches!(self.role, Role::Follower(_)) {
            return;
        }
        // An earlier candidacy may still win; its promise must not be forgotten before that is known.
        if self
            .vow
            .candidacy
            .is_some_and(|candidacy| self.seen.as_ref().is_none_or(|seen| seen.version <= candidacy.base))
            && self.settings.rules.retract_late
        {
            out.push(Effect::Read);
            return;
        }
        let Some(seen) = self.seen.clone() else { return };
        let Some(right) = self.right_to_lead(&seen.record) else { return };
        let heard = self.heard.values().map(|beat| beat.promised);
        let promised_before = self.vow.promised;
        let latest = heard.chain([Epoch(seen.record.epoch), promised_before, self.last_epoch()]).max();
        let epoch = Epoch(latest.unwrap_or_default().0 + 1);
        let record = self.candidacy_record(&seen, epoch, right, alive, cause);
        self.vow.candidacy = Some(Candidacy { base: seen.version, promised_before });
        if self.settings.rules.durable_promise {
            self.vow.promised = epoch;
        }
        self.persist(out);
        self.role = Role::Candidate(Proposal { base: seen.version, record: record.clone() });
        out.push(Effect::Cas { base: seen.version, record: Box::new(record) });
    }

    fn candidacy_record(
        &self,
        seen: &Seen,
        epoch: Epoch,
        right: Right,
        alive: &BTreeSet<MemberId>,
        cause: Cause,
    ) -> GroupRecord {
        let old = &seen.record;
        let mut record = GroupRecord {
            format: FORMAT,
            revision: old.revision + 1,
            epoch: epoch.0,
            leader: Some(self.id),
            nonce: self.nonce(seen.version),
            cause,
            ..old.clone()
        };
        match right {
            Right::InSync => record.in_sync.retain(|member| *member == self.id || alive.contains(member)),
            Right::First => {
                record.in_sync = BTreeSet::from([self.id]);
                record.cause = Cause::Started;
            }
            Right::LongestOfAll => record.in_sync = BTreeSet::from([self.id]),
            Right::Forced { token } => {
                record.in_sync = BTreeSet::from([self.id]);
                record.cause = Cause::Unclean;
                record.unclean.push(UncleanElection { token, epoch: epoch.0 });
            }
        }
        record.members.insert(self.id);
        record.members.retain(|member| member.ordinal != self.id.ordinal || *member == self.id);
        record.in_sync.retain(|member| record.members.contains(member));
        record
    }

    fn right_to_lead(&self, record: &GroupRecord) -> Option<Right> {
        let request = &self.seen.as_ref()?.request;
        if let Some(unclean) = &request.unclean
            && unclean.ordinal == self.id.ordinal
            && unclean.epoch == record.epoch
            && self.log.is_some()
            && record.unclean.iter().all(|used| used.token != unclean.token)
        {
            return Some(Right::Forced { token: unclean.token.clone() });
        }
        if record.leader.is_none() {
            return (self.id.ordinal == 0 && self.vow.revision == 0).then_some(Right::First);
        }
        if !self.settings.rules.candidate_in_sync {
            return self.log.is_some().then_some(Right::InSync);
        }
        if !record.in_sync.contains(&self.id) {
            return None;
        }
        // Only who was elected and went down before it began may be in sync without a log; nobody else has one then.
        if self.log.is_none() && record.in_sync.len() > 1 {
            return None;
        }
        // With nobody else there to take over, a fenced member is better than none.
        let is_fenced = |member: &MemberId| request.fenced.contains(&member.ordinal);
        let is_there = |member: &MemberId| self.heard.contains_key(member);
        if is_fenced(&self.id) && record.in_sync.iter().any(|member| !is_fenced(member) && is_there(member)) {
            return None;
        }
        if !self.vow.is_dirty || !self.settings.rules.dirty_waits {
            return Some(Right::InSync);
        }
        self.is_longest_of_all(record).then_some(Right::LongestOfAll)
    }

    /// All that were in sync may have lost their tails, and all of them are here: the longest log has the most.
    fn is_longest_of_all(&self, record: &GroupRecord) -> bool {
        let own = (self.last_epoch(), self.written(), self.id);
        record.in_sync.iter().filter(|member| **member != self.id).all(|member| {
            self.heard
                .get(member)
                .is_some_and(|beat| beat.is_dirty && (beat.last_epoch, beat.written, *member) < own)
        })
    }

    pub(super) fn take_over(&mut self, from: MemberId, epoch: Epoch, out: &mut Vec<Effect>) {
        let follows = self.following().is_some_and(|f| f.leader == from && f.epoch == epoch);
        let Some(record) = self.record() else { return out.push(Effect::Read) };
        if follows {
            let alive = record.in_sync.clone();
            self.campaign(&alive, Cause::HandOver, out);
        }
    }

    /// Back to following; whoever leads will be heard of.
    pub(super) fn step_down(&mut self, out: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &self.role {
            out.extend(leader.copies.keys().map(|&member| Effect::Halt(member)));
            out.push(Effect::StepDown);
            // Clients may have written until now: only the disk knows the end.
            self.role = if self.settings.rules.closing_waits { Role::Closing } else { Role::Follower(None) };
        } else {
            self.role = Role::Follower(None);
        }
    }

    pub(super) fn closed(&mut self, disk: OnDisk) {
        self.durable = disk.durable;
        self.head = disk.head;
        self.committed = self.committed.max(disk.committed);
        self.log = Some(disk.history);
        self.role = Role::Follower(None);
    }

    pub(super) fn rejected(&mut self, from: MemberId, promised: Epoch, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if promised > leader.epoch {
            if leader.copies.remove(&from).is_some() {
                out.push(Effect::Halt(from));
            }
            out.push(Effect::Read);
        }
    }

    /// Asks again for what there was no answer to.
    pub(super) fn retry(&mut self, out: &mut Vec<Effect>) {
        let proposal = match &self.role {
            Role::Candidate(proposal) => Some(proposal),
            Role::Leader(leader) => leader.proposal.as_ref(),
            Role::Follower(_) | Role::Closing | Role::Faulty(_) => None,
        };
        out.push(match proposal {
            Some(Proposal { base, record }) => Effect::Cas { base: *base, record: Box::new(record.clone()) },
            None => Effect::Read,
        });
    }
}

/// Why a member may lead.
enum Right {
    /// It is in sync.
    InSync,
    /// Nobody ever led.
    First,
    /// Every member that was in sync may have lost its tail, and this one lost least.
    LongestOfAll,
    /// A person said so.
    Forced { token: String },
}

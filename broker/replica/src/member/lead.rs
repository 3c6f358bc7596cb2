//! Leading: the followers' logs, and handing over.

use std::collections::{BTreeMap, BTreeSet};

use crds::group_record::MemberId;
use store::{Epoch, Position};

use super::{Copy, Handing, Leader, Member, Role, Solo};
use crate::event::{Effect, End, Hello, Message};
use crate::history::{EpochStart, History, Tip};

impl Member {
    pub(super) fn elected(&mut self, epoch: Epoch, out: &mut Vec<Effect>) {
        if self.vow.promised < epoch || self.vow.candidacy.is_some() || self.vow.is_dirty {
            self.vow.candidacy = None;
            self.vow.is_dirty = false;
            if self.settings.rules.durable_promise {
                self.vow.promised = self.vow.promised.max(epoch);
            }
            self.persist(out);
        }
        self.role = Role::Leader(Leader {
            epoch,
            start: self.written(),
            began: None,
            is_serving: false,
            copies: BTreeMap::new(),
            outdated: BTreeSet::new(),
            stalled: BTreeSet::new(),
            proposal: None,
            handing: None,
            sessions: 0,
            solo: Solo::No,
            is_growing: false,
            refusal: None,
        });
        out.push(Effect::Lead(epoch));
    }

    pub(super) fn began(
        &mut self,
        start: Position,
        written: Position,
        durable: Position,
        out: &mut Vec<Effect>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        leader.began = Some(written);
        let log = self.log.get_or_insert_with(History::default);
        log.begin(EpochStart { epoch: leader.epoch, start });
        log.written = written;
        self.durable = durable;
        self.advance(out);
        out.push(Effect::Broadcast(Message::Beat(self.beat())));
        self.propose_wish(out);
    }

    pub(super) fn wrote(&mut self, end: End, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &self.role else { return };
        if leader.began.is_none() {
            return;
        }
        // A leader's log only grows; an answer may have been made before what was heard since.
        if let Some(log) = &mut self.log {
            log.written = log.written.max(end.written);
        }
        self.durable = self.durable.max(end.durable);
        self.committed = self.committed.max(end.committed);
        self.advance(out);
        self.propose_wish(out);
    }

    pub(super) fn solo_ended(&mut self, end: End, out: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.solo = Solo::No;
        }
        self.wrote(end, out);
    }

    pub(super) fn saw_leading(&mut self, out: &mut Vec<Effect>) {
        let Some(seen) = &self.seen else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        if Epoch(seen.record.epoch) > leader.epoch {
            return self.step_down(out);
        }
        if leader.proposal.as_ref().is_some_and(|proposal| seen.version > proposal.base) {
            leader.proposal = None;
        }
        leader.outdated.retain(|member| seen.record.in_sync.contains(member));
        if leader.began.is_some() {
            self.advance(out);
            self.propose_wish(out);
        }
    }

    pub(super) fn hello(&mut self, from: MemberId, hello: &Hello, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.epoch != hello.epoch || leader.began.is_none() {
            return;
        }
        if leader.copies.remove(&from).is_some() {
            out.push(Effect::Halt(from));
        }
        let is_counted = self.seen.as_ref().is_some_and(|seen| seen.record.in_sync.contains(&from))
            || leader.proposal.as_ref().is_some_and(|proposal| proposal.record.in_sync.contains(&from));
        let common = hello.history.as_ref().and_then(|other| {
            let mut own = self.log.clone()?;
            if other.last_epoch() == leader.epoch {
                // Only this leader writes in its epoch, and may not have heard yet how far it has written.
                own.written = own.written.max(other.written);
            }
            own.common(other)
        });
        let common = common.filter(|common| *common >= self.head);
        let lost_tail = hello.is_dirty && self.settings.rules.dirty_waits;
        if is_counted && (common.is_none() || lost_tail) && self.settings.rules.outdated_leaves {
            // Not while it counts as somebody who has everything.
            leader.outdated.insert(from);
            return self.propose_wish(out);
        }
        let of = hello.history.as_ref().map(History::tip).unwrap_or_default();
        leader.sessions += 1;
        let (epoch, session) = (leader.epoch, leader.sessions);
        let at = common.unwrap_or_default();
        let is_seeded = common.is_none();
        let copy = Copy { session, is_aligned: false, is_seeded, written: Position(0), durable: Position(0) };
        leader.copies.insert(from, copy);
        if common.is_some() {
            out.push(Effect::Send { to: from, message: Message::Align { epoch, session, to: at, of } });
            out.push(Effect::Stream { to: from, session, from: at });
        } else {
            out.push(Effect::Seed { to: from, session, of });
        }
        self.propose_wish(out);
    }

    pub(super) fn acked(
        &mut self,
        from: MemberId,
        epoch: Epoch,
        session: u64,
        (written, durable): (Position, Position),
        out: &mut Vec<Effect>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(copy) = leader.copies.get_mut(&from) else { return };
        if (leader.epoch != epoch || copy.session != session) && self.settings.rules.session_acks {
            return;
        }
        let is_first = !std::mem::replace(&mut copy.is_aligned, true);
        copy.written = copy.written.max(written);
        copy.durable = copy.durable.max(durable);
        if is_first && copy.is_seeded {
            out.push(Effect::Stream { to: from, session, from: written });
        }
        self.advance(out);
        self.propose_wish(out);
    }

    pub(super) fn gone(&mut self, member: MemberId, out: &mut Vec<Effect>) {
        self.heard.remove(&member);
        match &mut self.role {
            Role::Leader(leader) => {
                if leader.copies.remove(&member).is_some() {
                    out.push(Effect::Halt(member));
                    // It may not have noticed: an answer to no question makes it ask again.
                    let (epoch, session, to, of) = (leader.epoch, 0, Position(0), Tip::default());
                    out.push(Effect::Send { to: member, message: Message::Align { epoch, session, to, of } });
                }
            }
            Role::Follower(Some(following)) if following.leader == member => {
                (following.session, following.greeted) = (None, None);
            }
            Role::Follower(_) | Role::Candidate(_) | Role::Closing | Role::Faulty(_) => {}
        }
    }

    pub(super) fn stalled(&mut self, stalled: BTreeSet<MemberId>, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        leader.stalled = stalled;
        if leader.began.is_some() {
            self.propose_wish(out);
        }
    }

    pub(super) fn hand_over(&mut self, to: Option<u32>, out: &mut Vec<Effect>) {
        let Some(seen) = &self.seen else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        let fenced = &seen.request.fenced;
        let may = |member: &MemberId| match to {
            Some(ordinal) => member.ordinal == ordinal,
            None => !fenced.contains(&member.ordinal) && member.ordinal < seen.request.copies,
        };
        let heard = &self.heard;
        let stays = |member: &MemberId| heard.get(member).is_none_or(|beat| !beat.is_leaving);
        let candidates = leader.copies.iter().filter(|(member, copy)| {
            copy.is_aligned && seen.record.in_sync.contains(member) && may(member) && stays(member)
        });
        let best = candidates.max_by_key(|(member, copy)| (copy.written, std::cmp::Reverse(**member)));
        let Some((&to, _)) = best else { return };
        leader.handing = Some(Handing { to, is_asked: false });
        self.advance(out);
    }

    pub(super) fn stop_handing(&mut self, out: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.handing.take().is_some() {
            self.advance(out);
        }
    }
}

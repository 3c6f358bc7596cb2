//! Following: promises, alignment, taking the log.

use crds::group_record::MemberId;
use store::{Epoch, Position};

use super::{Following, Member, Role};
use crate::event::{Beat, Effect, Fault, Hello, Message};
use crate::history::{EpochStart, History, Tip};

impl Member {
    pub(super) fn heard_of(&mut self, from: MemberId, beat: Beat, out: &mut Vec<Effect>) {
        let (leads, committed) = (beat.leads, beat.committed);
        let is_leaving = beat.is_leaving;
        self.heard.insert(from, beat);
        if is_leaving {
            self.propose_wish(out);
        }
        let Some(epoch) = leads else { return };
        if self.refuses(from, epoch, out) {
            return;
        }
        let following = match &self.role {
            Role::Leader(leader) if leader.epoch >= epoch => return,
            Role::Candidate(_) if self.vow.promised >= epoch => return,
            Role::Leader(_) => return self.step_down(out),
            Role::Candidate(_) => None,
            Role::Follower(following) => following.clone(),
            Role::Closing | Role::Faulty(_) => return,
        };
        let following = match following {
            Some(following) if following.epoch == epoch && following.leader == from => following,
            _ => self.follow(from, epoch, out),
        };
        if following.session.is_none() {
            self.greet(from, epoch, self.log.clone(), out);
        } else {
            self.learn_committed(committed, out);
        }
    }

    /// Tells a leader of a lower epoch that its time is over.
    fn refuses(&self, from: MemberId, epoch: Epoch, out: &mut Vec<Effect>) -> bool {
        let promised = self.vow.promised;
        let refuses = epoch < promised && self.settings.rules.reject_lower;
        if refuses {
            out.push(Effect::Send { to: from, message: Message::Reject { promised } });
        }
        refuses
    }

    /// Promises to take nothing from lower epochs, and only then takes from this one.
    fn follow(&mut self, leader: MemberId, epoch: Epoch, out: &mut Vec<Effect>) -> Following {
        if epoch > self.vow.promised {
            self.vow.promised = epoch;
            self.vow.candidacy = None;
            self.persist(out);
        }
        let following = Following { leader, epoch, session: None, greeted: None, committed: Position(0) };
        self.role = Role::Follower(Some(following.clone()));
        following
    }

    /// Asks the leader what to do with this log.
    fn greet(&mut self, to: MemberId, epoch: Epoch, history: Option<History>, out: &mut Vec<Effect>) {
        if let Role::Follower(Some(following)) = &mut self.role {
            following.session = None;
            following.greeted = Some(history.as_ref().map(History::tip).unwrap_or_default());
        }
        let message = Message::Hello(Hello { epoch, history, is_dirty: self.vow.is_dirty });
        out.push(Effect::Send { to, message });
    }

    /// Whether an answer of the leader is to the latest `Hello`, and the log is still as that said. If not, and the leader
    /// sends for a stream that does not fit any more, it is asked again.
    fn is_answered(&mut self, from: MemberId, epoch: Epoch, of: Tip, out: &mut Vec<Effect>) -> bool {
        let tip = self.log.as_ref().map(History::tip).unwrap_or_default();
        let Some(following) = self.following() else { return false };
        let is_fresh = following.session.is_none() || tip == of;
        if following.greeted == Some(of) && is_fresh || !self.settings.rules.answers_match {
            return true;
        }
        if following.session.is_some() {
            self.greet(from, epoch, self.log.clone(), out);
        }
        false
    }

    pub(super) fn align(
        &mut self,
        from: MemberId,
        epoch: Epoch,
        (session, of): (u64, Tip),
        to: Position,
        out: &mut Vec<Effect>,
    ) {
        if self.refuses(from, epoch, out) || !self.follows(from, epoch) {
            return;
        }
        if !self.is_answered(from, epoch, of, out) {
            return;
        }
        if to < self.committed {
            // Either may lack what was acknowledged, and says so; nothing else may.
            if self.vow.is_dirty || self.settings.is_async {
                return self.greet(from, epoch, None, out);
            }
            return self.fail(Fault::Diverged { common: to, committed: self.committed }, out);
        }
        let Some(log) = &mut self.log else { return };
        if to > log.written {
            return; // an answer to an earlier greeting
        }
        if to < log.written {
            log.truncate(to);
            self.durable = self.durable.min(to);
            out.push(Effect::Truncate(to));
        }
        self.begin_session(from, epoch, session, out);
    }

    pub(super) fn seed(
        &mut self,
        from: MemberId,
        epoch: Epoch,
        (session, of): (u64, Tip),
        out: &mut Vec<Effect>,
    ) {
        if self.refuses(from, epoch, out) || !self.follows(from, epoch) {
            return;
        }
        if !self.is_answered(from, epoch, of, out) {
            return;
        }
        if let Role::Follower(Some(following)) = &mut self.role {
            following.session = Some(session);
        }
        out.push(Effect::Plant);
    }

    pub(super) fn planted(&mut self, history: History, out: &mut Vec<Effect>) {
        let end = history.written;
        (self.durable, self.committed, self.head) = (end, end, end);
        self.log = Some(history);
        let Role::Follower(Some(Following { leader, epoch, session: Some(session), .. })) = self.role else {
            return;
        };
        self.begin_session(leader, epoch, session, out);
    }

    pub(super) fn append(
        &mut self,
        from: MemberId,
        epoch: Epoch,
        session: u64,
        (at, committed): (Position, Position),
        out: &mut Vec<Effect>,
    ) {
        if self.refuses(from, epoch, out) {
            return;
        }
        let written = self.written();
        let Role::Follower(Some(following)) = &mut self.role else { return };
        if following.epoch != epoch || following.leader != from || following.session != Some(session) {
            return;
        }
        if at != written {
            // Something is missing: align again.
            return self.greet(from, epoch, self.log.clone(), out);
        }
        following.committed = following.committed.max(committed);
        out.push(Effect::Append);
    }

    pub(super) fn appended(
        &mut self,
        written: Position,
        durable: Position,
        began: Vec<EpochStart>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(log) = &mut self.log {
            for began in began {
                log.begin(began);
            }
            log.written = written;
        }
        self.durable = durable;
        let Some(following) = self.following() else { return };
        let (leader, epoch, committed) = (following.leader, following.epoch, following.committed);
        if let Some(session) = following.session {
            let message = Message::Ack { epoch, session, written, durable };
            out.push(Effect::Send { to: leader, message });
            self.learn_committed(committed, out);
        }
    }

    /// A follower's log is the beginning of the leader's while there is a session.
    fn learn_committed(&mut self, committed: Position, out: &mut Vec<Effect>) {
        let committed = committed.min(self.written());
        if committed > self.committed {
            self.committed = committed;
            out.push(Effect::Commit(committed));
        }
    }

    fn follows(&self, leader: MemberId, epoch: Epoch) -> bool {
        self.following().is_some_and(|following| following.leader == leader && following.epoch == epoch)
    }

    fn begin_session(&mut self, leader: MemberId, epoch: Epoch, session: u64, out: &mut Vec<Effect>) {
        if self.vow.is_dirty {
            // The leader knew of it: it counts this member no more, and again only for what it has from now on. The
            // record does not say that: it may be about to count this member for what it had before.
            self.vow.is_dirty = false;
            self.persist(out);
        }
        // Until something comes, the same answer to the same log is as good.
        let greeted = self.following().and_then(|following| following.greeted);
        let following = Following { leader, epoch, session: Some(session), greeted, committed: Position(0) };
        self.role = Role::Follower(Some(following));
        let (written, durable) = (self.written(), self.durable);
        out.push(Effect::Send { to: leader, message: Message::Ack { epoch, session, written, durable } });
    }
}

//! Carrying out what the protocol decided.

use engine::inbox;
use replica::event::{Effect, Message, Refusal};
use replica::history::Tip;
use store::{Epoch, Position};
use tracing::{error, info};

use super::Driver;
use crate::codec::{Body, Frame};
use crate::mesh::Ship;

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect, body: &mut Option<Body>) {
        match effect {
            Effect::Persist(vow) => self.persist(vow),
            Effect::Send { to, message } => {
                if let Some(outbox) = self.links.get(&to) {
                    outbox.send(message.into());
                }
            }
            Effect::Broadcast(message) => {
                let message = self.as_of_now(message);
                for outbox in self.links.values() {
                    outbox.send(message.clone().into());
                }
            }
            Effect::Cas { base, record } => {
                // Before it leaves: nobody may hear afterwards that nothing was under way.
                self.status.write().is_decided = false;
                self.arbitration.propose(base, *record);
            }
            Effect::Read => self.arbitration.read(),
            Effect::Lead(epoch) => self.lead(epoch),
            Effect::Serve(epoch) => info!(%epoch, "everything before is agreed"),
            Effect::StepDown => self.step_down(),
            Effect::Append => self.append(body.take()),
            Effect::Plant => self.plant(body.take()),
            Effect::Truncate(to) => self.truncate(to),
            Effect::Commit(to) => self.commit(to),
            Effect::Stream { to, session, from } => self.stream(to, session, from),
            Effect::Seed { to, session, of } => self.seed(to, session, of),
            Effect::Halt(member) => {
                if let Some(outbox) = self.links.get(&member) {
                    outbox.halt();
                }
            }
            Effect::Solo(is_solo) => self.solo(is_solo),
            Effect::Refuse(refusal) => self.refuse(refusal),
            Effect::Fault(fault) => {
                error!(?fault, "a person has to look");
                self.fault = Some(fault);
            }
        }
    }

    /// The protocol knows whom it follows, not since when it has heard nothing: two followers of a leader that fell silent
    /// would assure each other that it lives.
    fn as_of_now(&self, message: Message) -> Message {
        let Message::Beat(mut beat) = message else { return message };
        let alive = self.detector.alive(self.now_ms());
        beat.hears = beat.hears.filter(|leader| alive.contains(leader));
        Message::Beat(beat)
    }

    fn stream(&mut self, to: crds::group_record::MemberId, session: u64, at: Position) {
        let epoch = self.leads();
        if let (Some(outbox), Some(epoch)) = (self.links.get(&to), epoch) {
            outbox.stream(Ship { epoch, session, at });
        }
    }

    fn seed(&mut self, to: crds::group_record::MemberId, session: u64, of: Tip) {
        let (Some(epoch), Some(copy), Some(outbox)) = (self.leads(), &self.copy, self.links.get(&to)) else {
            return;
        };
        match self.seed_of(copy) {
            Ok(seed) => {
                info!(%to, start = seed.start, bytes = seed.state.len(), "a member begins anew");
                let message = Message::Seed { epoch, session, of };
                outbox.send(Frame::Message { message, body: Body::Seed(seed) });
            }
            Err(error) => error!(%to, %error, "no seed for a new member"),
        }
    }

    fn refuse(&mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
        let Some(copy) = &self.copy else { return };
        info!(?refusal, "writes are refused, or taken again");
        copy.group().refuse(refusal.map(|refusal| match refusal {
            Refusal::HandingOver => inbox::Refusal::HandingOver,
            Refusal::TooFewCopies { in_sync, min_in_sync } => {
                inbox::Refusal::TooFewCopies { in_sync, min: min_in_sync }
            }
        }));
    }

    pub(super) fn leads(&self) -> Option<Epoch> {
        self.member.leader().map(|leader| leader.epoch)
    }
}

//! One member's driver: what `peer::driver` does, step by step, with the simulated world around it.
//!
//! Between two effects the log thread may have a turn, as it runs beside the real driver. Not here: what touches the
//! disk (`copies`), connections (`wires`), the arbiter's side (`arbitration`).

use crds::broker_config::FlushMode;
use crds::group_record::MemberId;
use replica::event::{Effect, Event, Message};
use replica::history::Tip;
use replica::member::Role;
use store::log::Flush;
use store::{Epoch, Position};

use super::agenda::{Ruling, What};
use super::arbiter::Request;
use super::network::{Body, Frame, Order, Ship};
use super::world::{Cluster, Outcome, Process, Trouble};

/// A leader shows itself in the record this often, and reads it then.
const RENEW_EVERY_MS: u64 = 5_000;

impl Cluster {
    /// The driver's main loop, one turn.
    pub(crate) fn take(&mut self, process: &mut Process, what: What) -> Outcome {
        self.take_one(process, what)?;
        self.settle_flush(process);
        Ok(())
    }

    /// One copy has to be on the disk before a send is answered; several of them need not, unless somebody says so.
    fn settle_flush(&self, process: &mut Process) {
        let copies = process.member.seen().map_or(1, |seen| seen.request.copies);
        process.flush_sync =
            self.plan.flush.unwrap_or_else(|| FlushMode::of_copies(copies)) == FlushMode::Sync;
        process.member.set_flush_sync(process.flush_sync);
        if let Some(copy) = &process.copy {
            copy.group.set_flush(if process.flush_sync { Flush::Sync } else { Flush::Async });
        }
    }

    fn take_one(&mut self, process: &mut Process, what: What) -> Outcome {
        match what {
            What::Tick => {
                let ms = self.plan.tick_ms;
                self.plan_for(process, ms, What::Tick);
                self.tick(process)
            }
            What::Write => self.write(process),
            What::Written => {
                process.calls_driver = false;
                self.wrote(process)
            }
            What::House => self.keep_house(process),
            What::Reopen => self.reopened(process),
            What::Dial { to } => {
                self.dial(process, to);
                Ok(())
            }
            What::Up { member, conn } => {
                process.detector.heard(member, self.now_ms);
                // One that broke already has no other end of which to hear.
                if self.network.conns.get(&conn).is_some_and(|conn| conn.is_open) {
                    process.links.insert(member, conn);
                }
                self.process(process, Event::Beat, Body::None)
            }
            What::Down { member } => {
                let network = &self.network;
                process.links.retain(|_, conn| network.conns.get(conn).is_some_and(|conn| conn.is_open));
                self.process(process, Event::Gone(member), Body::None)
            }
            What::Refused { ordinal } => {
                process.detector.refused(ordinal, self.now_ms);
                Ok(())
            }
            What::Answer { number, verdict } => self.answered(process, number, verdict),
            What::Watch(found) => match process.way.heard(found) {
                Some(seen) => self.process(process, Event::Saw(seen), Body::None),
                None => Ok(()),
            },
            What::Ask => {
                self.ask_next(process);
                Ok(())
            }
            What::Ruling(ruling) => self.ruling(process, ruling),
        }
    }

    /// Something came from another member.
    pub(crate) fn frame(&mut self, process: &mut Process, from: MemberId, frame: Frame) -> Outcome {
        process.detector.heard(from, self.now_ms);
        self.settle_flush(process);
        match frame {
            Frame::Message { message, body } => {
                self.process(process, Event::Received { from, message }, body)
            }
            Frame::Relay { base, record } => {
                self.request(process, Request::Propose { base, record, on_behalf: Some(from) });
                Ok(())
            }
            Frame::Ask => {
                self.request(process, Request::Read { on_behalf: Some(from) });
                Ok(())
            }
            Frame::Seen(seen) => self.process(process, Event::Saw(*seen), Body::None),
        }
    }

    fn ruling(&mut self, process: &mut Process, ruling: Ruling) -> Outcome {
        match ruling {
            Ruling::SeenFor { to, seen } => {
                self.send(process, to, Frame::Seen(Box::new(seen.clone())));
                self.process(process, Event::Saw(seen), Body::None)
            }
            Ruling::Relay(frame) => {
                let members: Vec<_> = process.links.keys().copied().collect();
                for to in members {
                    self.send(process, to, frame.clone());
                }
                Ok(())
            }
        }
    }

    /// The leader's log went on.
    pub(crate) fn wrote(&mut self, process: &mut Process) -> Outcome {
        let Some(copy) = &process.copy else { return Ok(()) };
        if matches!(process.member.role(), Role::Leader(_)) {
            let end = copy.end();
            return self.process(process, Event::Wrote(end), Body::None);
        }
        Ok(())
    }

    fn tick(&mut self, process: &mut Process) -> Outcome {
        let head = process.copy.as_ref().filter(|_| !process.is_reopening).map(|copy| copy.group.head());
        if let Some(head) = head.filter(|head| *head != process.head) {
            process.head = head;
            self.process(process, Event::Trimmed { head }, Body::None)?;
        }
        if process.member.leader().is_some() {
            self.wrote(process)?;
        } else {
            self.tell_durable(process)?;
        }
        let now_ms = self.now_ms;
        for event in process.detector.tick(&process.member, now_ms) {
            if matches!(event, Event::Campaign { .. }) && process.is_retired {
                continue;
            }
            self.process(process, event, Body::None)?;
        }
        if process.member.leader().is_none() {
            process.renew_at_ms = now_ms + RENEW_EVERY_MS;
        } else if now_ms >= process.renew_at_ms {
            process.renew_at_ms = now_ms + RENEW_EVERY_MS;
            self.request(process, Request::Renew);
        }
        Ok(())
    }

    pub(crate) fn hand_over(&mut self, process: &mut Process, to: Option<u32>) -> Outcome {
        if process.member.leader().is_some() {
            process.detector.handing(self.now_ms);
            return self.process(process, Event::HandOver(to), Body::None);
        }
        Ok(())
    }

    /// Lets the protocol take notice, and everything that follows from it.
    pub(crate) fn process(&mut self, process: &mut Process, event: Event, body: Body) -> Outcome {
        let mut body = Some(body);
        process.events.push_back(event);
        while let Some(event) = process.events.pop_front() {
            self.note(format_args!("{} {event:?}", process.id));
            for effect in process.member.on_event(event) {
                if self.random.one_in(self.plan.interleave_in) {
                    self.beside(process)?;
                }
                self.carry_out(process, effect, &mut body)?;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, process: &mut Process, effect: Effect, body: &mut Option<Body>) -> Outcome {
        self.note(format_args!("{}   {effect:?}", process.id));
        match effect {
            Effect::Persist(vow) => self.persist(process, vow)?,
            Effect::Send { to, message } => {
                self.invariants.sends(process, &message).map_err(Trouble::Broken)?;
                self.send(process, to, Frame::Message { message, body: Body::None });
            }
            Effect::Broadcast(message) => {
                let message = self.as_of_now(process, message);
                let members: Vec<_> = process.links.keys().copied().collect();
                for to in members {
                    self.send(process, to, Frame::Message { message: message.clone(), body: Body::None });
                }
            }
            Effect::Cas { base, record } => {
                self.request(process, Request::Propose { base, record, on_behalf: None });
            }
            Effect::Read => self.request(process, Request::Read { on_behalf: None }),
            Effect::Lead(epoch) => self.lead(process, epoch)?,
            Effect::Serve(_) => {}
            Effect::StepDown => self.step_down(process),
            Effect::Append => self.append(process, body.take())?,
            Effect::Plant => self.plant(process, body.take())?,
            Effect::Truncate(to) => self.truncate(process, to)?,
            Effect::Commit(to) => self.commit(process, to)?,
            Effect::Stream { to, session, from } => self.stream(process, to, session, from),
            Effect::Seed { to, session, of } => self.seed(process, to, session, of),
            Effect::Halt(member) => {
                self.order(process, member, Order::Halt);
            }
            Effect::Solo(is_solo) => self.solo(process, is_solo)?,
            Effect::Refuse(refusal) => refuse(process, refusal),
            Effect::Fault(fault) => self.invariants.faulted(process.at, &fault).map_err(Trouble::Broken)?,
        }
        Ok(())
    }

    /// What this member last heard of whom it follows may be long ago.
    fn as_of_now(&self, process: &Process, message: Message) -> Message {
        let Message::Beat(mut beat) = message else { return message };
        let alive = process.detector.alive(self.now_ms);
        beat.hears = beat.hears.filter(|leader| alive.contains(leader));
        Message::Beat(beat)
    }

    fn stream(&mut self, process: &mut Process, to: MemberId, session: u64, at: Position) {
        let epoch = leads(process);
        if let (true, Some(epoch)) = (process.links.contains_key(&to), epoch) {
            self.order(process, to, Order::Stream(Ship { epoch, session, at }));
        }
    }

    fn seed(&mut self, process: &mut Process, to: MemberId, session: u64, of: Tip) {
        let (Some(epoch), Some(copy)) = (leads(process), &process.copy) else { return };
        if !process.links.contains_key(&to) {
            return;
        }
        let group = &copy.group;
        match group.seed() {
            Ok(state) => {
                let before = group.epochs().into_iter().filter(|began| began.start < state.start);
                let body = Body::Seed {
                    log_id: group.log_id(),
                    segment_bytes: self.machines[process.at].config.log.segment_bytes,
                    epochs: before.collect(),
                    state: Box::new(state),
                };
                self.send(
                    process,
                    to,
                    Frame::Message { message: Message::Seed { epoch, session, of }, body },
                );
            }
            Err(error) => self.note(format_args!("{} no seed: {error}", process.id)),
        }
    }
}

pub(crate) fn leads(process: &Process) -> Option<Epoch> {
    process.member.leader().map(|leader| leader.epoch)
}

fn refuse(process: &mut Process, refusal: Option<replica::event::Refusal>) {
    use engine::inbox;
    use replica::event::Refusal;

    process.refusal = refusal;
    let Some(copy) = &process.copy else { return };
    copy.group.refuse(refusal.map(|refusal| match refusal {
        Refusal::HandingOver => inbox::Refusal::HandingOver,
        Refusal::TooFewCopies { in_sync, min_in_sync } => {
            inbox::Refusal::TooFewCopies { in_sync, min: min_in_sync }
        }
    }));
}

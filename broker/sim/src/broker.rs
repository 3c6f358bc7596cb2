//! The broker's life: setting up, the log thread's steps, going down and coming up again.

use std::sync::Arc;

use engine::catalog::{Adopt, ApplyOutcome, ConsumerGroupSpec};
use engine::group::{Group, GroupConfig, OpenError};
use engine::inbox::StoreError;
use engine::writer::{LeadError, Step};
use store::disk::sim::SimDisk;
use store::log::{AppendError, Placed};

use crate::event::Event;
use crate::invariant::checkpoints_change_nothing;
use crate::world::{Awaited, Broker, START_MS, World};
use crate::{members, moves, pulls};

/// Starts that may fail by planned crashes, one after another.
const STARTS_MAX: u32 = 20;

/// Why the broker did not start.
pub(crate) enum StartError {
    /// There is no room for a new epoch.
    Full,
    Other(String),
}

impl Broker {
    /// A broker that leads alone.
    pub(crate) fn open(disk: &SimDisk, config: &GroupConfig, now_ms: u64) -> Result<Self, StartError> {
        let (group, mut writer) = match Group::open(Arc::new(disk.clone()), config.clone(), now_ms) {
            Ok(opened) => opened,
            Err(OpenError::Log(store::log::OpenError::Full { .. })) => return Err(StartError::Full),
            Err(error) => return Err(StartError::Other(error.to_string())),
        };
        match writer.lead_alone(now_ms) {
            Ok(()) => Ok(Self { group, writer }),
            Err(LeadError::Append(AppendError::Full { .. })) => Err(StartError::Full),
            Err(error) => Err(StartError::Other(error.to_string())),
        }
    }
}

impl World {
    /// Applies topics and consumer groups, as an operator would after every start.
    pub(crate) fn set_up(&mut self) -> Result<(), String> {
        let group = Arc::clone(&self.broker.group);
        let readers = self.readers.iter().map(|reader| reader.spec.clone());
        let specs: Vec<ConsumerGroupSpec> =
            readers.chain([members::spec(), moves::spec(), pulls::spec()]).collect();
        let topics = group.apply_topics(&self.topics, Adopt::Always, &self.mailbox);
        let consumer_groups = group.apply_consumer_groups(&specs, Adopt::Always, &self.mailbox);
        for applied in [topics, consumer_groups] {
            let Ok((outcomes, ticket)) = applied else { continue };
            let fine = |outcome: &ApplyOutcome| {
                matches!(outcome, ApplyOutcome::Created | ApplyOutcome::Changed | ApplyOutcome::Unchanged)
            };
            if !outcomes.iter().all(fine) {
                return Err(format!("set-up: {outcomes:?}"));
            }
            self.awaited.extend(ticket.map(|ticket| (ticket, Awaited::Setup)));
        }
        self.step()
    }

    /// One step of the log thread, and the answers that it gives.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let before = self.broker.group.log_state().written;
        let stepped = self.broker.writer.step(self.now_ms);
        let poisoned = stepped.is_err();
        self.answer(poisoned)?;
        if let Err(error) = stepped {
            self.trace.note(format_args!("{error}"));
            return self.restart();
        }
        let state = self.broker.group.log_state();
        let written = state.written;
        // On a full disk a part of a batch may be refused while another one is written.
        self.was_full |= state.disk_full;
        let acks_written = written > before && !self.was_full && matches!(stepped, Ok(Step::Wrote));
        self.has_unrecorded &= self.was_full || self.broker.group.has_pending();
        self.was_full = false;
        if acks_written {
            self.members_written(written);
        }
        self.tell(Event::Stepped { acks_written, written })
    }

    /// Goes down and comes up again; if the disk crashed, the power went too.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        let power_lost = self.disk.has_crashed() || self.random.one_in(2);
        let durable = self.broker.group.log_state().durable;
        self.restarts += 1;
        self.go_down(power_lost);
        if !self.random.one_in(3) && !self.checkpoint_knows_more {
            self.trace.note(format_args!("compare"));
            checkpoints_change_nothing(&self.disk, &self.config, self.now_ms)?;
        }
        self.set_clock();
        let mut power_lost = power_lost;
        for _ in 0..STARTS_MAX {
            if self.random.one_in(4) {
                let nth = self.pick(1, 20);
                self.disk.crash_at(nth);
            }
            match Broker::open(&self.disk, &self.config, self.now_ms) {
                Ok(broker) => {
                    self.broker = broker;
                    self.awaited.clear();
                    self.pollers.clear();
                    self.has_unrecorded = false;
                    self.moves_went_down(power_lost, durable);
                    self.pulls_went_down(power_lost, durable);
                    self.members_went_down(power_lost, durable)?;
                    self.fleeting_went_down(power_lost, durable)?;
                    self.tell(Event::Restarted { power_lost, durable })?;
                    return self.set_up();
                }
                Err(_) if self.disk.has_crashed() => {
                    power_lost = true;
                    self.go_down(true);
                }
                // Somebody has to make room for a start.
                Err(StartError::Full) => self.free_disk(),
                Err(StartError::Other(error)) => return Err(format!("start: {error}")),
            }
        }
        Err(format!("no start in {STARTS_MAX} tries"))
    }

    /// While the broker is down somebody may set the clock; while it is up its clock never goes back.
    fn set_clock(&mut self) {
        if !self.random.one_in(4) {
            return;
        }
        let before_ms = self.now_ms;
        self.now_ms = if self.random.one_in(3) {
            self.now_ms + self.pick(0, 3_600_000)
        } else {
            START_MS.max(self.now_ms - self.pick(0, 3_600_000))
        };
        self.trace.note(format_args!("the clock is set from {before_ms} to {}", self.now_ms));
        self.invariants.clock_was_set(before_ms);
    }

    fn go_down(&mut self, power_lost: bool) {
        self.trace.note(format_args!("down, power lost: {power_lost}"));
        if power_lost {
            self.disk.power_cut(self.random.next_u64());
        } else {
            self.disk.kill_process();
        }
    }

    fn answer(&mut self, poisoned: bool) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (ticket, awaited) in std::mem::take(&mut self.awaited) {
            match ticket.try_outcome() {
                None => waiting.push((ticket, awaited)),
                Some(Ok(placed)) => self.answered(&awaited, &placed)?,
                Some(Err(StoreError::Unknown)) if poisoned => {}
                Some(Err(StoreError::DiskFull)) => {
                    self.trace.note(format_args!("disk is full"));
                    self.was_full = true;
                }
                Some(Err(
                    error @ (StoreError::Unknown | StoreError::NotLeading | StoreError::TooLarge { .. }),
                )) => {
                    return Err(format!("submission answered: {error}"));
                }
            }
        }
        self.awaited = waiting;
        Ok(())
    }

    fn answered(&mut self, awaited: &Awaited, placed: &[Placed]) -> Result<(), String> {
        match *awaited {
            Awaited::Setup => Ok(()),
            Awaited::Move { number, ref places } => {
                self.moved(number, places, placed);
                Ok(())
            }
            Awaited::Commit { number, queue, offset } => {
                self.committed(number, queue, offset, placed);
                Ok(())
            }
            Awaited::Member { ref client } => self.member_made(client, placed),
            Awaited::Fleet(fleet) => {
                self.fleet_answered(fleet, placed);
                Ok(())
            }
            Awaited::Letter { reader, message } => self.tell(Event::Acked { reader, message }),
            Awaited::Recall { message } => self.tell(Event::Recalled { message }),
            Awaited::Decision { message, decision } => self.decided(message, decision, placed),
            Awaited::Send { first, count, is_run } => {
                let offsets = placed.iter().map(|placed| placed.offset.0);
                let neighbours = placed.first().map_or(0, |placed| placed.offset.0)..;
                let waits = self.timed.contains_key(&first) || self.halves.contains_key(&first);
                let are_neighbours = !is_run || waits || offsets.eq(neighbours.take(placed.len()));
                if placed.len() as u64 != count || !are_neighbours {
                    return Err(format!("{count} messages of one request were placed at {placed:?}"));
                }
                for (message, placed) in (first..).zip(placed) {
                    if let Some((_, position)) = self.timed.get_mut(&message) {
                        *position = Some(placed.position);
                    }
                    // Until somebody commits it, nobody gets it.
                    if !self.stored_half(message, placed) {
                        self.tell(Event::Stored { message, placed: *placed })?;
                    }
                }
                Ok(())
            }
        }
    }
}

//! What a driver does with its copy of the log and its promises, and what the threads behind the log do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::group::{Group, Planting};
use engine::writer::{CommitError, FollowError, Step};
use peer::vow::MemberFile;
use replica::event::{Event, Message, OnDisk, Vow};
use replica::history::History;
use store::disk::Disk;
use store::log::{RawError, RawSpan, Stamps};
use store::{Epoch, Position};

use super::agenda::{Happening, What};
use super::network::Body;
use super::world::{Cluster, Copy, Outcome, Process, Trouble};

pub(crate) fn died(error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Died(error.to_string())
}

impl Cluster {
    pub(crate) fn persist(&mut self, process: &mut Process, vow: Vow) -> Outcome {
        if let Some(copy) = process.copy.as_ref().filter(|_| !process.is_reopening) {
            copy.group.sync().map_err(|error| died(&error))?;
        }
        let before = std::mem::replace(&mut process.file.vow, vow);
        crate::invariant::cluster::Invariants::persists(process, &before, &self.object)
            .map_err(Trouble::Broken)?;
        self.save(process.at, &process.file)
    }

    /// Writes down who a copy is and what it promises.
    pub(crate) fn save(&mut self, at: usize, file: &MemberFile) -> Outcome {
        let machine = &mut self.machines[at];
        self.invariants.saves(at, file);
        file.save(&machine.disk).map_err(|error| died(&error))?;
        self.invariants.saved(at, file);
        machine.file = Some(file.clone());
        Ok(())
    }

    /// As `peer::copy::Shelf::open`.
    pub(crate) fn open_copy(&mut self, at: usize) -> Result<Copy, Trouble> {
        let machine = &self.machines[at];
        let disk: Arc<dyn Disk> = Arc::new(machine.disk.clone());
        let (group, writer) =
            Group::open(disk, machine.config.clone(), self.clock(at)).map_err(|error| died(&error))?;
        self.openings += 1;
        Ok(Copy { group, writer, grown: Arc::default(), opening: self.openings })
    }

    pub(crate) fn lead(&mut self, process: &mut Process, epoch: Epoch) -> Outcome {
        self.invariants.leads(process, epoch, &self.object).map_err(Trouble::Broken)?;
        if process.copy.is_none() {
            process.copy = Some(self.open_copy(process.at)?);
        }
        stamp(process);
        let now_ms = self.clock(process.at);
        let Some(copy) = &mut process.copy else { return Ok(()) };
        let grown: Arc<AtomicBool> = Arc::clone(&copy.grown);
        copy.writer.on_written(Arc::new(move || grown.store(true, Ordering::Relaxed)));
        let start = copy.writer.lead(epoch, now_ms).map_err(|error| died(&error))?;
        process.freight.reader = Some(copy.group.log_reader());
        process.freight.committed = copy.group.published();
        process.last_epoch = epoch;
        let ended = copy.end();
        process.events.push_back(Event::Began { start, written: ended.written, durable: ended.durable });
        Ok(())
    }

    pub(crate) fn step_down(&mut self, process: &mut Process) {
        process.freight.reader = None;
        let Some(copy) = &mut process.copy else { return };
        copy.writer.close();
        process.is_reopening = true;
        let ms = self.pick(0, 60);
        self.plan_for(process, ms, What::Reopen);
    }

    pub(crate) fn reopened(&mut self, process: &mut Process) -> Outcome {
        process.is_reopening = false;
        process.copy = None;
        let copy = self.open_copy(process.at)?;
        process.last_epoch = copy.group.epoch();
        let disk = on_disk(&copy);
        process.copy = Some(copy);
        self.process(process, Event::Closed(disk), Body::None)?;
        let heard = process.member.heard().clone();
        for (from, beat) in heard {
            self.process(process, Event::Received { from, message: Message::Beat(beat) }, Body::None)?;
        }
        Ok(())
    }

    pub(crate) fn append(&mut self, process: &mut Process, body: Option<Body>) -> Outcome {
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else {
            lose_session(process);
            return Ok(());
        };
        let Some(Body::Span { segment, start, end, bytes }) = body else {
            lose_session(process);
            return Ok(());
        };
        let raw = RawSpan { segment, start, end, bytes: &bytes };
        match copy.writer.append_raw(raw) {
            Ok(()) => {}
            Err(FollowError::Log(RawError::Poisoned(poisoned))) => return Err(died(&poisoned)),
            Err(error) => {
                self.note(format_args!("{} not taken: {error}", process.id));
                lose_session(process);
                return Ok(());
            }
        }
        if process.flush_sync {
            copy.group.sync().map_err(|error| died(&error))?;
        }
        tell_appended(process);
        Ok(())
    }

    /// The leader wants to know what a power cut would leave here.
    pub(crate) fn tell_durable(&mut self, process: &mut Process) -> Outcome {
        let Some(copy) = process.copy.as_ref().filter(|_| !process.is_reopening) else { return Ok(()) };
        if process.member.following().is_some() && copy.group.durable() != process.durable {
            tell_appended(process);
            while let Some(event) = process.events.pop_front() {
                self.process(process, event, Body::None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn plant(&mut self, process: &mut Process, body: Option<Body>) -> Outcome {
        let Some(Body::Seed { log_id, segment_bytes, epochs, state }) = body else {
            lose_session(process);
            return Ok(());
        };
        if let Some(mut copy) = process.copy.take() {
            copy.writer.close();
        }
        let planting = Planting { log_id, segment_bytes, epochs };
        let disk: Arc<dyn Disk> = Arc::new(self.machines[process.at].disk.clone());
        Group::plant(&disk, &planting, &state, self.clock(process.at)).map_err(|error| died(&error))?;
        let copy = self.open_copy(process.at)?;
        process.last_epoch = copy.group.epoch();
        let history = on_disk(&copy).history;
        process.copy = Some(copy);
        process.events.push_back(Event::Planted { history });
        Ok(())
    }

    pub(crate) fn truncate(&mut self, process: &mut Process, to: Position) -> Outcome {
        self.views.forget(process.at, to);
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        copy.writer.truncate(to).map_err(|error| died(&error))?;
        process.last_epoch = copy.group.epoch();
        Ok(())
    }

    pub(crate) fn commit(&mut self, process: &mut Process, to: Position) -> Outcome {
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        if to <= copy.group.published() {
            return Ok(());
        }
        match copy.writer.commit(to) {
            Ok(()) | Err(CommitError::Closed) => {}
            Err(error) => return Err(died(&error)),
        }
        if process.member.leader().is_some() {
            process.freight.committed = to;
            stamp(process);
            self.plan_for(process, 0, What::Write);
        }
        Ok(())
    }

    pub(crate) fn solo(&mut self, process: &mut Process, is_solo: bool) -> Outcome {
        if !is_solo && !process.is_reopening {
            stamp(process);
        }
        self.beside(process)?;
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        if is_solo {
            copy.writer.stamp(Stamps::default());
        }
        match copy.writer.set_solo(is_solo) {
            Ok(()) | Err(CommitError::Closed) => {}
            Err(error) => return Err(died(&error)),
        }
        process.freight.is_solo = is_solo;
        if is_solo {
            process.freight.committed = copy.group.published();
            return Ok(());
        }
        let Some(copy) = &process.copy else { return Ok(()) };
        process.events.push_back(Event::SoloEnded(copy.end()));
        Ok(())
    }

    /// The log thread has a turn.
    pub(crate) fn write(&mut self, process: &mut Process) -> Outcome {
        let now_ms = self.clock(process.at);
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        for _ in 0..4 {
            let step = copy.writer.step(now_ms).map_err(|error| died(&error))?;
            if step == Step::Idle {
                break;
            }
        }
        self.look_at_growth(process);
        Ok(())
    }

    /// What happens beside the driver, between two of its effects.
    pub(crate) fn beside(&mut self, process: &mut Process) -> Outcome {
        let now_ms = self.clock(process.at);
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        if self.random.one_in(4) {
            copy.group.sync().map_err(|error| died(&error))?;
        } else {
            copy.writer.step(now_ms).map_err(|error| died(&error))?;
        }
        self.look_at_growth(process);
        Ok(())
    }

    /// Tells connections and the driver that the log went on.
    pub(crate) fn look_at_growth(&mut self, process: &mut Process) {
        let Some(copy) = &process.copy else { return };
        if !copy.grown.swap(false, Ordering::Relaxed) {
            return;
        }
        let conns: Vec<u64> = process.links.values().copied().collect();
        for conn in conns {
            self.call_wire(conn);
        }
        if !process.freight.is_solo && !process.calls_driver {
            process.calls_driver = true;
            let ms = self.pick(0, 3);
            self.plan_for(process, ms, What::Written);
        }
    }

    /// The background thread has a turn.
    pub(crate) fn keep_house(&mut self, process: &mut Process) -> Outcome {
        let ms = self.pick(20, 400);
        self.plan_for(process, ms, What::House);
        let (kind, now_ms) = (self.pick(0, 16), self.clock(process.at));
        let Some(copy) = process.copy.as_mut().filter(|_| !process.is_reopening) else { return Ok(()) };
        let group = &copy.group;
        match kind {
            0..7 => group.sync().map_err(|error| died(&error))?,
            7 | 8 => drop(group.checkpoint()),
            9 => drop(group.prepare_segment()),
            10 => drop(copy.writer.retain(now_ms)),
            11 => {
                drop(group.trim_index());
                drop(group.flush_index());
            }
            12 => drop(group.work_timers(now_ms)),
            13 => drop(group.flush_timers(now_ms)),
            _ => {
                let group = Arc::clone(group);
                self.check_transactions(process.at, &group);
            }
        }
        self.note(format_args!("{} house {kind}", process.id));
        self.write(process)
    }

    pub(crate) fn call_wire(&mut self, conn: u64) {
        let Some(open) = self.network.conns.get_mut(&conn) else { return };
        if open.is_open && !open.is_called {
            open.is_called = true;
            let ms = self.random.below(3);
            self.after(ms, Happening::Wire { conn });
        }
    }
}

/// The leader will align the logs again.
fn lose_session(process: &mut Process) {
    if let Some(following) = process.member.following() {
        process.events.push_back(Event::Gone(following.leader));
    }
}

/// Tells the leader how far the log is.
fn tell_appended(process: &mut Process) {
    let Some(copy) = &process.copy else { return };
    let group = &copy.group;
    let began: Vec<_> = if group.epoch() == process.last_epoch {
        Vec::new()
    } else {
        let last_epoch = std::mem::replace(&mut process.last_epoch, group.epoch());
        group.epochs().into_iter().filter(|began| began.epoch > last_epoch).collect()
    };
    let (durable, written) = (group.durable(), group.written());
    process.durable = durable;
    process.events.push_back(Event::Appended { written, durable, began });
}

fn stamp(process: &mut Process) {
    let (Some(leader), Some(seen)) = (process.member.leader(), process.member.seen()) else { return };
    let Some(copy) = &process.copy else { return };
    let own = (process.member.id(), copy.group.durable());
    let durable = leader.durable_everywhere(&seen.record, own);
    let stamps = Stamps { durable: Some(durable), committed: Some(process.member.committed()) };
    if let Some(copy) = &mut process.copy {
        copy.writer.stamp(stamps);
    }
}

/// The copy, as the protocol wants to know it.
pub(crate) fn on_disk(copy: &Copy) -> OnDisk {
    let group = &copy.group;
    OnDisk {
        history: History { epochs: group.epochs(), written: group.written() },
        durable: group.durable(),
        head: group.head(),
        committed: group.published(),
    }
}

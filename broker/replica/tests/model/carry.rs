//! Carrying effects out, as the driver and the engine do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crds::group_record::MemberId;
use replica::event::{Effect, Event, Fault, Message, Vow};
use store::{Epoch, Position};

use crate::world::{Config, Engine, Entry, Flying, Parcel, World, at, history};

impl World {
    /// Tells a member what happened and carries out what it says.
    pub fn tell(&mut self, config: &Config, node: usize, event: Event) {
        self.tell_with(config, node, event, &[]);
    }

    /// As `tell`, with what came with a message.
    pub fn tell_with(&mut self, config: &Config, node: usize, event: Event, load: &[Entry]) {
        let Some(process) = self.nodes[node].edit().process.as_mut() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| process.member.on_event(event)));
        let effects = match outcome {
            Ok(effects) => effects,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                return self.fail(format!("assert: {}", text.unwrap_or_default()));
            }
        };
        let mut answers = Vec::new();
        for effect in effects {
            self.carry_out(config, node, effect, load, &mut answers);
        }
        for answer in answers {
            self.tell(config, node, answer);
        }
        if !config.is_slow {
            self.answer_all(config, node);
        }
    }

    fn answer_all(&mut self, config: &Config, node: usize) {
        while self.wrong.is_none() && self.answer(config, node) {}
        // Writes that the engine commits by itself are the one thing that a prompt driver hears of late, too.
        let is_solo = self.nodes[node].process.as_ref().is_some_and(|process| process.engine.is_solo);
        if self.wrong.is_none() && !is_solo && self.nodes[node].has_news() {
            self.tell_news(config, node);
        }
    }

    /// Gives the member the engine's oldest answer.
    pub fn answer(&mut self, config: &Config, node: usize) -> bool {
        let Some(process) = self.nodes[node].edit().process.as_mut() else { return false };
        if process.engine.answers.is_empty() {
            return false;
        }
        let answer = process.engine.answers.remove(0);
        if let Event::Began { written, durable, .. } = answer {
            let committed = process.member.committed();
            process.engine.told = Some(replica::event::End { written, durable, committed });
        }
        self.tell(config, node, answer);
        true
    }

    /// The leader's member hears how far the log is.
    pub fn tell_news(&mut self, config: &Config, node: usize) {
        let end = self.nodes[node].disk.end();
        let Some(process) = self.nodes[node].edit().process.as_mut() else { return };
        process.engine.told = Some(end);
        self.tell(config, node, Event::Wrote(end));
    }

    fn engine(&mut self, node: usize) -> &mut Engine {
        &mut self.nodes[node].edit().process.as_mut().expect("only a process has effects").engine
    }

    fn carry_out(
        &mut self,
        config: &Config,
        node: usize,
        effect: Effect,
        load: &[Entry],
        answers: &mut Vec<Event>,
    ) {
        match effect {
            Effect::Persist(vow) => self.persist(node, vow),
            Effect::Send { to, message } => self.send(node, to, message, Vec::new()),
            Effect::Broadcast(message) => {
                for other in 0..self.nodes.len() {
                    self.send(node, self.nodes[other].id, message.clone(), Vec::new());
                }
            }
            Effect::Cas { base, record } => {
                let flying = Flying { by: self.nodes[node].id, record: *record };
                if base == self.seen.version && !self.flying.contains(&flying) {
                    self.flying.push(flying);
                    self.flying.sort_by_key(|flying| (flying.by, flying.record.nonce));
                }
            }
            // The record is read at any time anyhow; the log is served to whom the engine lets in.
            Effect::Read => {}
            Effect::Lead(epoch) => self.lead(config, node, epoch),
            Effect::Serve(_) => self.engine(node).is_serving = true,
            Effect::StepDown => self.step_down(node),
            Effect::Append => self.append(config, node, load[0], answers),
            Effect::Plant => {
                let disk = &mut self.nodes[node].edit().disk;
                disk.log = Some(load.to_vec());
                (disk.durable, disk.head, disk.committed) = (load.len(), load.len(), load.len());
                answers.push(Event::Planted { history: history(load) });
            }
            Effect::Truncate(to) => self.truncate(node, to),
            Effect::Commit(to) => self.commit(config, node, to.0 as usize),
            Effect::Stream { to, session, from } => {
                self.engine(node).streams.insert(to, (session, from.0 as usize));
            }
            Effect::Seed { to, session, of } => {
                let Some(epoch) = self.engine(node).leads else { return };
                let disk = &self.nodes[node].disk;
                let load = disk.entries()[..disk.head].to_vec();
                self.send(node, to, Message::Seed { epoch, session, of }, load);
            }
            Effect::Halt(member) => {
                self.engine(node).streams.remove(&member);
            }
            Effect::Solo(is_solo) => self.solo(config, node, is_solo),
            Effect::Refuse(refusal) => self.engine(node).is_refusing = refusal.is_some(),
            Effect::Fault(fault) => self.fault(config, node, &fault),
        }
    }

    fn persist(&mut self, node: usize, vow: Vow) {
        let old = &self.nodes[node].disk.vow;
        let is_back = vow.promised < old.promised;
        // S2, and when a promise may be taken back: nothing that was asked for with it can win any more.
        let may_win = self
            .flying
            .iter()
            .any(|flying| flying.by == self.nodes[node].id && Epoch(flying.record.epoch) == old.promised);
        let has_won = self.seen.record.leader == Some(self.nodes[node].id)
            && Epoch(self.seen.record.epoch) >= old.promised;
        if is_back && (old.candidacy.is_none() || may_win || has_won) {
            let text = format!("S2: {node} takes its promise {} back to {}", old.promised, vow.promised);
            self.fail(text);
        }
        let disk = &mut self.nodes[node].edit().disk;
        disk.vow = vow;
        disk.durable = disk.entries().len();
    }

    pub fn send(&mut self, from: usize, to: MemberId, message: Message, load: Vec<Entry>) {
        let other = to.ordinal as usize;
        let is_there = self.node_of(to).is_some_and(|node| node.process.is_some());
        if from != other && is_there {
            self.link_mut(from, other).push(Parcel { to, message, load });
        }
    }

    fn lead(&mut self, config: &Config, node: usize, epoch: Epoch) {
        let who = (epoch.0, node as u32, self.nodes[node].starts);
        if self.leaders.iter().any(|led| led.0 == epoch.0) {
            self.fail(format!("S1: {node} leads in epoch {epoch} after {:?}", self.leaders));
        }
        self.leaders.push(who);
        self.leaders.sort_unstable();
        let disk = &mut self.nodes[node].edit().disk;
        let log = disk.log.get_or_insert_default();
        let start = at(log.len());
        log.push(Entry { epoch: epoch.0, message: 0 });
        let written = at(log.len());
        if config.powers == 0 {
            disk.durable = log.len();
        }
        let durable = at(disk.durable);
        let engine = self.engine(node);
        *engine =
            Engine { leads: Some(epoch), answers: std::mem::take(&mut engine.answers), ..Engine::default() };
        engine.answers.push(Event::Began { start, written, durable });
    }

    fn step_down(&mut self, node: usize) {
        let disk = &self.nodes[node].disk;
        let state = disk.state(disk.committed);
        let engine = self.engine(node);
        *engine = Engine { answers: std::mem::take(&mut engine.answers), ..Engine::default() };
        engine.answers.push(Event::Closed(state));
    }

    fn append(&mut self, config: &Config, node: usize, entry: Entry, answers: &mut Vec<Event>) {
        let disk = &mut self.nodes[node].edit().disk;
        let Some(log) = &mut disk.log else { return self.fail(format!("{node} appends without a log")) };
        let start = at(log.len());
        log.push(entry);
        let written = at(log.len());
        if config.powers == 0 {
            disk.durable = log.len();
        }
        let began = replica::history::EpochStart { epoch: Epoch(entry.epoch), start };
        let began = if entry.message == 0 { vec![began] } else { Vec::new() };
        answers.push(Event::Appended { written, durable: at(disk.durable), began });
    }

    fn truncate(&mut self, node: usize, to: Position) {
        let to = to.0 as usize;
        let disk = &mut self.nodes[node].edit().disk;
        let log = disk.log.get_or_insert_default();
        log.truncate(to);
        disk.durable = disk.durable.min(to);
        let committed = disk.committed;
        if to < committed && !disk.vow.is_dirty && !self.is_excused {
            self.fail(format!("S6: {node} cuts at {to} what was committed up to {committed}"));
        }
        let disk = &mut self.nodes[node].edit().disk;
        disk.committed = disk.committed.min(to);
    }

    fn solo(&mut self, config: &Config, node: usize, is_solo: bool) {
        self.engine(node).is_solo = is_solo;
        if is_solo {
            self.commit_alone(config, node);
        } else {
            let end = self.nodes[node].disk.end();
            self.engine(node).told = Some(end);
            self.engine(node).answers.push(Event::SoloEnded(end));
        }
    }

    /// What is alone in sync commits whatever it has.
    pub fn commit_alone(&mut self, config: &Config, node: usize) {
        let disk = &self.nodes[node].disk;
        let end = if config.settings.flush_sync { disk.durable } else { disk.entries().len() };
        if self.engine(node).is_solo && end > self.nodes[node].disk.committed {
            self.commit(config, node, end);
        }
    }

    fn fault(&mut self, config: &Config, node: usize, fault: &Fault) {
        let is_expected = match fault {
            Fault::Diverged { .. } => self.is_excused || config.settings.is_async,
            Fault::RecordRegressed { .. } => config.stale_reads,
        };
        if !is_expected {
            self.fail(format!("{node}: {fault:?}"));
        }
    }
}

//! What becomes of an action.

use std::collections::BTreeSet;

use crds::group_record::{Cause, MemberId, Seen, Version};
use replica::event::{Event, Message};
use replica::member::{Member, Role};

use crate::action::{Action, trimmed};
use crate::world::{Config, Disk, Engine, Entry, Node, Parcel, Process, World, at};

impl World {
    /// The state after `action`.
    pub fn apply(&mut self, config: &Config, action: Action) {
        match action {
            Action::Write(node) => self.write(config, node),
            Action::Told(node) => self.tell_news(config, node),
            Action::Answer(node) => {
                self.answer(config, node);
            }
            Action::Sync(node) => self.sync(config, node),
            Action::Ship(node, other) => self.ship(node, other),
            Action::Deliver(from, to) => self.deliver(config, from, to),
            Action::Break(one, other) => {
                self.spent.breaks += 1;
                self.part(config, one, other);
            }
            Action::Beat(node, other) => self.beat(config, node, other),
            Action::Campaign(node, set) => {
                let event = Event::Campaign { alive: self.ids(set), cause: Cause::LeaderLost };
                self.tell(config, node, event);
            }
            Action::Stall(node, set) => {
                let stalled = self.ids(set);
                if let Some(process) = &mut self.nodes[node].edit().process {
                    process.stalled.clone_from(&stalled);
                }
                self.tell(config, node, Event::Stalled(stalled));
            }
            Action::Land(index) => self.land(index),
            Action::Saw(node) => self.tell(config, node, Event::Saw((*self.seen).clone())),
            Action::SawOlder(node) => {
                let older = self.older.as_deref().cloned().unwrap_or_default();
                self.tell(config, node, Event::Saw(older));
            }
            Action::HandOver(node) => {
                self.spent.hand_overs += 1;
                self.tell(config, node, Event::HandOver(None));
            }
            Action::HandOverExpired(node) => self.tell(config, node, Event::HandOverExpired),
            Action::Request => {
                let request = config.requests[usize::from(self.spent.requests)].clone();
                self.spent.requests += 1;
                self.change(|seen| seen.request = request);
            }
            Action::Trim(node) => {
                self.spent.trims += 1;
                let disk = &mut self.nodes[node].edit().disk;
                disk.head += 1;
                let head = at(disk.head);
                self.tell(config, node, Event::Trimmed { head });
            }
            Action::Crash(node) => {
                self.spent.crashes += 1;
                self.crash(config, node);
            }
            Action::PowerLoss(node, keeps) => self.power_loss(config, node, keeps),
            Action::Restart(node) => self.restart(config, node),
            Action::Wipe(node) => {
                self.spent.wipes += 1;
                let node = self.nodes[node].edit();
                node.id.store += 1;
                node.disk = Disk::default();
            }
        }
        if config.is_direct {
            self.deliver_all_but_acks(config);
        }
        self.seal();
        self.check(config);
    }

    fn deliver_all_but_acks(&mut self, config: &Config) {
        let due = |link: &Vec<Parcel>| {
            let due = link.iter().position(|next| !matches!(next.message, Message::Ack { .. }));
            due.filter(|index| config.late_acks || *index == 0)
        };
        let find = |world: &Self| {
            world.links.iter().enumerate().find_map(|(link, parcels)| Some((link, due(parcels)?)))
        };
        while self.wrong.is_none()
            && let Some((link, index)) = find(self)
        {
            self.links[link][..=index].rotate_right(1);
            self.deliver(config, link / self.nodes.len(), link % self.nodes.len());
        }
    }

    fn ids(&self, set: u32) -> BTreeSet<MemberId> {
        self.nodes.iter().map(|node| node.id).filter(|id| set & (1 << id.ordinal) != 0).collect()
    }

    fn write(&mut self, config: &Config, node: usize) {
        self.spent.writes += 1;
        let message = self.spent.writes;
        let state = self.nodes[node].edit();
        let Some(epoch) = state.process.as_ref().and_then(|process| process.engine.leads) else { return };
        let log = state.disk.log.get_or_insert_default();
        log.push(Entry { epoch: epoch.0, message });
        if config.powers == 0 {
            state.disk.durable = log.len();
        }
        self.commit_alone(config, node);
        self.tell_at_once(config, node);
    }

    /// A prompt driver tells of writes before anything else happens, unless they are committed without it.
    fn tell_at_once(&mut self, config: &Config, node: usize) {
        let is_solo = self.nodes[node].process.as_ref().is_some_and(|process| process.engine.is_solo);
        if !config.is_slow && !is_solo && self.nodes[node].has_news() {
            self.tell_news(config, node);
        }
    }

    pub fn sync(&mut self, config: &Config, node: usize) {
        let state = self.nodes[node].edit();
        state.disk.durable = state.disk.entries().len();
        let (written, durable) = (at(state.disk.durable), at(state.disk.durable));
        let leads = state.process.as_ref().is_some_and(|process| process.engine.leads.is_some());
        if leads {
            self.commit_alone(config, node);
            self.tell_at_once(config, node);
        } else if !matches!(self.nodes[node].member().map(Member::role), Some(Role::Closing)) {
            self.tell(config, node, Event::Appended { written, durable, began: Vec::new() });
        }
    }

    pub fn ship(&mut self, node: usize, other: usize) {
        let to = self.nodes[other].id;
        let state = self.nodes[node].edit();
        let (Some(process), committed) = (&mut state.process, state.disk.committed) else { return };
        let Some(epoch) = process.engine.leads else { return };
        let Some((session, next)) = process.engine.streams.get_mut(&to) else { return };
        let (session, from) = (*session, *next);
        *next += 1;
        let entry = state.disk.log.as_deref().unwrap_or_default()[from];
        let message = Message::Append { epoch, session, from: at(from), committed: at(committed) };
        self.send(node, to, message, vec![entry]);
    }

    pub fn deliver(&mut self, config: &Config, from: usize, to: usize) {
        let parcel = self.link_mut(from, to).remove(0);
        let message = trimmed(config, parcel.message);
        let from = self.nodes[from].id;
        self.tell_with(config, to, Event::Received { from, message }, &parcel.load);
    }

    fn beat(&mut self, config: &Config, node: usize, other: usize) {
        let Some(beat) = self.nodes[node].member().map(Member::beat) else { return };
        let message = trimmed(config, Message::Beat(beat));
        self.send(node, self.nodes[other].id, message, Vec::new());
    }

    /// A connection breaks: both sides hear of it at once. Messages that one side would still have taken could as well
    /// have come before.
    fn part(&mut self, config: &Config, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let is_late = |parcel: &Parcel| config.late_acks && matches!(parcel.message, Message::Ack { .. });
            self.link_mut(from, to).retain(is_late);
        }
        let ids = [self.nodes[one].id, self.nodes[other].id];
        self.tell(config, one, Event::Gone(ids[1]));
        self.tell(config, other, Event::Gone(ids[0]));
    }

    /// The arbiter takes one of the changes; all others are based on a version that is gone.
    pub fn land(&mut self, index: usize) {
        let flying = self.flying.swap_remove(index);
        let old = self.seen.record.clone();
        self.check_change(flying.by, &old, &flying.record);
        let is_election = flying.record.epoch != old.epoch;
        self.change(|seen| seen.record = flying.record);
        let known = self.acknowledged.len();
        self.excuse();
        if is_election && self.acknowledged.len() < known {
            self.fail("S4: an election leaves nobody who has what was acknowledged".into());
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Seen)) {
        self.flying.clear();
        if let Some(older) = &mut self.older {
            *older = self.seen.clone();
        }
        let seen = self.seen.edit();
        seen.version = Version(seen.version.0 + 1);
        change(seen);
    }

    fn crash(&mut self, config: &Config, node: usize) {
        self.nodes[node].edit().process = None;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.part(config, node, other);
        }
    }

    fn power_loss(&mut self, config: &Config, node: usize, keeps: bool) {
        self.spent.powers += 1;
        self.crash(config, node);
        let disk = &mut self.nodes[node].edit().disk;
        if !keeps && let Some(log) = &mut disk.log {
            log.truncate(disk.durable);
        }
        disk.durable = disk.entries().len();
        disk.committed = disk.committed.min(disk.durable);
        disk.vow.is_dirty |= !config.settings.flush_sync;
        self.excuse();
    }

    /// When nobody is left that is in sync and sure of its log, only what the longest of them has is there.
    fn excuse(&mut self) {
        let in_sync: Vec<_> = self.seen.record.in_sync.iter().filter_map(|id| self.node_of(*id)).collect();
        if in_sync.is_empty() || in_sync.iter().any(|node| !node.is_dirty()) {
            return;
        }
        let shared = |node: &&Node| {
            node.disk
                .entries()
                .iter()
                .zip(&self.acknowledged)
                .take_while(|(left, right)| left == right)
                .count()
        };
        let most = in_sync.iter().map(shared).max().unwrap_or(0);
        if most < self.acknowledged.len() {
            self.acknowledged.truncate(most);
            self.is_excused = true;
        }
    }

    pub fn restart(&mut self, config: &Config, node: usize) {
        let state = self.nodes[node].edit();
        state.starts += 1;
        // Distinct for every member and every start.
        let nonce = u64::from(state.id.ordinal + 1) << 32 | state.starts << 16;
        if !config.remembers {
            state.disk.committed = 0;
        }
        let disk = &state.disk;
        let found = disk.log.is_some().then(|| disk.state(disk.committed));
        let member = Member::new(state.id, config.settings.clone(), disk.vow.clone(), found, nonce);
        state.process = Some(Process { member, engine: Engine::default(), stalled: BTreeSet::new() });
    }
}

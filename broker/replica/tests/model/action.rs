//! What can happen next, and what becomes of it.

use std::collections::BTreeSet;

use crds::group_record::{MemberId, Version};
use replica::event::Message;
use replica::member::{Member, Role};

use crate::world::{Config, Parcel, Process, World};

/// One step. Members are named by their ordinal, sets of them by bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A client writes at a member that takes writes.
    Write(usize),
    /// The member hears what its engine wrote or committed.
    Told(usize),
    /// The engine has done what the member asked for.
    Answer(usize),
    /// The unsynced end of the log is synced.
    Sync(usize),
    /// The next entry of a stream is sent.
    Ship(usize, usize),
    Deliver(usize, usize),
    /// The connection breaks; what is on it is lost.
    Break(usize, usize),
    /// A sign of life that reaches only one member.
    Beat(usize, usize),
    Campaign(usize, u32),
    Stall(usize, u32),
    /// A compare-and-swap comes to the arbiter. Its answer is a later `Saw`, or lost.
    Land(usize),
    Saw(usize),
    SawOlder(usize),
    HandOver(usize),
    HandOverExpired(usize),
    Request,
    Trim(usize),
    Crash(usize),
    /// The machine goes down; what was not synced is lost, or is not.
    PowerLoss(usize, bool),
    Restart(usize),
    /// The volume of a member that is down is replaced.
    Wipe(usize),
}

impl World {
    /// Everything that can happen within the bounds, apart from what certainly changes nothing.
    pub fn actions(&self, config: &Config, out: &mut Vec<Action>) {
        for node in 0..self.nodes.len() {
            match &self.nodes[node].process {
                Some(process) => self.actions_of(config, node, process, out),
                None => self.actions_of_dead(config, node, out),
            }
            for other in 0..self.nodes.len() {
                if !self.link(node, other).is_empty() {
                    out.push(Action::Deliver(node, other));
                }
                let are_up = self.nodes[node].process.is_some() && self.nodes[other].process.is_some();
                if node < other && are_up && self.spent.breaks < config.breaks {
                    out.push(Action::Break(node, other));
                }
            }
        }
        if self.seen.record.revision < config.changes {
            out.extend((0..self.flying.len()).map(Action::Land));
        }
        if usize::from(self.spent.requests) < config.requests.len() {
            out.push(Action::Request);
        }
    }

    fn actions_of_dead(&self, config: &Config, node: usize, out: &mut Vec<Action>) {
        if (node as u32) < self.seen.request.copies {
            out.push(Action::Restart(node));
        }
        if self.spent.wipes < config.wipes && self.nodes[node].starts > 0 {
            out.push(Action::Wipe(node));
        }
    }

    fn actions_of(&self, config: &Config, node: usize, process: &Process, out: &mut Vec<Action>) {
        let Process { member, engine, .. } = process;
        let disk = &self.nodes[node].disk;
        if self.spent.crashes < config.crashes {
            out.push(Action::Crash(node));
        }
        if self.spent.powers < config.powers {
            out.extend([Action::PowerLoss(node, true), Action::PowerLoss(node, false)]);
        }
        let known = member.seen().map_or(Version(0), |seen| seen.version);
        // Only who waits for an answer draws a conclusion from an answer that brings nothing new.
        let waits = matches!(member.role(), Role::Candidate(_)) || member.vow().candidacy.is_some();
        if known < self.seen.version || waits {
            out.push(Action::Saw(node));
        }
        if config.stale_reads && self.older.as_ref().is_some_and(|older| known < older.version) {
            out.push(Action::SawOlder(node));
        }
        if disk.durable < disk.entries().len() {
            out.push(Action::Sync(node));
        }
        if !engine.answers.is_empty() {
            out.push(Action::Answer(node));
        }
        if self.nodes[node].has_news() {
            out.push(Action::Told(node));
        }
        campaigns(config, node, member, out);
        if engine.is_serving && !engine.is_refusing && self.spent.writes < config.writes {
            out.push(Action::Write(node));
        }
        if self.spent.trims < config.trims && engine.is_serving && disk.head < disk.committed {
            out.push(Action::Trim(node));
        }
        if engine.is_serving && self.spent.hand_overs < config.hand_overs {
            out.extend([Action::HandOver(node), Action::HandOverExpired(node)]);
        }
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.actions_between(config, node, process, other, out);
        }
        if config.stalls && member.leader().is_some() {
            let now = bits(&process.stalled);
            let others = (0..1 << self.nodes.len()).filter(|set| set & (1 << node) == 0 && *set != now);
            out.extend(others.map(|set| Action::Stall(node, set)));
        }
    }

    fn actions_between(
        &self,
        config: &Config,
        node: usize,
        process: &Process,
        other: usize,
        out: &mut Vec<Action>,
    ) {
        let there = &self.nodes[other];
        let Some(peer) = &there.process else { return };
        let (member, engine) = (&process.member, &process.engine);
        let stream = engine.streams.get(&there.id);
        let log_end = self.nodes[node].disk.entries().len();
        if stream.is_some_and(|(_, next)| *next < log_end) && self.link(node, other).len() < config.capacity {
            out.push(Action::Ship(node, other));
        }
        let is_ack = |parcel: &Parcel| matches!(parcel.message, Message::Ack { .. });
        let back = self.link(other, node);
        let is_quiet = self.link(node, other).is_empty()
            && (back.is_empty() || config.late_acks && back.iter().all(is_ack));
        let beat = trimmed(config, Message::Beat(member.beat()));
        let Message::Beat(beat) = beat else { return };
        let follows = peer.member.following().is_some_and(|following| {
            following.leader == self.nodes[node].id
                && Some(following.epoch) == beat.leads
                && following.is_aligned()
        });
        let is_news = match beat.leads {
            // Once there is a session the stream says everything; a beat would be one more message without effect.
            Some(_) => !follows,
            None => config.all_beat && peer.member.heard().get(&self.nodes[node].id) != Some(&beat),
        };
        if is_quiet && is_news {
            out.push(Action::Beat(node, other));
        }
    }
}

<<<<<<< HEAD
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
        let shared = |node: &&crate::world::Node| {
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
=======
fn campaigns(config: &Config, node: usize, member: &Member, out: &mut Vec<Action>) {
    let Some(record) = member.seen().map(|seen| &seen.record) else { return };
    let is_possible = matches!(member.role(), Role::Follower(_)) && member.is_eligible();
    let may = member.vow().promised.0 < config.epochs && record.epoch < config.epochs;
    if !is_possible || !may || record.revision >= config.changes {
        return;
>>>>>>> 55f0b28a462334e6aecdcf88e3d2c10fdcacf6bd
    }
    let all = bits(&record.in_sync) | 1 << node;
    let without = all & !record.leader.map_or(0, |leader| 1 << leader.ordinal) | 1 << node;
    let sets = BTreeSet::from([all, without, 1 << node]);
    out.extend(sets.into_iter().map(|set| Action::Campaign(node, set)));
}

/// Leaves out of a beat what nobody reads within the bounds: states that differ in it are the same.
pub fn trimmed(config: &Config, message: Message) -> Message {
    let Message::Beat(mut beat) = message else { return message };
    beat.hears = None;
    if config.powers == 0 {
        // Only members that may have lost their tail compare their ends.
        (beat.last_epoch, beat.written, beat.committed) = Default::default();
    }
    Message::Beat(beat)
}

pub fn bits(members: &BTreeSet<MemberId>) -> u32 {
    members.iter().fold(0, |bits, member| bits | 1 << member.ordinal)
}

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
        if self.is_kept(node) {
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

fn campaigns(config: &Config, node: usize, member: &Member, out: &mut Vec<Action>) {
    let Some(record) = member.seen().map(|seen| &seen.record) else { return };
    let is_possible = matches!(member.role(), Role::Follower(_)) && member.is_eligible();
    let may = member.vow().promised.0 < config.epochs && record.epoch < config.epochs;
    if !is_possible || !may || record.revision >= config.changes {
        return;
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

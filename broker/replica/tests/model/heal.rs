//! A run without faults: everybody is up, everything arrives. From anywhere it ends with a leader and the full set.

use std::collections::BTreeSet;

use crds::group_record::{Cause, MemberId};
use replica::event::Event;
use replica::member::{Member, Role};

use crate::world::{Config, World};

const ROUNDS_MAX: usize = 60;

impl World {
    /// Lets the group come to rest; what is still wrong then, if anything.
    pub fn heal(&mut self, config: &Config) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            if self.wrong.is_some() {
                break;
            }
            // Whoever has what was lost with good reason waits for a person.
            if self.is_excused || self.unhealed().is_none() {
                return Ok(());
            }
            self.heal_once(config);
        }
        let wrong = self.wrong.clone();
        wrong.or_else(|| self.unhealed()).map_or(Ok(()), Err)
    }

    fn heal_once(&mut self, config: &Config) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() && self.is_kept(node) {
                self.restart(config, node);
            }
        }
        let all = 0..self.nodes.len();
        for node in all.clone() {
            let known = self.nodes[node].member().and_then(Member::seen).map(|seen| seen.version);
            if known != Some(self.seen.version) {
                self.tell(config, node, Event::Saw((*self.seen).clone()));
            }
            if let Some(process) = &mut self.nodes[node].edit().process {
                process.stalled.clear();
            }
            self.tell(config, node, Event::Stalled(BTreeSet::new()));
            // The operator moves the leader away before it takes a copy away.
            let leaves = node as u32 >= self.seen.request.copies;
            self.tell(config, node, if leaves { Event::HandOver(None) } else { Event::HandOverExpired });
            self.tell(config, node, Event::Retry);
            self.drain(config);
            self.tell(config, node, Event::Beat);
            self.drain(config);
        }
        while !self.flying.is_empty() {
            self.land(0);
        }
        let up: BTreeSet<MemberId> =
            self.nodes.iter().filter(|node| node.process.is_some()).map(|node| node.id).collect();
        let leads = |member: &Member| member.leader().is_some_and(|l| l.epoch.0 == self.seen.record.epoch);
        if self.nodes.iter().any(|node| node.member().is_some_and(leads)) {
            return;
        }
        for node in all {
            let may = |member: &Member| {
                matches!(member.role(), Role::Follower(_))
                    && member.is_eligible()
                    && member.seen().is_some_and(|seen| seen.version == self.seen.version)
            };
            if self.nodes[node].member().is_some_and(may) {
                let event = Event::Campaign { alive: up, cause: Cause::LeaderLost };
                return self.tell(config, node, event);
            }
        }
    }

    /// The operator takes away no pod whose member still belongs to the group.
    pub fn is_kept(&self, node: usize) -> bool {
        (node as u32) < self.seen.request.copies || self.seen.record.members.contains(&self.nodes[node].id)
    }

    /// Everything on its way arrives.
    fn drain(&mut self, config: &Config) {
        let mut is_moving = true;
        while is_moving && self.wrong.is_none() {
            is_moving = false;
            for node in 0..self.nodes.len() {
                while self.wrong.is_none() && self.answer(config, node) {
                    is_moving = true;
                }
                let disk = &self.nodes[node].disk;
                if self.nodes[node].process.is_some() && disk.durable < disk.entries().len() {
                    self.sync(config, node);
                }
                if self.nodes[node].has_news() {
                    self.tell_news(config, node);
                    is_moving = true;
                }
                for other in 0..self.nodes.len() {
                    is_moving |= self.drain_link(config, node, other);
                }
            }
        }
    }

    fn drain_link(&mut self, config: &Config, node: usize, other: usize) -> bool {
        let mut has_moved = false;
        let to = self.nodes[other].id;
        let end = self.nodes[node].disk.entries().len();
        let next = |world: &Self| {
            let process = world.nodes[node].process.as_ref()?;
            process.engine.streams.get(&to).map(|(_, next)| *next)
        };
        while next(self).is_some_and(|next| next < end) && self.nodes[other].process.is_some() {
            self.ship(node, other);
            has_moved = true;
        }
        while !self.link(node, other).is_empty() && self.wrong.is_none() {
            self.deliver(config, node, other);
            has_moved = true;
        }
        has_moved
    }

    /// What is missing for a group at rest.
    pub fn unhealed(&self) -> Option<String> {
        let record = &self.seen.record;
        let Some(leader) = record.leader.and_then(|id| self.node_of(id)) else {
            return Some("nobody leads".into());
        };
        let is_serving = leader.process.as_ref().is_some_and(|process| {
            let engine = &process.engine;
            engine.is_serving && !engine.is_refusing && engine.leads.is_some_and(|e| e.0 == record.epoch)
        });
        if !is_serving {
            return Some(format!("{} does not serve", leader.id));
        }
        let wanted: BTreeSet<MemberId> =
            self.nodes.iter().map(|n| n.id).filter(|id| id.ordinal < self.seen.request.copies).collect();
        if record.in_sync != wanted || record.members != wanted {
            return Some(format!("in sync: {:?}, members: {:?}", record.in_sync, record.members));
        }
        if record.min_in_sync != self.seen.request.min_in_sync {
            return Some(format!("minInSync is {}", record.min_in_sync));
        }
        let log = leader.disk.entries();
        let apart = wanted.iter().filter_map(|id| self.node_of(*id)).find(|node| node.disk.entries() != log);
        if let Some(apart) = apart {
            return Some(format!("{} has {:?}, the leader {log:?}", apart.id, apart.disk.entries()));
        }
        (leader.disk.committed < log.len()).then(|| format!("committed up to {}", leader.disk.committed))
    }
}

//! What must hold after every step.

use std::collections::BTreeSet;

use crds::group_record::{Cause, GroupRecord, MemberId};

use crate::world::{Config, Entry, Node, World};

impl World {
    /// The engine of `node` makes everything below `to` visible.
    pub fn commit(&mut self, config: &Config, node: usize, to: usize) {
        let disk = &self.nodes[node].disk;
        let (committed, entries) = (disk.committed, disk.entries().to_vec());
        if to < committed || to > entries.len() {
            self.fail(format!("S6: {node} commits {to} after {committed}, of {}", entries.len()));
            return;
        }
        let shared = to.min(self.acknowledged.len());
        if entries[..shared] != self.acknowledged[..shared] && !self.is_excused {
            self.fail(format!(
                "S9: {node} commits {to} of {entries:?}, committed was {:?}",
                self.acknowledged
            ));
            return;
        }
        if to > self.acknowledged.len() {
            let leads = self.nodes[node].process.as_ref().and_then(|process| process.engine.leads);
            if leads.is_none() && !self.is_excused {
                self.fail(format!("S9: follower {node} commits {to} before its leader"));
                return;
            }
            if !config.settings.is_async {
                self.check_quorum(config, node, &entries[..to]);
            }
            self.acknowledged = entries[..to].to_vec();
        }
        self.nodes[node].edit().disk.committed = to;
    }

    /// S7, S8, S11: nothing is acknowledged that not enough members hold.
    fn check_quorum(&mut self, config: &Config, node: usize, committed: &[Entry]) {
        let Some(seen) = self.nodes[node].member().and_then(|member| member.seen()) else { return };
        let record = &seen.record;
        let holds = |other: &Node| {
            let disk = &other.disk;
            let held = if config.settings.flush_sync { disk.durable } else { disk.entries().len() };
            held >= committed.len() && disk.entries().starts_with(committed)
        };
        let in_sync = record.in_sync.iter().filter_map(|id| self.node_of(*id));
        let lacks = in_sync.filter(|other| !other.is_dirty() && !holds(other)).map(|other| other.id).next();
        if let Some(lacks) = lacks {
            self.fail(format!("S7: {node} commits {} that {lacks} lacks", committed.len()));
        } else if (record.in_sync.len() as u32) < record.min_in_sync {
            self.fail(format!("S8: {node} commits with {} in sync", record.in_sync.len()));
        }
    }

    /// What a compare-and-swap that landed may have changed.
    pub fn check_change(&mut self, by: MemberId, old: &GroupRecord, new: &GroupRecord) {
        let is_election = new.epoch != old.epoch;
        let is_first = old.leader.is_none();
        let ordinals: BTreeSet<u32> = new.members.iter().map(|member| member.ordinal).collect();
        let wrong = if new.epoch < old.epoch || new.revision != old.revision + 1 {
            Some("S2: the epoch or the revision is wrong")
        } else if is_election && !is_first && new.leader.is_some_and(|leader| !old.in_sync.contains(&leader))
        {
            Some("S3: the leader was not in sync")
        } else if is_election
            && !is_first
            && new.cause != Cause::Unclean
            && !new.in_sync.is_subset(&old.in_sync)
        {
            Some("S3: an election takes members into the set")
        } else if !is_election && old.leader != Some(by) {
            Some("S12: changed by somebody who does not lead")
        } else if !new.in_sync.is_subset(&new.members)
            || new.leader.is_none_or(|leader| !new.in_sync.contains(&leader))
        {
            Some("S12: leader, set and members do not fit")
        } else if ordinals.len() != new.members.len() {
            Some("S12: two members of one ordinal")
        } else if new.min_in_sync > old.min_in_sync && new.in_sync.len() < new.min_in_sync as usize {
            Some("minInSync is raised before enough are in sync")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.fail(format!("{wrong}: {old:?} to {new:?}"));
        }
    }

    /// S4, S5 and the proof in batch headers.
    pub fn check(&mut self, config: &Config) {
        if self.wrong.is_some() {
            return;
        }
        let wrong = self.lost(config).or_else(|| self.mismatch()).or_else(|| self.false_proof());
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    /// S4: whoever is in sync has everything that was acknowledged.
    fn lost(&self, config: &Config) -> Option<String> {
        if config.settings.is_async {
            return None;
        }
        let in_sync = self.seen.record.in_sync.iter().filter_map(|id| self.node_of(*id));
        let mut counted = in_sync.filter(|node| !node.is_dirty());
        let lacks = counted.find(|node| !node.disk.entries().starts_with(&self.acknowledged))?;
        Some(format!("S4: {} in sync lacks {:?}: {:?}", lacks.id, self.acknowledged, lacks.disk.entries()))
    }

    /// S5: logs that have an entry in common are equal up to there.
    fn mismatch(&self) -> Option<String> {
        for (index, one) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..index] {
                let (left, right) = (one.disk.entries(), other.disk.entries());
                let same = left.iter().zip(right).rposition(|(left, right)| left.epoch == right.epoch);
                if same.is_some_and(|last| left[..=last] != right[..=last]) {
                    return Some(format!("S5: {left:?} and {right:?} part before they meet again"));
                }
            }
        }
        None
    }

    /// What a leader writes into batch headers as safe from a power cut everywhere, is.
    fn false_proof(&self) -> Option<String> {
        let record = &self.seen.record;
        self.nodes.iter().find_map(|node| {
            let member = node.member()?;
            let leader = member.leader().filter(|leader| leader.epoch.0 == record.epoch)?;
            let seen = &member.seen()?.record;
            let own = (node.id, node.disk.end().durable);
            let proof = leader.durable_everywhere(seen, own);
            let mut in_sync = seen.in_sync.iter().filter_map(|id| self.node_of(*id));
            let lacks = in_sync.find(|other| !other.is_dirty() && other.disk.end().durable < proof)?;
            Some(format!("{} states {} as durable, {} has less", node.id, proof.0, lacks.id))
        })
    }
}

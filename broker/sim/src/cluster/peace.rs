//! The end of a story: no more trouble. The group must find a leader, all copies must become equal, and everything
//! that was acknowledged must be delivered.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::group_record::{GroupRequest, UncleanToken};
use replica::event::Fault;
use replica::member::Role;

use super::agenda::Happening;
use super::clients::{AUDITOR, ORDERLY, READER};
use super::world::{Cluster, START_MS};

/// Peace lasts so long at most.
const PEACE_MS: u64 = 90_000;
/// So often a person looks after members that cannot go on.
const LOOK_EVERY_MS: u64 = 3_000;
/// After so long without a leader a person lets the best copy lead.
const PATIENCE_MS: u64 = 30_000;

impl Cluster {
    pub(crate) fn play(&mut self) -> Result<(), String> {
        while self.now_ms < START_MS + self.plan.trouble_ms {
            self.step()?;
        }
        self.make_peace()?;
        let began_ms = self.now_ms;
        let mut look_at_ms = began_ms;
        while self.missing().is_some() {
            if self.now_ms > began_ms + PEACE_MS {
                return Err(format!("no peace: {}", self.missing().unwrap_or_default()));
            }
            self.step()?;
            if self.now_ms >= look_at_ms {
                look_at_ms = self.now_ms + LOOK_EVERY_MS;
                self.look_after(self.now_ms - began_ms);
            }
        }
        self.audit()
    }

    fn make_peace(&mut self) -> Result<(), String> {
        self.note(format_args!("peace"));
        self.is_peace = true;
        self.heal();
        self.plan.lost_answer_in = u64::MAX;
        if std::mem::take(&mut self.network.is_wild) {
            // No connection reorders frames; what it left behind ends with the connections.
            (0..self.machines.len()).for_each(|at| self.hang_up(at));
        }
        self.network.delay_ms = self.network.delay_ms.min(10);
        for at in 0..self.machines.len() {
            let machine = &mut self.machines[at];
            machine.disk.set_capacity_bytes(None);
            machine.disk.forget_faults();
            machine.paused_until_ms = 0;
            machine.lost_arbiter = false;
            machine.sees_old = false;
            machine.stays_down = false;
            self.after(10, Happening::Start { at });
        }
        let copies = 1 + self.random.below(self.machines.len() as u64) as u32;
        let min_in_sync = 1 + self.random.below(u64::from(copies)) as u32;
        self.repair();
        // A process takes no other object for its own: it has to start again.
        if self.invariants.may_regress {
            for at in 0..self.machines.len() {
                self.end_process(at, false);
                self.after(20, Happening::Start { at });
            }
        }
        self.ask_for(GroupRequest { copies, min_in_sync, ..GroupRequest::default() });
        self.check()
    }

    /// A person looks after the group.
    fn look_after(&mut self, peace_ms: u64) {
        for at in 0..self.machines.len() {
            let Some(process) = &self.machines[at].process else { continue };
            match process.member.role() {
                Role::Faulty(Fault::Diverged { .. }) => self.wipe(at),
                Role::Faulty(Fault::RecordRegressed { .. }) => {
                    self.end_process(at, false);
                    self.after(20, Happening::Start { at });
                }
                _ if process.is_retired => {
                    self.end_process(at, false);
                    self.after(20, Happening::Start { at });
                }
                Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) | Role::Closing => {}
            }
        }
        let leads =
            |at: &usize| self.machines[*at].process.as_ref().is_some_and(|p| p.member.leader().is_some());
        let seen = self.object.latest();
        let is_stuck = peace_ms > PATIENCE_MS && !(0..self.machines.len()).any(|at| leads(&at));
        if is_stuck && seen.request.unclean.is_none() && self.is_lost() {
            let holds = |at: &usize| self.machines[*at].process.as_ref().is_some_and(|p| p.copy.is_some());
            let best = (0..self.machines.len())
                .filter(holds)
                .max_by_key(|at| self.views.copies[*at].reach(&self.views.truth));
            if let Some(best) = best {
                let token =
                    UncleanToken { token: "yes".to_owned(), epoch: seen.record.epoch, ordinal: best as u32 };
                let request = GroupRequest { unclean: Some(token), ..seen.request.clone() };
                self.ask_for(request);
            }
        }
    }

    /// Whether nobody is left who may lead by itself: some in sync are gone, and the others may have lost their ends.
    fn is_lost(&self) -> bool {
        self.object.latest().record.in_sync.iter().all(|member| {
            let file = self.machines[member.ordinal as usize].file.as_ref();
            file.is_none_or(|file| file.store != member.store || file.vow.is_dirty)
        })
    }

    /// What is not as it should be.
    fn missing(&self) -> Option<String> {
        let seen = self.object.latest();
        let leader =
            self.machines.iter().filter_map(|machine| machine.process.as_ref()).find(|p| p.is_leading());
        let Some(leader) = leader else { return Some("there is no leader".to_owned()) };
        let ids = self.machines.iter().take(seen.request.copies as usize);
        let ids: BTreeSet<_> = ids.filter_map(|machine| Some(machine.process.as_ref()?.id)).collect();
        let record = &seen.record;
        if ids.len() < seen.request.copies as usize || record.in_sync != ids || record.members != ids {
            return Some(format!("record {record:?}, expected are {ids:?}"));
        }
        if record.min_in_sync != seen.request.min_in_sync {
            return Some(format!("minInSync of {record:?}"));
        }
        if record.leader != Some(leader.id) {
            return Some(format!("{} leads, the record says {:?}", leader.id, record.leader));
        }
        let end = leader.copy.as_ref().map(|copy| copy.group.written());
        for id in &ids {
            let process = self.machines[id.ordinal as usize].process.as_ref();
            let copy = process.and_then(|process| process.copy.as_ref());
            let ends = copy.map(|copy| (copy.group.written(), copy.group.published()));
            if ends.map(|(written, _)| written) != end || ends.map(|(_, published)| published) != end {
                return Some(format!("{id} has and shows {ends:?}, the leader has {end:?}"));
            }
        }
        let group = &leader.copy.as_ref()?.group;
        let (timers, transactions) = (group.pending_timers(), group.open_transactions());
        if timers > 0 || transactions > 0 {
            return Some(format!("{timers} timers and {transactions} transactions are pending"));
        }
        if !self.clients.is_idle() {
            return Some("somebody waits for an answer".to_owned());
        }
        for name in [READER, ORDERLY] {
            let Some(reader) = group.consumer_group(name) else {
                return Some("no consumer group".to_owned());
            };
            if let Some(behind) = group.progress(&reader).into_iter().find(|progress| progress.lag > 0) {
                return Some(format!("{name} lags: {behind:?}"));
            }
        }
        None
    }

    /// Everything that was acknowledged is still there for somebody who never asked before.
    fn audit(&mut self) -> Result<(), String> {
        self.moves_stand()?;
        let Some(leader) =
            self.machines.iter().filter_map(|machine| machine.process.as_ref()).find(|p| p.is_leading())
        else {
            return Err("the leader is gone".to_owned());
        };
        let Some(group) = leader.copy.as_ref().map(|copy| Arc::clone(&copy.group)) else { return Ok(()) };
        let head = group.head();
        self.find_doors();
        // Another one may not know yet that it leads no more; its log may begin elsewhere.
        let Some(door) = self.door_of(&group) else { return Err("nobody finds the leader".to_owned()) };
        loop {
            let before = self.clients.audited.len();
            self.receive(door, AUDITOR, 200, 1 << 40)?;
            if self.clients.audited.len() == before {
                break;
            }
        }
        let audited = &self.clients.audited;
        let lost: Vec<_> = self
            .clients
            .acknowledged
            .iter()
            .filter(|(message, (body, _))| *body >= head && !audited.contains(message))
            .collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged and never delivered: {lost:?}")) }
    }
}

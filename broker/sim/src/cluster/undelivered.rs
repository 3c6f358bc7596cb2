//! Messages that are stored and no entries of their queues yet: they wait for their time, or for a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::group::{Decision, Group, TransactionId};
use store::Position;
use store::log::{Draft, Kind};

use super::clients::Answer;
use super::world::Cluster;

/// What clients know of such messages.
#[derive(Default)]
pub(crate) struct Undelivered {
    /// When messages are to be delivered.
    dues: BTreeMap<u64, u64>,
    /// Messages of transactions, and what names those that are stored.
    halves: BTreeMap<u64, (u64, Option<Position>)>,
    /// Somebody tried to commit them.
    commits: BTreeSet<u64>,
    /// Where their answered roll-backs lie.
    rolled_back: BTreeMap<u64, Position>,
}

impl Undelivered {
    /// Whether a message may come now.
    pub(crate) fn may_come(&self, message: u64, now_ms: u64) -> Result<(), String> {
        if let Some(due_ms) = self.dues.get(&message).filter(|due_ms| **due_ms > now_ms) {
            return Err(format!("message {message} came at {now_ms}, its time is {due_ms}"));
        }
        let is_committed = !self.halves.contains_key(&message) || self.commits.contains(&message);
        if !is_committed || self.rolled_back.contains_key(&message) {
            return Err(format!("message {message} was not committed and came"));
        }
        Ok(())
    }

    /// What lies there or beyond is lost by right.
    pub(crate) fn forget(&mut self, from: Position) {
        self.rolled_back.retain(|_, record| *record < from);
    }

    /// A message of a transaction was stored.
    pub(crate) fn stored(&mut self, message: u64, position: Position) {
        self.halves.entry(message).and_modify(|(_, at)| *at = Some(position));
    }

    /// Where a message of a transaction lies.
    pub(crate) fn body(&self, message: u64) -> Option<Position> {
        self.halves.get(&message)?.1
    }

    pub(crate) fn rolled_back(&mut self, message: u64, record: Position) {
        self.rolled_back.insert(message, record);
    }
}

impl Cluster {
    /// A draft that waits for its time.
    pub(crate) fn delayed(&mut self, message: u64, draft: Draft) -> Draft {
        let due_ms = self.now_ms + self.pick(1, 10_000);
        self.clients.undelivered.dues.insert(message, due_ms);
        Draft { kind: Kind::Timed, due_ms, ..draft }
    }

    /// A draft of a transaction.
    pub(crate) fn undecided(&mut self, message: u64, draft: Draft) -> Draft {
        let check_ms = self.now_ms + self.pick(1, 5_000);
        self.clients.undelivered.halves.insert(message, (check_ms, None));
        Draft { kind: Kind::Half, due_ms: check_ms, ..draft }
    }

    /// A producer decides about one of its messages.
    pub(crate) fn decide_some(&mut self, door: usize) {
        let halves = &self.clients.undelivered.halves;
        let stored = halves.iter().filter_map(|(message, (check_ms, at))| {
            Some((*message, TransactionId { check_ms: *check_ms, position: (*at)? }))
        });
        let stored: Vec<_> = stored.collect();
        if !stored.is_empty() {
            let (message, id) = stored[self.pick(0, stored.len() as u64) as usize];
            let (at, group) = self.through(door);
            self.decide(at, &group, message, id);
        }
    }

    fn decide(&mut self, at: usize, group: &Arc<Group>, message: u64, id: TransactionId) {
        let decision = if self.random.one_in(3) { Decision::RollBack } else { Decision::Commit };
        for topic in group.topics() {
            let mailbox = Arc::clone(&self.clients.mailbox);
            let Ok(ticket) = group.decide(&topic, id, decision, self.clock(at), &mailbox) else { continue };
            self.note(format_args!("{decision:?} of {message} at {at}"));
            if decision == Decision::Commit {
                self.clients.undelivered.commits.insert(message);
            }
            self.wait_for(at, ticket, Answer::Decision { message, decision });
            return;
        }
    }

    /// The leader's round: it asks producers, one of whom may answer.
    pub(crate) fn check_transactions(&mut self, at: usize, group: &Arc<Group>) {
        for check in group.due_checks(self.clock(at)).due {
            group.asked(&check);
            let body = check.record.body();
            let Some(number) = body.first_chunk() else { continue };
            if self.random.one_in(3) {
                let message = u64::from_le_bytes(*number);
                // Nobody may have heard that it is stored.
                self.clients.undelivered.stored(message, check.id.position);
                self.decide(at, group, message, check.id);
            }
        }
    }
}

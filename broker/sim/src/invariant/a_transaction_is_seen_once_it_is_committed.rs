//! A message of a transaction comes only after somebody began to commit it, and never once its roll-back was answered. The
//! first answered decision stands; about a decided message nobody is asked, and it is not put aside. One that was put aside
//! counts as rolled back.
//!
//! With `flush: Async` a power cut may take the record of a decision.

use std::collections::{BTreeMap, BTreeSet};

use engine::group::Decision;
use store::log::Flush;

use crate::event::{Event, Place};

pub(crate) struct Transactions {
    flush: Flush,
    begun: BTreeSet<u64>,
    /// Somebody tried to commit them.
    commits: BTreeSet<u64>,
    answered: BTreeMap<u64, Decision>,
    /// Rolled back again: it may have been put aside before.
    again: BTreeSet<u64>,
}

impl Transactions {
    pub(crate) fn new(flush: Flush) -> Self {
        Self {
            flush,
            begun: BTreeSet::new(),
            commits: BTreeSet::new(),
            answered: BTreeMap::new(),
            again: BTreeSet::new(),
        }
    }

    pub(crate) fn begun(&mut self, message: u64) {
        self.begun.insert(message);
    }

    pub(crate) fn deciding(&mut self, message: u64, decision: Decision) {
        if decision == Decision::Commit {
            self.commits.insert(message);
        }
    }

    /// A producer is told that it was decided like this before.
    pub(crate) fn decided_before(&self, message: u64, decision: Decision) -> Result<(), String> {
        match self.answered.get(&message) {
            Some(answered) if *answered != decision => {
                Err(format!("{answered:?} of message {message} was answered, now it is {decision:?}"))
            }
            _ => Ok(()),
        }
    }

    /// A producer is asked.
    pub(crate) fn asked(&self, message: u64) -> Result<(), String> {
        match self.answered.get(&message) {
            Some(answered) => Err(format!("question about message {message} after {answered:?}")),
            None => Ok(()),
        }
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { message, .. }
            | Event::Found { message, place: Place::Own | Place::DeadLetters(_), .. } => {
                let is_committed = !self.begun.contains(&message) || self.commits.contains(&message);
                if !is_committed || self.answered.get(&message) == Some(&Decision::RollBack) {
                    return Err(format!("message {message} was not committed and came"));
                }
                Ok(())
            }
            Event::Found { message, place: Place::Abandoned, .. } => {
                let is_decided = self.answered.contains_key(&message) && !self.again.contains(&message);
                if !self.begun.contains(&message) || is_decided {
                    return Err(format!("message {message} was put aside"));
                }
                Ok(())
            }
            Event::Decided { message, decision, record, .. } => {
                if decision == Decision::RollBack && record.is_none() && !self.answered.contains_key(&message)
                {
                    self.again.insert(message);
                }
                let before = self.answered.insert(message, decision);
                if before.is_some_and(|before| before != decision) {
                    return Err(format!("{before:?} of message {message} was answered, then {decision:?}"));
                }
                Ok(())
            }
            Event::Restarted { power_lost: true, .. } if self.flush == Flush::Async => {
                self.answered.clear();
                Ok(())
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Lost { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => Ok(()),
        }
    }
}

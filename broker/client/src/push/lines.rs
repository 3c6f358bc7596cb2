//! What is next: messages stand in lines, one line for each message group of an ordered group, or none at all.
//!
//! ```text
//!   add ──▶ line of account-17: [begun] [2nd] [3rd]        ready: [a] [b] [c] ──next──▶ a listener
//!           line of account-4:  [begun]                      ▲
//!           without a line ──────────────────────────────────┘
//! ```
//!
//! Promise: of one line one message is begun at a time, in the order in which they came. The next one follows when the one before
//! is done; when it was lost to somebody else, those behind it are let go, because they would overtake it.
//! Limit: as many messages as the cache holds.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cache::Slot;
use crate::message::Delivered;

/// Topic and message group.
pub(crate) type Line = (String, String);

/// A message to be handled.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its `attempt` counts the tries here as well.
    pub(crate) message: Delivered,
    pub(crate) line: Option<Line>,
    /// Room in the cache until all is said about the message.
    pub(crate) _slot: Slot,
}

/// All lines of one consumer; one task takes from them.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Job>,
    /// Those behind the one that is begun or ready.
    behind: HashMap<Line, VecDeque<Job>>,
    is_closed: bool,
}

impl Lines {
    /// Returns what comes too late.
    pub(crate) fn add(&self, job: Job) -> Option<Job> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Some(job);
        }
        match &job.line {
            None => state.ready.push_back(job),
            Some(line) => {
                if let Some(behind) = state.behind.get_mut(line) {
                    behind.push_back(job);
                    return None;
                }
                state.behind.insert(line.clone(), VecDeque::new());
                state.ready.push_back(job);
            }
        }
        drop(state);
        self.changed.notify_one();
        None
    }

    /// The first of its line is to be tried once more. Returns what comes too late.
    pub(crate) fn again(&self, job: Job) -> Option<Job> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Some(job);
        }
        state.ready.push_back(job);
        drop(state);
        self.changed.notify_one();
        None
    }

    /// The first of the line is done.
    pub(crate) fn pass(&self, line: &Line) {
        let mut state = self.state.lock();
        match state.behind.get_mut(line).map(VecDeque::pop_front) {
            Some(Some(next)) => state.ready.push_back(next),
            Some(None) => {
                state.behind.remove(line);
            }
            None => {}
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The first of the line is lost; returns those behind it.
    pub(crate) fn leave(&self, line: &Line) -> Vec<Job> {
        self.state.lock().behind.remove(line).map_or_else(Vec::new, Vec::from)
    }

    /// The next one to begin; none after the end.
    pub(crate) async fn next(&self) -> Option<Job> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(job) = state.ready.pop_front() {
                    return Some(job);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Ends it; returns what was not begun.
    pub(crate) fn close(&self) -> Vec<Job> {
        let mut state = self.state.lock();
        state.is_closed = true;
        let mut left: Vec<Job> = state.ready.drain(..).collect();
        left.extend(state.behind.drain().flat_map(|(_, behind)| behind));
        drop(state);
        self.changed.notify_one();
        left
    }
}

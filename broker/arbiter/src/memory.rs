//! The record in memory, with everything that can go wrong on the way to it.
//!
//! Promise: as the crate's; what a [`Fault`] spoils is spoiled in the way that the real ones are.
//! Not here: time. A driver decides when a late proposal arrives.

use std::sync::Arc;

use crds::group_record::{GroupRecord, GroupRequest, Seen, Version};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::sight::{Found, Sight};
use crate::{Arbiter, Changes, Kind, ProposeError, ReadError};

/// One object that any number of arbiters reach. Clones are the same object.
#[derive(Clone)]
pub struct MemoryObject {
    state: Arc<Mutex<State>>,
    /// Rung at every change.
    bell: watch::Sender<u64>,
}

struct State {
    /// Counts the objects of this name.
    object: u64,
    /// Every state of the object that is there; empty: there is none.
    history: Vec<Seen>,
    /// Of the latest version; goes on when the object is deleted.
    version: Version,
}

/// What is wrong on the way of one arbiter. Clones are the same way.
#[derive(Clone)]
pub struct Link {
    trouble: Arc<Mutex<Trouble>>,
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct Trouble {
    fault: Fault,
    late: Vec<(Version, GroupRecord)>,
}

/// What goes wrong until another fault is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Nothing arrives.
    Unreachable,
    /// Everything arrives, no answer comes back.
    ReplyLost,
    /// Proposals wait on the way until [`MemoryObject::deliver`], no answer comes back; reads are as they should be.
    Late,
    /// Reads show the state before the latest, as a store does that was restored.
    Stale,
}

impl MemoryObject {
    /// An object with a new record.
    pub fn new(request: GroupRequest) -> Self {
        let record = GroupRecord::created(1);
        let seen = Seen { version: Version(1), record, request };
        let state = State { object: 1, version: seen.version, history: vec![seen] };
        Self { state: Arc::new(Mutex::new(state)), bell: watch::Sender::new(0) }
    }

    /// Somebody who reads and proposes, and the way that can be spoiled.
    pub fn arbiter(&self) -> (Arbiter, Link) {
        let link = Link { trouble: Arc::default(), bell: self.bell.clone() };
        let arbiter = MemoryArbiter { object: self.clone(), link: link.clone(), sight: Sight::new() };
        (Arbiter(Kind::Memory(Arc::new(arbiter))), link)
    }

    /// What is there, seen by nobody.
    pub fn latest(&self) -> Option<Seen> {
        self.state.lock().history.last().cloned()
    }

    /// Every state of the object so far.
    pub fn history(&self) -> Vec<Seen> {
        self.state.lock().history.clone()
    }

    /// The operator wishes something else.
    pub fn request(&self, request: GroupRequest) {
        self.change(|state| {
            state.version.0 += 1;
            let version = state.version;
            let next = state.history.last().map(|last| Seen { version, request, ..last.clone() });
            state.history.extend(next);
        });
    }

    /// Somebody deletes the object.
    pub fn delete(&self) {
        self.change(|state| state.history.clear());
    }

    /// Somebody makes the object again, with a new record.
    pub fn make_again(&self, request: GroupRequest) {
        self.change(|state| {
            state.object += 1;
            state.version.0 += 1;
            let record = GroupRecord::created(1);
            state.history = vec![Seen { version: state.version, record, request }];
        });
    }

    /// The last `count` states are forgotten, as by a restored backup. The first one stays.
    pub fn forget(&self, count: usize) {
        self.change(|state| {
            let kept = state.history.len().saturating_sub(count).max(1);
            state.history.truncate(kept);
            state.version = state.history.last().map_or(state.version, |last| last.version);
        });
    }

    /// Proposals that waited on the way arrive, in their order.
    pub fn deliver(&self, link: &Link) {
        let late = std::mem::take(&mut link.trouble.lock().late);
        for (base, record) in late {
            self.swap(base, &record);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.bell.send_modify(|count| *count += 1);
    }

    fn found(&self, skip: usize) -> Result<Found, ReadError> {
        let state = self.state.lock();
        let seen = state.history.iter().rev().nth(skip).or_else(|| state.history.first()).cloned();
        let seen = seen.ok_or_else(|| ReadError::Missing("nothing in memory".to_owned()))?;
        Ok(Found { object: state.object.to_string(), seen })
    }

    /// What was written; none: another version came first.
    fn swap(&self, base: Version, record: &GroupRecord) -> Option<Found> {
        let mut written = None;
        self.change(|state| {
            let last = state.history.last().filter(|last| last.version == base).cloned();
            let Some(last) = last else { return };
            state.version.0 += 1;
            let seen = Seen { version: state.version, record: record.clone(), ..last };
            state.history.push(seen.clone());
            written = Some(Found { object: state.object.to_string(), seen });
        });
        written
    }
}

impl Link {
    /// From now on. Whoever watches looks again.
    pub fn set(&self, fault: Fault) {
        self.trouble.lock().fault = fault;
        self.bell.send_modify(|count| *count += 1);
    }

    fn fault(&self) -> Fault {
        self.trouble.lock().fault
    }
}

pub(crate) struct MemoryArbiter {
    object: MemoryObject,
    link: Link,
    sight: Sight,
}

impl MemoryArbiter {
    pub(crate) async fn read(&self) -> Result<Seen, ReadError> {
        let before = self.sight.before();
        // As the others do: whoever reads in a loop lets the rest of the program run.
        tokio::task::yield_now().await;
        let fault = self.link.fault();
        match fault {
            Fault::Unreachable | Fault::ReplyLost => Err(ReadError::Unreachable(format!("{fault:?}"))),
            Fault::Stale => self.sight.looked(&before, self.object.found(1)?),
            Fault::None | Fault::Late => self.sight.looked(&before, self.object.found(0)?),
        }
    }

    pub(crate) async fn propose(&self, base: Version, record: &GroupRecord) -> Result<Seen, ProposeError> {
        let before = self.sight.before();
        tokio::task::yield_now().await;
        let fault = self.link.fault();
        match fault {
            Fault::Unreachable => {}
            Fault::ReplyLost => drop(self.object.swap(base, record)),
            Fault::Late => self.link.trouble.lock().late.push((base, record.clone())),
            Fault::None | Fault::Stale => {
                if let Some(written) = self.object.swap(base, record) {
                    return Ok(self.sight.wrote(written));
                }
                let there = self.sight.looked(&before, self.object.found(0)?)?;
                return Err(ProposeError::Conflict(Box::new(there)));
            }
        }
        Err(ProposeError::Unknown(format!("{fault:?}")))
    }

    pub(crate) fn changes(&self) -> Changes {
        self.sight.changes()
    }

    pub(crate) async fn watch(&self) {
        let mut bell = self.object.bell.subscribe();
        loop {
            bell.borrow_and_update();
            if let Err(error) = self.read().await {
                self.sight.lost(error);
            }
            if bell.changed().await.is_err() {
                return;
            }
        }
    }
}

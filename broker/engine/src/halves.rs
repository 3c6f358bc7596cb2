//! Messages of transactions that are stored and not decided yet.
//!
//! ```text
//!   Half record --fold--> open --commit--> [ Link ] --fold--> an entry of its queue
//!                          |  \--roll back--> [ Decided ]
//!                          +--nobody decides: its senders are asked, and asked again; then [ Link ] in a topic of its own
//! ```
//!
//! Promise: the first decision stands, and the same one again changes nothing: whoever decides has the half to himself
//! until the record of that is folded or refused. Only a leader asks, and counts when somebody heard it; the count is not
//! kept, so the next leader begins anew and an outage, of brokers or of producers, uses nothing up.
//! Limits: an open half keeps the log from being trimmed below it; 150 B of memory each. The last 131,072
//! decisions are known.

mod section;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use store::log::Entry;
use store::{Position, QueueId};

/// Decided halves that are remembered.
const DECIDED_MAX: usize = 128 << 10;

/// What names a transaction: where its half lies, and when its sender is asked first, which only its record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId {
    /// In milliseconds since 1970.
    pub check_ms: u64,
    /// Of the record.
    pub position: Position,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Consumers get it.
    Commit,
    /// Nobody gets it.
    RollBack,
}

/// A message that is not decided.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    pub(crate) bytes: u32,
    pub(crate) queue: QueueId,
    pub(crate) tag_hash: u32,
    pub(crate) lane: u32,
    pub(crate) stored_ms: u64,
    pub(crate) check_ms: u64,
    /// When it is next to be asked about.
    next_check_ms: u64,
    /// How often somebody was asked, by this process.
    checks: u32,
    /// Whoever has this decides it now.
    decider: Weak<()>,
}

/// Who may decide.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The caller.
    Yours(Half),
    /// Another decision is on its way.
    Taken,
    /// Nobody any more.
    Decided(Decision),
    /// It is not known: decided long ago, or never there.
    Unknown,
}

/// A half whose time to be asked about has come.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) id: TransactionId,
    pub(crate) half: Half,
    /// Which time this is, from 1.
    pub(crate) check: u32,
    /// This process did not look at it before.
    pub(crate) is_new: bool,
}

/// The halves of a broker group.
#[derive(Debug, Default)]
pub(crate) struct Halves(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<Position, Half>,
    /// How many are open, by the queue that they are for; none is 0.
    by_queue: BTreeMap<QueueId, u64>,
    /// All that are open, by the time of their next check.
    checks: BTreeSet<(u64, Position)>,
    /// With the time of their first check.
    decided: BTreeMap<Position, (u64, Decision)>,
    /// Those in the order of their decisions.
    decided_order: VecDeque<Position>,
}

impl Half {
    pub(crate) fn id(&self, position: Position) -> TransactionId {
        TransactionId { check_ms: self.check_ms, position }
    }
}

impl Halves {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().open.len()
    }

    /// How many are open, by the queue that they are for; queues without any are left out.
    pub(crate) fn by_queue(&self) -> BTreeMap<QueueId, u64> {
        self.0.lock().by_queue.clone()
    }

    /// Everything from here on is needed.
    pub(crate) fn oldest_position(&self) -> Option<Position> {
        self.0.lock().open.first_key_value().map(|(&position, _)| position)
    }

    /// Applies a record of a message that is not decided.
    pub(crate) fn fold_half(&self, entry: &Entry<'_>) {
        let check_ms = entry.offset.0;
        let half = Half {
            bytes: entry.bytes,
            queue: entry.queue,
            tag_hash: entry.tag_hash,
            lane: entry.lane,
            stored_ms: entry.stored_ms,
            check_ms,
            next_check_ms: check_ms,
            checks: 0,
            decider: Weak::new(),
        };
        self.0.lock().insert(entry.position, half);
    }

    /// Applies a decision; one that came before stands.
    pub(crate) fn fold_decision(&self, position: Position, decision: Decision) {
        let mut table = self.0.lock();
        let Some(half) = table.open.remove(&position) else { return };
        table.checks.remove(&(half.next_check_ms, position));
        table.is_gone(half.queue);
        table.remember(position, half.check_ms, decision);
    }

    /// Asks for a half, to decide it; it is the caller's until nobody has `decider` any more.
    pub(crate) fn claim(&self, id: TransactionId, decider: &Arc<()>) -> Claim {
        let mut table = self.0.lock();
        if let Some((_, decision)) = table.decided.get(&id.position).filter(|(ms, _)| *ms == id.check_ms) {
            return Claim::Decided(*decision);
        }
        match table.open.get_mut(&id.position).filter(|half| half.check_ms == id.check_ms) {
            None => Claim::Unknown,
            Some(half) if half.decider.strong_count() > 0 => Claim::Taken,
            Some(half) => {
                half.decider = Arc::downgrade(decider);
                Claim::Yours(half.clone())
            }
        }
    }

    /// Up to `max` halves that are due to be asked about, oldest first; the next time is `every_ms` from now.
    pub(crate) fn take_due(&self, now_ms: u64, every_ms: u64, max: usize) -> Vec<Due> {
        let mut table = self.0.lock();
        let mut dues = Vec::new();
        while dues.len() < max
            && let Some(&(at_ms, position)) = table.checks.first()
            && at_ms <= now_ms
        {
            table.checks.pop_first();
            let next_check_ms = now_ms.saturating_add(every_ms.max(1));
            table.checks.insert((next_check_ms, position));
            let Some(half) = table.open.get_mut(&position) else { continue };
            let is_new = std::mem::replace(&mut half.next_check_ms, next_check_ms) == half.check_ms;
            // One that is being decided needs no check.
            if half.decider.strong_count() == 0 {
                let (id, check) = (half.id(position), half.checks + 1);
                dues.push(Due { id, half: half.clone(), check, is_new });
            }
        }
        dues
    }

    /// Somebody was asked about it.
    pub(crate) fn note_asked(&self, id: TransactionId) {
        if let Some(half) =
            self.0.lock().open.get_mut(&id.position).filter(|half| half.check_ms == id.check_ms)
        {
            half.checks += 1;
        }
    }
}

impl Table {
    fn insert(&mut self, position: Position, half: Half) {
        // A replay repeats some.
        if !self.open.contains_key(&position) {
            self.checks.insert((half.next_check_ms, position));
            *self.by_queue.entry(half.queue).or_insert(0) += 1;
            self.open.insert(position, half);
        }
    }

    fn is_gone(&mut self, queue: QueueId) {
        if let Some(count) = self.by_queue.get_mut(&queue) {
            *count -= 1;
            if *count == 0 {
                self.by_queue.remove(&queue);
            }
        }
    }

    fn remember(&mut self, position: Position, check_ms: u64, decision: Decision) {
        // A replay repeats some.
        if self.decided.insert(position, (check_ms, decision)).is_none() {
            self.decided_order.push_back(position);
        }
        if self.decided_order.len() > DECIDED_MAX
            && let Some(oldest) = self.decided_order.pop_front()
        {
            self.decided.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Half {
        Half {
            bytes: 0,
            queue: QueueId(1),
            tag_hash: 0,
            lane: 0,
            stored_ms: 0,
            check_ms: 5,
            next_check_ms: 5,
            checks: 0,
            decider: Weak::new(),
        }
    }

    #[test]
    fn a_late_decision_about_an_old_message_is_known_as_long_as_any_other() {
        let halves = Halves::default();
        let known = |halves: &Halves, position| {
            let id = TransactionId { check_ms: 5, position: Position(position) };
            matches!(halves.claim(id, &Arc::new(())), Claim::Decided(Decision::Commit))
        };
        let count = DECIDED_MAX as u64;
        (0..=2 * count).for_each(|position| halves.0.lock().insert(Position(position), half()));
        (1..=count).for_each(|position| halves.fold_decision(Position(position), Decision::Commit));
        halves.fold_decision(Position(0), Decision::Commit);
        let halves = Halves::restore(&halves.section()).unwrap();
        assert!(known(&halves, 0) && !known(&halves, 1) && known(&halves, 2));
        (count + 1..2 * count)
            .for_each(|position| halves.fold_decision(Position(position), Decision::Commit));
        assert!(known(&halves, 0));
        halves.fold_decision(Position(2 * count), Decision::Commit);
        assert!(!known(&halves, 0));
    }
}

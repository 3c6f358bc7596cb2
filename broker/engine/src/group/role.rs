//! Whether the group serves, and what its driver wants to know of it.

use std::sync::atomic::Ordering;

use prost::Message;
use store::log::{EpochStart, LogReader};
use store::{Epoch, Position};

use super::plant::Seed;
use super::{Group, RetainError};
use crate::inbox::Refusal;
use crate::mailbox::Wakes;

impl Group {
    /// Whether this member leads and has folded all that earlier leaders had agreed on; only then it serves.
    pub fn is_leading(&self) -> bool {
        self.is_leading.load(Ordering::Acquire)
    }

    /// With a reason, sends and changes are refused with it; what is on its way goes on. Acks are taken all the same:
    /// during a hand-over they stay in memory, so that the log comes to rest, and are written once it is over.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        self.inbox.refuse(refusal);
        self.holds_pending.store(refusal == Some(Refusal::HandingOver), Ordering::Release);
        self.inbox.nudge();
    }

    /// End of what was handed to the disk.
    pub fn written(&self) -> Position {
        self.reader.written()
    }

    /// End of what survives a power cut.
    pub fn durable(&self) -> Position {
        self.reader.durable()
    }

    /// End of what is agreed, folded and visible.
    pub fn published(&self) -> Position {
        Position(self.published.load(Ordering::Acquire))
    }

    /// Oldest position kept.
    pub fn head(&self) -> Position {
        self.reader.head()
    }

    /// Identity of the log.
    pub fn log_id(&self) -> [u8; 16] {
        self.log_id
    }

    /// Where the epochs of the log began, oldest first.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.reader.epochs()
    }

    /// The epoch of the last batch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// The reading end of the log, for shipping it to other members.
    pub fn log_reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// What a new member needs to begin with the oldest position that is kept; see `Group::plant`. Reads run files.
    pub fn seed(&self) -> Result<Seed, RetainError> {
        let start = self.reader.head();
        // Exactly up to there: the new member's queues begin with the first message that it will be sent.
        self.state.index.trim(start)?;
        let queues = self.state.index.tails();
        let queues = queues.into_iter().map(|(queue, _)| (queue, self.state.index.range(queue).0)).collect();
        Ok(Seed { start, engine: self.snapshot().encode_to_vec(), queues })
    }

    /// Everything below the begin of the own epoch is folded: clients may come.
    pub(crate) fn begin_serving(&self) {
        self.state.clamp_deliveries();
        self.is_leading.store(true, Ordering::Release);
        self.inbox.open();
    }

    /// Clients are sent away, and nothing of this group touches the disk from now on.
    pub(crate) fn stop_serving(&self, wakes: &mut Wakes) {
        self.is_leading.store(false, Ordering::Release);
        self.inbox.shut();
        // Waits for the chore that is under way.
        *self.house.lock() = true;
        let mut woken = Vec::new();
        for topic in self.topics() {
            // Whoever takes this lock later finds that nobody serves here.
            topic.state.lock().take_all_waiters(&mut woken);
        }
        for waiter in woken {
            waiter.wake(wakes);
        }
    }

    /// What rides along waits for the end of a hand-over.
    pub(crate) fn holds_pending(&self) -> bool {
        self.holds_pending.load(Ordering::Acquire)
    }

    /// Whether something took effect whose record waits for the next step.
    pub fn has_pending(&self) -> bool {
        self.is_leading() && !self.holds_pending() && !self.pending.is_empty()
    }
}

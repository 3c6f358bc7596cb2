//! One broker group: the facade that gateways, the admin API and the background work call.
//!
//! ```text
//!   send, apply --Inbox--> Writer::step --fold--> State { catalog, index, deliveries by topic }
//!   receive, ack, extend --topic's lock--> deliveries       ack --Pending--> the next batch
//! ```
//!
//! Promise: a call that returned `Ok` took effect as its documentation says; every lock is short and none is held
//! while the disk works, but for the turn of the chores. Only what is agreed is visible, and only a leader serves.
//! Order of locks: planning, catalog, topic, pending. Limits: `GroupConfig`. Not here: the thread that writes, leading
//! and following (`writer`), what lease receipts mean (`lease`).

mod admin;
mod alarm;
mod broadcast;
mod census;
mod checkpoint;
mod dead_letter;
mod fire;
mod history;
mod hold;
mod offsets;
mod open;
mod plant;
mod progress;
mod pull;
mod receive;
mod role;
mod search;
mod transaction;
mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use store::disk::Disk;
use store::log::{Draft, Flush, Kind, LogReader, Poisoned, PrepareError, Preparer};
use store::{Offset, QueueId};

use crate::batch;
use crate::catalog::{ConsumerGroup, Topic};
use crate::inbox::{Inbox, SubmitError, Ticket};
use crate::mailbox::Mailbox;
use crate::pending::Pending;
use crate::state::State;

use alarm::Alarms;
pub use broadcast::{MEMBER_PREFIX, MEMBERS_MAX, Member};
pub use census::{Census, CensusLimits, GroupFigures, Pair, TopicFigures, Waits};
pub use fire::RecallError;
pub use history::{Event, Happened, Spot, Trail};
pub use offsets::{MoveError, Place};
pub use plant::{Planting, Seed};
pub use pull::{Pull, PullError, Pulled, PulledMessage};
pub use search::{Search, Sighting, Wanted};
pub use transaction::{
    Check, Checks, DecideError, Decision, TransactionChecks, TransactionId, transaction_of,
};
pub use types::{
    Backlog, CheckpointError, DeadLetterError, Delivery, GroupConfig, LogState, OpenError, Origin,
    PlantError, Progress, Receive, ReceiveError, Received, RetainError, SearchError, TrailError,
};

/// Topics, consumer groups and their messages on one log.
pub struct Group {
    pub(crate) config: GroupConfig,
    pub(crate) state: State,
    pub(crate) inbox: Inbox,
    /// Whether a send is answered only after a sync.
    syncs: AtomicBool,
    pub(crate) pending: Pending,
    pub(crate) alarms: Alarms,
    /// Of what nobody waits for.
    own_mailbox: Arc<Mailbox>,
    /// End of what is folded and visible.
    pub(crate) published: AtomicU64,
    /// The time of the last step.
    pub(crate) now_ms: AtomicU64,
    /// Where a replay would begin.
    covered: AtomicU64,
    /// Segments from here on are needed to replay the checkpoints; 0: there is none yet in this epoch.
    pub(crate) keep_from: AtomicU64,
    /// Free bytes that the log waits for since it refused a batch; 0: it takes batches.
    pub(crate) needed_bytes: AtomicU64,
    disk: Arc<dyn Disk>,
    reader: LogReader,
    preparer: Preparer,
    log_id: [u8; 16],
    /// Epoch of the last batch.
    pub(crate) epoch: AtomicU32,
    is_leading: AtomicBool,
    /// What rides along has to wait.
    holds_pending: AtomicBool,
    /// Changes of the catalogue take turns until they are submitted.
    planning: Mutex<()>,
    /// Chores that write files take turns; true once the group is closed and there are none any more.
    house: Mutex<bool>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("log_state", &self.log_state()).finish_non_exhaustive()
    }
}

impl Group {
    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.state.catalog.read().topic(name).cloned()
    }

    /// All topics by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.state.catalog.read().topics()
    }

    /// The topic that has this queue.
    pub fn topic_of(&self, queue: QueueId) -> Option<Arc<Topic>> {
        let catalog = self.state.catalog.read();
        let (queues, _) = catalog.home(queue)?;
        catalog.topic_by_id(queues.topic).cloned()
    }

    /// The consumer group of that name.
    pub fn consumer_group(&self, name: &str) -> Option<Arc<ConsumerGroup>> {
        self.state.catalog.read().consumer_group(name).cloned()
    }

    /// All consumer groups by name.
    pub fn consumer_groups(&self) -> Vec<Arc<ConsumerGroup>> {
        self.state.catalog.read().consumer_groups()
    }

    /// How many topics and consumer groups there are, members of broadcasts among these; cheaper than lists of them.
    pub fn counts(&self) -> [usize; 2] {
        self.state.catalog.read().counts()
    }

    /// The consumer group with that id.
    pub fn consumer_group_by_id(&self, id: u32) -> Option<Arc<ConsumerGroup>> {
        self.state.catalog.read().consumer_group_by_id(id).cloned()
    }

    /// When a send is answered.
    pub fn flush(&self) -> Flush {
        if self.syncs.load(Ordering::Relaxed) { Flush::Sync } else { Flush::Async }
    }

    /// Answers the sends that come from now on otherwise than the configuration says.
    pub fn set_flush(&self, flush: Flush) {
        self.syncs.store(flush == Flush::Sync, Ordering::Relaxed);
    }

    /// The state of the log.
    pub fn log_state(&self) -> LogState {
        let needed_bytes = self.needed_bytes.load(Ordering::Relaxed);
        // A disk that does not tell is not known to have room.
        let free_bytes = self.disk.free_bytes().unwrap_or(0);
        LogState {
            log_id: self.log_id,
            epoch: self.epoch(),
            head: self.reader.head(),
            written: self.reader.written(),
            durable: self.reader.durable(),
            committed: self.published(),
            is_leading: self.is_leading(),
            disk_full: free_bytes < needed_bytes,
            free_bytes,
        }
    }

    /// When the oldest part of the log was begun that is kept; `None`: nothing is in it.
    pub fn kept_from_ms(&self) -> Option<u64> {
        self.reader.kept_from_ms()
    }

    /// Oldest offset kept and the next one to be written.
    pub fn queue_range(&self, queue: QueueId) -> (Offset, Offset) {
        self.state.index.range(queue)
    }

    /// Sends the messages of one request: those of a lane to the lane's queue, the others to one queue of the topic, the
    /// queues take turns. Drafts come without a queue, but for those that have one by their priority. Neighbours without a
    /// queue share a record where they can.
    pub fn send(
        &self,
        topic: &Topic,
        drafts: Vec<Draft>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, SubmitError> {
        let mut drafts = batch::pack(drafts);
        if drafts.iter().any(|draft| draft.kind == Kind::Half) {
            self.admit_half()?;
        }
        let queue = topic.queues[topic.state.next_turn(topic.queues.len())];
        for draft in drafts.iter_mut().filter(|draft| draft.queue == QueueId::NONE) {
            draft.queue = if draft.lane == 0 { queue } else { topic.queue_of_lane(draft.lane) };
        }
        self.inbox.submit(drafts, mailbox)
    }

    /// Makes what is written last. Background thread: every 200 ms, also with `flush: Sync` for acks.
    pub fn sync(&self) -> Result<(), Poisoned> {
        if self.reader.durable() < self.reader.written() {
            self.reader.sync()?;
        }
        Ok(())
    }

    /// Gives back the memory of messages that are neither new nor read; background thread, after `sync`.
    pub fn release_cache(&self) {
        self.reader.release_cache(self.config.cached_bytes, self.now_ms.load(Ordering::Relaxed));
    }

    /// Makes the next segment ahead of its use; true if it did. Background thread.
    pub fn prepare_segment(&self) -> Result<bool, PrepareError> {
        let is_closed = self.house.lock();
        if *is_closed {
            return Ok(false);
        }
        self.preparer.prepare(self.now_ms.load(Ordering::Relaxed))
    }

    /// Blocks the log thread until something waits for `Writer::step`, at most `wait_ms`.
    pub fn park(&self, wait_ms: u64) {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        let wait_ms = self.alarms.shorten(wait_ms, now_ms);
        let wait_ms = if self.is_leading() { self.state.timers.shorten(wait_ms, now_ms) } else { wait_ms };
        self.inbox.park(wait_ms, || self.has_pending());
    }

    /// Makes `park` return.
    pub fn nudge(&self) {
        self.inbox.nudge();
    }

    /// Bytes of submissions that wait to be written, if anything does.
    pub(crate) fn waiting_bytes(&self) -> Option<u64> {
        if !self.is_leading() {
            return None;
        }
        let bytes = self.inbox.waiting_bytes();
        (bytes > 0 || self.has_pending()).then_some(bytes)
    }
}

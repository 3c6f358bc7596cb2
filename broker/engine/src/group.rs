//! One broker group: the facade that gateways, the admin API and the background work call.

use std::sync::Arc;

use store::disk::Disk;
use store::log::{Draft, LogConfig, Poisoned, ReadError, Record, Retention};
use store::{Epoch, Offset, Position, QueueId};

use crate::catalog::{Adopt, ApplyOutcome, ConsumerGroup, ConsumerGroupSpec, Topic, TopicSpec};
use crate::inbox::{Busy, Ticket};
use crate::lease::{LeaseError, Receipt};
use crate::mailbox::Mailbox;
use crate::waiter::Waiter;
use crate::writer::Writer;

/// How a group is kept.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The log's segments and when a send is answered.
    pub log: LogConfig,
    /// When old segments go.
    pub retention: Retention,
    /// Bytes of submissions that may wait for the log.
    pub inbox_bytes_max: u64,
    /// Bytes of submissions that are written together.
    pub batch_bytes_max: u64,
}

/// Why a group could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log could not be recovered.
    #[error(transparent)]
    Log(#[from] store::log::OpenError),
    /// The queue index could not be opened.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
    /// The checkpoint could not be read.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] std::io::Error),
    /// A record or a checkpoint section is of a version that this program does not know.
    #[error("{what} cannot be decoded: {why}")]
    Format {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Why no checkpoint was written; the old ones stay good.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The log cannot be synced.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The index could not be flushed.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
    /// The file could not be written.
    #[error("checkpoint: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a receive could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The consumer group was deleted.
    #[error("consumer group `{0}` does not exist")]
    UnknownGroup(String),
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
}

/// Why a message was not sent to the dead letter topic.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The receipt is no good.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The log is busy.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The message cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
}

/// The state of the log, for health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Identity of the log.
    pub log_id: [u8; 16],
    /// Term that began with this start.
    pub epoch: Epoch,
    /// Oldest position kept.
    pub head: Position,
    /// End of what was handed to the disk.
    pub written: Position,
    /// End of what survives a power cut.
    pub durable: Position,
    /// The last batch was refused because the disk is full.
    pub disk_full: bool,
    /// Bytes that can still be allocated on the disk.
    pub free_bytes: u64,
}

/// How far a consumer group has come in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the topic.
    pub topic: String,
    /// Number of the queue in its topic.
    pub queue: u32,
    /// The next offset to be written.
    pub tail: Offset,
    /// All below are done.
    pub floor: Offset,
    /// None at or above was ever handed out.
    pub next: Offset,
    /// Handed out and not done.
    pub in_flight: u64,
    /// Not done: ready and in flight.
    pub lag: u64,
}

/// What a consumer wants.
#[derive(Clone, Copy, Debug)]
pub struct Receive<'a> {
    /// For whom.
    pub group: &'a ConsumerGroup,
    /// From where.
    pub topic: &'a Topic,
    /// Java hashes of the wanted tags; `None`: all. Other messages are done for the group without being delivered.
    pub tags: Option<&'a [u32]>,
    /// At most so many messages.
    pub max: usize,
    /// How long they are held.
    pub invisible_ms: u64,
}

/// What a receive found.
#[derive(Debug, Default)]
pub struct Received {
    /// The messages.
    pub deliveries: Vec<Delivery>,
    /// When to look again: the earliest end of a lease of this group on this topic; now, if the search stopped early.
    pub next_due_ms: Option<u64>,
    /// Records that do not verify; they are skipped for good.
    pub corrupt: Vec<ReadError>,
}

/// One message handed out.
#[derive(Debug)]
pub struct Delivery {
    /// Proof to ack or extend it.
    pub receipt: Receipt,
    /// Where the queue's record lies.
    pub position: Position,
    /// Size of that record.
    pub bytes: u32,
    /// Its number in the queue.
    pub offset: Offset,
    /// Number of the queue in its topic.
    pub queue_index: u32,
    /// How often it has been handed out, this time included.
    pub attempt: u16,
    /// When it was stored.
    pub stored_ms: u64,
    /// The message; `None`: not in memory, call `Group::load` where waiting is allowed.
    pub record: Option<Record>,
    /// Dead letters: where it came from.
    pub origin: Option<Origin>,
}

/// Where a dead letter came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the topic it was sent to.
    pub topic: String,
}

/// Topics, consumer groups and their messages on one log.
pub struct Group {
    config: GroupConfig,
}

type Applied = (Vec<ApplyOutcome>, Option<Ticket>);

impl Group {
    /// Recovers what `disk` holds and begins a new epoch.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: GroupConfig,
        now_ms: u64,
    ) -> Result<(Arc<Self>, Writer), OpenError> {
        todo!()
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        todo!()
    }

    /// All topics by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        todo!()
    }

    /// The topic that has this queue.
    pub fn topic_of(&self, queue: QueueId) -> Option<Arc<Topic>> {
        todo!()
    }

    /// The consumer group of that name.
    pub fn consumer_group(&self, name: &str) -> Option<Arc<ConsumerGroup>> {
        todo!()
    }

    /// All consumer groups by name.
    pub fn consumer_groups(&self) -> Vec<Arc<ConsumerGroup>> {
        todo!()
    }

    /// The consumer group with that id.
    pub fn consumer_group_by_id(&self, id: u32) -> Option<Arc<ConsumerGroup>> {
        todo!()
    }

    /// The state of the log.
    pub fn log_state(&self) -> LogState {
        todo!()
    }

    /// Oldest offset kept and the next one to be written.
    pub fn queue_range(&self, queue: QueueId) -> (Offset, Offset) {
        todo!()
    }

    /// How far a consumer group has come, by topic name and queue.
    pub fn progress(&self, consumer_group: &ConsumerGroup) -> Vec<Progress> {
        todo!()
    }

    /// Creates or changes topics; one outcome per spec, and a ticket if something has to be written.
    pub fn apply_topics(
        &self,
        specs: &[TopicSpec],
        adopt: Adopt,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        todo!()
    }

    /// Deletes topics with their messages; with `owner`, only those of that owner.
    pub fn delete_topics(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        todo!()
    }

    /// Creates or changes consumer groups.
    pub fn apply_consumer_groups(
        &self,
        specs: &[ConsumerGroupSpec],
        adopt: Adopt,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        todo!()
    }

    /// Deletes consumer groups with their progress.
    pub fn delete_consumer_groups(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        todo!()
    }

    /// Sends the messages of one request to one queue of the topic; drafts come without a queue.
    pub fn send(&self, topic: &Topic, drafts: Vec<Draft>, mailbox: &Arc<Mailbox>) -> Result<Ticket, Busy> {
        todo!()
    }

    /// Hands out messages; never waits for the disk's records. Registers `waiter` if there is nothing.
    pub fn receive(
        &self,
        request: &Receive<'_>,
        now_ms: u64,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Received, ReceiveError> {
        todo!()
    }

    /// Reads a delivery's record, waiting for the disk.
    pub fn load(&self, delivery: &mut Delivery) -> Result<(), ReadError> {
        todo!()
    }

    /// The message is done; in memory at once, its record rides in the next batch.
    pub fn ack(&self, receipt: &Receipt, now_ms: u64) -> Result<(), LeaseError> {
        todo!()
    }

    /// Holds one message until `now_ms + invisible_ms`; the new receipt takes the place of the old one.
    pub fn extend(&self, receipt: &Receipt, invisible_ms: u64, now_ms: u64) -> Result<Receipt, LeaseError> {
        todo!()
    }

    /// Holds a message until `until_ms` under the same receipt.
    pub fn renew(&self, receipt: &Receipt, until_ms: u64, now_ms: u64) -> Result<(), LeaseError> {
        todo!()
    }

    /// Moves a message to `%DLQ%<group>`; it is done for the group once stored.
    pub fn dead_letter(
        &self,
        receipt: &Receipt,
        now_ms: u64,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, DeadLetterError> {
        todo!()
    }

    /// Writes a checkpoint, so that the next start replays only what comes after it. Background thread.
    pub fn checkpoint(&self) -> Result<(), CheckpointError> {
        todo!()
    }

    /// Makes what is written last. Background thread, with `flush: Async`.
    pub fn sync(&self) -> Result<(), Poisoned> {
        todo!()
    }
}

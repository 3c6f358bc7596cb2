//! What callers hand in and get back.

use std::io;
use std::sync::Arc;

use store::log::{LogConfig, Poisoned, ReadError, Record, Retention};
use store::{Epoch, Offset, Position, QueueId};

use super::TransactionChecks;
use crate::catalog::{ConsumerGroup, Topic};
use crate::inbox::SubmitError;
use crate::lease::{LeaseError, Receipt};
use crate::mailbox::Mailbox;
use crate::setting::Setting;
use crate::writer::CommitError;

/// How a group is kept.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The log's segments and when a send is answered.
    pub log: LogConfig,
    /// When old segments go.
    pub retention: Setting<Retention>,
    /// Bytes of submissions that may wait for the log.
    pub inbox_bytes_max: u64,
    /// Bytes of submissions that are written together.
    pub batch_bytes_max: u64,
    /// The newest bytes of the log, synced or not, whose pages always stay in the system's cache.
    pub cached_bytes: u64,
    /// When senders are asked about transactions that nobody decides.
    pub checks: Setting<TransactionChecks>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            retention: Retention { max_age_ms: 72 * 60 * 60 * 1000, max_bytes: None }.into(),
            inbox_bytes_max: 64 << 20,
            batch_bytes_max: 4 << 20,
            cached_bytes: 256 << 20,
            checks: TransactionChecks::default().into(),
        }
    }
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
    /// The timeline could not be opened.
    #[error(transparent)]
    Timeline(#[from] store::timeline::TimelineError),
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] store::checkpoint::CheckpointError),
    /// A record or a checkpoint section cannot be decoded; as a rule, a later version wrote it.
    #[error("{what} cannot be decoded: {why}")]
    Format {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The beginning of the log was trimmed, and there is no checkpoint that knows what it said.
    #[error("the log begins at {head} and there is no checkpoint of what came before")]
    NoCheckpoint {
        /// Where the log begins.
        head: Position,
    },
    /// There is a checkpoint and no log: what is there is left over, see `Group::exists`.
    #[error("there is a checkpoint up to {covered} and no log")]
    NoLog {
        /// What the checkpoint covers.
        covered: Position,
    },
    /// What is agreed could not be folded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a disk was not wiped or planted; it may hold nothing now.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The log could not be made.
    #[error(transparent)]
    Log(#[from] store::log::OpenError),
    /// The queue index could not be made.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
    /// The timeline could not be made.
    #[error(transparent)]
    Timeline(#[from] store::timeline::TimelineError),
    /// The checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] store::checkpoint::CheckpointError),
    /// The log could not be removed.
    #[error("removing the log: {source}")]
    Io {
        /// What the disk said.
        source: io::Error,
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
    /// Old files of the timeline could not be removed.
    #[error(transparent)]
    Timeline(#[from] store::timeline::TimelineError),
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] store::checkpoint::CheckpointError),
}

/// Why old segments stay.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// A segment could not be deleted.
    #[error(transparent)]
    Log(#[from] store::log::RetainError),
    /// The index could not forget them.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
}

/// Why a receive could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The topic was deleted.
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    /// The consumer group was deleted.
    #[error("consumer group `{0}` does not exist")]
    UnknownGroup(String),
    /// Another member leads.
    #[error("this member does not lead")]
    NotLeading,
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
    /// The log takes nothing now.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The message cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
}

/// Why the log could not be looked through.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The disk refused, or holds records of a later version.
    #[error(transparent)]
    Log(#[from] store::log::OpenError),
    /// The disk refused a record.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The queue index could not be read.
    #[error(transparent)]
    Index(#[from] store::index::IndexError),
}

/// Why there is no history of a message.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The record is none of a message, or is not there yet.
    #[error("there is no message at position {0}")]
    NotThere(Position),
    /// The record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No record is as long as that.
    #[error("no record has {0} B")]
    Bytes(u32),
    /// It is none that a trail gave.
    #[error("scroll is not of a trail")]
    Scroll,
}

/// The state of the log, for health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Identity of the log.
    pub log_id: [u8; 16],
    /// Term of the newest leader that is known.
    pub epoch: Epoch,
    /// Oldest position kept.
    pub head: Position,
    /// End of what was handed to the disk.
    pub written: Position,
    /// End of what survives a power cut.
    pub durable: Position,
    /// End of what is agreed, folded and visible.
    pub committed: Position,
    /// It serves clients.
    pub is_leading: bool,
    /// The last sends were refused because the disk is full.
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
    /// None at or above was handed out, as far as is known after a restart.
    pub next: Offset,
    /// Handed out and not done.
    pub in_flight: u64,
    /// Not done: ready and in flight.
    pub lag: u64,
}

/// Where a consumer group stands in one queue at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The queue.
    pub id: QueueId,
    /// Its number in its topic.
    pub queue: u32,
    /// The oldest offset that is kept.
    pub oldest: Offset,
    /// The next offset to be written.
    pub tail: Offset,
    /// All below are done.
    pub floor: Offset,
    /// None at or above was handed out, as far as is known after a restart.
    pub next: Offset,
    /// Handed out, not done, and its time is not over.
    pub in_flight: u64,
    /// Not done and held by nobody.
    pub ready: u64,
    /// The first one of these.
    pub first_ready: Option<Offset>,
}

/// What a consumer wants.
#[derive(Clone, Copy, Debug)]
pub struct Receive<'a> {
    /// For whom.
    pub group: &'a ConsumerGroup,
    /// From where.
    pub topic: &'a Topic,
    /// Java hashes of the wanted tags; `None`: all. Other messages are done for the group without being delivered; but where
    /// several share a record that is not in memory, whoever loads them has to look.
    pub tags: Option<&'a [u32]>,
    /// At most so many messages.
    pub max: usize,
    /// How long they are held.
    pub invisible_ms: u64,
    /// The client's name for this try: when a group that reads in order is asked again under the same name, the client
    /// never got what is still held for the first time; it is handed out again as it was.
    pub attempt_id: Option<&'a str>,
    /// Of the runtime that asks.
    pub mailbox: &'a Arc<Mailbox>,
}

/// What a receive found.
#[derive(Debug, Default)]
pub struct Received {
    /// The messages.
    pub deliveries: Vec<Delivery>,
    /// When to look again: the earliest end of a lease of this group on this topic; now, if the search stopped early.
    pub next_due_ms: Option<u64>,
    /// Messages that were passed over: those that do not verify for good, others until their lease ends.
    pub corrupt: Vec<ReadError>,
    /// Messages whose attempts were used up: they are on their way to the dead letters.
    pub buried: Vec<(QueueId, Offset)>,
}

/// One message handed out.
#[derive(Debug)]
pub struct Delivery {
    /// Proof to ack or extend it.
    pub receipt: Receipt,
    /// Where the queue's record lies; of a dead letter, the pointer's record.
    pub position: Position,
    /// Size of that record.
    pub bytes: u32,
    /// Which message of that record it is, from 0.
    pub number: u16,
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
    /// Dead letters: where it came from. Known once the record is there.
    pub origin: Option<Origin>,
}

/// Where a dead letter came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the topic it was sent to.
    pub topic: String,
}

/// A record whose payload cannot be decoded, as the error of the read that met it.
pub(crate) fn undecodable(position: Position, why: String) -> ReadError {
    ReadError::Io { file: "link record".to_owned(), position, source: io::Error::other(why) }
}

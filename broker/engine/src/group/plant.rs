//! Preparing an empty disk so that a new member begins where another one's log begins.
//!
//! ```text
//!   Group::seed --> [ catalogue, subscriptions, where each queue begins ] --> Group::plant --> Group::open: follows
//!   plant: wipe (identity first) -> checkpoint -> empty log at `start` (identity last)
//! ```
//!
//! The seed may tell of later records than `start`: they are sent and folded all the same, and change nothing that is
//! applied already. Promise: after a crash there is, as [`Group::exists`] says, nothing, or all of it.

use std::sync::Arc;

use prost::Message;
use store::checkpoint::{self, Checkpoint};
use store::disk::Disk;
use store::index::Index;
use store::log::{EpochStart, Log};
use store::timeline::Timeline;
use store::{Offset, Position, QueueId};

use super::checkpoint::{COMMITTED_SECTION, ENGINE_SECTION, EPOCHS_SECTION, INDEX_SECTION};
use super::{Group, OpenError, PlantError};
use crate::catalog::Snapshot;

const VERSION: u32 = 1;

/// What a new member begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Where its log begins, the start of a segment.
    pub start: Position,
    /// The engine's section of a checkpoint.
    pub(super) engine: Vec<u8>,
    /// The first offset that is kept of each queue that ever had a message.
    pub(super) queues: Vec<(QueueId, Offset)>,
}

/// Fields may be added; their numbers are never used again.
#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(bytes = "vec", tag = "3")]
    engine: Vec<u8>,
    #[prost(uint32, repeated, tag = "4")]
    queues: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    begins: Vec<u64>,
}

/// The log that a planted disk will hold.
#[derive(Clone, Debug)]
pub struct Planting {
    /// Identity of the group's log.
    pub log_id: [u8; 16],
    /// Bytes of the segment that starts at the seed's `start`.
    pub segment_bytes: u64,
    /// Where the epochs of the log began; those at or beyond the seed's `start` come with the log itself.
    pub epochs: Vec<EpochStart>,
}

impl Seed {
    /// The seed as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (queues, begins) = self.queues.iter().map(|&(queue, begin)| (queue.0, begin.0)).unzip();
        let encoded =
            Encoded { version: VERSION, start: self.start.0, engine: self.engine.clone(), queues, begins };
        encoded.encode_to_vec()
    }

    /// The seed that `encode` made these bytes of; the error says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let encoded = Encoded::decode(bytes).map_err(|error| error.to_string())?;
        if encoded.version != VERSION {
            return Err(format!("version {} is not known", encoded.version));
        }
        if encoded.queues.len() != encoded.begins.len() {
            return Err(format!("{} queues and {} begins", encoded.queues.len(), encoded.begins.len()));
        }
        Snapshot::decode_section(&encoded.engine)?;
        let queues = encoded.queues.iter().zip(&encoded.begins);
        Ok(Self {
            start: Position(encoded.start),
            queues: queues.map(|(&queue, &begin)| (QueueId(queue), Offset(begin))).collect(),
            engine: encoded.engine,
        })
    }
}

impl Group {
    /// Whether the disk holds a log that `open` can open; what else is there is left over from a `plant` or `wipe` that
    /// was cut short.
    pub fn exists(disk: &dyn Disk) -> Result<bool, OpenError> {
        Ok(Log::exists(disk)?)
    }

    /// Removes everything that a group keeps on the disk. No group may be open on it.
    pub fn wipe(disk: &Arc<dyn Disk>) -> Result<(), PlantError> {
        Log::wipe(&**disk).map_err(|source| PlantError::Io { source })?;
        checkpoint::forget(&**disk)?;
        // No checkpoint knows the runs any more: they go.
        Index::open(Arc::clone(disk), None)?;
        Timeline::open(Arc::clone(disk), None)?;
        Ok(())
    }

    /// Wipes the disk and prepares it for a new member: the next `open` follows from the seed's `start` on.
    pub fn plant(
        disk: &Arc<dyn Disk>,
        planting: &Planting,
        seed: &Seed,
        now_ms: u64,
    ) -> Result<(), PlantError> {
        Self::wipe(disk)?;
        let index = Index::open(Arc::clone(disk), None)?;
        for &(queue, begin) in &seed.queues {
            index.begin(queue, begin);
        }
        let sections = vec![
            (ENGINE_SECTION, seed.engine.clone()),
            (INDEX_SECTION, index.snapshot()),
            (EPOCHS_SECTION, EpochStart::encode(&planting.epochs)),
            (COMMITTED_SECTION, seed.start.0.to_le_bytes().to_vec()),
        ];
        checkpoint::write(&**disk, &Checkpoint { covered: seed.start, sections })?;
        // Last: without an identity the disk holds nothing.
        Log::create(&**disk, planting.log_id, seed.start, planting.segment_bytes, now_ms)?;
        Ok(())
    }
}

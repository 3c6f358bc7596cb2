//! Checkpoints: the folds as they are, so that a start replays little. They cover only what is agreed.

use std::sync::atomic::Ordering;

use prost::Message;
use store::Position;
use store::checkpoint::{self, Checkpoint};
use store::log::EpochStart;

use super::{CheckpointError, Group, RetainError};
use crate::catalog::{Snapshot, subscribed};

/// The engine's section: catalog and subscriptions.
pub(crate) const ENGINE_SECTION: u32 = 1;
/// The queue index's section.
pub(crate) const INDEX_SECTION: u32 = 2;

/// Where the epochs of the log began.
pub(crate) const EPOCHS_SECTION: u32 = 3;
/// Everything below this position was agreed when the checkpoint was written, u64.
pub(crate) const COMMITTED_SECTION: u32 = 4;
/// The timeline's section.
pub(crate) const TIMELINE_SECTION: u32 = 5;
/// The section of the messages that are not decided.
pub(crate) const HALVES_SECTION: u32 = 6;

/// A checkpoint is due when a start would have to replay this much.
const REPLAY_BYTES_MAX: u64 = 256 << 20;

impl Group {
    /// Whether a start would have to replay much, or the index wants to be flushed.
    pub fn wants_checkpoint(&self) -> bool {
        let published = self.published.load(Ordering::Acquire);
        let covered = self.covered.load(Ordering::Relaxed);
        published.saturating_sub(covered) > REPLAY_BYTES_MAX || self.state.index.wants_flush()
    }

    /// Moves the index entries that are only in memory to the disk; `checkpoint` does so by itself once there are many.
    pub fn flush_index(&self) -> Result<(), CheckpointError> {
        let is_closed = self.house.lock();
        if *is_closed {
            return Ok(());
        }
        Ok(self.state.index.flush()?)
    }

    /// Forgets what the index knows of segments that were deleted; reads run files. Background thread.
    pub fn trim_index(&self) -> Result<(), RetainError> {
        let is_closed = self.house.lock();
        if *is_closed {
            return Ok(());
        }
        Ok(self.state.index.trim(self.reader.head())?)
    }

    /// Writes a checkpoint, so that the next start replays only what comes after it. Background thread; not twice at
    /// a time. Nothing once the group is closed.
    pub fn checkpoint(&self) -> Result<(), CheckpointError> {
        let is_closed = self.house.lock();
        if *is_closed {
            return Ok(());
        }
        let covered = self.published();
        if self.state.index.wants_flush() {
            self.state.index.flush()?;
        }
        let pending = [self.state.timers.line.oldest_position(), self.state.halves.oldest_position()];
        let index = self.state.index.snapshot();
        let timeline = self.state.timers.line.snapshot();
        let halves = self.state.halves.section();
        let engine = self.snapshot().encode_to_vec();
        let (epochs, committed) = (EpochStart::encode(&self.epochs()), self.published().0.to_le_bytes());
        // The sections may tell of records that came after `covered`: those must not be lost behind them.
        self.reader.sync()?;
        let sections = vec![
            (ENGINE_SECTION, engine),
            (INDEX_SECTION, index),
            (EPOCHS_SECTION, epochs),
            (COMMITTED_SECTION, committed.to_vec()),
            (TIMELINE_SECTION, timeline.clone()),
            (HALVES_SECTION, halves),
        ];
        let keep_from = checkpoint::write(&*self.disk, &Checkpoint { covered, sections })?;
        self.state.timers.line.checkpointed(&timeline)?;
        // What waited before the sync: that it waits no more may be known to memory alone.
        let keep_from = pending.into_iter().flatten().fold(keep_from, Position::min);
        self.keep_from.store(keep_from.0, Ordering::Release);
        self.covered.store(covered.0, Ordering::Relaxed);
        Ok(())
    }

    /// The catalog first: a topic or group that comes later is in the replay, with everything about it.
    pub(super) fn snapshot(&self) -> Snapshot {
        let (mut snapshot, topics) = {
            let catalog = self.state.catalog.read();
            (catalog.snapshot(), catalog.topics())
        };
        for topic in topics {
            let states = topic.state.lock().states();
            snapshot.subscriptions.extend(subscribed(topic.id, &states));
        }
        snapshot
    }
}

//! The copy of the log that this member holds: opened, closed, opened again.
//!
//! Whoever stops leading has told clients things that the next leader may not know of: leases, acks on their way. So
//! the group is closed and opened again from the disk, where only what is agreed is folded.

use std::sync::Arc;

use engine::group::{Group, GroupConfig, OpenError, PlantError, Planting, Seed};
use engine::pen::Pen;
use parking_lot::RwLock;
use replica::event::{End, OnDisk};
use replica::history::History;
use store::disk::Disk;
use store::log::Flush;
use tracing::info;

use crate::clock::Clock;
use crate::log_thread::{LogThreads, end};

/// The pen of the group that is open now; what a runtime does at the end of its turn goes through it.
#[derive(Clone, Debug, Default)]
pub struct PenSlot(Arc<RwLock<Option<Arc<Pen>>>>);

/// What a copy needs to be opened.
#[derive(Clone)]
pub struct Shelf {
    /// Where it lies.
    pub disk: Arc<dyn Disk>,
    /// How it is kept.
    pub config: GroupConfig,
    /// The time.
    pub clock: Arc<Clock>,
    /// Told of every pen.
    pub slot: PenSlot,
}

/// Why a copy cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The log, the index or the checkpoints.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A seed could not be planted.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// Its threads could not be started.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A copy that is open.
pub struct Copy {
    threads: LogThreads,
}

impl PenSlot {
    /// Writes what the tasks of a runtime have submitted in their turn.
    pub fn write_here(&self, clock: &Clock) {
        let pen = self.0.read().clone();
        if let Some(pen) = pen
            && let Err(poisoned) = pen.write_here(|| clock.now_ms())
        {
            end(&poisoned);
        }
    }
}

impl Shelf {
    /// Whether there is a copy.
    pub fn holds_copy(&self) -> Result<bool, CopyError> {
        Ok(Group::exists(&*self.disk)?)
    }

    /// Opens the copy that is there, or a new one.
    pub fn open(&self) -> Result<Copy, CopyError> {
        let started_ms = self.clock.now_ms();
        let (group, writer) = Group::open(Arc::clone(&self.disk), self.config.clone(), started_ms)?;
        info!(ms = self.clock.now_ms() - started_ms, state = ?group.log_state(), "recovered the log");
        let threads = LogThreads::start(group, writer, Arc::clone(&self.clock))?;
        *self.slot.0.write() = Some(Arc::clone(threads.pen()));
        Ok(Copy { threads })
    }

    /// Opens a copy that begins with a seed; what was there is gone.
    pub fn plant(&self, planting: &Planting, seed: &Seed) -> Result<Copy, CopyError> {
        Group::plant(&self.disk, planting, seed, self.clock.now_ms())?;
        self.open()
    }
}

impl Copy {
    /// The group.
    pub fn group(&self) -> &Arc<Group> {
        self.threads.group()
    }

    /// Who writes.
    pub fn pen(&self) -> &Arc<Pen> {
        self.threads.pen()
    }

    /// Sends clients away and lets go of the disk.
    pub fn close(self, slot: &PenSlot) {
        self.pen().close();
        *slot.0.write() = None;
        self.threads.abandon();
    }

    /// Writes what still waits, and leaves a checkpoint.
    pub fn stop(self) {
        self.threads.stop();
    }

    /// Its log, as the protocol wants to know it.
    pub fn on_disk(&self) -> OnDisk {
        let group = self.group();
        OnDisk {
            history: History { epochs: group.epochs(), written: group.written() },
            durable: group.durable(),
            head: group.head(),
            committed: group.published(),
        }
    }

    /// How far it is.
    pub fn end(&self) -> End {
        let group = self.group();
        // In this order: none of them may be ahead of the one that is read later.
        let (shown, durable) = (group.published(), group.durable());
        // Who leads alone shows acks before they are synced; others must not hold on to what a power cut may take.
        let committed = if group.flush() == Flush::Sync { shown.min(durable) } else { shown };
        End { written: group.written(), durable, committed }
    }
}

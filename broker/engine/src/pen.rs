//! Who writes to the log: one at a time, and with `flush: Async` whoever has something to write.
//!
//! ```text
//!   end of a runtime's turn --write_here--> pen free: step on this thread
//!                                           pen taken: its holder looks again once it has let go
//!                                           large or slow (sync, new segment, a disk that stalled): log thread
//! ```
//!
//! A small batch that only goes to the page cache takes a few microseconds, less than waking another thread for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use store::log::{Flush, Poisoned, RawSpan, Stamps};
use store::{Epoch, Position};

use crate::group::{Group, RetainError};
use crate::writer::{CommitError, CutError, FollowError, LeadError, OnWritten, Step, Writer};

/// A larger batch costs more than the wake, and meanwhile this thread can go on.
const BYTES_MAX: u64 = 64 << 10;

/// A write that took this long, because the disk cannot keep up, must not happen to clients' threads again ...
const STALL_MS: u64 = 20;
/// ... for so long.
const STALLED_FOR_MS: u64 = 1000;

/// The writer, shared between the log thread and the runtimes.
#[derive(Debug)]
pub struct Pen {
    group: Arc<Group>,
    writer: Mutex<Writer>,
    /// Until then the log thread does it all.
    stalled_until_ms: AtomicU64,
}

impl Pen {
    /// A pen for the only writer of the group.
    pub fn new(group: Arc<Group>, writer: Writer) -> Self {
        Self { group, writer: Mutex::new(writer), stalled_until_ms: AtomicU64::new(0) }
    }

    /// As `Writer::step`, once the pen is free.
    pub fn step(&self, now_ms: u64) -> Result<Step, Poisoned> {
        self.writer.lock().step(now_ms)
    }

    /// As `Writer::retain`, once the pen is free.
    pub fn retain(&self, now_ms: u64) -> Result<(), RetainError> {
        self.writer.lock().retain(now_ms)
    }

    /// As `Writer::lead`.
    pub fn lead(&self, epoch: Epoch, now_ms: u64) -> Result<Position, LeadError> {
        self.writer.lock().lead(epoch, now_ms)
    }

    /// As `Writer::lead_alone`.
    pub fn lead_alone(&self, now_ms: u64) -> Result<(), LeadError> {
        self.writer.lock().lead_alone(now_ms)
    }

    /// As `Writer::set_solo`.
    pub fn set_solo(&self, is_solo: bool) -> Result<(), CommitError> {
        self.writer.lock().set_solo(is_solo)
    }

    /// As `Writer::on_written`.
    pub fn on_written(&self, on_written: OnWritten) {
        self.writer.lock().on_written(on_written);
    }

    /// As `Writer::commit`.
    pub fn commit(&self, to: Position) -> Result<(), CommitError> {
        self.writer.lock().commit(to)
    }

    /// As `Writer::append_raw`.
    pub fn append_raw(&self, span: RawSpan<'_>) -> Result<(), FollowError> {
        self.writer.lock().append_raw(span)
    }

    /// As `Writer::truncate`.
    pub fn truncate(&self, to: Position) -> Result<(), CutError> {
        self.writer.lock().truncate(to)
    }

    /// As `Writer::stamp`.
    pub fn stamp(&self, stamps: Stamps) {
        self.writer.lock().stamp(stamps);
    }

    /// As `Writer::known_committed`.
    pub fn known_committed(&self) -> Position {
        self.writer.lock().known_committed()
    }

    /// As `Writer::close`.
    pub fn close(&self) {
        self.writer.lock().close();
    }

    /// Sees to it that what waits is written, on this thread if it can be done without waiting for the disk.
    pub fn write_here(&self, clock: impl Fn() -> u64) -> Result<(), Poisoned> {
        let mut now_ms = clock();
        if self.group.flush() == Flush::Sync || now_ms < self.stalled_until_ms.load(Ordering::Relaxed) {
            self.group.nudge();
            return Ok(());
        }
        // Again and again: what came while the pen was taken was left to its holder.
        while let Some(bytes) = self.group.waiting_bytes() {
            let Some(mut writer) = self.writer.try_lock() else { return Ok(()) };
            if bytes > BYTES_MAX || !writer.is_quick() {
                drop(writer);
                self.group.nudge();
                return Ok(());
            }
            let step = writer.step(now_ms)?;
            drop(writer);
            let began_ms = std::mem::replace(&mut now_ms, clock());
            if now_ms - began_ms >= STALL_MS {
                self.stalled_until_ms.store(now_ms + STALLED_FOR_MS, Ordering::Relaxed);
            }
            if step == Step::Idle {
                return Ok(()); // waits for room on the disk, which the log thread looks for
            }
        }
        Ok(())
    }
}

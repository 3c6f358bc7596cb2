//! What the writer, the readers and the background work see of one log.
//!
//! ```text
//!   head ........... durable ........... written
//!    oldest segment    synced up to here   handed to the disk up to here
//! ```
//!
//! Syncs take turns, each covers all that was written before it began. A failed one ends the log for everybody: the
//! kernel may have dropped the dirty pages, so the next sync would report a success that means nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::cache::Cache;
use super::codec::Seal;
use super::epochs::Epochs;
use super::error::Poisoned;
use super::prepare::Next;
use super::segment::Segment;
use crate::disk::Disk;
use crate::units::Position;

/// State of a log that is open.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) id: [u8; 16],
    pub(crate) seal: Seal,
    /// The segment to come; its lock is held while it is made.
    pub(crate) next: Next,
    pub(crate) cache: Cache,
    /// Taken for each epoch that begins, and by whoever asks.
    pub(crate) epochs: Mutex<Epochs>,
    /// In log order, at least one; the last one is written to.
    segments: RwLock<Vec<Arc<Segment>>>,
    head: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    syncing: Mutex<()>,
    poisoned: OnceLock<Poisoned>,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        id: [u8; 16],
        segments: Vec<Arc<Segment>>,
        tail: Position,
        next: Next,
        epochs: Epochs,
    ) -> Self {
        let head = segments.first().map_or(0, |segment| segment.start.0);
        Self {
            disk,
            id,
            seal: Seal::new(&id),
            next,
            cache: Cache::new(tail),
            epochs: Mutex::new(epochs),
            segments: RwLock::new(segments),
            head: AtomicU64::new(head),
            written: AtomicU64::new(tail.0),
            durable: AtomicU64::new(tail.0),
            syncing: Mutex::new(()),
            poisoned: OnceLock::new(),
        }
    }

    pub(crate) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// The segment that `position` lies in.
    pub(crate) fn segment_of(&self, position: Position) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.start <= position);
        let segment = segments.get(after.checked_sub(1)?)?;
        (position < segment.end()).then(|| Arc::clone(segment))
    }

    /// The segment that is written to.
    pub(crate) fn active(&self) -> Arc<Segment> {
        let segments = self.segments.read();
        Arc::clone(segments.last().expect("a log has at least one segment"))
    }

    /// The first segment.
    pub(crate) fn oldest(&self) -> Arc<Segment> {
        let segments = self.segments.read();
        Arc::clone(segments.first().expect("a log has at least one segment"))
    }

    /// The last segment that was begun before `ms`.
    pub(crate) fn begun_before(&self, ms: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let is_begun = |segment: &&Arc<Segment>| segment.first_ms().is_some_and(|first_ms| first_ms < ms);
        segments.iter().rev().find(is_begun).cloned()
    }

    /// The two oldest segments; `None` while there is only one.
    pub(crate) fn oldest_two(&self) -> Option<(Arc<Segment>, Arc<Segment>)> {
        let segments = self.segments.read();
        Some((Arc::clone(segments.first()?), Arc::clone(segments.get(1)?)))
    }

    /// Err once the log has ended.
    pub(crate) fn check(&self) -> Result<(), Poisoned> {
        self.poisoned.get().map_or(Ok(()), |poisoned| Err(poisoned.clone()))
    }

    /// Ends the log; the first reason stays.
    pub(crate) fn poison(&self, operation: &'static str, file: String, reason: &std::io::Error) -> Poisoned {
        let poisoned = Poisoned { operation, file, reason: reason.to_string() };
        self.poisoned.get_or_init(|| poisoned).clone()
    }

    /// The writer has handed everything below `to` to the disk.
    pub(crate) fn advance(&self, to: Position) {
        debug_assert!(self.written() <= to);
        self.written.store(to.0, Ordering::Release);
    }

    /// The writer goes on in `segment`.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    /// The active segment, still empty, was made anew.
    pub(crate) fn replace_active(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write();
        segments.pop();
        segments.push(segment);
    }

    /// The log ends at `tail` now; all below is synced. Returns the segment that is written to from now on.
    pub(crate) fn retreat(&self, tail: Position) -> Arc<Segment> {
        // A sync under way would put the durable end back to where it was.
        let _turn = self.syncing.lock();
        let mut segments = self.segments.write();
        segments.retain(|segment| segment.start < tail);
        self.durable.store(tail.0, Ordering::Release);
        self.written.store(tail.0, Ordering::Release);
        self.epochs.lock().cut(tail);
        self.cache.retreat(tail);
        Arc::clone(segments.last().expect("a cut never lies below the first segment"))
    }

    /// The oldest segment is gone.
    pub(crate) fn drop_oldest(&self) -> Position {
        let mut segments = self.segments.write();
        segments.remove(0);
        let head = segments.first().expect("the active segment is never dropped").start;
        self.head.store(head.0, Ordering::Release);
        head
    }

    /// Makes everything that is written when it begins last; returns how far that is.
    pub(crate) fn sync(&self) -> Result<Position, Poisoned> {
        let wanted = self.written();
        // Held across the sync on purpose: two at once would only wait for each other in the kernel.
        let _turn = self.syncing.lock();
        self.check()?;
        let durable = self.durable();
        if wanted <= durable {
            return Ok(durable);
        }
        let written = self.written();
        for segment in self.touched(durable, written) {
            segment.file.sync().map_err(|error| self.poison("sync", segment.path(), &error))?;
        }
        self.durable.store(written.0, Ordering::Release);
        Ok(written)
    }

    pub(crate) fn touched(&self, from: Position, to: Position) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        segments.iter().filter(|s| from < s.end() && s.start < to).cloned().collect()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("head", &self.head())
            .field("durable", &self.durable())
            .field("written", &self.written())
            .field("poisoned", &self.poisoned.get())
            .finish_non_exhaustive()
    }
}

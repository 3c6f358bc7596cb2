//! The next segment, made ahead of its use, so that the writer does not wait for a folder to be synced.
//!
//! ```text
//!   create -> page -> sync -> rename -> sync the folder
//! ```
//!
//! The file grows with what is written to it. Reserving its blocks first would spare the writer a full disk in the
//! middle of a batch, but a write into reserved blocks costs several times the CPU of one that appends (ext4 looks up
//! and converts the extent for each page), so the writer copes with a full disk instead.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::segment::{DIR, PAGE_BYTES, Page, Segment, name_of, path};
use super::shared::Shared;
use super::{PrepareError, Preparer};
use crate::disk::{Disk, File};

/// A segment that is being made; whatever lies there after a crash is made anew.
pub(crate) const DRAFT_FILE: &str = "new";

/// The segment that follows the active one.
pub(crate) struct Next {
    segment_bytes: u64,
    /// Held while the segment is made: the writer could only make a second one of the same name.
    ready: Mutex<Option<Arc<Segment>>>,
}

impl Next {
    pub(crate) fn new(segment_bytes: u64, ready: Option<Arc<Segment>>) -> Self {
        Self { segment_bytes, ready: Mutex::new(ready) }
    }

    /// Keeps `Preparer`s out, and holds what they made.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Arc<Segment>>> {
        self.ready.lock()
    }
}

impl Preparer {
    /// Makes the next segment if it is time and there is none; true if it did.
    pub fn prepare(&self, now_ms: u64) -> Result<bool, PrepareError> {
        let shared = &*self.shared;
        let active = shared.active();
        if shared.written().0.saturating_sub(active.start.0) < active.bytes / 2 {
            return Ok(false);
        }
        let mut ready = shared.next.ready.lock();
        if ready.is_some() {
            return Ok(false);
        }
        // Only now: the writer may have gone on to another segment before the lock was free.
        *ready = Some(make_next(shared, shared.next.segment_bytes, now_ms)?);
        Ok(true)
    }
}

/// The writer needs the next segment, of this size, now: makes it the active one.
pub(crate) fn begin_next(
    shared: &Shared,
    segment_bytes: u64,
    now_ms: u64,
) -> Result<Arc<Segment>, PrepareError> {
    let mut ready = shared.next.ready.lock();
    let segment = match ready.take() {
        Some(segment) if segment.bytes == segment_bytes => segment,
        // One of another size gives its name to the new one.
        _ => make_next(shared, segment_bytes, now_ms)?,
    };
    // Under the lock: otherwise a `prepare` could still see the old one and make this segment a second time.
    shared.push(Arc::clone(&segment));
    Ok(segment)
}

/// The active segment is empty: makes it anew with this size.
pub(crate) fn resize_active(
    shared: &Shared,
    segment_bytes: u64,
    now_ms: u64,
) -> Result<Arc<Segment>, PrepareError> {
    // One that was prepared lies behind the old end.
    let mut ready = shared.next.ready.lock();
    if let Some(next) = ready.take() {
        let io_error = |source| PrepareError::Io { file: next.path(), source };
        shared.disk.remove(&next.path()).and_then(|()| shared.disk.sync_dir(DIR)).map_err(io_error)?;
    }
    let page = Page { id: shared.id, start: shared.active().start, bytes: segment_bytes, created_ms: now_ms };
    let segment = make(&*shared.disk, &page).map(Arc::new)?;
    shared.replace_active(Arc::clone(&segment));
    Ok(segment)
}

fn make_next(shared: &Shared, segment_bytes: u64, now_ms: u64) -> Result<Arc<Segment>, PrepareError> {
    let start = shared.active().end();
    let page = Page { id: shared.id, start, bytes: segment_bytes, created_ms: now_ms };
    make(&*shared.disk, &page).map(Arc::new)
}

/// Makes the segment that `page` describes.
pub(crate) fn make(disk: &dyn Disk, page: &Page) -> Result<Segment, PrepareError> {
    let draft = path(DRAFT_FILE);
    match write_file(disk, page, &draft) {
        Ok(file) => Ok(Segment::new(page.start, page.bytes, file)),
        Err(source) if is_full(&source) => {
            // It may hold the last free block. The error that counts is the first.
            let _ = disk.remove(&draft);
            let free_bytes = disk.free_bytes().unwrap_or(0);
            Err(PrepareError::Full { needed_bytes: PAGE_BYTES, free_bytes })
        }
        Err(source) => Err(PrepareError::Io { file: path(&name_of(page.start)), source }),
    }
}

fn write_file(disk: &dyn Disk, page: &Page, draft: &str) -> io::Result<Arc<dyn File>> {
    let file = disk.create(draft)?;
    page.write(&*file)?;
    disk.rename(draft, &path(&name_of(page.start)))?;
    disk.sync_dir(DIR)?;
    Ok(file)
}

/// Whether the disk refused for want of room, and nothing else is wrong with it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

//! The next segment, made ahead of its use: a log write never meets a full disk in the middle of a batch.
//!
//! ```text
//!   create or recycle -> reserve its blocks -> (Sync: write zeros) -> page -> sync -> rename -> sync the folder
//! ```
//!
//! With `Flush::Sync` the blocks are written once with zeros: the first write into a merely reserved block makes the
//! sync wait for the file system's journal, which doubles its time. Segments that retention retired are as good.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::segment::{DIR, Page, Segment, name_of, path};
use super::shared::Shared;
use super::{Flush, PrepareError, Preparer};
use crate::disk::{Disk, File};
use crate::units::Position;

/// A segment that is being made; whatever lies there after a crash is made anew.
pub(crate) const DRAFT_FILE: &str = "new";

/// Retired segments that are kept for recycling.
const SPARES_MAX: usize = 1;

/// Zeros are synced in pieces of this size, so that the log's own syncs get their turn.
const ZEROS_BYTES: u64 = 4 << 20;
const ZEROS_PIECE_BYTES: u64 = 1 << 20;

/// The segment that follows the active one.
pub(crate) struct Next {
    segment_bytes: u64,
    flush: Flush,
    /// Held while the segment is made: the writer could only make a second one of the same name.
    ready: Mutex<Option<Arc<Segment>>>,
    /// The writer waits: leave out what can be left out.
    hurry: AtomicBool,
}

impl Next {
    pub(crate) fn new(segment_bytes: u64, flush: Flush, ready: Option<Arc<Segment>>) -> Self {
        Self { segment_bytes, flush, ready: Mutex::new(ready), hurry: AtomicBool::new(false) }
    }
}

impl Preparer {
    /// Makes the next segment if it is time and there is none; true if it did. May take long: the writer only waits
    /// for it when the active segment is full.
    pub fn prepare(&self, now_ms: u64) -> Result<bool, PrepareError> {
        let shared = &*self.shared;
        let active = shared.active();
        // Not before half of it is used: an idle log should not occupy twice its room.
        if shared.written().0.saturating_sub(active.start.0) < active.bytes / 2 {
            return Ok(false);
        }
        let mut ready = shared.next.ready.lock();
        if ready.is_some() {
            return Ok(false);
        }
        // Only now: the writer may have gone on to another segment before the lock was free.
        *ready = Some(make_next(shared, now_ms, shared.next.flush == Flush::Sync)?);
        Ok(true)
    }
}

/// The writer needs the next segment now: makes it the active one.
pub(crate) fn begin_next(shared: &Shared, now_ms: u64) -> Result<Arc<Segment>, PrepareError> {
    shared.next.hurry.store(true, Ordering::Relaxed);
    let mut ready = shared.next.ready.lock();
    shared.next.hurry.store(false, Ordering::Relaxed);
    let segment = match ready.take() {
        Some(segment) => segment,
        None => make_next(shared, now_ms, false)?,
    };
    // Under the lock: otherwise a `prepare` could still see the old one and make this segment a second time.
    shared.push(Arc::clone(&segment));
    Ok(segment)
}

/// The writer comes close to the end: makes sure that there is, or soon will be, a next segment.
pub(crate) fn want_next(shared: &Shared, now_ms: u64) -> Result<(), PrepareError> {
    let Some(mut ready) = shared.next.ready.try_lock() else {
        return Ok(()); // it is being made
    };
    if ready.is_none() {
        *ready = Some(make_next(shared, now_ms, false)?);
    }
    Ok(())
}

fn make_next(shared: &Shared, now_ms: u64, zeros: bool) -> Result<Arc<Segment>, PrepareError> {
    let next = &shared.next;
    let start = shared.active().end();
    let page = Page { id: shared.id, start, bytes: next.segment_bytes, created_ms: now_ms };
    make(&*shared.disk, &page, &|| zeros && !next.hurry.load(Ordering::Relaxed)).map(Arc::new)
}

/// Makes the segment that `page` describes, from a spare or anew; fills it with zeros as long as `fill` says so.
pub(crate) fn make(disk: &dyn Disk, page: &Page, fill: &dyn Fn() -> bool) -> Result<Segment, PrepareError> {
    let name = name_of(page.start);
    let at_file = |name: &str| {
        let file = path(name);
        move |source| PrepareError::Io { file, source }
    };
    let (draft, file) = match recycle(disk, page.bytes).map_err(at_file("spare"))? {
        Some(spare) => spare,
        None => (DRAFT_FILE.to_owned(), create(disk, page.bytes, fill)?),
    };
    page.write(&*file).map_err(at_file(&draft))?;
    disk.rename(&path(&draft), &path(&name)).map_err(at_file(&name))?;
    disk.sync_dir(DIR).map_err(at_file(&name))?;
    Ok(Segment::new(page.start, page.bytes, file))
}

/// Takes a retired segment out of the log; its blocks are kept for the next one if there is not one already.
pub(crate) fn retire(disk: &dyn Disk, segment: &Segment) -> io::Result<()> {
    let spares = spares(disk)?;
    if spares.len() < SPARES_MAX {
        disk.rename(&segment.path(), &path(&spare_name(segment.start)))?;
    } else {
        disk.remove(&segment.path())?;
    }
    // One at a time: were several removals to last out of order, a crash would leave a hole in the log.
    disk.sync_dir(DIR)
}

/// Bytes that must be free before a segment is made: runs and checkpoints need some room too.
pub(crate) const fn needed_bytes(segment_bytes: u64) -> u64 {
    segment_bytes + segment_bytes / 8
}

fn recycle(disk: &dyn Disk, bytes: u64) -> io::Result<Option<(String, Arc<dyn File>)>> {
    for name in spares(disk)? {
        let file = disk.open(&path(&name))?;
        if file.len_bytes()? == bytes {
            return Ok(Some((name, file)));
        }
        disk.remove(&path(&name))?; // the configured size has changed
    }
    Ok(None)
}

fn create(disk: &dyn Disk, bytes: u64, fill: &dyn Fn() -> bool) -> Result<Arc<dyn File>, PrepareError> {
    let draft = path(DRAFT_FILE);
    let io_error = |source| PrepareError::Io { file: draft.clone(), source };
    let needed_bytes = needed_bytes(bytes);
    let free_bytes = disk.free_bytes().map_err(io_error)?;
    if free_bytes < needed_bytes {
        return Err(PrepareError::Full { needed_bytes, free_bytes });
    }
    let file = disk.create(&draft).map_err(io_error)?;
    match file.allocate(bytes).and_then(|()| write_zeros(&*file, bytes, fill)) {
        Ok(()) => Ok(file),
        Err(source) => {
            // A part may have been reserved; give it back to those who need less. The error that counts is the first.
            let _ = disk.remove(&draft);
            if source.kind() == io::ErrorKind::StorageFull {
                return Err(PrepareError::Full { needed_bytes, free_bytes });
            }
            Err(io_error(source))
        }
    }
}

fn write_zeros(file: &dyn File, bytes: u64, fill: &dyn Fn() -> bool) -> io::Result<()> {
    if !fill() {
        return Ok(());
    }
    let zeros = vec![0; ZEROS_PIECE_BYTES.min(bytes) as usize];
    let mut at = 0;
    while at < bytes && fill() {
        let piece = (bytes - at).min(ZEROS_PIECE_BYTES);
        file.write_at(&[IoSlice::new(&zeros[..piece as usize])], at)?;
        at += piece;
        if at.is_multiple_of(ZEROS_BYTES) {
            file.sync()?;
        }
    }
    Ok(())
}

fn spares(disk: &dyn Disk) -> io::Result<Vec<String>> {
    Ok(disk.list(DIR)?.into_iter().filter(|name| name.starts_with("spare-")).collect())
}

fn spare_name(start: Position) -> String {
    format!("spare-{:020}", start.0)
}

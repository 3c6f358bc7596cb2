//! The begin and the end of a copy: an empty log that starts where another one is kept, and no log at all.
//!
//! ```text
//!   create: segment -> LOG-ID        wipe: LOG-ID -> marker, segments
//! ```
//!
//! Promise: at every moment there is a whole log or, as [`Log::exists`] says, none.

use std::io;

use super::error::OpenError;
use super::prepare::DRAFT_FILE;
use super::segment::{
    DIR, PAGE_BYTES, Page, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, is_segment_size, path, start_of,
};
use super::{Log, identity, marker, recover, truncate, unproven};
use crate::disk::Disk;
use crate::units::Position;

impl Log {
    /// Whether there is a log.
    pub fn exists(disk: &dyn Disk) -> Result<bool, OpenError> {
        identity::read(disk).map(|id| id.is_some())
    }

    /// Begins an empty log with this identity, whose first segment starts at `start` and has `segment_bytes`.
    /// What a `create` or `wipe` that was cut short has left goes.
    pub fn create(
        disk: &dyn Disk,
        id: [u8; 16],
        start: Position,
        segment_bytes: u64,
        now_ms: u64,
    ) -> Result<(), OpenError> {
        if Self::exists(disk)? {
            return Err(OpenError::Exists);
        }
        if !is_segment_size(segment_bytes) {
            let (min_bytes, max_bytes) = (SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
            return Err(OpenError::SegmentSize { segment_bytes, min_bytes, max_bytes });
        }
        if !start.0.is_multiple_of(PAGE_BYTES) || start.0.checked_add(segment_bytes).is_none() {
            return Err(OpenError::Start { start });
        }
        let io_error = |source| OpenError::Io { file: DIR.to_owned(), source };
        disk.create_dir(DIR).and_then(|()| disk.sync_dir("")).map_err(io_error)?;
        remove_remains(disk).map_err(io_error)?;
        recover::make(disk, &Page { id, start, bytes: segment_bytes, created_ms: now_ms })?;
        // Last: with an identity and no segment, it would be taken for a log that begins at 0.
        identity::create(disk, id, now_ms)
    }

    /// Removes the log. What was kept beside it (index, checkpoints) stays, and is the caller's.
    pub fn wipe(disk: &dyn Disk) -> io::Result<()> {
        // First: what is left of a log without an identity is no log.
        remove_if_there(disk, identity::FILE)?;
        remove_if_there(disk, identity::DRAFT_FILE)?;
        disk.sync_dir("")?;
        remove_remains(disk)
    }
}

/// Removes all files of a log that has no identity.
fn remove_remains(disk: &dyn Disk) -> io::Result<()> {
    for marker in [truncate::FILE, unproven::FILE, marker::DRAFT_FILE] {
        remove_if_there(disk, marker)?;
    }
    disk.sync_dir("")?;
    let names = disk.list(DIR)?;
    for name in names.iter().filter(|name| start_of(name).is_some() || *name == DRAFT_FILE) {
        disk.remove(&path(name))?;
    }
    if names.is_empty() { Ok(()) } else { disk.sync_dir(DIR) }
}

fn remove_if_there(disk: &dyn Disk, file: &str) -> io::Result<()> {
    match disk.remove(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

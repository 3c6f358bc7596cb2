//! Giving back the end of the log, which the leader of a later epoch does not have.
//!
//! ```text
//!   sync -> TRUNCATE.new -> sync -> rename -> | later segments, last first -> cut the file, sync | -> remove TRUNCATE
//!                                             |  an open after a crash begins here               |
//! ```
//!
//! Promise: after a crash the cut has not begun, or the next open completes it. What lies beyond the cut never comes
//! back. Limit: nothing that is agreed among the copies is given back.

use std::io::{self, IoSlice};
use std::sync::Arc;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::create::remove_if_there;
use super::error::{OpenError, Poisoned, TruncateError};
use super::scan::Scanner;
use super::segment::{DIR, path, start_of};
use super::writer::Chain;
use super::{Log, Role, crc32};
use crate::disk::Disk;
use crate::units::{Offset, Position, QueueId};

/// The marker of a cut that has begun.
pub(crate) const FILE: &str = "TRUNCATE";
pub(crate) const DRAFT_FILE: &str = "TRUNCATE.new";

const MAGIC: [u8; 4] = *b"mpcu";
const VERSION: u32 = 1;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMarker {
    magic: [u8; 4],
    version: U32,
    id: [u8; 16],
    to: U64,
    crc: U32,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<RawMarker>() == 40);

impl Log {
    /// Gives back everything from `to` on, where a batch ends; `tails` are the next offsets of queues there.
    ///
    /// Readers of what goes must be gone. After an error of the disk the log has ended.
    pub fn truncate(&mut self, to: Position, tails: Vec<(QueueId, Offset)>) -> Result<(), TruncateError> {
        if self.role != Role::Follows {
            return Err(TruncateError::Leading);
        }
        self.shared.check()?;
        let (to, chain) = self.boundary(to)?;
        let committed = self.known_committed;
        if to < committed {
            return Err(TruncateError::Committed { to, committed });
        }
        if to < self.tail {
            // What stays is to be as safe as `durable` will say.
            self.shared.sync()?;
            self.cut(to)?;
            self.chain = chain;
        }
        self.tails = tails.into_iter().collect();
        Ok(())
    }

    /// Where the log will end, and the link to the last batch there.
    fn boundary(&self, to: Position) -> Result<(Position, Chain), TruncateError> {
        let (head, written) = (self.head(), self.tail);
        if to < head {
            return Err(TruncateError::Trimmed { head });
        }
        let none = TruncateError::Boundary { to, written };
        if to == written {
            return Ok((to, self.chain));
        }
        let Some(segment) = self.shared.segment_of(to).filter(|_| to < written) else { return Err(none) };
        let (mut end, mut holder) = (to, Arc::clone(&segment));
        if to <= segment.first() {
            if to != segment.start && to != segment.first() {
                return Err(none);
            }
            if segment.start == head {
                return Ok((segment.first(), self.unlinked(segment.first())));
            }
            end = segment.start;
            holder = self.shared.segment_of(Position(end.0 - 1)).ok_or(TruncateError::Trimmed { head })?;
        }
        let mut scanner = Scanner::new(holder, self.shared.seal);
        let chain = scanner.chain_to(end).map_err(|error| TruncateError::Read(Box::new(error)))?;
        chain.map(|chain| (to, chain)).ok_or(none)
    }

    /// The link of a log that has no batch below `to`.
    fn unlinked(&self, to: Position) -> Chain {
        let mut epochs = self.shared.epochs.lock().clone();
        epochs.cut(to);
        Chain { epoch: epochs.last(), ..Chain::default() }
    }

    fn cut(&mut self, to: Position) -> Result<(), Poisoned> {
        let shared = &self.shared;
        // Held until the new end is known: what is made meanwhile would follow the old one.
        let mut next = shared.next.lock();
        let cut = mark(&*shared.disk, &shared.id, to).and_then(|()| cut_files(&*shared.disk, to));
        cut.map_err(|error| shared.poison("truncate", DIR.to_owned(), &error))?;
        *next = None;
        self.active = shared.retreat(to);
        self.tail = to;
        if to == self.active.first() {
            self.active.empty();
        }
        Ok(())
    }
}

/// Completes a cut that a crash has interrupted.
pub(crate) fn complete(disk: &dyn Disk, id: &[u8; 16]) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { file: FILE.to_owned(), source };
    remove_if_there(disk, DRAFT_FILE).map_err(io_error)?;
    match read(disk, id)? {
        Some(to) => cut_files(disk, to).map_err(io_error),
        None => Ok(()),
    }
}

fn mark(disk: &dyn Disk, id: &[u8; 16], to: Position) -> io::Result<()> {
    let mut raw = RawMarker {
        magic: MAGIC,
        version: VERSION.into(),
        id: *id,
        to: to.0.into(),
        crc: U32::ZERO,
        reserved: [0; 4],
    };
    raw.crc = crc32(&raw.as_bytes()[..32]).into();
    let file = disk.create(DRAFT_FILE)?;
    file.write_at(&[IoSlice::new(raw.as_bytes())], 0)?;
    // Before the rename: a marker that cannot be read would leave nobody knowing where the log ends.
    file.sync()?;
    disk.rename(DRAFT_FILE, FILE)?;
    disk.sync_dir("")
}

fn read(disk: &dyn Disk, id: &[u8; 16]) -> Result<Option<Position>, OpenError> {
    let io_error = |source| OpenError::Io { file: FILE.to_owned(), source };
    let file = match disk.open(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let corrupt = || OpenError::Corrupt { file: FILE.to_owned(), position: Position(0) };
    let mut bytes = [0; size_of::<RawMarker>()];
    let read = file.read_at(&mut bytes, 0).map_err(io_error)?;
    let raw = RawMarker::ref_from_bytes(&bytes).map_err(|_| corrupt())?;
    if read < bytes.len() || raw.magic != MAGIC || raw.crc.get() != crc32(&bytes[..32]) {
        return Err(corrupt());
    }
    if raw.version.get() != VERSION {
        let what = format!("version {}", raw.version.get());
        return Err(OpenError::Unsupported { file: FILE.to_owned(), what });
    }
    if raw.id != *id {
        return Err(OpenError::Foreign { file: FILE.to_owned() });
    }
    Ok(Some(Position(raw.to.get())))
}

/// Removes everything from `to` on and then the marker; may be done again.
fn cut_files(disk: &dyn Disk, to: Position) -> io::Result<()> {
    let names = disk.list(DIR)?;
    let starts = names.iter().filter_map(|name| Some((start_of(name)?, name)));
    let (kept, gone): (Vec<_>, Vec<_>) = starts.partition(|(start, _)| *start < to);
    // The last one first, one at a time: a crash in between must not leave a hole.
    for (_, name) in gone.iter().rev() {
        disk.remove(&path(name))?;
        disk.sync_dir(DIR)?;
    }
    if let Some((start, name)) = kept.last() {
        let file = disk.open(&path(name))?;
        if file.len_bytes()? > to.0 - start.0 {
            file.truncate(to.0 - start.0)?;
        }
        // Even if it is short enough: a crash may have come before this sync.
        file.sync()?;
    }
    disk.remove(FILE)?;
    disk.sync_dir("")
}

//! Giving back the end of the log, which the leader of a later epoch does not have.
//!
//! ```text
//!   sync -> TRUNCATE, synced -> | later segments, last first -> cut the file, sync | -> remove TRUNCATE
//!                                             |  an open after a crash begins here               |
//! ```
//!
//! Promise: after a crash the cut has not begun, or the next open completes it. What lies beyond the cut never comes
//! back. Limit: nothing that is agreed among the copies is given back.

use std::io;
use std::sync::Arc;

use super::error::{OpenError, Poisoned, TruncateError};
use super::scan::Scanner;
use super::segment::{DIR, path, start_of};
use super::writer::Chain;
use super::{Log, Role, marker};
use crate::disk::Disk;
use crate::units::{Offset, Position, QueueId};

/// The marker of a cut that has begun.
pub(crate) const FILE: &str = "TRUNCATE";

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
            self.trust()?;
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
        let cut =
            marker::write(&*shared.disk, FILE, &shared.id, to).and_then(|()| cut_files(&*shared.disk, to));
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
    match marker::read(disk, FILE, id)? {
        Some(to) => cut_files(disk, to).map_err(io_error),
        None => Ok(()),
    }
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
    marker::remove(disk, FILE)
}

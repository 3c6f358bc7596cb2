//! The only way a log opens: whatever happened before, find out what is there.
//!
//! ```text
//!   covered --[batch]--[batch]--[batch]--[torn....      [batch, durable = D]
//!                                         T                  the search beyond T
//! ```
//!
//! From what the checkpoint covers, batches are taken as long as they verify: header, place, epoch, link to the one
//! before, every record. The first that does not is `T`. If an intact header beyond it states that syncs had got
//! further (`D > T`), the bytes at `T` were once safe and are damaged now: an error. Otherwise nobody was promised
//! them and the log ends at `T`; later segments go. What no batch proves to be synced is written again and synced,
//! because a sync may have failed before the crash and left pages that only look written.

use std::sync::Arc;

use super::codec::Seal;
use super::epochs::Epochs;
use super::error::{OpenError, PrepareError};
use super::prepare::{self, DRAFT_FILE};
use super::scan::{Found, Scanner, io_error};
use super::segment::{
    DIR, Page, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment, is_segment_size, path, start_of,
};
use super::tails::{Tails, raise_tails};
use super::writer::{Chain, WINDOW_BYTES};
use super::{LogConfig, Replay, identity, truncate, unproven};
use crate::disk::Disk;
use crate::units::Position;

/// A log that may be written to.
pub(crate) struct Recovered {
    pub(crate) id: [u8; 16],
    /// At least one; `tail` lies in the last one, or where it ends.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// An empty segment that was made before the crash.
    pub(crate) next: Option<Arc<Segment>>,
    /// Everything below is there and synced.
    pub(crate) tail: Position,
    pub(crate) chain: Chain,
    pub(crate) tails: Tails,
    pub(crate) epochs: Epochs,
    /// Everything below is known to be agreed.
    pub(crate) committed: Position,
}

/// A scan under way.
struct Recovery<'a> {
    disk: &'a dyn Disk,
    seal: Seal,
    segments: Vec<Arc<Segment>>,
    /// Which segment the scan is in, and where.
    number: usize,
    at: Position,
    chain: Chain,
    /// Everything below had been synced for certain.
    proven: Position,
    /// Batches above prove nothing.
    unproven: Option<Position>,
    tails: Tails,
    epochs: Epochs,
    committed: Position,
}

/// Opens what is there, or begins a new log.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    config: &LogConfig,
    from: Replay,
    now_ms: u64,
) -> Result<Recovered, OpenError> {
    let segment_bytes = config.segment_bytes;
    if !is_segment_size(segment_bytes) {
        let (min_bytes, max_bytes) = (SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        return Err(OpenError::SegmentSize { segment_bytes, min_bytes, max_bytes });
    }
    let disk = &**disk;
    let (id, mut segments) = open_files(disk, config, now_ms)?;
    if segments.is_empty() {
        if from.covered > Position(0) {
            return Err(OpenError::Missing { position: from.covered });
        }
        let start = Position(0);
        segments.push(make(disk, &Page { id, start, bytes: segment_bytes, created_ms: now_ms })?);
    }
    let unproven = unproven::read(disk, &id)?;
    let mut recovery = Recovery::begin(disk, Seal::new(&id), segments, from, unproven)?;
    recovery.scan()?;
    recovery.secure()?;
    let next = recovery.cut(segment_bytes)?;
    if unproven.is_some() {
        // Without the marker, a batch that is left over beyond the end would prove what nobody was promised.
        recovery.clear()?;
        unproven::forget(disk)?;
    }
    let Recovery { segments, at: tail, mut chain, tails, epochs, committed, .. } = recovery;
    // A log that begins behind its older epochs and is still empty.
    chain.epoch = chain.epoch.max(epochs.last());
    Ok(Recovered { id, segments, next, tail, chain, tails, epochs, committed })
}

/// Reads the identity and opens all segments; none if the log is new.
fn open_files(
    disk: &dyn Disk,
    config: &LogConfig,
    now_ms: u64,
) -> Result<([u8; 16], Vec<Arc<Segment>>), OpenError> {
    let io_error = |source| OpenError::Io { file: DIR.to_owned(), source };
    disk.create_dir(DIR).map_err(io_error)?;
    // What another process named before it was killed is seen now, and must still be seen after a power cut.
    disk.sync_dir("").and_then(|()| disk.sync_dir(DIR)).map_err(io_error)?;
    let names = disk.list(DIR).map_err(io_error)?;
    if names.iter().any(|name| name == DRAFT_FILE) {
        disk.remove(&path(DRAFT_FILE)).map_err(io_error)?;
    }
    let names: Vec<_> = names.iter().filter(|name| start_of(name).is_some()).collect();
    let id = match identity::read(disk)? {
        Some(id) => id,
        None if names.is_empty() => {
            let id = config.new_id.unwrap_or_else(|| identity::derived(now_ms));
            identity::create(disk, id, now_ms)?;
            id
        }
        None => return Err(identity::corrupt()),
    };
    truncate::complete(disk, &id)?;
    // Again: it may have removed some.
    let names = disk.list(DIR).map_err(io_error)?;
    let names: Vec<_> = names.iter().filter(|name| start_of(name).is_some()).collect();
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(names.len());
    for name in names {
        let segment = Segment::open(disk, &id, name)?;
        if let Some(end) = segments.last().map(|last| last.end())
            && end != segment.start
        {
            return Err(OpenError::Missing { position: end });
        }
        segments.push(Arc::new(segment));
    }
    Ok((id, segments))
}

pub(crate) fn make(disk: &dyn Disk, page: &Page) -> Result<Arc<Segment>, OpenError> {
    prepare::make(disk, page).map(Arc::new).map_err(|error| match error {
        PrepareError::Full { needed_bytes, free_bytes } => OpenError::Full { needed_bytes, free_bytes },
        PrepareError::Io { file, source } => OpenError::Io { file, source },
    })
}

impl<'a> Recovery<'a> {
    /// Finds the place where the scan begins, and the batch before it.
    fn begin(
        disk: &'a dyn Disk,
        seal: Seal,
        segments: Vec<Arc<Segment>>,
        from: Replay,
        unproven: Option<Position>,
    ) -> Result<Self, OpenError> {
        let covered = from.covered;
        let at = segments[0].first();
        let starts_at = segments[0].start;
        let mut begun = Self {
            disk,
            seal,
            segments,
            number: 0,
            at,
            chain: Chain::default(),
            proven: at,
            unproven,
            tails: from.tails.into_iter().collect(),
            epochs: Epochs::new(from.epochs, at.max(covered)),
            committed: covered,
        };
        if covered == Position(0) || covered == starts_at {
            return Ok(begun); // no checkpoint, or nothing below: all that is left
        }
        let holds = |segment: &Arc<Segment>| segment.start < covered && covered <= segment.end();
        let Some(mut number) = begun.segments.iter().position(holds) else {
            return Err(OpenError::Missing { position: covered });
        };
        (begun.number, begun.at) = (number, covered.max(begun.segments[number].first()));
        begun.proven = begun.at;
        let mut end = covered;
        if covered <= begun.segments[number].first() {
            let Some(before) = number.checked_sub(1) else { return Ok(begun) };
            number = before;
            end = begun.segments[before].end();
        }
        let mut scanner = Scanner::new(Arc::clone(&begun.segments[number]), seal);
        // A checkpoint covers only what is synced: its last batch must be there.
        begun.chain = scanner
            .chain_to(end)?
            .ok_or_else(|| OpenError::Corrupt { file: begun.segments[number].path(), position: covered })?;
        // Unless the checkpoint knows better.
        begun.epochs.note(begun.chain.epoch, begun.at);
        Ok(begun)
    }

    /// Takes batches until the first that is not there.
    fn scan(&mut self) -> Result<(), OpenError> {
        let mut scanner = Scanner::new(Arc::clone(&self.segments[self.number]), self.seal);
        let mut records = Vec::new();
        loop {
            let before = (self.number, self.at);
            if !scanner.segment().takes(self.at) {
                let Some(next) = self.segments.get(self.number + 1) else { return Ok(()) };
                self.number += 1;
                self.at = next.first();
                scanner = Scanner::new(Arc::clone(next), self.seal);
            }
            let (found, chain) = scanner.batch(self.at, &self.chain, &mut records)?;
            let header = match found {
                Found::Whole(header) => header,
                // The body of a message is damaged. If it was safe once, only that message is lost.
                Found::Rotten(header) if self.is_proven(header.end())? => header,
                Found::Nothing if self.is_proven(Position(self.at.0 + 1))? => {
                    let file = self.segments[self.number].path();
                    return Err(OpenError::Corrupt { file, position: self.at });
                }
                Found::Rotten(_) | Found::Nothing => {
                    // A segment without a batch is as good as none; all copies shall call their end the same.
                    (self.number, self.at) = before;
                    return Ok(());
                }
            };
            raise_tails(&mut self.tails, &records);
            self.epochs.note(header.epoch, header.start);
            self.committed = self.committed.max(header.committed.min(header.start));
            self.chain = chain;
            let proven = self.unproven.map_or(header.durable, |from| header.durable.min(from));
            self.proven = self.proven.max(proven);
            self.at = header.end();
        }
    }

    /// Whether a batch that lies beyond states that everything below `to` had been synced.
    fn is_proven(&self, to: Position) -> Result<bool, OpenError> {
        if to <= self.proven {
            return Ok(true);
        }
        if self.unproven.is_some_and(|from| from < to) {
            return Ok(false);
        }
        let end = Position(to.0.saturating_add(WINDOW_BYTES));
        for segment in &self.segments[self.number..] {
            if segment.start >= end {
                break;
            }
            let mut scanner = Scanner::new(Arc::clone(segment), self.seal);
            if scanner.proves(self.at.max(segment.first()), end, Position(to.0 - 1))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes everything that was taken last.
    fn secure(&self) -> Result<(), OpenError> {
        for segment in &self.segments[..=self.number] {
            if self.proven < segment.end() && self.proven < self.at {
                let mut scanner = Scanner::new(Arc::clone(segment), self.seal);
                scanner.rewrite(self.proven.max(segment.first()), self.at.min(segment.end()))?;
            }
        }
        Ok(())
    }

    /// Removes what lies beyond the end in its segment.
    fn clear(&self) -> Result<(), OpenError> {
        let segment = &self.segments[self.number];
        let (file, bytes) = (&segment.file, self.at.0 - segment.start.0);
        let cleared = file.len_bytes().and_then(|length| {
            if bytes < length {
                file.truncate(bytes)?;
            }
            file.sync()
        });
        cleared.map_err(|source| io_error(segment, source))
    }

    /// Lets go of the segments behind the end; returns the one that was prepared and never written to.
    fn cut(&mut self, segment_bytes: u64) -> Result<Option<Arc<Segment>>, OpenError> {
        let mut later = self.segments.split_off(self.number + 1);
        // Without proofs, behind a first batch that is torn there may be whole ones, which would prove something later.
        if let [only] = &later[..]
            && self.unproven.is_none()
            && only.first_ms().is_none()
            && only.bytes == segment_bytes
        {
            return Ok(later.pop());
        }
        // The last one first, one at a time: a crash in between must not leave a hole.
        while let Some(segment) = later.pop() {
            self.disk.remove(&segment.path()).map_err(|source| io_error(&segment, source))?;
            self.disk.sync_dir(DIR).map_err(|source| OpenError::Io { file: DIR.to_owned(), source })?;
        }
        Ok(None)
    }
}

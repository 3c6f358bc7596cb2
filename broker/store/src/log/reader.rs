//! The reading end: a record is checked against its position and checksums each time it is read.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::codec::RecordHeader;
use super::epochs::EpochStart;
use super::error::{Poisoned, ReadError};
use super::segment::Segment;
use super::{LogReader, Record};
use crate::units::Position;

/// Records with a gap of up to this between them are read together: a page more costs less than a call.
const GAP_BYTES_MAX: u64 = 4096;

/// Read with one call, unless a single record is longer.
const SPAN_BYTES_MAX: u64 = 1 << 20;

/// How to read from a file.
type ReadAt = fn(&Segment, &mut [u8], u64) -> io::Result<usize>;

impl LogReader {
    /// Reads the record at `position`, `bytes` long; may wait for the device.
    pub fn read(&self, position: Position, bytes: u32) -> Result<Record, ReadError> {
        self.read_one(position, bytes, |segment, buffer, at| segment.file.read_at(buffer, at))
    }

    /// As `read`, but `None` where it would wait for the device.
    pub fn read_cached(&self, position: Position, bytes: u32) -> Result<Option<Record>, ReadError> {
        or_none(self.read_one(position, bytes, |segment, buffer, at| segment.file.read_cached_at(buffer, at)))
    }

    /// Reads several records, given in rising order; neighbours come with one system call. One result for each.
    ///
    /// Neighbours share memory: keep one, and up to 1 MiB is kept.
    pub fn read_span(&self, wanted: &[(Position, u32)]) -> Vec<Result<Record, ReadError>> {
        let mut records = Vec::with_capacity(wanted.len());
        for span in spans(wanted) {
            self.read_together(&wanted[span], &mut records, |segment, buffer, at| {
                segment.file.read_at(buffer, at)
            });
        }
        records
    }

    /// As `read_span`, but `None` where it would wait for the device.
    pub fn read_span_cached(&self, wanted: &[(Position, u32)]) -> Vec<Result<Option<Record>, ReadError>> {
        let mut records = Vec::with_capacity(wanted.len());
        for span in spans(wanted) {
            self.read_together(&wanted[span], &mut records, |segment, buffer, at| {
                segment.file.read_cached_at(buffer, at)
            });
        }
        records.into_iter().map(or_none).collect()
    }

    /// Start of the oldest segment that is kept.
    pub fn head(&self) -> Position {
        self.shared.head()
    }

    /// End of the bytes handed to the disk.
    pub fn written(&self) -> Position {
        self.shared.written()
    }

    /// End of the bytes that survive a power cut.
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// As `Log::epochs`.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.shared.epochs.lock().list()
    }

    /// As `Log::sync`, from any thread; the writer may go on meanwhile.
    pub fn sync(&self) -> Result<Position, Poisoned> {
        self.shared.sync()
    }

    /// Gives back the memory of what is synced, older than the newest `kept_bytes` and not read lately; whoever
    /// reads it later waits for the device. To be called every now and then.
    pub fn release_cache(&self, kept_bytes: u64, now_ms: u64) {
        self.shared.release_cache(kept_bytes, now_ms);
    }

    /// Bytes that can still be allocated on the disk.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.shared.disk.free_bytes()
    }

    fn read_one(&self, position: Position, bytes: u32, read_at: ReadAt) -> Result<Record, ReadError> {
        let segment = self.locate(position, position.0.saturating_add(bytes.into()), bytes)?;
        let mut buffer = vec![0; bytes as usize];
        let read = read_at(&segment, &mut buffer, segment.at(position));
        read.map_err(|source| ReadError::Io { file: segment.path(), position, source })?;
        self.verify(&segment, position, Bytes::from(buffer))
    }

    /// Reads records that lie close together, with one call if they share a segment.
    fn read_together(
        &self,
        wanted: &[(Position, u32)],
        records: &mut Vec<Result<Record, ReadError>>,
        read_at: ReadAt,
    ) {
        let (start, end) = (wanted[0].0, end_of(wanted[wanted.len() - 1]));
        let together = (wanted.len() > 1).then(|| self.locate(start, end, 0));
        let Some(Ok(segment)) = together else {
            records.extend(wanted.iter().map(|&(position, bytes)| self.read_one(position, bytes, read_at)));
            return;
        };
        let mut buffer = vec![0; (end - start.0) as usize];
        if read_at(&segment, &mut buffer, segment.at(start)).is_err() {
            // One of them may be readable all the same.
            records.extend(wanted.iter().map(|&(position, bytes)| self.read_one(position, bytes, read_at)));
            return;
        }
        let buffer = Bytes::from(buffer);
        for &(position, bytes) in wanted {
            let from = (position.0 - start.0) as usize;
            records.push(self.verify(&segment, position, buffer.slice(from..from + bytes as usize)));
        }
    }

    /// The segment that holds everything from `start` to `end`.
    fn locate(&self, start: Position, end: u64, bytes: u32) -> Result<std::sync::Arc<Segment>, ReadError> {
        self.shared.cache.note_read(start);
        let (head, written) = (self.head(), self.written());
        if start < head {
            return Err(ReadError::Trimmed { head });
        }
        let segment = self.shared.segment_of(start).filter(|segment| end <= segment.end().0.min(written.0));
        // It may have been trimmed since `head` was read.
        segment.ok_or_else(|| match self.head() {
            head if start < head => ReadError::Trimmed { head },
            _ => ReadError::OutOfRange { position: start, bytes, written },
        })
    }

    fn verify(&self, segment: &Segment, position: Position, bytes: Bytes) -> Result<Record, ReadError> {
        match RecordHeader::decode(&bytes, position, self.shared.seal) {
            Ok(header) if header.bytes() == bytes.len() as u64 && header.verifies(&bytes) => {
                Ok(Record { header, bytes, part: None })
            }
            // Retention may have given the file to a new segment while it was read.
            _ if position < self.head() => Err(ReadError::Trimmed { head: self.head() }),
            _ => Err(ReadError::Corrupt { file: segment.path(), position }),
        }
    }
}

/// Cuts the list where the gap or the whole becomes too large, or the order is not rising.
fn spans(wanted: &[(Position, u32)]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = wanted.get(from)?.0;
        let mut to = from + 1;
        while let Some(&next) = wanted.get(to) {
            let end = end_of(wanted[to - 1]);
            let near = end <= next.0.0 && next.0.0 - end <= GAP_BYTES_MAX;
            if !near || end_of(next) - first.0 > SPAN_BYTES_MAX {
                break;
            }
            to += 1;
        }
        let span = from..to;
        from = to;
        Some(span)
    })
}

fn end_of((position, bytes): (Position, u32)) -> u64 {
    position.0.saturating_add(bytes.into())
}

/// A read that would wait is no error.
fn or_none(read: Result<Record, ReadError>) -> Result<Option<Record>, ReadError> {
    match read {
        Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => Ok(None),
        read => read.map(Some),
    }
}

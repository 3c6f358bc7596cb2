//! The writing end of a copy that follows: it takes the bytes of its leader as they are, after it has verified them.
//!
//! ```text
//!   span ---check all---> [segment made] ---sync what it calls synced, write---> tail, queue tails, epochs
//! ```
//!
//! Promise: bytes that do not verify change nothing. A header that calls something synced is written only after that
//! was synced here too, or recovery is told not to take it for a proof.

use std::io::IoSlice;

use super::codec::{BatchHeader, DecodeError, HEADER_BYTES, RecordHeader};
use super::error::{RawError, WriteError};
use super::prepare::resize_active;
use super::scan::{Bodies, check_records, follows, is_pad};
use super::segment::{PAD_BYTES_MIN, PAGE_BYTES, is_segment_size};
use super::ship::RawSpan;
use super::tails::raise_tails;
use super::writer::{Chain, WINDOW_BYTES};
use super::{BATCH_BYTES_MAX, Log, Role};
use crate::units::Position;

/// A span with more batches that call a part of it synced is a sign that this copy catches up.
const CLAIMS_MAX: usize = 2;

/// How the segment of a span is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is the active one.
    Stay,
    /// It is the active one, which is empty and of another size.
    Resize,
    /// It is the next one.
    GoOn,
}

/// A batch of a span that was found good.
struct Checked {
    header: BatchHeader,
    crc: u32,
    /// What there is of it; less than its length for a pad.
    bytes: usize,
    records: Vec<RecordHeader>,
}

impl Log {
    /// Takes what another copy has read with `LogReader::read_raw`, where this log ends.
    ///
    /// Everything is verified first: place, link to the batch before, epoch, every checksum. The caller syncs.
    pub fn append_raw(&mut self, raw: RawSpan<'_>) -> Result<(), RawError> {
        if self.role != Role::Follows {
            return Err(RawError::Leading);
        }
        self.shared.check()?;
        let way = self.way_to(&raw)?;
        let batches = self.check_span(&raw)?;
        let mut records = batches.iter().flat_map(|batch| &batch.records);
        if records.any(|record| record.kind.holds_message()) {
            self.keep_reserve(raw.bytes.len() as u64)?;
        }
        self.go(way, &raw, batches.first())?;
        self.weigh(&batches)?;
        let mut bytes = raw.bytes;
        let mut rest = &batches[..];
        while !rest.is_empty() {
            let (together, later) = rest.split_at(self.written_together(rest));
            let length = together.iter().map(|batch| batch.bytes).sum();
            self.write_checked(together, &bytes[..length])?;
            (rest, bytes) = (later, &bytes[length..]);
        }
        Ok(())
    }

    fn way_to(&self, raw: &RawSpan<'_>) -> Result<Way, RawError> {
        let (active, segment) = (&self.active, raw.segment);
        if !is_segment_size(segment.bytes) || segment.start.0.checked_add(segment.bytes).is_none() {
            return Err(RawError::Corrupt { position: raw.start });
        }
        let is_here = segment.start == active.start && raw.start == self.tail;
        let is_next = segment.start == active.end()
            && raw.start.0 == segment.start.0 + PAGE_BYTES
            && !active.takes(self.tail);
        match (is_here, is_next) {
            (true, _) if segment.bytes == active.bytes => Ok(Way::Stay),
            (true, _) if self.tail == active.first() => Ok(Way::Resize),
            (true, _) => Err(RawError::Mismatch { position: raw.start }),
            (_, true) => Ok(Way::GoOn),
            (false, false) => Err(RawError::Gap { expected: self.tail, found: raw.start }),
        }
    }

    fn check_span(&self, raw: &RawSpan<'_>) -> Result<Vec<Checked>, RawError> {
        let segment_end = Position(raw.segment.start.0 + raw.segment.bytes);
        let mut batches: Vec<Checked> = Vec::new();
        let mut chain = self.chain;
        let (mut at, mut bytes) = (raw.start, raw.bytes);
        while !bytes.is_empty() {
            let checked = self.check_batch(bytes, at, &chain, segment_end).map_err(|error| match error {
                Unfit::Unlinked if batches.is_empty() => RawError::Mismatch { position: at },
                Unfit::Unlinked | Unfit::Decode(DecodeError::Invalid) => RawError::Corrupt { position: at },
                Unfit::Decode(DecodeError::Unsupported(what)) => RawError::Unsupported { position: at, what },
            })?;
            let header = checked.header;
            chain = Chain { crc: Some(checked.crc), epoch: header.epoch, written_ms: header.written_ms };
            at = header.end();
            bytes = &bytes[checked.bytes..];
            batches.push(checked);
        }
        if at != raw.end {
            return Err(RawError::Corrupt { position: at });
        }
        Ok(batches)
    }

    fn check_batch(
        &self,
        bytes: &[u8],
        at: Position,
        chain: &Chain,
        segment_end: Position,
    ) -> Result<Checked, Unfit> {
        let seal = self.shared.seal;
        let (header, crc) = BatchHeader::decode(bytes, at, seal)?;
        if !follows(&header, chain, segment_end) {
            let is_sound = follows(&header, &Chain::default(), segment_end);
            return Err(if is_sound { Unfit::Unlinked } else { DecodeError::Invalid.into() });
        }
        let mut records = Vec::new();
        if is_pad(&bytes[HEADER_BYTES as usize..], &header, segment_end, seal) {
            return Ok(Checked { header, crc, bytes: PAD_BYTES_MIN as usize, records });
        }
        let length = header.bytes as usize;
        let batch = bytes.get(..length).filter(|_| u64::from(header.bytes) <= BATCH_BYTES_MAX);
        let batch = batch.ok_or(DecodeError::Invalid)?;
        if !check_records(batch, &header, seal, Bodies::All, &mut records)? {
            return Err(DecodeError::Invalid.into());
        }
        Ok(Checked { header, crc, bytes: length, records })
    }

    /// Makes the span's segment the active one.
    fn go(&mut self, way: Way, raw: &RawSpan<'_>, first: Option<&Checked>) -> Result<(), WriteError> {
        let now_ms = first.map_or(self.chain.written_ms, |first| first.header.written_ms);
        match way {
            Way::Stay => Ok(()),
            Way::GoOn => self.go_on(raw.segment.bytes, now_ms),
            Way::Resize => {
                let resized = resize_active(&self.shared, raw.segment.bytes, now_ms);
                self.active = resized.map_err(|error| self.not_made(error))?;
                Ok(())
            }
        }
    }

    /// Decides between syncing in time for what the batches call synced, and telling recovery not to believe them.
    fn weigh(&mut self, batches: &[Checked]) -> Result<(), WriteError> {
        let claims = batches.iter().filter(|batch| batch.header.durable > self.tail).count();
        if claims > CLAIMS_MAX {
            self.distrust()?;
        } else if claims == 0 {
            self.trust()?;
        }
        Ok(())
    }

    /// How many of the batches may be written before the next sync.
    fn written_together(&self, batches: &[Checked]) -> usize {
        if self.unproven.is_some() {
            return batches.len();
        }
        let proven = self.durable().max(self.tail);
        let unproven = batches.iter().skip(1).position(|batch| batch.header.durable > proven);
        unproven.map_or(batches.len(), |number| number + 1)
    }

    fn write_checked(&mut self, batches: &[Checked], bytes: &[u8]) -> Result<(), WriteError> {
        let durable = self.durable();
        let claims_more = batches.iter().any(|batch| batch.header.durable > durable);
        if (claims_more && self.unproven.is_none())
            || self.tail.0 + bytes.len() as u64 - durable.0 > WINDOW_BYTES
        {
            self.shared.sync()?;
        }
        self.hand_over(&[IoSlice::new(bytes)], bytes.len() as u64)?;
        for Checked { header, crc, records, .. } in batches {
            raise_tails(&mut self.tails, records);
            self.known_committed = self.known_committed.max(header.committed.min(header.start));
            let (crc, epoch, written_ms) = (Some(*crc), header.epoch, header.written_ms);
            self.advance(u64::from(header.bytes), Chain { crc, epoch, written_ms });
        }
        Ok(())
    }
}

/// Why bytes are not the next batch.
enum Unfit {
    /// It is a batch, but not the one that follows.
    Unlinked,
    Decode(DecodeError),
}

impl From<DecodeError> for Unfit {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

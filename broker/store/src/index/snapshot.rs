//! The index's section of a checkpoint: heads, the list of runs, and the entries that are only in memory.
//!
//! ```text
//!   version, next run number, count of runs, { number, first and end position, entries }
//!   { 1, queue, oldest, begin of memory, newest, skip, depth, messages in memory, { position, size, tag, lane, ms } }, 0
//! ```
//!
//! Numbers are LEB128; a size is the length in units of 8 bytes and above 24 bits the messages less one; positions and times relative to the entry before. Its checksum is the checkpoint's business.

use crate::QueueId;
use crate::leb128::{Parser, Writer};

use super::memtable::{Cell, Size};
use super::run::{Footer, Links, Pointer};
use super::shard::{Head, Place, SHARDS, Shard};
use super::{Background, Index, IndexEntry, QUEUES_MAX};

const VERSION: u64 = 3;
/// Offsets and positions are below this by far.
const NUMBER_MAX: u64 = u64::MAX >> 2;
/// Run files that there can ever be; at one a second they last for a lifetime.
pub(crate) const RUNS_MAX: u32 = u32::MAX / 2;
/// Queues, or messages of a queue, copied per lock.
const LOCKED: usize = 512;

/// A run as a checkpoint lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u32,
    pub(crate) first_position: u64,
    pub(crate) end_position: u64,
    pub(crate) entries: u64,
}

impl Listed {
    pub(crate) fn of(number: u32, footer: &Footer) -> Self {
        let Footer { first_position, end_position, entries, .. } = *footer;
        Self { number, first_position, end_position, entries }
    }
}

impl Index {
    pub(crate) fn snapshot_in_turn(&self, background: &Background) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(VERSION).number(u64::from(background.next_number));
        let runs = self.runs.all();
        out.number(runs.len() as u64);
        for run in &runs {
            let listed = Listed::of(run.number, &run.footer);
            out.number(u64::from(listed.number)).number(listed.first_position);
            out.number(listed.end_position).number(listed.entries);
        }
        for (number, shard) in (0..SHARDS).zip(&self.shards) {
            let mut looked_at = 0;
            loop {
                let (heads, looked) = shard.lock().heads(number, looked_at, LOCKED);
                if looked == 0 {
                    break;
                }
                looked_at += looked;
                for (queue, head, begins) in heads {
                    self.put_queue(&mut out, queue, &head, begins);
                }
            }
        }
        out.number(0);
        out.bytes
    }

    fn put_queue(&self, out: &mut Writer, queue: u32, head: &Head, begins: u64) {
        let begins = begins.max(head.oldest);
        out.number(1).number(u64::from(queue)).number(head.oldest).number(begins);
        out.pointer(head.newest).pointer(head.skip).number(u64::from(head.depth));
        out.number(head.tail - begins);
        let (mut position, mut stored_ms) = (0, 0);
        let mut next = begins;
        let mut entries = Vec::new();
        while next < head.tail {
            entries.clear();
            let shard = self.shards[(queue % SHARDS) as usize].lock();
            let place = shard.find(queue, next, head.tail.min(next + LOCKED as u64), &mut entries);
            drop(shard);
            assert!(matches!(place, Place::Copied), "queue {queue} changed during its turn");
            for entry in &entries {
                let size = Size::new(entry.bytes, entry.count).expect("it was kept in a cell");
                out.number(entry.position.0.wrapping_sub(position)).number(u64::from(size.0));
                out.number(u64::from(entry.tag_hash)).number(u64::from(entry.lane));
                out.number(entry.stored_ms.wrapping_sub(stored_ms));
                (position, stored_ms) = (entry.position.0, entry.stored_ms);
                next = entry.end().0;
            }
        }
    }
}

/// What a section tells besides the queues, which are restored into the shards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) next_number: u32,
    pub(crate) runs: Vec<Listed>,
}

/// Restores the queues of a section; the error is the place of the first byte that makes no sense.
pub(crate) fn restore(
    section: &[u8],
    mut append: impl FnMut(QueueId, IndexEntry),
    mut restore_head: impl FnMut(u32, Head),
) -> Result<Section, usize> {
    let mut parser = Parser { bytes: section, at: 0 };
    if parser.number()? != VERSION {
        return Err(0);
    }
    let next_number = parser.u32()?;
    if !(1..=RUNS_MAX).contains(&next_number) {
        return Err(parser.at);
    }
    let mut runs: Vec<Listed> = Vec::new();
    for _ in 0..parser.number()? {
        let number = parser.u32()?;
        let (first_position, end_position) = (parser.number()?, parser.number()?);
        let listed = Listed { number, first_position, end_position, entries: parser.number()? };
        let rises = runs.last().map_or(0, |last| last.number) < number && number < next_number;
        if !rises || first_position > end_position {
            return Err(parser.at);
        }
        runs.push(listed);
    }
    let mut last = None;
    while parser.number()? != 0 {
        let queue = parser.u32()?;
        let place = Some((queue % SHARDS, queue / SHARDS));
        if place <= last {
            return Err(parser.at);
        }
        last = place;
        let (oldest, begins) = (parser.number()?, parser.number()?);
        let (newest, skip) = (parser.pointer()?, parser.pointer()?);
        let head = Head::flushed(begins, oldest, Links { newest, skip, depth: parser.u32()? });
        let messages = parser.number()?;
        let is_sane = (1..QUEUES_MAX).contains(&queue)
            && oldest <= begins
            && begins <= NUMBER_MAX
            && messages <= NUMBER_MAX
            && head.depth <= u32::MAX / 2;
        if !is_sane {
            return Err(parser.at);
        }
        restore_head(queue, head);
        let (mut position, mut stored_ms) = (0_u64, 0_u64);
        let mut offset = begins;
        while offset < begins + messages {
            let step = parser.number()?;
            let next = position.checked_add(step);
            let rises = |next: &u64| *next <= NUMBER_MAX && (step > 0 || offset == begins);
            position = next.filter(rises).ok_or(parser.at)?;
            let (size, tag_hash, lane) = (Size(parser.u32()?), parser.u32()?, parser.u32()?);
            stored_ms = stored_ms.wrapping_add(parser.number()?);
            let entry = Cell { position, stored_ms, size, tag_hash, lane }.entry(offset);
            offset = entry.end().0;
            if offset > begins + messages {
                return Err(parser.at);
            }
            append(QueueId(queue), entry);
        }
    }
    if parser.at == section.len() { Ok(Section { next_number, runs }) } else { Err(parser.at) }
}

impl Shard {
    /// Heads that ever had a message and where their memory begins, from the `first`th place on; and places looked at.
    pub(crate) fn heads(&self, shard: u32, first: usize, max: usize) -> (Vec<(u32, Head, u64)>, usize) {
        let places = first..(first + max).min(self.places());
        let looked = places.len();
        let heads = places.map(|place| place as u32 * SHARDS + shard).filter_map(|queue| {
            let head = self.head(queue);
            (head.tail > 0).then(|| (queue, head, self.memory_begins(&head)))
        });
        (heads.collect(), looked)
    }
}

impl Writer {
    fn pointer(&mut self, pointer: Pointer) -> &mut Self {
        self.number(u64::from(pointer.file)).number(u64::from(pointer.unit))
    }
}

impl Parser<'_> {
    fn pointer(&mut self) -> Result<Pointer, usize> {
        Ok(Pointer { file: self.u32()?, unit: self.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::restore;

    proptest! {
        #[test]
        fn any_bytes_are_restored_or_refused(bytes in prop::collection::vec(0..6_u8, 0..200)) {
            let section: Vec<u8> = [3].into_iter().chain(bytes).collect();
            if let Err(at) = restore(&section, |_, _| (), |_, _| ()) {
                prop_assert!(at <= section.len());
            }
        }
    }
}

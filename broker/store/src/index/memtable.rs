//! Entries that are only in memory: one generation is filled while the one before is flushed.
//!
//! ```text
//!   slot: queue, messages | [cell][cell]...[256th] | [cell]...        a chunk knows the messages before it
//! ```
//!
//! Cost: 40 B for a queue's only entry, else 28-42 B per entry and 64 B per queue, however many messages an entry has.

use crate::index::{IndexEntry, MESSAGES_MAX};
use crate::{Offset, Position};

/// What is kept of an entry; its offset follows from its place.
/// Packed: the padding would be paid for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(crate) struct Cell {
    pub(crate) position: u64,
    pub(crate) stored_ms: u64,
    pub(crate) size: Size,
    pub(crate) tag_hash: u32,
    pub(crate) lane: u32,
}

/// Length of a record in units of 8 bytes, and above it in 8 bits the messages in it less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u32);

const _: () = assert!(size_of::<Cell>() == 28);
const _: () = assert!(size_of::<Slot>() == 40);
const _: () = assert!(MESSAGES_MAX == 1 << (32 - UNIT_BITS));

/// Records are multiples of this, like their positions.
const UNIT_BYTES: u32 = 8;
const UNIT_BITS: u32 = 24;
const UNITS: u32 = (1 << UNIT_BITS) - 1;

impl Size {
    /// `None`: no record has such a length, or so many messages.
    pub(crate) fn new(bytes: u32, count: u16) -> Option<Self> {
        let (units, above) = (bytes / UNIT_BYTES, u32::from(count.checked_sub(1)?));
        let fits = bytes.is_multiple_of(UNIT_BYTES) && units <= UNITS && count <= MESSAGES_MAX;
        fits.then_some(Self(above << UNIT_BITS | units))
    }

    pub(crate) fn bytes(self) -> u32 {
        (self.0 & UNITS) * UNIT_BYTES
    }

    pub(crate) fn count(self) -> u16 {
        (self.0 >> UNIT_BITS) as u16 + 1
    }
}

impl Cell {
    /// `None` as with `Size`.
    pub(crate) fn of(entry: &IndexEntry) -> Option<Self> {
        let IndexEntry { position, tag_hash, lane, stored_ms, .. } = *entry;
        let size = Size::new(entry.bytes, entry.count)?;
        Some(Self { position: position.0, stored_ms, size, tag_hash, lane })
    }

    /// The entry whose first message has this offset.
    pub(crate) fn entry(&self, offset: u64) -> IndexEntry {
        IndexEntry {
            offset: Offset(offset),
            count: self.size.count(),
            position: Position(self.position),
            bytes: self.size.bytes(),
            tag_hash: self.tag_hash,
            lane: self.lane,
            stored_ms: self.stored_ms,
        }
    }

    /// Messages in it.
    pub(crate) fn messages(&self) -> u64 {
        self.size.count().into()
    }
}

/// Messages of several cells.
pub(crate) fn messages_of(cells: &[Cell]) -> u64 {
    cells.iter().map(Cell::messages).sum()
}

/// The cell that holds message number `wanted`, and the number of its first one; beyond the last: the end.
pub(crate) fn find(cells: &[Cell], wanted: u64) -> (usize, u64) {
    let mut first = 0;
    for (index, cell) in cells.iter().enumerate() {
        let next = first + cell.messages();
        if wanted < next {
            return (index, first);
        }
        first = next;
    }
    (cells.len(), first)
}

/// Cells per chunk; a longer vector would be copied while the log thread waits.
const CHUNK_CELLS: usize = 256;

/// The entries of one queue in one generation.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) queue: u32,
    /// In all cells.
    messages: u32,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    One(Cell),
    Few(Vec<Cell>),
    /// All but the last full.
    Many(Vec<Chunk>),
}

#[derive(Debug)]
struct Chunk {
    /// Messages in the chunks before.
    before: u32,
    cells: Vec<Cell>,
}

impl Slot {
    pub(crate) fn new(queue: u32, first: Cell) -> Self {
        Self { queue, messages: first.size.count().into(), cells: Cells::One(first) }
    }

    pub(crate) fn count(&self) -> usize {
        match &self.cells {
            Cells::One(_) => 1,
            Cells::Few(cells) => cells.len(),
            Cells::Many(chunks) => match chunks.last() {
                Some(last) => (chunks.len() - 1) * CHUNK_CELLS + last.cells.len(),
                None => 0,
            },
        }
    }

    /// Messages of all cells.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.into()
    }

    /// Cells from `index` on, as many as lie side by side.
    pub(crate) fn cells_from(&self, index: usize) -> &[Cell] {
        match &self.cells {
            Cells::One(cell) => &std::slice::from_ref(cell)[index.min(1)..],
            Cells::Few(cells) => &cells[index.min(cells.len())..],
            Cells::Many(chunks) => match chunks.get(index / CHUNK_CELLS) {
                Some(chunk) => &chunk.cells[(index % CHUNK_CELLS).min(chunk.cells.len())..],
                None => &[],
            },
        }
    }

    /// The cell that holds the message with this number, and the number of its first one; beyond the last: the end.
    pub(crate) fn find(&self, wanted: u64) -> (usize, u64) {
        if self.count() as u64 == self.messages() {
            let index = wanted.min(self.messages());
            return (index as usize, index);
        }
        match &self.cells {
            Cells::One(cell) => find(std::slice::from_ref(cell), wanted),
            Cells::Few(cells) => find(cells, wanted),
            Cells::Many(chunks) => {
                let after = chunks.partition_point(|chunk| u64::from(chunk.before) <= wanted);
                let number = after.saturating_sub(1);
                let before = u64::from(chunks[number].before);
                let (index, first) = find(&chunks[number].cells, wanted - before);
                (number * CHUNK_CELLS + index, before + first)
            }
        }
    }

    pub(crate) fn cell(&self, index: usize) -> Cell {
        self.cells_from(index)[0]
    }

    /// How many messages lie in cells that are, from the first one on, as `is_before` says.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&Cell) -> bool) -> u64 {
        match &self.cells {
            Cells::One(cell) => partition_point(std::slice::from_ref(cell), is_before),
            Cells::Few(cells) => partition_point(cells, is_before),
            Cells::Many(chunks) => {
                let after = chunks.partition_point(|chunk| chunk.cells.first().is_some_and(&is_before));
                let last = after.checked_sub(1).map(|number| &chunks[number]);
                last.map_or(0, |chunk| u64::from(chunk.before) + partition_point(&chunk.cells, is_before))
            }
        }
    }

    pub(crate) fn push(&mut self, cell: Cell) {
        let last = self.cell(self.count() - 1).position;
        let position = cell.position;
        assert!(last < position, "queue {}: position {position} after {last}", self.queue);
        let before = self.messages;
        let messages = before.checked_add(cell.size.count().into());
        self.messages = messages.expect("a generation is flushed before it holds 2^32 messages of a queue");
        match &mut self.cells {
            Cells::One(first) => {
                let mut cells = Vec::with_capacity(2);
                cells.extend([*first, cell]);
                self.cells = Cells::Few(cells);
            }
            Cells::Few(cells) if cells.len() < CHUNK_CELLS => {
                if cells.len() == cells.capacity() {
                    // Growing by half keeps the unused part below a third; the last step fits a chunk exactly.
                    let more = (cells.len() / 2).clamp(1, CHUNK_CELLS - cells.len());
                    cells.reserve_exact(more);
                }
                cells.push(cell);
            }
            Cells::Few(cells) => {
                let first = Chunk { before: 0, cells: std::mem::take(cells) };
                self.cells = Cells::Many(vec![first, Chunk::new(before, cell)]);
            }
            Cells::Many(chunks) => match chunks.last_mut() {
                Some(last) if last.cells.len() < CHUNK_CELLS => last.cells.push(cell),
                Some(_) | None => chunks.push(Chunk::new(before, cell)),
            },
        }
    }
}

impl Chunk {
    fn new(before: u32, first: Cell) -> Self {
        let mut cells = Vec::with_capacity(CHUNK_CELLS);
        cells.push(first);
        Self { before, cells }
    }
}

fn partition_point(cells: &[Cell], is_before: impl Fn(&Cell) -> bool) -> u64 {
    messages_of(&cells[..cells.partition_point(is_before)])
}

#[cfg(test)]
mod tests {
    use super::{Cell, Size, Slot};

    fn cell(number: usize, count: u16) -> Cell {
        let size = Size::new(8 * number as u32, count).unwrap();
        Cell { position: number as u64 * 8, stored_ms: number as u64, size, tag_hash: 1, lane: 0 }
    }

    #[test]
    fn a_slot_gives_back_every_cell_at_every_length() {
        for count_of in [|_| 1, |number| 1 + (number % 5) as u16, |_| 256] {
            let mut slot = Slot::new(7, cell(0, count_of(0)));
            let mut messages = 0;
            for count in 1..1200 {
                assert_eq!(slot.count(), count);
                let mut seen = Vec::new();
                while seen.len() < count {
                    seen.extend_from_slice(slot.cells_from(seen.len()));
                }
                assert!(seen.iter().enumerate().all(|(at, seen)| *seen == cell(at, count_of(at))));
                assert!(slot.cells_from(count).is_empty());
                let (first, next) = (messages, messages + seen[count - 1].messages());
                assert_eq!(slot.messages(), next);
                for wanted in first..next {
                    assert_eq!(slot.find(wanted), (count - 1, first));
                }
                assert_eq!(slot.find(next), (count, next));
                let below: u64 = seen.iter().take(300).map(Cell::messages).sum();
                assert_eq!(slot.partition_point(|cell| cell.position < 300 * 8), below);
                messages = next;
                slot.push(cell(count, count_of(count)));
            }
        }
    }

    #[test]
    fn a_size_holds_any_record_and_count_within_the_limits() {
        for (bytes, count) in [(0, 1), (8, 256), (128 << 20, 1), (64 << 20, 64), ((128 << 20) - 8, 256)] {
            let size = Size::new(bytes, count);
            let told = size.map(|size| (size.bytes(), size.count()));
            assert_eq!(told, (bytes < 128 << 20).then_some((bytes, count)));
        }
        for (bytes, count) in [(8, 0), (12, 1), (8, 257)] {
            assert_eq!(Size::new(bytes, count), None);
        }
    }
}

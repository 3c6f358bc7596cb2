//! Entries that are only in memory: one generation is filled while the one before is flushed.
//!
//! Cost: 40 B for a queue's only entry, else 28-42 B per entry and 64 B per queue.

/// What is kept of an entry; its offset follows from its place.
/// Packed: the padding would be paid for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(crate) struct Cell {
    pub(crate) position: u64,
    pub(crate) stored_ms: u64,
    pub(crate) bytes: u32,
    pub(crate) tag_hash: u32,
    pub(crate) lane: u32,
}

const _: () = assert!(size_of::<Cell>() == 28);
const _: () = assert!(size_of::<Slot>() == 40);

/// Cells per chunk; a longer vector would be copied while the log thread waits.
const CHUNK_CELLS: usize = 256;

/// The entries of one queue in one generation.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) queue: u32,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    One(Cell),
    Few(Vec<Cell>),
    /// Chunks of `CHUNK_CELLS`, all but the last full.
    Many(Vec<Vec<Cell>>),
}

impl Slot {
    pub(crate) fn new(queue: u32, first: Cell) -> Self {
        Self { queue, cells: Cells::One(first) }
    }

    pub(crate) fn count(&self) -> usize {
        match &self.cells {
            Cells::One(_) => 1,
            Cells::Few(cells) => cells.len(),
            Cells::Many(chunks) => match chunks.last() {
                Some(last) => (chunks.len() - 1) * CHUNK_CELLS + last.len(),
                None => 0,
            },
        }
    }

    /// Cells from `index` on, as many as lie side by side.
    pub(crate) fn cells_from(&self, index: usize) -> &[Cell] {
        match &self.cells {
            Cells::One(cell) => &std::slice::from_ref(cell)[index.min(1)..],
            Cells::Few(cells) => &cells[index.min(cells.len())..],
            Cells::Many(chunks) => match chunks.get(index / CHUNK_CELLS) {
                Some(chunk) => &chunk[(index % CHUNK_CELLS).min(chunk.len())..],
                None => &[],
            },
        }
    }

    pub(crate) fn cell(&self, index: usize) -> Cell {
        self.cells_from(index)[0]
    }

    /// How many cells from the first on are as `is_before` says.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&Cell) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if is_before(&self.cell(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn push(&mut self, cell: Cell) {
        let last = self.cell(self.count() - 1).position;
        let position = cell.position;
        assert!(last < position, "queue {}: position {position} after {last}", self.queue);
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
                self.cells = Cells::Many(vec![std::mem::take(cells), chunk_of(cell)]);
            }
            Cells::Many(chunks) => match chunks.last_mut() {
                Some(last) if last.len() < CHUNK_CELLS => last.push(cell),
                Some(_) | None => chunks.push(chunk_of(cell)),
            },
        }
    }
}

fn chunk_of(cell: Cell) -> Vec<Cell> {
    let mut chunk = Vec::with_capacity(CHUNK_CELLS);
    chunk.push(cell);
    chunk
}

#[cfg(test)]
mod tests {
    use super::{Cell, Slot};

    fn cell(number: usize) -> Cell {
        Cell { position: number as u64 * 8, stored_ms: number as u64, bytes: 8, tag_hash: 1, lane: 0 }
    }

    #[test]
    fn a_slot_gives_back_every_cell_at_every_length() {
        let mut slot = Slot::new(7, cell(0));
        for count in 1..1200 {
            assert_eq!(slot.count(), count);
            let mut seen = Vec::new();
            while seen.len() < count {
                seen.extend_from_slice(slot.cells_from(seen.len()));
            }
            assert!(seen.iter().enumerate().all(|(number, seen)| *seen == cell(number)));
            assert!(slot.cells_from(count).is_empty());
            assert_eq!(slot.partition_point(|cell| cell.position < 300 * 8), count.min(300));
            slot.push(cell(count));
        }
    }
}

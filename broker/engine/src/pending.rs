//! Changes that took effect in memory and whose records ride in the next batch: acks, attempts, first reads, who got what.

use parking_lot::Mutex;
use store::log::Draft;

use crate::catalog::{self, Change, Start, What};
use crate::handed::{self, Handed};
use crate::records::{ACK_BYTES, ATTEMPT_BYTES, Cell, Floor, ack_drafts, attempt_drafts};

/// Gathers from all threads; the writer takes it away.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    gathered: Mutex<Carried>,
}

/// What rides in one batch.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    starts: Vec<Start>,
    attempts: Vec<(Cell, u16)>,
    acks: Vec<Cell>,
    handed: Vec<Handed>,
}

impl Pending {
    /// Notes offsets that are done; true if nothing waited before.
    pub(crate) fn ack(&self, cell: Cell) -> bool {
        let mut gathered = self.gathered.lock();
        let was_empty = gathered.is_empty();
        let absorbed = gathered.acks.last_mut().is_some_and(|last| last.absorb(&cell));
        if !absorbed {
            gathered.acks.push(cell);
        }
        was_empty
    }

    /// Notes a delivery that is not the first one; true if nothing waited before.
    pub(crate) fn attempt(&self, cell: Cell, attempt: u16) -> bool {
        let mut gathered = self.gathered.lock();
        let was_empty = gathered.is_empty();
        gathered.attempts.push((cell, attempt));
        was_empty
    }

    /// Notes to whom messages were handed; true if nothing waited before.
    pub(crate) fn handed(&self, handed: impl IntoIterator<Item = Handed>) -> bool {
        let mut gathered = self.gathered.lock();
        let was_empty = gathered.is_empty();
        gathered.handed.extend(handed);
        was_empty
    }

    /// Notes that a group begins to read a topic; true if nothing waited before.
    pub(crate) fn start(&self, start: Start) -> bool {
        let mut gathered = self.gathered.lock();
        let was_empty = gathered.is_empty();
        gathered.starts.push(start);
        was_empty
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.lock().is_empty()
    }

    /// A consumer group was moved: what it did before is not to be told after it.
    pub(crate) fn forget(&self, floor: &Floor) {
        self.gathered.lock().forget(floor);
    }

    /// Takes what waits.
    pub(crate) fn take(&self, out: &mut Carried) {
        std::mem::swap(&mut *self.gathered.lock(), out);
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, carried: &mut Carried) {
        let mut gathered = self.gathered.lock();
        carried.starts.append(&mut gathered.starts);
        carried.attempts.append(&mut gathered.attempts);
        carried.acks.append(&mut gathered.acks);
        carried.handed.append(&mut gathered.handed);
        std::mem::swap(&mut *gathered, carried);
    }
}

impl Carried {
    pub(crate) fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.attempts.is_empty() && self.starts.is_empty() && self.handed.is_empty()
    }

    /// As `Pending::forget`.
    pub(crate) fn forget(&mut self, floor: &Floor) {
        let stays = |cell: &Cell| (cell.group, cell.queue) != (floor.group, floor.queue);
        self.acks.retain(stays);
        self.attempts.retain(|(cell, _)| stays(cell));
    }

    pub(crate) fn clear(&mut self) {
        self.acks.clear();
        self.attempts.clear();
        self.starts.clear();
        self.handed.clear();
    }

    /// Cuts off what makes more than about `bytes_max` of records; it has to wait for the next batch.
    pub(crate) fn split_off(&mut self, bytes_max: usize) -> Self {
        self.merge_acks();
        let mut left = bytes_max;
        let fitting = self.starts.iter().take_while(|start| spend(&mut left, start_bytes(start))).count();
        let starts = self.starts.split_off(fitting);
        if !starts.is_empty() {
            // Acks of a group that is not known to read the topic would be passed over in a replay.
            left = 0;
        }
        let attempts = self.attempts.split_off(self.attempts.len().min(left / ATTEMPT_BYTES));
        left -= self.attempts.len() * ATTEMPT_BYTES;
        let acks = self.acks.split_off(self.acks.len().min(left / ACK_BYTES));
        left -= self.acks.len() * ACK_BYTES;
        let fitting = self.handed.iter().take_while(|handed| spend(&mut left, handed.bytes_max())).count();
        let handed = self.handed.split_off(fitting);
        Self { starts, attempts, acks, handed }
    }

    /// The records, in an order in which they can be folded: a first read, then deliveries and to whom, then acks.
    pub(crate) fn draft(&self, drafts: &mut Vec<Draft>) {
        if !self.starts.is_empty() {
            let starts = self.starts.iter().cloned();
            drafts.extend(catalog::drafts(starts.map(|start| Change::from(What::Start(start))).collect()));
        }
        drafts.extend(attempt_drafts(&self.attempts));
        drafts.extend(handed::drafts(&self.handed));
        drafts.extend(ack_drafts(&self.acks));
    }

    /// Neighbours that were acked in any order become one cell.
    fn merge_acks(&mut self) {
        self.acks.sort_unstable();
        let mut kept = 0;
        for at in 1..self.acks.len() {
            let cell = self.acks[at];
            if !self.acks[kept].absorb(&cell) {
                kept += 1;
                self.acks[kept] = cell;
            }
        }
        self.acks.truncate(if self.acks.is_empty() { 0 } else { kept + 1 });
    }
}

/// Takes `bytes` from what is left; false if that is too little.
fn spend(left: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= *left;
    if fits {
        *left -= bytes;
    }
    fits
}

/// Longer than its encoding.
fn start_bytes(start: &Start) -> usize {
    32 + 10 * start.offsets.len()
}

impl Cell {
    /// Takes over the offsets of another cell if they fit behind its own base.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        let Some(shift) = other.base.0.checked_sub(self.base.0) else { return false };
        let fits = shift < 64 && u64::from(other.mask.leading_zeros()) >= shift;
        if self.group != other.group || self.queue != other.queue || !fits {
            return false;
        }
        self.mask |= other.mask << shift;
        true
    }
}

#[cfg(test)]
mod tests {
    use store::{Offset, QueueId};

    use super::*;

    #[test]
    fn neighbours_acked_in_any_order_share_cells() {
        let cell = |offset| Cell { group: 1, queue: QueueId(1), base: Offset(offset), mask: 1 };
        let mut carried = Carried { acks: (0..128).rev().map(cell).collect(), ..Carried::default() };
        assert!(carried.split_off(10 * ACK_BYTES).is_empty());
        let full = |offset| Cell { mask: u64::MAX, ..cell(offset) };
        assert_eq!(carried.acks, [full(0), full(64)]);
    }

    #[test]
    fn acks_wait_for_the_first_read_that_does_not_fit() {
        let cell = |offset| Cell { group: 1, queue: QueueId(1), base: Offset(offset), mask: 1 };
        let start = |topic| Start { group: 1, topic, offsets: vec![0; 8] };
        let mut carried = Carried {
            starts: vec![start(1), start(2)],
            attempts: vec![(cell(0), 2)],
            acks: vec![cell(0), cell(100)],
            handed: Vec::new(),
        };
        let mut rest = carried.split_off(start_bytes(&start(1)));
        assert_eq!((carried.starts.len(), carried.attempts.len(), carried.acks.len()), (1, 0, 0));
        let last = rest.split_off(start_bytes(&start(2)) + ATTEMPT_BYTES + ACK_BYTES);
        assert_eq!((rest.starts.len(), rest.attempts.len(), rest.acks.len()), (1, 1, 1));
        assert_eq!((last.starts.len(), last.acks), (0, vec![cell(100)]));
    }
}

//! A 64th of the queues: their heads and what of them is only in memory. Lives behind one short lock.

use std::sync::Arc;

use super::memtable::{Cell, Slot};
use super::run::{Links, Pointer};
use crate::Position;
use crate::index::IndexEntry;

pub(crate) const SHARDS: u32 = 64;

/// State of one queue.
///
/// ```text
///   oldest ...... runs ...... | ... frozen slot ... | ... active slot ... tail
///                      newest ^
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) tail: u64,
    pub(crate) oldest: u64,
    /// The newest block in a run file.
    pub(crate) newest: Pointer,
    /// The newest block whose depth is a multiple of `SKIP_BLOCKS`.
    pub(crate) skip: Pointer,
    /// Blocks before `newest`.
    pub(crate) depth: u32,
    /// Place, counted from 1, in the generation of each parity; 0 is none.
    slots: [u32; 2],
}

const _: () = assert!(size_of::<Head>() == 48);

impl Head {
    /// The head of a queue of which nothing is in memory.
    pub(crate) fn flushed(tail: u64, oldest: u64, links: Links) -> Self {
        Self { tail, oldest, newest: links.newest, skip: links.skip, depth: links.depth, slots: [0; 2] }
    }
}

/// Where a queue's entries from an offset on are.
pub(crate) enum Place {
    /// At or beyond the tail.
    Beyond,
    /// No longer kept.
    Trimmed { oldest: u64 },
    /// Some were copied from memory.
    Copied,
    /// In the runs, from this block downwards.
    Runs { newest: Pointer },
}

/// Where a queue's first entry from a time on is.
pub(crate) enum TimePlace {
    /// It is this one; the tail if there is none.
    Memory { offset: u64 },
    /// In the runs, from this block downwards; the oldest if all are later.
    Runs { newest: Pointer, oldest: u64 },
}

/// Where the flush of a queue begins: the first entry kept, and what its block will point to.
pub(crate) struct Start {
    pub(crate) offset: u64,
    /// Place of that entry in the frozen slot.
    pub(crate) index: usize,
    pub(crate) links: Links,
}

#[derive(Default)]
pub(crate) struct Shard {
    heads: Vec<Head>,
    active: Vec<Slot>,
    active_entries: usize,
    frozen: Arc<Vec<Slot>>,
    parity: usize,
    /// Smallest position in memory by parity of the generation; meaningless when that is empty.
    begins: [u64; 2],
}

impl Shard {
    pub(crate) fn head(&self, queue: u32) -> Head {
        self.heads.get(local(queue)).copied().unwrap_or_default()
    }

    /// Places for queues, used or not.
    pub(crate) fn places(&self) -> usize {
        self.heads.len()
    }

    pub(crate) fn frozen(&self) -> Arc<Vec<Slot>> {
        Arc::clone(&self.frozen)
    }

    /// First offset that is in memory; the tail if none is.
    pub(crate) fn memory_begins(&self, head: &Head) -> u64 {
        head.tail - self.frozen_messages(head) - self.active_messages(head)
    }

    /// Finds `from`, and copies the entries up to `end` if they are in memory.
    pub(crate) fn find(&self, queue: u32, from: u64, end: u64, out: &mut Vec<IndexEntry>) -> Place {
        let head = self.head(queue);
        if from < head.oldest {
            return Place::Trimmed { oldest: head.oldest };
        }
        if from >= head.tail {
            return Place::Beyond;
        }
        let mut begins = self.memory_begins(&head);
        if from < begins {
            return Place::Runs { newest: head.newest };
        }
        for slot in [self.frozen_slot(&head), self.active_slot(&head)].into_iter().flatten() {
            copy(slot, begins, from, end, out);
            begins += slot.messages();
        }
        Place::Copied
    }

    /// Finds the first offset stored at `ms` or later, as far as memory tells.
    pub(crate) fn find_time(&self, queue: u32, ms: u64) -> TimePlace {
        let head = self.head(queue);
        let begins = self.memory_begins(&head);
        let mut next = begins;
        for slot in [self.frozen_slot(&head), self.active_slot(&head)].into_iter().flatten() {
            let before = slot.partition_point(|cell| cell.stored_ms < ms);
            next += before;
            if before < slot.messages() {
                break;
            }
        }
        if next > begins || head.newest.is_none() || head.oldest >= begins {
            TimePlace::Memory { offset: next.max(head.oldest) }
        } else {
            TimePlace::Runs { newest: head.newest, oldest: head.oldest }
        }
    }

    /// Adds an entry whose first message has this offset; false if it is known already.
    pub(crate) fn append(&mut self, queue: u32, offset: u64, cell: Cell, may_begin_late: bool) -> bool {
        let place = local(queue);
        if place >= self.heads.len() {
            self.heads.resize(place + 1, Head::default());
        }
        let head = &mut self.heads[place];
        if offset < head.tail {
            return false;
        }
        if head.tail == 0 && may_begin_late {
            head.oldest = offset;
            head.tail = offset;
        }
        assert!(offset == head.tail, "queue {queue}: offset {offset} after {}", head.tail);
        head.tail += cell.messages();
        self.active_entries += 1;
        let parity = self.parity;
        let begins = if self.active.is_empty() { cell.position } else { self.begins[parity] };
        // A checkpoint is restored by queue, not in the order of the log.
        self.begins[parity] = begins.min(cell.position);
        match head.slots[parity] {
            0 => {
                if self.active.len() == self.active.capacity() {
                    // Growing by a quarter keeps the memory per entry within bounds.
                    self.active.reserve_exact(self.active.len() / 4 + 16);
                }
                self.active.push(Slot::new(queue, cell));
                head.slots[parity] = self.active.len() as u32;
            }
            slot => self.active[slot as usize - 1].push(cell),
        }
        true
    }

    /// Takes a head over from a checkpoint; its entries in memory are appended afterwards.
    pub(crate) fn restore(&mut self, queue: u32, head: Head) {
        let place = local(queue);
        if place >= self.heads.len() {
            self.heads.resize(place + 1, Head::default());
        }
        self.heads[place] = head;
    }

    /// Makes the active generation the frozen one, unless one is frozen already; returns the entries moved.
    pub(crate) fn freeze(&mut self) -> usize {
        if !self.frozen.is_empty() || self.active.is_empty() {
            return 0;
        }
        self.frozen = Arc::new(std::mem::take(&mut self.active));
        self.parity ^= 1;
        std::mem::take(&mut self.active_entries)
    }

    /// Where the flush of these frozen slots begins.
    pub(crate) fn starts(&self, slots: &[Slot]) -> Vec<Start> {
        let start = |slot: &Slot| {
            let head = self.head(slot.queue);
            let begins = self.memory_begins(&head);
            let (index, first) = slot.find(head.oldest.saturating_sub(begins));
            let links = Links { newest: head.newest, skip: head.skip, depth: head.depth };
            Start { offset: begins + first, index, links }
        };
        slots.iter().map(start).collect()
    }

    /// The queue's newest block is this one now, and its frozen slot is no longer needed.
    pub(crate) fn publish(&mut self, queue: u32, links: Links) {
        let frozen = self.parity ^ 1;
        let head = &mut self.heads[local(queue)];
        head.newest = links.newest;
        head.skip = links.skip;
        head.depth = links.depth;
        head.slots[frozen] = 0;
    }

    /// Frees the frozen generation, all of which was published.
    pub(crate) fn thaw(&mut self) -> Arc<Vec<Slot>> {
        std::mem::take(&mut self.frozen)
    }

    /// Whether a run may hold the queue's offsets up to `end`; a block that says so otherwise is not ours.
    pub(crate) fn may_have_run(&self, queue: u32, end: u64) -> bool {
        end <= self.memory_begins(&self.head(queue))
    }

    /// Nothing of the queue below `oldest` is kept.
    pub(crate) fn raise_oldest(&mut self, queue: u32, oldest: u64) {
        let head = &mut self.heads[local(queue)];
        head.oldest = head.oldest.max(oldest);
    }

    /// Forgets pointers into run files up to `number`, which are being removed.
    pub(crate) fn forget_runs(&mut self, queue: u32, number: u32) {
        let head = &mut self.heads[local(queue)];
        if head.newest.file <= number {
            head.newest = Pointer::NONE;
            head.depth = 0;
        }
        if head.skip.file <= number {
            head.skip = Pointer::NONE;
        }
    }

    /// Raises `oldest` of every queue that has entries below `position` in memory.
    pub(crate) fn trim_memory(&mut self, position: Position) {
        let mut raised = Vec::new();
        for (parity, slots) in [(self.parity ^ 1, &*self.frozen), (self.parity, &self.active)] {
            if slots.is_empty() || self.begins[parity] >= position.0 {
                continue;
            }
            for slot in slots {
                let below = slot.partition_point(|cell| cell.position < position.0);
                if below == 0 {
                    continue;
                }
                let head = self.head(slot.queue);
                let earlier = if parity == self.parity { self.frozen_messages(&head) } else { 0 };
                raised.push((slot.queue, self.memory_begins(&head) + earlier + below));
            }
        }
        for (queue, oldest) in raised {
            self.raise_oldest(queue, oldest);
        }
    }

    fn active_slot(&self, head: &Head) -> Option<&Slot> {
        (head.slots[self.parity] as usize).checked_sub(1).map(|place| &self.active[place])
    }

    fn frozen_slot(&self, head: &Head) -> Option<&Slot> {
        (head.slots[self.parity ^ 1] as usize).checked_sub(1).map(|place| &self.frozen[place])
    }

    fn active_messages(&self, head: &Head) -> u64 {
        self.active_slot(head).map_or(0, Slot::messages)
    }

    fn frozen_messages(&self, head: &Head) -> u64 {
        self.frozen_slot(head).map_or(0, Slot::messages)
    }
}

fn local(queue: u32) -> usize {
    (queue / SHARDS) as usize
}

/// Copies the entries of a slot, whose first message has the offset `begins`, that hold offsets of `from..end`.
fn copy(slot: &Slot, begins: u64, from: u64, end: u64, out: &mut Vec<IndexEntry>) {
    let (mut index, first) = slot.find(from.saturating_sub(begins));
    let mut next = begins + first;
    while next < end {
        let cells = slot.cells_from(index);
        if cells.is_empty() {
            return;
        }
        for cell in cells {
            if next >= end {
                return;
            }
            out.push(cell.entry(next));
            next += cell.messages();
        }
        index += cells.len();
    }
}

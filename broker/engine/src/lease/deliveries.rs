//! One consumer group's deliveries from one queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

use store::{Epoch, Offset};

use super::Receipt;
use super::grant::Grant;
use super::held::{Lease, contains};
use super::lines::Lines;
use super::mask::{WIDTH, blocks, low_bits, offsets, range_blocks};
use super::ready::Ready;

/// A lease that ends while its message's dead letter is on its way goes on for so long.
const LEAVING_MS: u64 = 1000;

/// See the module's picture.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(super) next: Offset,
    /// Every offset below `next` that is not done, by block.
    pub(super) open: BTreeMap<u64, u64>,
    /// The open ones that nobody holds.
    pub(super) ready: Ready,
    /// The open ones that somebody holds, by serial.
    pub(super) leases: BTreeMap<u32, Lease>,
    pub(super) dues: BTreeSet<(u64, u32)>,
    /// Offsets on their way to the dead letter topic: the lease that guards them, and what is gone once it is settled.
    leaving: BTreeMap<Offset, (u32, Weak<()>)>,
    serial: u32,
    /// The epoch of the last move, or in which the group had stopped to read before: receipts of it and earlier ones are
    /// no good in later epochs.
    pub(super) moved_in: Epoch,
    /// Of a group that reads in order.
    pub(super) lines: Option<Box<Lines>>,
}

impl Deliveries {
    /// Deliveries of a group that begins to read at `start`.
    pub(crate) fn starting_at(start: Offset) -> Self {
        Self { next: start, ..Self::default() }
    }

    /// All below `to` are done, and all others come again as if for the first time; no receipt so far is good any more.
    pub(crate) fn move_to(&mut self, to: Offset, epoch: Epoch) {
        let lines = self.lines.is_some().then(|| Box::new(Lines::from(to)));
        *self = Self { next: to, serial: self.serial, moved_in: epoch, lines, ..Self::default() };
    }

    /// Leases from now on have later serials; receipts of `epoch` and earlier ones are no good in later epochs.
    pub(crate) fn after(self, serial: u32, epoch: Epoch) -> Self {
        Self { serial, moved_in: epoch, ..self }
    }

    /// Of the latest lease.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// None at or above was handed out since the start of the broker, as far as known.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// All below are done.
    pub(crate) fn floor(&self) -> Offset {
        self.open
            .first_key_value()
            .map_or(self.next, |(&block, &mask)| Offset(block * WIDTH + u64::from(mask.trailing_zeros())))
    }

    /// Offsets that somebody holds; those whose time is over count until they are asked for.
    pub(crate) fn held(&self) -> u64 {
        self.leases.values().map(|lease| u64::from(lease.mask().count_ones())).sum()
    }

    /// Offsets that somebody holds whose time is not over.
    pub(crate) fn held_at(&self, now_ms: u64) -> u64 {
        let held = self.leases.values().filter(|lease| lease.due_ms() > now_ms);
        held.map(|lease| u64::from(lease.mask().count_ones())).sum()
    }

    /// The first offset that nobody holds and that is not done, if there is one below `tail`.
    pub(crate) fn first_ready(&self, tail: Offset, now_ms: u64) -> Option<Offset> {
        let lowest = |base: Offset, mask: u64| Offset(base.0 + u64::from(mask.trailing_zeros()));
        let first_block = self.ready.masks().next().map(|(block, _, _)| block);
        let ready = self.ready.masks().take_while(|&(block, _, _)| Some(block) == first_block);
        let ready = ready.map(|(block, _, mask)| lowest(Offset(block * WIDTH), mask));
        let over = self.leases.values().filter(|lease| lease.due_ms() <= now_ms);
        let over = over.map(|lease| lowest(lease.base(), lease.mask()));
        ready.chain(over).chain(Some(self.next)).min().filter(|&first| first < tail)
    }

    /// Offsets below `next` that are not done.
    pub(crate) fn undone(&self) -> u64 {
        self.open.values().map(|mask| u64::from(mask.count_ones())).sum()
    }

    /// When the first lease ends.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.dues.first().map(|&(due_ms, _)| due_ms)
    }

    /// Remembers the lease of a message on its way to the dead letter topic, so that `fold_acks` need not search it.
    /// It stays held as long as `waiting` is there: two letters would be one too many.
    pub(crate) fn set_aside(&mut self, offset: Offset, serial: u32, waiting: Weak<()>) {
        self.leaving.insert(offset, (serial, waiting));
    }

    /// Marks offsets of a grant done that need no delivery (filtered, trimmed, not readable).
    pub(crate) fn skip(&mut self, grant: &Grant, mask: u64) {
        let mask = self.remove_mask(grant.serial, mask);
        for (block, mask) in blocks(grant.base, mask) {
            self.close(block, mask);
        }
    }

    /// Takes back offsets of a grant that were not handed out after all; the attempt does not count.
    pub(crate) fn release(&mut self, grant: &Grant, mask: u64) {
        let mask = self.remove_mask(grant.serial, mask);
        self.make_ready(grant.base, mask, grant.attempt - 1);
    }

    /// What is left of a lease was never got: it is handed out again, and that delivery does not count.
    pub(crate) fn take_back_lease(&mut self, serial: u32, now_ms: u64) {
        self.expire(now_ms);
        let Some(lease) = self.leases.get(&serial).copied() else { return };
        let mask = self.remove_mask(serial, lease.mask() & !self.leaving_of(&lease));
        self.make_ready(lease.base(), mask, lease.attempt());
        self.uncount(lease.base(), mask);
    }

    /// As `take_back_lease`, for one message.
    pub(crate) fn take_back(&mut self, receipt: &Receipt) {
        if self.leases.get(&receipt.serial).is_some_and(|lease| lease.holds(receipt.offset)) {
            self.remove_held(receipt.serial, receipt.offset);
            self.make_ready(receipt.offset, 1, receipt.attempt);
            self.uncount(receipt.offset, 1);
        }
    }

    // Its record may be written already, so the number stays as it is until the next delivery, which has the same.
    fn uncount(&mut self, base: Offset, mask: u64) {
        if let Some(lines) = &mut self.lines {
            lines.uncounted.extend(offsets(base, mask));
        }
    }

    /// Ends the leases whose time is over; returns true if there were any.
    pub(crate) fn expire(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        while let Some(&(due_ms, serial)) = self.dues.first() {
            if due_ms > now_ms {
                break;
            }
            self.dues.pop_first();
            if let Some(lease) = self.leases.remove(&serial) {
                let (base, attempt, mask) = (lease.base(), lease.attempt(), self.leaving_of(&lease));
                if mask != 0 {
                    let due_ms = now_ms.saturating_add(LEAVING_MS);
                    self.dues.insert((due_ms, serial));
                    self.leases.insert(serial, Lease::new(base, mask, due_ms, attempt));
                }
                self.let_go(base, lease.mask() & !mask);
                self.make_ready(base, lease.mask() & !mask, attempt);
                any |= lease.mask() != mask;
            }
        }
        any
    }

    /// The offsets of a lease whose dead letters wait to be stored.
    pub(super) fn leaving_of(&self, lease: &Lease) -> u64 {
        let base = lease.base();
        let leaving = self.leaving.range(base..Offset(base.0.saturating_add(WIDTH)));
        let waiting = leaving.filter(|(_, (_, waiting))| waiting.strong_count() > 0);
        waiting.fold(0, |mask, (offset, _)| mask | 1 << (offset.0 - base.0)) & lease.mask()
    }

    /// Forgets what lies below `oldest`: those messages are gone.
    pub(crate) fn trim(&mut self, oldest: Offset) {
        if self.floor() >= oldest {
            return;
        }
        let holds_gone = |&(_, lease): &(&u32, &Lease)| lease.base() < oldest;
        let serials: Vec<u32> = self.leases.iter().filter(holds_gone).map(|(&serial, _)| serial).collect();
        for serial in serials {
            let base = self.leases[&serial].base();
            self.remove_mask(serial, low_bits(oldest.0 - base.0));
        }
        while let Some((&block, &mask)) = self.open.first_key_value() {
            let gone = mask & low_bits(oldest.0.saturating_sub(block * WIDTH));
            if gone == 0 {
                break;
            }
            self.ready.remove(block, gone);
            self.close(block, gone);
        }
        self.next = self.next.max(oldest);
    }

    /// Marks offsets of one block done, whoever holds them.
    pub(super) fn finish(&mut self, block: u64, mask: u64) {
        let held = mask & self.open.get(&block).copied().unwrap_or(0) & !self.ready.remove(block, mask);
        for offset in offsets(Offset(block * WIDTH), held) {
            self.finish_held(offset);
        }
        self.close(block, mask);
    }

    /// Moves `next` to at least `to`; what is passed over was handed out before the restart and comes again.
    pub(super) fn advance(&mut self, to: Offset) {
        for (block, mask) in range_blocks(self.next.0, to.0) {
            *self.open.entry(block).or_insert(0) |= mask;
            self.ready.insert(block, 0, mask);
        }
        self.next = self.next.max(to);
    }

    pub(super) fn hold(&mut self, lease: Lease) -> u32 {
        if let Some(lines) = &mut self.lines {
            offsets(lease.base(), lease.mask()).for_each(|offset| lines.hold(offset));
        }
        let serial = self.fresh_serial();
        self.leases.insert(serial, lease);
        self.dues.insert((lease.due_ms(), serial));
        serial
    }

    /// Serials come round after 2^32 leases; those still in use are passed over.
    pub(super) fn fresh_serial(&mut self) -> u32 {
        loop {
            self.serial = self.serial.wrapping_add(1);
            if !self.leases.contains_key(&self.serial) {
                return self.serial;
            }
        }
    }

    pub(super) fn remove_held(&mut self, serial: u32, offset: Offset) {
        if let Some(lease) = self.leases.get(&serial) {
            self.remove_mask(serial, 1 << (offset.0 - lease.base().0));
        }
    }

    /// Takes offsets out of a lease; returns those that were in it. An empty lease goes.
    pub(super) fn remove_mask(&mut self, serial: u32, mask: u64) -> u64 {
        let Some(lease) = self.leases.get_mut(&serial) else { return 0 };
        let (base, removed) = (lease.base(), lease.remove(mask));
        if lease.mask() == 0 {
            self.dues.remove(&(lease.due_ms(), serial));
            self.leases.remove(&serial);
        }
        self.let_go(base, removed);
        removed
    }

    fn let_go(&mut self, base: Offset, mask: u64) {
        if let Some(lines) = &mut self.lines {
            offsets(base, mask).for_each(|offset| lines.let_go(offset));
        }
    }

    fn finish_held(&mut self, offset: Offset) {
        let guard = self.leaving.remove(&offset).map(|(serial, _)| serial);
        let guard = guard.filter(|serial| self.leases.get(serial).is_some_and(|lease| lease.holds(offset)));
        let serial = guard
            .or_else(|| self.leases.iter().find(|(_, lease)| lease.holds(offset)).map(|(&serial, _)| serial));
        if let Some(serial) = serial {
            self.remove_held(serial, offset);
        }
    }

    pub(super) fn make_ready(&mut self, base: Offset, mask: u64, attempts: u16) {
        for (block, mask) in blocks(base, mask) {
            self.ready.insert(block, attempts, mask);
        }
        if !self.leaving.is_empty() {
            self.leaving.retain(|offset, _| !contains(base, mask, *offset));
        }
    }

    pub(super) fn close(&mut self, block: u64, mask: u64) {
        if let Some(lines) = &mut self.lines {
            offsets(Offset(block * WIDTH), mask).for_each(|offset| lines.leave(offset));
        }
        if let Some(open) = self.open.get_mut(&block) {
            *open &= !mask;
            if *open == 0 {
                self.open.remove(&block);
            }
        }
    }
}

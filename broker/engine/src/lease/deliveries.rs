//! One consumer group's deliveries from one queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

use store::{Epoch, Offset};

use super::held::{Lease, contains};
use super::mask::{WIDTH, blocks, low_bits, place, range_blocks};
use super::ready::Ready;
use super::{LeaseError, Receipt};

/// Leases of one queue at a time; a group that holds so many and acks none gets nothing more.
const LEASES_MAX: usize = 1 << 20;

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
    dues: BTreeSet<(u64, u32)>,
    /// Offsets on their way to the dead letter topic: the lease that guards them, and what is gone once it is settled.
    leaving: BTreeMap<Offset, (u32, Weak<()>)>,
    serial: u32,
}

/// What a grant handed out: one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) base: Offset,
    /// Bit n: offset `base + n`.
    pub(crate) mask: u64,
    pub(crate) serial: u32,
    pub(crate) attempt: u16,
    pub(crate) due_ms: u64,
}

/// What a good receipt stands for.
enum Claim {
    Held,
    /// Of an earlier epoch, and nobody holds it now.
    Unheld,
    Done,
}

impl Deliveries {
    /// Deliveries of a group that begins to read at `start`.
    pub(crate) fn starting_at(start: Offset) -> Self {
        Self { next: start, ..Self::default() }
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

    /// Offsets below `next` that are not done.
    pub(crate) fn undone(&self) -> u64 {
        self.open.values().map(|mask| u64::from(mask.count_ones())).sum()
    }

    /// When the first lease ends.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.dues.first().map(|&(due_ms, _)| due_ms)
    }

    /// Messages that grants would find; of those that are ready again only some are counted.
    pub(crate) fn available(&mut self, tail: Offset, now_ms: u64) -> u64 {
        self.expire(now_ms);
        self.ready.some() + tail.0.saturating_sub(self.next.0)
    }

    /// Hands out up to `count` neighbours under one lease: first what ended, then what is new below `tail`.
    pub(crate) fn grant(&mut self, count: usize, tail: Offset, due_ms: u64, now_ms: u64) -> Option<Grant> {
        self.expire(now_ms);
        let count = count.min(64) as u32;
        if count == 0 || self.leases.len() >= LEASES_MAX {
            return None;
        }
        let (base, mask, attempts) = match self.ready.take(count) {
            Some(taken) => taken,
            None => self.take_new(u64::from(count), tail)?,
        };
        let attempt = attempts.saturating_add(1);
        let serial = self.hold(Lease::new(base, mask, due_ms, attempt));
        Some(Grant { base, mask, serial, attempt, due_ms })
    }

    /// Done for good. `Ok(false)`: it already was.
    pub(crate) fn ack(
        &mut self,
        receipt: &Receipt,
        epoch: Epoch,
        tail: Offset,
        now_ms: u64,
    ) -> Result<bool, LeaseError> {
        match self.claim(receipt, epoch, tail, now_ms)? {
            Claim::Done => return Ok(false),
            Claim::Held => self.remove_held(receipt.serial, receipt.offset),
            Claim::Unheld => drop(self.take_unheld(receipt.offset)),
        }
        let (block, bit) = place(receipt.offset);
        self.close(block, bit);
        Ok(true)
    }

    /// Moves one message to a lease of its own that ends at `due_ms`; a time that is over makes it ready at once.
    ///
    /// `Ok(None)`: it is done already.
    pub(crate) fn extend(
        &mut self,
        receipt: &Receipt,
        epoch: Epoch,
        tail: Offset,
        due_ms: u64,
        now_ms: u64,
    ) -> Result<Option<Receipt>, LeaseError> {
        let attempt = match self.claim(receipt, epoch, tail, now_ms)? {
            Claim::Done => return Ok(None),
            Claim::Held => {
                self.remove_held(receipt.serial, receipt.offset);
                receipt.attempt
            }
            Claim::Unheld => self.take_unheld(receipt.offset).max(receipt.attempt),
        };
        let serial = if due_ms > now_ms {
            self.hold(Lease::new(receipt.offset, 1, due_ms, attempt))
        } else {
            self.make_ready(receipt.offset, 1, attempt);
            self.fresh_serial()
        };
        Ok(Some(Receipt { attempt, serial, due_ms, epoch, ..*receipt }))
    }

    /// Keeps the receipt's whole lease until `until_ms`, with all messages that are still in it; never shortens it.
    ///
    /// `Ok(false)`: the message is done already.
    pub(crate) fn renew(
        &mut self,
        receipt: &Receipt,
        epoch: Epoch,
        tail: Offset,
        until_ms: u64,
        now_ms: u64,
    ) -> Result<bool, LeaseError> {
        match self.claim(receipt, epoch, tail, now_ms)? {
            Claim::Done => Ok(false),
            // There is no lease of that serial to keep; the holder has to extend.
            Claim::Unheld => Err(LeaseError::Superseded),
            Claim::Held => {
                let Some(lease) = self.leases.get_mut(&receipt.serial) else {
                    return Err(LeaseError::Expired);
                };
                if lease.due_ms() < until_ms {
                    self.dues.remove(&(lease.due_ms(), receipt.serial));
                    lease.prolong(until_ms);
                    self.dues.insert((lease.due_ms(), receipt.serial));
                }
                Ok(true)
            }
        }
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
                self.make_ready(base, lease.mask() & !mask, attempt);
                any |= lease.mask() != mask;
            }
        }
        any
    }

    /// The offsets of a lease whose dead letters wait to be stored.
    fn leaving_of(&self, lease: &Lease) -> u64 {
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
        self.close(block, mask);
        for offset in super::mask::offsets(Offset(block * WIDTH), held) {
            self.finish_held(offset);
        }
    }

    /// Moves `next` to at least `to`; what is passed over was handed out before the restart and comes again.
    pub(super) fn advance(&mut self, to: Offset) {
        for (block, mask) in range_blocks(self.next.0, to.0) {
            *self.open.entry(block).or_insert(0) |= mask;
            self.ready.insert(block, 0, mask);
        }
        self.next = self.next.max(to);
    }

    fn take_new(&mut self, count: u64, tail: Offset) -> Option<(Offset, u64, u16)> {
        let count = count.min(tail.0.saturating_sub(self.next.0));
        if count == 0 {
            return None;
        }
        let base = self.next;
        let mask = low_bits(count);
        for (block, mask) in blocks(base, mask) {
            *self.open.entry(block).or_insert(0) |= mask;
        }
        self.next = Offset(base.0 + count);
        Some((base, mask, 0))
    }

    fn claim(&self, receipt: &Receipt, epoch: Epoch, tail: Offset, now_ms: u64) -> Result<Claim, LeaseError> {
        let offset = receipt.offset;
        if receipt.epoch > epoch || offset >= tail || (receipt.epoch == epoch && offset >= self.next) {
            return Err(LeaseError::NotDelivered(offset));
        }
        if receipt.epoch == epoch
            && let Some(lease) = self.leases.get(&receipt.serial)
            && lease.holds(offset)
            && lease.attempt() == receipt.attempt
        {
            return if lease.due_ms() > now_ms { Ok(Claim::Held) } else { Err(LeaseError::Expired) };
        }
        let (block, bit) = place(offset);
        let is_open = offset >= self.next || self.open.get(&block).is_some_and(|mask| mask & bit != 0);
        let is_ready = offset >= self.next || self.ready.attempts(offset).is_some();
        match (is_open, is_ready) {
            (false, _) if receipt.due_ms > now_ms => Ok(Claim::Done),
            (true, true) if receipt.epoch < epoch => Ok(Claim::Unheld),
            (true, false) if receipt.due_ms > now_ms => Err(LeaseError::Superseded),
            (false | true, false | true) => Err(LeaseError::Expired),
        }
    }

    /// Takes an offset that nobody holds out of `ready`; returns its deliveries so far.
    fn take_unheld(&mut self, offset: Offset) -> u16 {
        self.advance(Offset(offset.0 + 1));
        let attempts = self.ready.attempts(offset).unwrap_or(0);
        let (block, bit) = place(offset);
        self.ready.remove(block, bit);
        attempts
    }

    fn hold(&mut self, lease: Lease) -> u32 {
        let serial = self.fresh_serial();
        self.leases.insert(serial, lease);
        self.dues.insert((lease.due_ms(), serial));
        serial
    }

    /// Serials come round after 2^32 leases; those still in use are passed over.
    fn fresh_serial(&mut self) -> u32 {
        loop {
            self.serial = self.serial.wrapping_add(1);
            if !self.leases.contains_key(&self.serial) {
                return self.serial;
            }
        }
    }

    fn remove_held(&mut self, serial: u32, offset: Offset) {
        if let Some(lease) = self.leases.get(&serial) {
            self.remove_mask(serial, 1 << (offset.0 - lease.base().0));
        }
    }

    /// Takes offsets out of a lease; returns those that were in it. An empty lease goes.
    fn remove_mask(&mut self, serial: u32, mask: u64) -> u64 {
        let Some(lease) = self.leases.get_mut(&serial) else { return 0 };
        let removed = lease.remove(mask);
        if lease.mask() == 0 {
            self.dues.remove(&(lease.due_ms(), serial));
            self.leases.remove(&serial);
        }
        removed
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

    fn make_ready(&mut self, base: Offset, mask: u64, attempts: u16) {
        for (block, mask) in blocks(base, mask) {
            self.ready.insert(block, attempts, mask);
        }
        if !self.leaving.is_empty() {
            self.leaving.retain(|offset, _| !contains(base, mask, *offset));
        }
    }

    fn close(&mut self, block: u64, mask: u64) {
        if let Some(open) = self.open.get_mut(&block) {
            *open &= !mask;
            if *open == 0 {
                self.open.remove(&block);
            }
        }
    }
}

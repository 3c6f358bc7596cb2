//! What the holder of a receipt may do: ack, extend, renew.

use store::{Epoch, Offset};

use super::deliveries::Deliveries;
use super::held::Lease;
use super::mask::place;
use super::{LeaseError, Receipt};

/// What a good receipt stands for.
enum Claim {
    Held,
    /// Of an earlier epoch, and nobody holds it now.
    Unheld,
    Done,
}

impl Deliveries {
    /// Ends a whole lease at `until_ms` if it would go on for longer, under the same serial.
    pub(crate) fn shorten(&mut self, serial: u32, until_ms: u64) {
        if self.leases.get(&serial).is_some_and(|lease| lease.due_ms() > until_ms) {
            self.end_at(serial, until_ms);
        }
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

    /// Whether the receipt's message is held under it; nothing changes.
    ///
    /// `Ok(false)`: the message is done already.
    pub(crate) fn holds(
        &self,
        receipt: &Receipt,
        epoch: Epoch,
        tail: Offset,
        now_ms: u64,
    ) -> Result<bool, LeaseError> {
        match self.claim(receipt, epoch, tail, now_ms)? {
            Claim::Done => Ok(false),
            // There is no lease of that serial to keep; the holder has to extend.
            Claim::Unheld => Err(LeaseError::Superseded),
            Claim::Held => Ok(true),
        }
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
        let is_held = self.holds(receipt, epoch, tail, now_ms)?;
        if is_held && self.leases.get(&receipt.serial).is_some_and(|lease| lease.due_ms() < until_ms) {
            self.end_at(receipt.serial, until_ms);
        }
        Ok(is_held)
    }

    fn end_at(&mut self, serial: u32, due_ms: u64) {
        let Some(lease) = self.leases.get_mut(&serial) else { return };
        self.dues.remove(&(lease.due_ms(), serial));
        lease.end_at(due_ms);
        self.dues.insert((lease.due_ms(), serial));
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
        if receipt.epoch < epoch && receipt.epoch <= self.moved_in {
            return Err(LeaseError::Expired);
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
}

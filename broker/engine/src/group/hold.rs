//! Acks, extensions and renewals, and the record of who got what.

use std::sync::Arc;

use super::{Delivery, Group};
use crate::catalog::ConsumerGroup;
use crate::handed::Handed;
use crate::lease::{Deliveries, LeaseError, Receipt};
use crate::mailbox::{Mailbox, Wakes};
use crate::records::Cell;
use crate::topic::Queues;

use store::Offset;

/// Of a client's name, so much is recorded.
const CLIENT_CHARS_MAX: usize = 255;

impl Group {
    /// The message is done; in memory at once, its record is in the next batch, which is written at the end of this
    /// turn of the mailbox's runtime.
    pub fn ack(&self, receipt: &Receipt, now_ms: u64, mailbox: &Mailbox) -> Result<(), LeaseError> {
        let epoch = self.epoch();
        let (acked, freed) = self.with_deliveries(receipt, |queues, deliveries, tail| {
            let acked = deliveries.ack(receipt, epoch, tail, now_ms)?;
            Ok((acked, deliveries.has_free_line().then(|| Arc::clone(queues))))
        })?;
        if acked {
            let cell = Cell { group: receipt.group, queue: receipt.queue, base: receipt.offset, mask: 1 };
            self.note_done(cell, mailbox);
        }
        if let Some(queues) = freed {
            self.tell_waiters(&queues, receipt.group, now_ms);
        }
        Ok(())
    }

    /// Holds one message until `now_ms + invisible_ms`; the new receipt takes the place of the old one.
    pub fn extend(&self, receipt: &Receipt, invisible_ms: u64, now_ms: u64) -> Result<Receipt, LeaseError> {
        let epoch = self.epoch();
        let due_ms = now_ms.saturating_add(invisible_ms);
        let (queues, new) = self.with_deliveries(receipt, |queues, deliveries, tail| {
            let new = deliveries.extend(receipt, epoch, tail, due_ms, now_ms)?;
            // A message that is done stays so; its receipt is as good as any.
            Ok((Arc::clone(queues), new.unwrap_or(*receipt)))
        })?;
        self.note_attempts_of(receipt, &new);
        self.tell_waiters(&queues, receipt.group, now_ms);
        Ok(new)
    }

    /// Holds the messages of the receipt's delivery until `until_ms` under the same receipts; never shortens.
    pub fn renew(&self, receipt: &Receipt, until_ms: u64, now_ms: u64) -> Result<(), LeaseError> {
        let epoch = self.epoch();
        self.with_deliveries(receipt, |_, deliveries, tail| {
            deliveries.renew(receipt, epoch, tail, until_ms, now_ms).map(drop)
        })
    }

    /// The reply with these messages did not arrive: their leases end at `until_ms`. Whoever asks again under the same name
    /// before that gets them as they are, see [`super::Receive`].
    pub fn abandon(&self, receipts: &[Receipt], until_ms: u64, now_ms: u64) {
        let mut last = None;
        for receipt in receipts {
            // Neighbours share a lease.
            let lease = (receipt.queue, receipt.serial);
            if receipt.epoch != self.epoch() || last == Some(lease) {
                continue;
            }
            last = Some(lease);
            let queues = self.with_deliveries(receipt, |queues, deliveries, _| {
                deliveries.shorten(receipt.serial, until_ms);
                Ok(Arc::clone(queues))
            });
            if let Ok(queues) = queues {
                self.tell_waiters(&queues, receipt.group, now_ms);
            }
        }
    }

    /// The message was not handed out after all: it is free again, and that delivery does not count.
    pub fn take_back(&self, receipt: &Receipt, now_ms: u64) {
        let queues = self.with_deliveries(receipt, |queues, deliveries, _| {
            deliveries.take_back(receipt);
            Ok(Arc::clone(queues))
        });
        if let Ok(queues) = queues {
            self.tell_waiters(&queues, receipt.group, now_ms);
        }
    }

    /// The messages are about to be written for this client, all of one consumer group: if the group traces, a record with
    /// the next batch says so.
    pub fn note_handed(
        &self,
        group: &ConsumerGroup,
        deliveries: &[Delivery],
        client: &str,
        mailbox: &Mailbox,
    ) {
        if !group.spec.trace || deliveries.is_empty() {
            return;
        }
        let client: Arc<str> = client.chars().take(CLIENT_CHARS_MAX).collect::<String>().into();
        let mut all: Vec<Handed> = Vec::with_capacity(deliveries.len());
        for Delivery { receipt, attempt, .. } in deliveries {
            let cell = Cell { group: receipt.group, queue: receipt.queue, base: receipt.offset, mask: 1 };
            let last = all.last_mut().filter(|last| last.attempt == *attempt);
            if !last.is_some_and(|last| last.cell.absorb(&cell)) {
                all.push(Handed { cell, attempt: *attempt, client: Arc::clone(&client) });
            }
        }
        if self.pending.handed(all) {
            self.inbox.write_after_turn(mailbox);
        }
    }

    /// Has the record of offsets that are done written with the next batch.
    pub(crate) fn note_done(&self, cell: Cell, mailbox: &Mailbox) {
        if self.pending.ack(cell) {
            self.inbox.write_after_turn(mailbox);
        }
    }

    /// A receipt from before a restart may know of deliveries that the restart forgot: now they are remembered.
    pub(crate) fn note_attempts_of(&self, old: &Receipt, new: &Receipt) {
        if old.epoch < new.epoch && new.attempt >= 2 {
            let cell = Cell { group: new.group, queue: new.queue, base: new.offset, mask: 1 };
            if self.pending.attempt(cell, new.attempt) {
                self.inbox.nudge();
            }
        }
    }

    /// Wakes waiters for messages that came back early, or sets their alarm.
    pub(crate) fn tell_waiters(&self, queues: &Arc<Queues>, group: u32, now_ms: u64) {
        let mut woken = Vec::new();
        {
            let mut reading = queues.lock();
            reading.pass_on(group, now_ms, &mut woken);
            self.set_alarm(queues, &mut reading, group);
        }
        let mut wakes = Wakes::default();
        for waiter in woken {
            waiter.wake(&mut wakes);
        }
        wakes.post();
    }

    pub(crate) fn with_deliveries<T>(
        &self,
        receipt: &Receipt,
        act: impl FnOnce(&Arc<Queues>, &mut Deliveries, Offset) -> Result<T, LeaseError>,
    ) -> Result<T, LeaseError> {
        if !self.is_leading() {
            return Err(LeaseError::NotLeading);
        }
        if receipt.epoch < self.epoch() && self.is_of_another(receipt) {
            return Err(LeaseError::NotDelivered(receipt.offset));
        }
        let catalog = self.state.catalog.read();
        let (queues, queue) = catalog.home(receipt.queue).ok_or(LeaseError::UnknownQueue(receipt.queue))?;
        let mut reading = queues.lock();
        let (deliveries, tail) =
            reading.deliveries(receipt.group, *queue).ok_or(LeaseError::UnknownGroup(receipt.group))?;
        act(queues, deliveries, tail)
    }

    /// Whether a later message has the offset now: with `flush: Async` a power cut may take messages whose receipts
    /// are about. One that cannot be read counts as another; it is delivered again at worst.
    fn is_of_another(&self, receipt: &Receipt) -> bool {
        let mut entries = Vec::new();
        match self.state.index.read(receipt.queue, receipt.offset, 1, &mut entries) {
            Ok(()) => entries.first().is_some_and(|entry| {
                let record = self.reader.read(entry.position, entry.bytes);
                !record.is_ok_and(|record| record.entry().epoch <= receipt.epoch)
            }),
            // Nothing has taken the place of what was trimmed.
            Err(_) => false,
        }
    }
}

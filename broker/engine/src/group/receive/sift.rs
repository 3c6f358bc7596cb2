//! What becomes of the offsets of a grant: delivered, passed over, or on their way to the dead letters.

use store::Offset;
use store::index::{IndexEntry, IndexError};

use crate::group::{Delivery, Group, Receive, ReceiveError, Received};
use crate::lease::{Grant, Receipt};
use crate::topic::Granted;

/// Bytes of records that one receive hands out: a reply is one buffer, and 32 messages may have 4 MiB each.
const BYTES_MAX: u64 = 8 << 20;

impl Group {
    /// Adds what shall be delivered to `received`, without records; what is not wanted is done at once. Returns whether
    /// there is room for more.
    pub(super) fn sift(
        &self,
        request: &Receive<'_>,
        grants: &[Granted],
        now_ms: u64,
        received: &mut Received,
    ) -> Result<bool, ReceiveError> {
        let mut entries = Vec::with_capacity(request.max);
        let mut has_room = true;
        for (at, granted) in grants.iter().enumerate() {
            entries.clear();
            let readable = match self.entries(request, granted, &mut entries) {
                Ok(readable) => readable,
                Err(error) => {
                    // What this call holds and did not deliver is free for the next one.
                    give_back(request, &grants[at..]);
                    return Err(error);
                }
            };
            let wanted = entries.iter().filter(|entry| is_wanted(request, entry, now_ms));
            let mask = wanted.fold(0, |mask, entry| mask | bit(granted, entry)) & readable;
            entries.retain(|entry| mask & bit(granted, entry) != 0);
            let skipped = granted.grant.mask & !mask;
            if skipped != 0 {
                self.skip(request, granted, skipped);
            }
            if u32::from(granted.grant.attempt) > request.group.spec.retry.max_attempts {
                self.bury(request, granted, &entries, now_ms, received);
                continue;
            }
            let is_over = request.group.spec.ordered && !has_room;
            let surplus = surplus(granted, &mut entries, received, is_over);
            if surplus != 0 {
                has_room = false;
                self.release(request, granted, surplus, now_ms);
            }
            let mask = mask & !surplus;
            if granted.grant.attempt >= 2
                && mask != 0
                && self.pending.attempt(granted.cell(request, mask), granted.grant.attempt)
            {
                self.inbox.write_after_turn(request.mailbox);
            }
            received.deliveries.extend(entries.iter().map(|entry| self.delivery(request, granted, entry)));
        }
        Ok(has_room)
    }

    /// Lets others have offsets that were granted and not handed out; the attempt does not count.
    fn release(&self, request: &Receive<'_>, granted: &Granted, mask: u64, now_ms: u64) {
        let queues = &request.topic.state;
        if let Some((deliveries, _)) = queues.lock().deliveries(request.group.id, granted.queue) {
            deliveries.release(&granted.grant, mask);
        }
        self.tell_waiters(queues, request.group.id, now_ms);
    }

    /// The index entries of a grant; returns the offsets of it that are still kept.
    fn entries(
        &self,
        request: &Receive<'_>,
        granted: &Granted,
        entries: &mut Vec<IndexEntry>,
    ) -> Result<u64, ReceiveError> {
        let grant = &granted.grant;
        let mut readable = grant.mask;
        while readable != 0 {
            let first = Offset(grant.base.0 + u64::from(readable.trailing_zeros()));
            let count = 64 - readable.leading_zeros() - readable.trailing_zeros();
            match self.state.index.read(granted.id, first, count as usize, entries) {
                Ok(()) => {
                    entries.retain(|entry| readable & bit(granted, entry) != 0);
                    break;
                }
                Err(IndexError::Trimmed { oldest }) => {
                    // Without progress this would not end: then the index contradicts itself.
                    assert!(oldest > first, "trimmed index refuses offset {first}, and keeps {oldest}");
                    entries.clear();
                    readable &= !below(grant, oldest);
                    forget(request, granted, oldest);
                }
                Err(error) => return Err(ReceiveError::Index(error)),
            }
        }
        Ok(readable)
    }

    /// Offsets of a grant are done without being delivered.
    pub(in crate::group) fn skip(&self, request: &Receive<'_>, granted: &Granted, mask: u64) {
        let mut reading = request.topic.state.lock();
        if let Some((deliveries, _)) = reading.deliveries(request.group.id, granted.queue) {
            deliveries.skip(&granted.grant, mask);
        }
        drop(reading);
        self.note_done(granted.cell(request, mask), request.mailbox);
        if request.group.spec.ordered {
            // Those behind them in their lines are next.
            let now_ms = granted.grant.due_ms.saturating_sub(request.invisible_ms);
            self.tell_waiters(&request.topic.state, request.group.id, now_ms);
        }
    }

    fn delivery(&self, request: &Receive<'_>, granted: &Granted, entry: &IndexEntry) -> Delivery {
        let grant = &granted.grant;
        let receipt = Receipt {
            group: request.group.id,
            queue: granted.id,
            offset: entry.offset,
            attempt: grant.attempt,
            serial: grant.serial,
            due_ms: grant.due_ms,
            epoch: self.epoch(),
        };
        Delivery {
            receipt,
            position: entry.position,
            bytes: entry.bytes,
            offset: entry.offset,
            queue_index: granted.queue,
            attempt: grant.attempt,
            stored_ms: entry.stored_ms,
            record: None,
            origin: None,
        }
    }
}

/// Everything below `oldest` was trimmed, not only what was granted.
fn forget(request: &Receive<'_>, granted: &Granted, oldest: Offset) {
    let mut reading = request.topic.state.lock();
    if let Some((deliveries, _)) = reading.deliveries(request.group.id, granted.queue) {
        deliveries.trim(oldest);
    }
}

fn give_back(request: &Receive<'_>, grants: &[Granted]) {
    let mut reading = request.topic.state.lock();
    for granted in grants {
        if let Some((deliveries, _)) = reading.deliveries(request.group.id, granted.queue) {
            deliveries.release(&granted.grant, granted.grant.mask);
        }
    }
}

fn is_wanted(request: &Receive<'_>, entry: &IndexEntry, now_ms: u64) -> bool {
    let retention_ms = request.topic.spec.retention_ms;
    let is_kept = retention_ms == 0 || entry.stored_ms.saturating_add(retention_ms) > now_ms;
    is_kept && request.tags.is_none_or(|tags| tags.contains(&entry.tag_hash))
}

/// Drops the entries that would make the deliveries larger than one receive may be, and returns their offsets; a message
/// that is larger all by itself stays when it is the first one. In order, nothing comes after what was dropped: `is_over`.
fn surplus(granted: &Granted, entries: &mut Vec<IndexEntry>, received: &Received, is_over: bool) -> u64 {
    let mut bytes: u64 = received.deliveries.iter().map(|delivery| u64::from(delivery.bytes)).sum();
    let mut fitting = 0;
    for entry in entries.iter().take_while(|_| !is_over) {
        bytes += u64::from(entry.bytes);
        if bytes > BYTES_MAX && (fitting > 0 || !received.deliveries.is_empty()) {
            break;
        }
        fitting += 1;
    }
    entries.drain(fitting..).fold(0, |mask, entry| mask | bit(granted, &entry))
}

/// The offsets of a grant below `oldest`.
fn below(grant: &Grant, oldest: Offset) -> u64 {
    let count = oldest.0.saturating_sub(grant.base.0);
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

fn bit(granted: &Granted, entry: &IndexEntry) -> u64 {
    1 << (entry.offset.0 - granted.grant.base.0)
}

//! What becomes of the offsets of a grant: delivered, passed over, or on their way to the dead letters.

use std::ops::Range;

use store::Offset;
use store::index::{IndexEntry, IndexError};

use crate::batch::{Piece, pieces};
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
        let mut messages = Vec::with_capacity(request.max);
        let mut has_room = true;
        for (at, granted) in grants.iter().enumerate() {
            messages.clear();
            let readable = match self.look_up(request, granted, &mut messages) {
                Ok(readable) => readable,
                Err(error) => {
                    // What this call holds and did not deliver is free for the next one.
                    give_back(request, &grants[at..]);
                    return Err(error);
                }
            };
            messages.retain(|message| is_wanted(request, message, now_ms));
            let mask = messages.iter().fold(0, |mask, message| mask | bit(granted, message)) & readable;
            let skipped = granted.grant.mask & !mask;
            if skipped != 0 {
                self.skip(request, granted, skipped);
            }
            if u32::from(granted.grant.attempt) > request.group.spec.retry.max_attempts {
                self.bury(request, granted, &messages, now_ms, received);
                continue;
            }
            let is_over = request.group.spec.ordered && !has_room;
            let surplus = surplus(granted, &mut messages, received, is_over);
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
            let deliveries = messages.iter().map(|message| self.delivery(request, granted, message));
            received.deliveries.extend(deliveries);
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

    /// The messages of a grant; returns the offsets of it that are still kept.
    fn look_up(
        &self,
        request: &Receive<'_>,
        granted: &Granted,
        messages: &mut Vec<Piece>,
    ) -> Result<u64, ReceiveError> {
        let grant = &granted.grant;
        let mut readable = grant.mask;
        let mut entries = Vec::new();
        while readable != 0 {
            let first = Offset(grant.base.0 + u64::from(readable.trailing_zeros()));
            let count = 64 - readable.leading_zeros() - readable.trailing_zeros();
            let read = self.read_all(granted, first..Offset(first.0 + u64::from(count)), &mut entries);
            match read {
                Ok(()) => {
                    let found = entries.iter().flat_map(pieces);
                    messages.extend(found.filter(|message| readable & bit(granted, message) != 0));
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

    /// The index entries of these offsets, all of them: whatever is missing would count as done.
    fn read_all(
        &self,
        granted: &Granted,
        offsets: Range<Offset>,
        entries: &mut Vec<IndexEntry>,
    ) -> Result<(), IndexError> {
        let mut from = offsets.start;
        while from < offsets.end {
            // It ends early before an error, which the next one tells.
            self.state.index.read(granted.id, from, (offsets.end.0 - from.0) as usize, entries)?;
            let end = entries.last().map_or(from, IndexEntry::end);
            assert!(end > from, "index holds nothing at offset {from}, which was handed out");
            from = end;
        }
        Ok(())
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

    fn delivery(&self, request: &Receive<'_>, granted: &Granted, message: &Piece) -> Delivery {
        let (grant, entry) = (&granted.grant, &message.entry);
        let receipt = Receipt {
            group: request.group.id,
            queue: granted.id,
            offset: message.offset(),
            attempt: grant.attempt,
            serial: grant.serial,
            due_ms: grant.due_ms,
            epoch: self.epoch(),
        };
        Delivery {
            receipt,
            position: entry.position,
            bytes: entry.bytes,
            number: message.number,
            offset: message.offset(),
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

fn is_wanted(request: &Receive<'_>, message: &Piece, now_ms: u64) -> bool {
    let retention_ms = request.topic.spec.retention_ms;
    let is_kept = retention_ms == 0 || message.entry.stored_ms.saturating_add(retention_ms) > now_ms;
    // Where only the record knows the tag, it is looked at once it is there.
    let tag_hash = message.tag_hash();
    is_kept && request.tags.is_none_or(|tags| tag_hash.is_none_or(|hash| tags.contains(&hash)))
}

/// Drops the messages that would make the deliveries larger than one receive may be, and returns their offsets; a message
/// that is larger all by itself stays when it is the first one. In order, nothing comes after what was dropped: `is_over`.
fn surplus(granted: &Granted, messages: &mut Vec<Piece>, received: &Received, is_over: bool) -> u64 {
    let records = received.deliveries.chunk_by(|one, next| one.position == next.position);
    let mut bytes: u64 = records.map(|messages| u64::from(messages[0].bytes)).sum();
    let mut last = received.deliveries.last().map(|delivery| delivery.position);
    let mut fitting = 0;
    for message in messages.iter().take_while(|_| !is_over) {
        // A record counts as a whole, and once.
        if last.replace(message.entry.position) != Some(message.entry.position) {
            bytes += u64::from(message.entry.bytes);
        }
        if bytes > BYTES_MAX && (fitting > 0 || !received.deliveries.is_empty()) {
            break;
        }
        fitting += 1;
    }
    messages.drain(fitting..).fold(0, |mask, message| mask | bit(granted, &message))
}

/// The offsets of a grant below `oldest`.
fn below(grant: &Grant, oldest: Offset) -> u64 {
    let count = oldest.0.saturating_sub(grant.base.0);
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The bit of a message in the grant's mask; none if the grant cannot hold it.
fn bit(granted: &Granted, message: &Piece) -> u64 {
    let place = message.offset().0.checked_sub(granted.grant.base.0);
    place.filter(|place| *place < 64).map_or(0, |place| 1 << place)
}

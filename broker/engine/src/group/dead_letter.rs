//! Messages that a consumer group gives up on go to its dead letter topic: a pointer, and the ack in the same batch.

use std::sync::Arc;

use store::index::IndexError;
use store::log::{Draft, ReadError};
use store::{Offset, Position, QueueId};

use super::types::undecodable;
use super::{DeadLetterError, Group, Receive, Received};
use crate::batch::Piece;
use crate::catalog::{
    Broadcast, Change, ConsumerGroup, DEAD_LETTER_PREFIX, Topic, TopicSpec, TopicType, What, drafts,
};
use crate::inbox::{SubmitError, Ticket};
use crate::lease::{LeaseError, Receipt};
use crate::mailbox::Mailbox;
use crate::records::{Cell, Link, Linked, ack_drafts, copy_draft, linked};
use crate::topic::Granted;

/// A message that nobody held any more is held so long while its record is on its way.
const HOLD_MS: u64 = 30_000;
/// A pointer's record is not larger: header, numbers and the name of a topic.
const LINK_BYTES_MAX: u32 = 256;

impl Group {
    /// Moves a message to `%DLQ%<group>`; it is done for the group once stored.
    pub fn dead_letter(
        &self,
        receipt: &Receipt,
        now_ms: u64,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, DeadLetterError> {
        let group = self.consumer_group_by_id(receipt.group);
        let group = group.ok_or(LeaseError::UnknownGroup(receipt.group))?;
        let name = self.letters_of(&group).ok_or(LeaseError::UnknownGroup(receipt.group))?;
        let topic = self.topic_of(receipt.queue).ok_or(LeaseError::UnknownQueue(receipt.queue))?;
        let waiting = Arc::new(());
        if !self.hold_for_burial(receipt, now_ms, &waiting)? {
            return Ok(Ticket::stored(mailbox));
        }
        let mut entries = Vec::new();
        self.state.index.read(receipt.queue, receipt.offset, 1, &mut entries)?;
        let Some(entry) = entries.first() else {
            return Err(IndexError::Trimmed { oldest: receipt.offset }.into());
        };
        let message = Piece::of(entry, receipt.offset);
        let letter = self.letter(&topic, &message, receipt.attempt, now_ms)?;
        let cell = Cell { group: group.id, queue: receipt.queue, base: receipt.offset, mask: 1 };
        Ok(self.submit_letters(name, vec![letter], acks(&cell), mailbox, waiting)?)
    }

    /// As `dead_letter`, for the messages of a grant whose attempts are used up.
    pub(super) fn bury(
        &self,
        request: &Receive<'_>,
        granted: &Granted,
        messages: &[Piece],
        now_ms: u64,
        received: &mut Received,
    ) {
        let waiting = Arc::new(());
        {
            let mut reading = request.topic.state.lock();
            if let Some((deliveries, _)) = reading.deliveries(request.group.id, granted.queue) {
                for message in messages {
                    deliveries.set_aside(message.offset(), granted.grant.serial, Arc::downgrade(&waiting));
                }
            }
        }
        let most_bytes = self.pointers_bytes_max();
        let none = Cell { group: request.group.id, queue: granted.id, base: granted.grant.base, mask: 0 };
        let (mut letters, mut done, mut bytes) = (Vec::with_capacity(messages.len()), none, 0);
        for message in messages {
            let bit = 1 << (message.offset().0 - granted.grant.base.0);
            // The delivery that does not take place any more does not count.
            let letter = match self.letter(request.topic, message, granted.grant.attempt - 1, now_ms) {
                Ok(letter) => letter,
                Err(error) => {
                    // It could never be moved.
                    self.skip(request, granted, bit);
                    received.corrupt.push(error);
                    continue;
                }
            };
            if !letters.is_empty() && bytes + letter.bytes() > most_bytes {
                self.submit_burial(request, std::mem::take(&mut letters), &done, &waiting, received);
                (done, bytes) = (none, 0);
            }
            bytes += letter.bytes();
            letters.push(letter);
            done.mask |= bit;
        }
        if !letters.is_empty() {
            self.submit_burial(request, letters, &done, &waiting, received);
        }
    }

    /// Pointers of one submission: where they are copies of large messages, those must not add up to more than the log
    /// takes at once.
    pub(super) fn pointers_bytes_max(&self) -> u64 {
        self.config.batch_bytes_max.min(self.config.log.segment_bytes / 4)
    }

    fn submit_burial(
        &self,
        request: &Receive<'_>,
        letters: Vec<Draft>,
        done: &Cell,
        waiting: &Arc<()>,
        received: &mut Received,
    ) {
        // If the log is busy they stay held, and are tried again when the lease ends.
        let Some(name) = self.letters_of(request.group) else { return };
        let taken = self.submit_letters(name, letters, acks(done), request.mailbox, Arc::clone(waiting));
        if taken.is_ok() {
            let bits = (0..64).filter(|bit| done.mask >> bit & 1 == 1);
            received.buried.extend(bits.map(|bit| (done.queue, Offset(done.base.0 + bit))));
        }
    }

    /// Keeps others from the message while it is moved, and not from its neighbours in the lease; false if it is done
    /// already.
    fn hold_for_burial(&self, receipt: &Receipt, now_ms: u64, waiting: &Arc<()>) -> Result<bool, LeaseError> {
        let epoch = self.epoch();
        let held = self.with_deliveries(receipt, |_, deliveries, tail| {
            let held = if receipt.epoch == epoch {
                deliveries.holds(receipt, epoch, tail, now_ms)?.then_some(*receipt)
            } else {
                deliveries.extend(receipt, epoch, tail, now_ms.saturating_add(HOLD_MS), now_ms)?
            };
            if let Some(held) = &held {
                deliveries.set_aside(held.offset, held.serial, Arc::downgrade(waiting));
            }
            Ok(held)
        })?;
        if let Some(held) = &held {
            self.note_attempts_of(receipt, held);
        }
        Ok(held.is_some())
    }

    /// The record for the dead letter topic, without its queue. What the disk refuses now is pointed to as it is: who reads
    /// in order would stand before it for as long as the disk refuses.
    fn letter(&self, topic: &Topic, message: &Piece, attempts: u16, now_ms: u64) -> Result<Draft, ReadError> {
        match self.letter_of_kind(topic, message, attempts, now_ms) {
            Err(ReadError::Io { .. }) => {
                let entry = &message.entry;
                let link = Link::new(entry.position, entry.bytes, topic.spec.name.clone());
                let tag_hash = message.tag_hash().unwrap_or(entry.tag_hash);
                Ok(Draft { lane: entry.lane, ..link.to(message.number).draft(tag_hash, attempts) })
            }
            letter => letter,
        }
    }

    /// A pointer to the message itself, or a copy of it.
    fn letter_of_kind(
        &self,
        topic: &Topic,
        message: &Piece,
        attempts: u16,
        now_ms: u64,
    ) -> Result<Draft, ReadError> {
        let (entry, mut number) = (&message.entry, message.number);
        let mut target = (entry.position, entry.bytes);
        let mut origin = topic.spec.name.clone();
        let mut sent_ms = Some(entry.stored_ms);
        let may_be_link = entry.bytes <= LINK_BYTES_MAX || origin.starts_with(DEAD_LETTER_PREFIX);
        if may_be_link {
            // A dead letter that dies again, or a message that waited for its time, still points to the message itself.
            let record = self.reader.read(target.0, target.1)?;
            match linked(&record).map_err(|why| undecodable(target.0, why))? {
                None => {}
                Some(Linked::Copy { origin: first }) if first.is_empty() => {}
                Some(Linked::Copy { origin: first }) => origin = first,
                Some(Linked::Pointer(link)) => {
                    target = link.target();
                    number = link.number();
                    if !link.origin.is_empty() {
                        origin = link.origin;
                    }
                    sent_ms = None;
                }
            }
        }
        let is_copied = self.is_trimmed_soon(target.0, sent_ms, now_ms);
        if let Some(tag_hash) = message.tag_hash().filter(|_| !is_copied) {
            let link = Link::new(target.0, target.1, origin).to(number).draft(tag_hash, attempts);
            return Ok(Draft { lane: entry.lane, ..link });
        }
        let record = self.reader.read(target.0, target.1)?;
        let none = || undecodable(target.0, format!("record has no message {number}"));
        let record = record.message(number).ok_or_else(none)?;
        let tag_hash = record.entry().tag_hash;
        if is_copied {
            return Ok(copy_draft(&record, origin, tag_hash, attempts));
        }
        let link = Link::new(target.0, target.1, origin).to(number).draft(tag_hash, attempts);
        Ok(Draft { lane: entry.lane, ..link })
    }

    /// Whether a pointer written now would outlive its message by more than half its own time.
    pub(super) fn is_trimmed_soon(&self, position: Position, sent_ms: Option<u64>, now_ms: u64) -> bool {
        let retention = self.config.retention.get();
        let is_old = match sent_ms {
            Some(sent_ms) => now_ms.saturating_sub(sent_ms) > retention.max_age_ms / 2,
            // Its time is not known: a copy is always right.
            None => true,
        };
        let behind_bytes = self.written().0.saturating_sub(position.0);
        is_old || retention.max_bytes.is_some_and(|max_bytes| behind_bytes > max_bytes / 2)
    }

    /// Letters to a topic that only the broker fills, and what ends their life elsewhere, in one batch; the topic is made if
    /// there is none.
    pub(super) fn submit_letters(
        &self,
        name: String,
        letters: Vec<Draft>,
        ends: Vec<Draft>,
        mailbox: &Arc<Mailbox>,
        waiting: Arc<()>,
    ) -> Result<Ticket, SubmitError> {
        let addressed = |queue| letters.into_iter().map(move |letter| Draft { queue, ..letter });
        let known = self.state.catalog.read().topic(&name).map(|topic| topic.queues[0]);
        if let Some(queue) = known {
            let submission = addressed(queue).chain(ends).collect();
            return self.inbox.submit_watched(submission, mailbox, Some(waiting));
        }
        let _turn = self.planning.lock();
        self.inbox.admit()?;
        let spec = TopicSpec {
            name,
            topic_type: TopicType::Normal,
            queues: 1,
            retention_ms: 0,
            groups: Vec::new(),
            owner: String::new(),
        };
        let put = self.state.catalog.write().plan_new_topic(&spec, &waiting);
        let letters = addressed(QueueId(put.queues[0]));
        let makes_topic = drafts(vec![Change::from(What::TopicPut(put))]);
        let submission = makes_topic.into_iter().chain(letters).chain(ends).collect();
        self.inbox.submit_watched(submission, mailbox, Some(waiting))
    }

    fn letters_of(&self, group: &ConsumerGroup) -> Option<String> {
        Some(format!("{DEAD_LETTER_PREFIX}{}", self.letters_from(group)?))
    }

    /// The name that dead letters go by: members of a broadcast share those of their group. `None`: it is a member that is
    /// left over, and nobody would look for its dead letters.
    pub(super) fn letters_from(&self, group: &ConsumerGroup) -> Option<String> {
        match group.spec.broadcast {
            Broadcast::Member(of) => Some(self.consumer_group_by_id(of)?.spec.name.clone()),
            Broadcast::No | Broadcast::ByHost | Broadcast::ByClient => Some(group.spec.name.clone()),
        }
    }
}

fn acks(done: &Cell) -> Vec<Draft> {
    ack_drafts(std::slice::from_ref(done)).collect()
}

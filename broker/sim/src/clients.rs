//! Producers and consumers.

use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::TopicType;
use engine::group::{DeadLetterError, Delivery, Group, Receive};
use engine::lease::LeaseError;
use engine::waiter::Waiter;
use store::log::{Draft, Encoding, Kind, ReadError, Record, crc32};
use store::{Position, QueueId};

use crate::backoff::wait_ms;
use crate::event::Event;
use crate::world::{Awaited, Holding, World, body_of, tag_hash};

impl World {
    /// A producer sends a few messages in one request.
    pub(crate) fn send(&mut self) {
        let topic = self.pick(0, self.topics.len() as u64) as usize;
        let Some(topic) = self.broker.group.topic(&self.topics[topic].name) else { return };
        let count = self.pick(1, 9);
        let first = self.next_message;
        self.next_message += count;
        // The messages of one request are of one message group or now and then of two, or of one priority.
        let lane = if topic.spec.topic_type == TopicType::Fifo { self.pick(1, 7) as u32 } else { 0 };
        let other_lane = if lane > 0 && self.random.one_in(3) { self.pick(1, 7) as u32 } else { lane };
        let priority = (topic.spec.topic_type == TopicType::Priority).then(|| self.pick(0, 12) as u32);
        let queue = priority.map_or(QueueId::NONE, |priority| topic.queue_of_priority(priority));
        let is_plain = lane > 0 || priority.is_some();
        let is_timed = !is_plain && self.random.one_in(3);
        let is_undecided = !is_plain && !is_timed && self.random.one_in(3);
        let mut drafts = Vec::new();
        for message in first..first + count {
            let lane = if self.random.one_in(3) { other_lane } else { lane };
            self.invariants.sent(message, lane);
            if let Some(priority) = priority {
                self.invariants.sent_with(message, priority);
            }
            let draft = Draft { queue, ..draft(message, lane) };
            drafts.push(if is_timed {
                self.delayed(message, draft)
            } else if is_undecided {
                self.undecided(message, draft)
            } else {
                draft
            });
        }
        self.trace.note(format_args!("send {first} .. {} to {}", first + count, topic.spec.name));
        if let Ok(ticket) = self.broker.group.send(&topic, drafts, &self.mailbox) {
            self.awaited.push((ticket, Awaited::Send { first, count, is_run: lane == other_lane }));
        }
    }

    /// A draft for a later time, soon or so far ahead that it does not stay in memory.
    fn delayed(&mut self, message: u64, draft: Draft) -> Draft {
        let ahead_ms = if self.random.one_in(3) { 1_800_000 } else { 0 };
        let due_ms = self.now_ms + ahead_ms + self.pick(1, 200_000);
        self.timed.insert(message, (due_ms, None));
        self.invariants.sent_for(message, due_ms);
        Draft { kind: Kind::Timed, due_ms, ..draft }
    }

    /// A producer takes a message back, in time or too late.
    pub(crate) fn recall(&mut self) {
        let stored =
            self.timed.iter().filter_map(|(message, (due_ms, at))| Some((*message, *due_ms, (*at)?)));
        let stored: Vec<_> = stored.collect();
        if stored.is_empty() {
            return;
        }
        let (message, due_ms, position) = stored[self.pick(0, stored.len() as u64) as usize];
        let recalled = self.broker.group.recall(due_ms, position, &self.mailbox);
        self.trace.note(format_args!("recall {message}: {}", recalled.is_ok()));
        if let Ok(ticket) = recalled {
            self.invariants.may_go(message);
            self.awaited.push((ticket, Awaited::Recall { message }));
        }
    }

    /// A consumer asks for messages; returns how many it got.
    pub(crate) fn receive(
        &mut self,
        reader: usize,
        topic: &str,
        max: usize,
        invisible_ms: u64,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<usize, String> {
        let group = Arc::clone(&self.broker.group);
        let name = &self.readers[reader].spec.name;
        let (Some(consumer_group), Some(topic)) = (group.consumer_group(name), group.topic(topic)) else {
            return Ok(0);
        };
        let tags = self.readers[reader].tags.clone();
        self.has_unrecorded = true;
        self.receives += 1;
        let attempt_id = self.name_try(reader, &topic.spec.name)?;
        let request = Receive {
            group: &consumer_group,
            topic: &topic,
            tags: tags.as_deref(),
            max,
            invisible_ms,
            attempt_id: attempt_id.as_deref(),
            mailbox: &self.mailbox,
        };
        let received = match group.receive(&request, self.now_ms, waiter) {
            Ok(received) => received,
            Err(error) => return self.unless_crashed(&format!("receive: {error}")).map(|()| 0),
        };
        for error in &received.corrupt {
            self.bear(error)?;
        }
        group.note_handed(&consumer_group, &received.deliveries, "sim", &self.mailbox);
        let count = received.deliveries.len();
        for delivery in received.deliveries {
            let got = self.take_delivery(&group, reader, delivery)?;
            if let Some(attempt_id) = &attempt_id {
                let of_try = self.tries.entry((reader, topic.spec.name.clone())).or_default();
                of_try.0.clone_from(attempt_id);
                of_try.1.extend(got);
            }
        }
        Ok(count)
    }

    /// The name that a consumer gives its try: a new one, or that of the last one, whose reply it says it never got.
    fn name_try(&mut self, reader: usize, topic: &str) -> Result<Option<String>, String> {
        if !self.readers[reader].spec.ordered {
            return Ok(None);
        }
        let is_again = self.random.one_in(4);
        let last = self.tries.remove(&(reader, topic.to_owned())).filter(|_| is_again);
        // Whoever did something with one of the messages has got the reply.
        let last = last.filter(|(_, got)| got.iter().all(|holding| self.holdings.contains(holding)));
        let Some((name, got)) = last else { return Ok(Some(format!("try {}", self.receives))) };
        self.holdings.retain(|holding| !got.contains(holding));
        for Holding { message, .. } in got {
            self.tell(Event::Lost { reader, message })?;
        }
        Ok(Some(name))
    }

    /// A consumer does something with a message that it holds, or held.
    pub(crate) fn use_holding(&mut self) -> Result<(), String> {
        if self.holdings.is_empty() {
            return Ok(());
        }
        let at = self.pick(0, self.holdings.len() as u64) as usize;
        match self.pick(0, 18) {
            16.. => {
                let holding = self.holdings.swap_remove(at);
                self.fail(holding)
            }
            0..10 => {
                let holding = self.holdings.swap_remove(at);
                self.ack(holding)
            }
            10 => {
                let holding = self.holdings.swap_remove(at);
                self.give_back(holding)
            }
            11 | 12 => {
                let invisible_ms = self.pick(1, 60_000);
                self.extend(at, invisible_ms)
            }
            13 => {
                let until_ms = self.now_ms + self.pick(1, 60_000);
                self.renew(at, until_ms)
            }
            14 => {
                let holding = self.holdings.swap_remove(at);
                self.give_up(holding)
            }
            // The consumer forgets it: the lease will run out.
            _ => {
                self.holdings.swap_remove(at);
                Ok(())
            }
        }
    }

    pub(crate) fn ack(&mut self, holding: Holding) -> Result<(), String> {
        let Holding { reader, message, receipt } = holding;
        self.has_unrecorded = true;
        match self.broker.group.ack(&receipt, self.now_ms, &self.mailbox) {
            Ok(()) => self.tell(Event::Acked { reader, message }),
            Err(error) => self.refused("ack", &holding, error),
        }
    }

    fn give_back(&mut self, holding: Holding) -> Result<(), String> {
        let Holding { reader, message, receipt } = holding;
        match self.broker.group.extend(&receipt, 0, self.now_ms) {
            Ok(_) => self.tell(Event::Released { reader, message }),
            Err(error) => self.refused("give back", &holding, error),
        }
    }

    /// A consumer failed with a message: it wants it again after the wait that the broker tells for this attempt.
    fn fail(&mut self, holding: Holding) -> Result<(), String> {
        let Holding { reader, message, receipt } = holding;
        let known = self.broker.group.consumer_group(&self.readers[reader].spec.name);
        let backoff = known.map(|group| group.spec.retry.backoff.clone());
        let wait_ms = wait_ms(&backoff.ok_or("a consumer group is gone")?, receipt.attempt);
        match self.broker.group.extend(&receipt, wait_ms, self.now_ms) {
            // Done, as a consumer heard before.
            Ok(new) if new == receipt => Ok(()),
            Ok(new) => {
                self.tell(Event::Held { reader, message, due_ms: new.due_ms })?;
                self.invariants.failed(reader, message, receipt.attempt, self.now_ms);
                Ok(())
            }
            Err(error) => self.refused("fail", &holding, error),
        }
    }

    fn extend(&mut self, at: usize, invisible_ms: u64) -> Result<(), String> {
        let holding = self.holdings[at];
        let Holding { reader, message, receipt } = holding;
        match self.broker.group.extend(&receipt, invisible_ms, self.now_ms) {
            Ok(new) if new == receipt => Ok(()),
            Ok(new) => {
                self.holdings[at].receipt = new;
                self.tell(Event::Held { reader, message, due_ms: new.due_ms })
            }
            Err(error) => self.refused("extend", &holding, error),
        }
    }

    fn renew(&mut self, at: usize, until_ms: u64) -> Result<(), String> {
        let holding = self.holdings[at];
        let Holding { reader, message, receipt } = holding;
        match self.broker.group.renew(&receipt, until_ms, self.now_ms) {
            Ok(()) => {
                let due_ms = until_ms.max(receipt.due_ms);
                self.tell(Event::Held { reader, message, due_ms })
            }
            Err(error) => self.refused("renew", &holding, error),
        }
    }

    fn give_up(&mut self, holding: Holding) -> Result<(), String> {
        let Holding { reader, message, receipt } = holding;
        self.invariants.may_be_given_up(reader, message);
        match self.broker.group.dead_letter(&receipt, self.now_ms, &self.mailbox) {
            Ok(ticket) => {
                self.trace.note(format_args!("reader {reader} gives up {message}"));
                self.invariants.given_up(reader, message);
                self.awaited.push((ticket, Awaited::Letter { reader, message }));
                Ok(())
            }
            Err(DeadLetterError::Lease(error)) => self.refused("give up", &holding, error),
            Err(DeadLetterError::Submit(_)) => Ok(()),
            Err(DeadLetterError::Read(error)) => self.bear(&error),
            Err(DeadLetterError::Index(error)) => self.bear_trimmed(&error.to_string()),
        }
    }

    fn take_delivery(
        &mut self,
        group: &Group,
        reader: usize,
        delivery: Delivery,
    ) -> Result<Option<Holding>, String> {
        let mut delivery = delivery;
        let is_cold = delivery.record.is_none();
        if is_cold && let Err(error) = group.load(&mut delivery) {
            return self.bear(&error).map(|()| None);
        }
        let message = message_of(&delivery)?;
        let tags = self.readers[reader].tags.as_deref();
        if tags.is_some_and(|tags| !tags.contains(&tag_hash(message))) {
            if !is_cold {
                return Err(format!("reader {reader} gets message {message}, whose tag it does not want"));
            }
            // Nobody could know before: done, as a gateway does it.
            let _ = group.ack(&delivery.receipt, self.now_ms, &self.mailbox);
            return Ok(None);
        }
        let (receipt, now_ms) = (delivery.receipt, self.now_ms);
        let holding = Holding { reader, message, receipt };
        self.holdings.push(holding);
        self.tell(Event::Delivered {
            reader,
            message,
            queue: receipt.queue,
            offset: delivery.offset,
            position: delivery.position,
            head: group.log_state().head,
            receive: self.receives,
            attempt: delivery.attempt,
            due_ms: receipt.due_ms,
            now_ms,
        })?;
        Ok(Some(holding))
    }

    fn refused(&mut self, what: &str, holding: &Holding, error: LeaseError) -> Result<(), String> {
        let Holding { reader, message, receipt } = holding;
        self.trace.note(format_args!("{what} of {message} by reader {reader} refused: {error}"));
        let is_fresh = receipt.epoch == self.broker.group.log_state().epoch;
        match error {
            LeaseError::Expired | LeaseError::Superseded => Ok(()),
            // After a power cut a receipt may be of a message that is gone.
            LeaseError::NotDelivered(_) | LeaseError::UnknownQueue(_) | LeaseError::UnknownGroup(_)
                if !is_fresh =>
            {
                Ok(())
            }
            LeaseError::NotDelivered(_)
            | LeaseError::UnknownQueue(_)
            | LeaseError::UnknownGroup(_)
            | LeaseError::NotLeading => Err(format!("{what} of {message} by reader {reader}: {error}")),
        }
    }

    /// A message that cannot be read is fine only if retention took it, or the disk just crashed.
    pub(crate) fn bear(&mut self, error: &ReadError) -> Result<(), String> {
        match error {
            ReadError::Trimmed { .. } => self.bear_trimmed(&error.to_string()),
            ReadError::Corrupt { .. } | ReadError::OutOfRange { .. } | ReadError::Io { .. } => {
                self.unless_crashed(&format!("read: {error}"))
            }
        }
    }

    fn bear_trimmed(&mut self, error: &str) -> Result<(), String> {
        if self.broker.group.log_state().head.0 > 0 { Ok(()) } else { self.unless_crashed(error) }
    }

    pub(crate) fn unless_crashed(&mut self, error: &str) -> Result<(), String> {
        self.trace.note(format_args!("{error}"));
        if !self.disk.has_crashed() {
            return Err(error.to_owned());
        }
        self.invariants.crashed();
        Ok(())
    }
}

pub(crate) fn draft(message: u64, lane: u32) -> Draft {
    let body = Bytes::from(body_of(message));
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId::NONE,
        count: 1,
        attempt: 0,
        tag_hash: tag_hash(message),
        lane,
        due_ms: 0,
        body_crc: crc32(&body),
        // Heads tell messages apart, as their ids do.
        head: Bytes::copy_from_slice(&message.to_le_bytes()),
        body,
    }
}

/// The message of a delivery, if every byte of it is right.
pub(crate) fn message_of(delivery: &Delivery) -> Result<u64, String> {
    message_in(delivery.record.as_ref(), delivery.position)
}

/// The message of a record that was read from there.
pub(crate) fn message_in(record: Option<&Record>, position: Position) -> Result<u64, String> {
    let record = record.ok_or("a loaded message has no record")?;
    let body = record.body();
    let number = body.first_chunk().ok_or("a body is shorter than any that was sent")?;
    let message = u64::from_le_bytes(*number);
    if body != body_of(message) {
        return Err(format!("message {message} at {position} has other bytes than were sent"));
    }
    Ok(message)
}

//! Handing out messages: offsets under the topic's lock, then entries and records without it.
//!
//! ```text
//!   grant (lock) --> index entries --> sift: tag? too old? attempts used up? --> records from memory
//!        ^                              | no: done at once, look further
//!        +------------------------------+
//! ```
//!
//! A group that reads in order is handed the first messages of free lines; which line a message stands in is looked up
//! in between, without the lock (`lanes`).

mod lanes;
mod sift;

use std::sync::Arc;

use store::Position;
use store::log::{ReadError, Record};

use super::types::undecodable;
use super::{Delivery, Group, Origin, Receive, ReceiveError, Received};
use crate::catalog::{Start, TopicType};
use crate::lease::Wish;
use crate::mailbox::Wakes;
use crate::records::{Cell, Linked, linked};
use crate::topic::{Ask, Granted, Look, Reading};
use crate::waiter::Waiter;

/// Offsets that one receive looks at before it returns what it has.
const LOOKS_MAX: usize = 4096;
/// Rounds of one receive: filters may leave little of each.
const ROUNDS_MAX: usize = 128;
/// A pointer leads to a message, or to a pointer that was copied; longer chains are never written.
const LINKS_MAX: usize = 4;

impl Group {
    /// Hands out messages; does not wait for the disk's records. Registers `waiter` if there is nothing.
    pub fn receive(
        &self,
        request: &Receive<'_>,
        now_ms: u64,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Received, ReceiveError> {
        let mut received = Received::default();
        let mut looks = 0;
        for round in 0..ROUNDS_MAX {
            let count = (request.max - received.deliveries.len()).min(LOOKS_MAX - looks);
            let waiter = waiter.filter(|_| received.deliveries.is_empty());
            let grants =
                self.grant(request, Self::ask(request, count, now_ms, round == 0), waiter, &mut received)?;
            if grants.is_empty() {
                return Ok(received);
            }
            looks += grants.iter().map(|granted| granted.grant.mask.count_ones() as usize).sum::<usize>();
            let has_room = self.sift(request, &grants, now_ms, &mut received)?;
            self.fill(request, &mut received);
            stop_behind(request, &mut received);
            if !has_room || received.deliveries.len() >= request.max || looks >= LOOKS_MAX {
                break;
            }
        }
        if received.deliveries.is_empty() {
            received.next_due_ms = Some(now_ms);
        }
        Ok(received)
    }

    /// Reads a delivery's record, waiting for the disk.
    pub fn load(&self, delivery: &mut Delivery) -> Result<(), ReadError> {
        self.load_after(delivery, None)
    }

    /// As `load`, after the record of another delivery: often it is the same one.
    pub fn load_after(&self, delivery: &mut Delivery, before: Option<&Record>) -> Result<(), ReadError> {
        let first = match before.filter(|before| before.entry().position == delivery.position) {
            Some(record) => record.clone(),
            None => self.reader.read(delivery.position, delivery.bytes)?,
        };
        let read = |position, bytes| self.reader.read(position, bytes).map(Some);
        if let Some((record, origin)) = resolve(first, delivery.number, &read)? {
            delivery.record = Some(record);
            delivery.origin = origin;
        }
        Ok(())
    }

    /// One look under the topic's lock. With nothing granted, the waiter is registered before the lock is given back.
    fn grant(
        &self,
        request: &Receive<'_>,
        mut ask: Ask<'_>,
        waiter: Option<&Arc<Waiter>>,
        received: &mut Received,
    ) -> Result<Vec<Granted>, ReceiveError> {
        let queues = &request.topic.state;
        let group = request.group.id;
        let now_ms = ask.wish.now_ms;
        let mut grants = Vec::new();
        let mut woken = Vec::new();
        let mut seen = 0;
        loop {
            let mut reading = queues.lock();
            // Under the lock: a waiter that is registered after the last ones were woken would wait for ever.
            if !self.is_leading() {
                return Err(ReceiveError::NotLeading);
            }
            match reading.grant(&ask, &mut grants) {
                Look::Done => {}
                Look::Unseen(unseen) => {
                    drop(reading);
                    if seen >= LOOKS_MAX {
                        received.next_due_ms = Some(now_ms);
                        return Ok(grants);
                    }
                    seen += self.see_lanes(request, &unseen)?;
                    ask.is_first = false;
                    continue;
                }
                Look::NotSubscribed => {
                    drop(reading);
                    self.subscribe(request)?;
                    continue;
                }
            }
            if let Some(waiter) = waiter {
                settle_waiter(&mut reading, request, waiter, grants.is_empty());
            }
            if !grants.is_empty() {
                reading.pass_on(group, now_ms, &mut woken);
            }
            self.set_alarm(queues, &mut reading, group);
            received.next_due_ms = reading.subscription(group).and_then(|found| found.next_due_ms());
            break;
        }
        if !woken.is_empty() {
            let mut wakes = Wakes::default();
            for waiter in woken {
                waiter.wake(&mut wakes);
            }
            wakes.post();
        }
        Ok(grants)
    }

    fn ask<'a>(request: &Receive<'a>, count: usize, now_ms: u64, is_first: bool) -> Ask<'a> {
        let due_ms = now_ms.saturating_add(request.invisible_ms);
        Ask {
            group: request.group.id,
            is_ordered: request.group.spec.ordered,
            levels: (request.topic.spec.topic_type == TopicType::Priority)
                .then_some(request.group.spec.priority),
            attempt_id: request.attempt_id,
            is_first,
            wish: Wish { count, due_ms, now_ms },
        }
    }

    /// The first receive of a group on a topic fixes where it starts.
    fn subscribe(&self, request: &Receive<'_>) -> Result<(), ReceiveError> {
        let (group, topic) = (request.group, request.topic);
        let starts = self.starts(topic, group.spec.consume_from)?;
        // The catalog's lock keeps topic and group from being deleted in the meantime.
        let catalog = self.state.catalog.read();
        if catalog.consumer_group_by_id(group.id).is_none() {
            return Err(ReceiveError::UnknownGroup(group.spec.name.clone()));
        }
        // The caller may have looked the topic up before it got more queues.
        let Some(topic) = catalog.topic_by_id(topic.id) else {
            return Err(ReceiveError::UnknownTopic(topic.spec.name.clone()));
        };
        let mut reading = topic.state.lock();
        let offsets = starts.offsets(topic, &reading, &self.state.index);
        if reading.start(group.id, &offsets)
            && self.pending.start(Start { group: group.id, topic: topic.id, offsets })
        {
            self.inbox.write_after_turn(request.mailbox);
        }
        Ok(())
    }

    /// Puts in the records that are in memory; those that do not verify are done for the group, and so are those that turn out
    /// to have another tag than the wanted ones.
    fn fill(&self, request: &Receive<'_>, received: &mut Received) {
        let new = received.deliveries.iter().filter(|delivery| delivery.record.is_none());
        let mut wanted: Vec<(Position, u32)> =
            new.map(|delivery| (delivery.position, delivery.bytes)).collect();
        // Several queues take turns in the log: one rising order makes neighbours of them.
        wanted.sort_unstable_by_key(|&(position, _)| position);
        // Messages may share a record.
        wanted.dedup();
        let found = self.reader.read_span_cached(&wanted);
        let found: Vec<_> = wanted.iter().map(|&(position, _)| position).zip(found).collect();
        let Received { deliveries, corrupt, .. } = received;
        deliveries.retain_mut(|delivery| {
            if delivery.record.is_some() {
                return true;
            }
            let Ok(at) = found.binary_search_by_key(&delivery.position, |&(position, _)| position) else {
                return true;
            };
            let first = match &found[at].1 {
                Ok(Some(record)) => record.clone(),
                Ok(None) => return true,
                Err(error) => {
                    self.pass_over(request, delivery, error);
                    return false;
                }
            };
            let read = |position, bytes| self.reader.read_cached(position, bytes);
            match resolve(first, delivery.number, &read) {
                Ok(Some((record, origin))) => {
                    let tag_hash = record.entry().tag_hash;
                    let is_wanted = request.tags.is_none_or(|tags| tags.contains(&tag_hash));
                    if !is_wanted {
                        self.finish(request, delivery);
                    }
                    delivery.record = Some(record);
                    delivery.origin = origin;
                    is_wanted
                }
                Ok(None) => true,
                Err(error) => {
                    self.pass_over(request, delivery, &error);
                    corrupt.push(error);
                    false
                }
            }
        });
        corrupt.extend(found.into_iter().filter_map(|(_, read)| read.err()));
    }

    /// A message that can never be read is done; one that the disk refused comes again when its lease ends.
    fn pass_over(&self, request: &Receive<'_>, delivery: &Delivery, error: &ReadError) {
        match error {
            ReadError::Io { .. } => {}
            ReadError::Corrupt { .. } | ReadError::Trimmed { .. } | ReadError::OutOfRange { .. } => {
                self.finish(request, delivery);
            }
        }
    }

    /// What is not delivered after all is done.
    fn finish(&self, request: &Receive<'_>, delivery: &Delivery) {
        // It was granted a moment ago by this very call.
        let now_ms = delivery.receipt.due_ms.saturating_sub(request.invisible_ms);
        let _ = self.ack(&delivery.receipt, now_ms, request.mailbox);
    }
}

/// A message that cannot be read now stops those that came with it: they must not overtake it.
fn stop_behind(request: &Receive<'_>, received: &mut Received) {
    let is_stuck = received.corrupt.iter().any(|error| matches!(error, ReadError::Io { .. }));
    if !request.group.spec.ordered || !is_stuck {
        return;
    }
    let mut reading = request.topic.state.lock();
    for Delivery { receipt, queue_index, .. } in received.deliveries.drain(..) {
        if let Some((deliveries, _)) = reading.deliveries(request.group.id, queue_index) {
            deliveries.take_back(&receipt);
        }
    }
}

/// Follows pointers to the message, which is the record's message of this number; `None`: a part of the way is not in
/// memory.
pub(super) fn resolve(
    first: Record,
    number: u16,
    read: &dyn Fn(Position, u32) -> Result<Option<Record>, ReadError>,
) -> Result<Option<(Record, Option<Origin>)>, ReadError> {
    let (mut record, mut number) = (first, number);
    let mut origin = None;
    for _ in 0..LINKS_MAX {
        let position = record.entry().position;
        match linked(&record).map_err(|why| undecodable(position, why))? {
            None => {
                let message = record.message(number);
                let none = || undecodable(position, format!("record has no message {number}"));
                return Ok(Some((message.ok_or_else(none)?, origin)));
            }
            Some(Linked::Copy { origin: topic }) => {
                told(&mut origin, topic);
                return Ok(Some((record, origin)));
            }
            Some(Linked::Pointer(link)) => {
                let (position, bytes) = link.target();
                number = link.number();
                told(&mut origin, link.origin);
                match read(position, bytes)? {
                    Some(target) => record = target,
                    None => return Ok(None),
                }
            }
        }
    }
    Err(undecodable(record.entry().position, format!("more than {LINKS_MAX} pointers in a row")))
}

/// The first pointer that names a topic tells where a dead letter came from.
fn told(origin: &mut Option<Origin>, topic: String) {
    if !topic.is_empty() {
        origin.get_or_insert(Origin { topic });
    }
}

/// Under the lock that found something or nothing: leave the queue of waiters, or stand in it.
fn settle_waiter(reading: &mut Reading, request: &Receive<'_>, waiter: &Arc<Waiter>, found_nothing: bool) {
    let (place, group) = (Arc::downgrade(&request.topic.state), request.group.id);
    let Some(subscription) = reading.subscription(group) else { return };
    subscription.looked(waiter.look(&place, group));
    if found_nothing {
        subscription.register(&place, group, waiter, request.max);
    } else if waiter.leave(&place, group) {
        subscription.unregister(Arc::as_ptr(waiter));
    }
}

impl Granted {
    fn cell(&self, request: &Receive<'_>, mask: u64) -> Cell {
        Cell { group: request.group.id, queue: self.id, base: self.grant.base, mask }
    }
}

//! A consumer group that an administrator moves to and fro, or makes forget a topic, and what it must get.
//!
//! Promise: once a move is answered, nothing below its place comes, and everything from there on does, until the next
//! move; a crash changes nothing about that, unless the record of the move was lost with the power. What a group forgot
//! comes again from the beginning. Receipts from before count for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::catalog::{Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy};
use engine::group::{Place, Receive};
use engine::inbox::Ticket;
use engine::lease::Receipt;
use store::log::{Flush, Placed};
use store::{Offset, Position, QueueId};

use crate::world::{Awaited, World};

const NAME: &str = "moved";
const TOPICS: [&str; 2] = ["orders", "events"];
const INVISIBLE_MS: u64 = 10_000;

/// The group and what is known about it.
#[derive(Default)]
pub(crate) struct Mover {
    queues: BTreeMap<QueueId, Standing>,
    holdings: Vec<Receipt>,
    moves: u64,
}

/// Where the group stands in a queue.
#[derive(Default)]
struct Standing {
    /// Where the last move led, if that was answered and no other one is on its way.
    place: Option<(Offset, Position)>,
    /// Number of the last move that was asked for.
    last: u64,
    /// That is to forget the topic, and is on its way.
    is_stopping: bool,
    /// What came since.
    seen: BTreeSet<Offset>,
}

pub(crate) fn spec() -> ConsumerGroupSpec {
    ConsumerGroupSpec {
        name: NAME.to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts: 1000, backoff: Backoff::Custom(vec![1000]) },
        consume_from: ConsumeFrom::Earliest,
        trace: false,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    }
}

impl World {
    /// The group is moved, or gets something and does something with it.
    pub(crate) fn move_or_read(&mut self) -> Result<(), String> {
        let topic = TOPICS[self.pick(0, TOPICS.len() as u64) as usize];
        match self.pick(0, 9) {
            0 | 1 => {
                self.ask_to_move(topic);
                Ok(())
            }
            4 => {
                self.ask_to_forget(topic);
                Ok(())
            }
            2 | 3 => {
                self.ack_moved();
                Ok(())
            }
            _ => {
                let max = self.pick(1, 33) as usize;
                self.receive_moved(topic, max).map(drop)
            }
        }
    }

    fn ask_to_move(&mut self, topic: &str) {
        let group = Arc::clone(&self.broker.group);
        let (Some(topic), Some(moved)) = (group.topic(topic), group.consumer_group(NAME)) else { return };
        let (_, tail) = group.queue_range(topic.queues[0]);
        let place = match self.pick(0, 4) {
            0 => Place::Earliest,
            1 => Place::Latest,
            2 => Place::Time(self.now_ms - self.pick(0, 200_000).min(self.now_ms)),
            _ => Place::Offset(Offset(self.pick(0, tail.0 + 1))),
        };
        let some = if self.random.one_in(2) { 0..1 } else { 0..topic.queues.len() as u32 };
        let Ok(places) = group.places(&topic, some, place, self.now_ms) else { return };
        self.trace.note(format_args!("move in {}: {place:?} is {places:?}", topic.spec.name));
        let Ok(ticket) = group.move_offsets(&moved, &[(&topic, &places)], &self.mailbox) else { return };
        let places = places.iter().map(|&(queue, offset)| (topic.queues[queue as usize], offset)).collect();
        self.move_is_coming(ticket, places, false);
        // Who is moved in one queue while it is about to forget the topic stays where it was in the others.
        let last = self.mover.moves;
        for queue in &topic.queues {
            if let Some(standing) = self.mover.queues.get_mut(queue).filter(|known| known.is_stopping) {
                *standing = Standing { last, ..Standing::default() };
            }
        }
    }

    /// What is forgotten begins anew: that is a move back to the beginning.
    fn ask_to_forget(&mut self, topic: &str) {
        let group = Arc::clone(&self.broker.group);
        let (Some(topic), Some(moved)) = (group.topic(topic), group.consumer_group(NAME)) else { return };
        let Some(Ok(ticket)) = group.forget(&topic, &moved, &self.mailbox) else { return };
        self.trace.note(format_args!("forget in {}", topic.spec.name));
        self.move_is_coming(ticket, topic.queues.iter().map(|queue| (*queue, Offset(0))).collect(), true);
    }

    fn move_is_coming(&mut self, ticket: Ticket, places: Vec<(QueueId, Offset)>, is_stopping: bool) {
        self.mover.moves += 1;
        let number = self.mover.moves;
        for (queue, _) in &places {
            let standing = self.mover.queues.entry(*queue).or_default();
            *standing = Standing { last: number, is_stopping, ..Standing::default() };
        }
        self.awaited.push((ticket, Awaited::Move { number, places }));
    }

    /// The administrator hears that the group was moved.
    pub(crate) fn moved(&mut self, number: u64, places: &[(QueueId, Offset)], records: &[Placed]) {
        let last = records.last().expect("a move is a record");
        let end = Position(last.position.0 + u64::from(last.bytes));
        for (queue, offset) in places {
            if let Some(standing) = self.mover.queues.get_mut(queue).filter(|found| found.last == number) {
                (standing.place, standing.is_stopping) = (Some((*offset, end)), false);
                // It took effect with this answer.
                standing.seen.clear();
            }
        }
    }

    /// What was not answered may have happened or not; what was not synced is lost with the power.
    pub(crate) fn moves_went_down(&mut self, power_lost: bool, durable: Position) {
        let is_lost = power_lost && self.config.log.flush == Flush::Async;
        for standing in self.mover.queues.values_mut() {
            if is_lost && standing.place.is_some_and(|(_, end)| end > durable) {
                standing.place = None;
            }
        }
    }

    fn receive_moved(&mut self, topic: &str, max: usize) -> Result<usize, String> {
        let group = Arc::clone(&self.broker.group);
        let (Some(topic), Some(moved)) = (group.topic(topic), group.consumer_group(NAME)) else {
            return Ok(0);
        };
        self.has_unrecorded = true;
        let request = Receive {
            group: &moved,
            topic: &topic,
            tags: None,
            max,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox: &self.mailbox,
        };
        let received = match group.receive(&request, self.now_ms, None) {
            Ok(received) => received,
            Err(error) => return self.unless_crashed(&format!("receive: {error}")).map(|()| 0),
        };
        for error in &received.corrupt {
            self.bear(error)?;
            // Whose turn it was is not told.
            for queue in &topic.queues {
                self.mover.queues.entry(*queue).or_default().place = None;
            }
        }
        for delivery in &received.deliveries {
            let receipt = delivery.receipt;
            let standing = self.mover.queues.entry(receipt.queue).or_default();
            if let Some((place, _)) = standing.place.filter(|(place, _)| receipt.offset < *place) {
                let (offset, queue) = (receipt.offset, receipt.queue);
                return Err(format!("offset {offset} of queue {queue} came after a move to {place}"));
            }
            standing.seen.insert(receipt.offset);
            self.mover.holdings.push(receipt);
        }
        self.trace.note(format_args!("moved reader got {}", received.deliveries.len()));
        Ok(received.deliveries.len())
    }

    fn ack_moved(&mut self) {
        self.has_unrecorded = true;
        for receipt in std::mem::take(&mut self.mover.holdings) {
            // Moved since, or run out: it comes again, if it has to.
            let acked = self.broker.group.ack(&receipt, self.now_ms, &self.mailbox);
            self.trace.note(format_args!("moved reader acks {}: {}", receipt.offset, acked.is_ok()));
        }
    }

    /// In peace: everything from the places on comes, or came before.
    pub(crate) fn drain_moved(&mut self) -> Result<(), String> {
        for topic in TOPICS {
            loop {
                self.now_ms += 10 * INVISIBLE_MS;
                if self.receive_moved(topic, 64)? == 0 {
                    break;
                }
                self.ack_moved();
            }
            let Some(topic) = self.broker.group.topic(topic) else { continue };
            for &queue in &topic.queues {
                let Some(Standing { place: Some((place, _)), seen, .. }) = self.mover.queues.get(&queue)
                else {
                    continue;
                };
                let (oldest, tail) = self.broker.group.queue_range(queue);
                let missing = (place.0.max(oldest.0)..tail.0).find(|&offset| !seen.contains(&Offset(offset)));
                if let Some(offset) = missing {
                    return Err(format!(
                        "offset {offset} of queue {queue} never came after a move to {place}"
                    ));
                }
            }
        }
        Ok(())
    }
}

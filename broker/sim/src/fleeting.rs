//! A topic and a consumer group that come and go.
//!
//! Promise: once the deletion of a topic is answered, none of its messages comes any more, and a topic that is made under its
//! name later is another one; a consumer group that was deleted and made anew reads from the beginning. Crashes change
//! nothing about that, unless the record of it was lost with the power.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::catalog::{Adopt, ConsumerGroupSpec, TopicSpec, TopicType};
use engine::group::{Pull, Receive};
use engine::lease::Receipt;
use store::log::{Flush, Placed};
use store::{Offset, Position, QueueId};

use crate::clients::{draft, message_in};
use crate::moves;
use crate::world::{Awaited, World};

pub(crate) const TOPIC: &str = "fleeting";
const GROUP: &str = "passing";
const INVISIBLE_MS: u64 = 10_000;

/// What somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fleet {
    /// The topic or the group, or its definition.
    Made,
    /// Messages.
    Sent { first: u64 },
    /// The end of the topic with this id.
    TopicDeleted { id: u32 },
    /// The end of the group.
    GroupDeleted { number: u64 },
}

/// What is known about both.
#[derive(Default)]
pub(crate) struct Fleeting {
    /// To which topic messages were sent, by id.
    sent: BTreeMap<u64, u32>,
    /// Where those lie that were answered.
    stored: BTreeMap<u64, Position>,
    /// Topics that are gone, and where the record of that ends.
    deleted: BTreeMap<u32, Position>,
    /// Topics that somebody wanted to delete.
    may_be_gone: BTreeSet<u32>,
    deletes: u64,
    /// Where the record of the group's last deletion ends, if that was answered and no other one is on its way.
    anew: Option<Position>,
    /// What came to the group since.
    seen: BTreeSet<(QueueId, Offset)>,
    holdings: Vec<Receipt>,
}

fn topic() -> TopicSpec {
    let owner = String::new();
    let name = TOPIC.to_owned();
    TopicSpec { name, topic_type: TopicType::Normal, queues: 2, owner, ..TopicSpec::default() }
}

fn spec() -> ConsumerGroupSpec {
    ConsumerGroupSpec { name: GROUP.to_owned(), ..moves::spec() }
}

impl World {
    /// The topic or the group comes, goes or is used.
    pub(crate) fn flee_or_stay(&mut self) -> Result<(), String> {
        match self.pick(0, 12) {
            0 | 1 => self.make_fleeting(),
            2 => self.delete_topic(),
            3 => self.delete_group(),
            4..7 => self.send_fleeting(),
            7 => self.ack_fleeting(),
            _ => {
                let max = self.pick(1, 17) as usize;
                self.receive_fleeting(max)?;
            }
        }
        self.deleted_stays_so()
    }

    pub(crate) fn make_fleeting(&mut self) {
        let group = Arc::clone(&self.broker.group);
        let made = [
            group.apply_topics(&[topic()], Adopt::Always, &self.mailbox),
            group.apply_consumer_groups(&[spec()], Adopt::Always, &self.mailbox),
        ];
        for (_, ticket) in made.into_iter().flatten() {
            self.awaited.extend(ticket.map(|ticket| (ticket, Awaited::Fleet(Fleet::Made))));
        }
    }

    fn delete_topic(&mut self) {
        let group = Arc::clone(&self.broker.group);
        let Some(topic) = group.topic(TOPIC) else { return };
        // One that is on its way under this name would be the one that goes.
        if self.awaited.iter().any(|(_, awaited)| matches!(awaited, Awaited::Fleet(Fleet::Made))) {
            return;
        }
        let deleted = group.delete_topics(&[TOPIC.to_owned()], None, &self.mailbox);
        let Ok((_, Some(ticket))) = deleted else { return };
        self.trace.note(format_args!("delete topic {}", topic.id));
        self.fleeting.may_be_gone.insert(topic.id);
        self.awaited.push((ticket, Awaited::Fleet(Fleet::TopicDeleted { id: topic.id })));
    }

    fn delete_group(&mut self) {
        let deleted = self.broker.group.delete_consumer_groups(&[GROUP.to_owned()], None, &self.mailbox);
        let Ok((_, Some(ticket))) = deleted else { return };
        self.trace.note(format_args!("delete group {GROUP}"));
        self.fleeting.deletes += 1;
        self.fleeting.anew = None;
        let number = self.fleeting.deletes;
        self.awaited.push((ticket, Awaited::Fleet(Fleet::GroupDeleted { number })));
    }

    fn send_fleeting(&mut self) {
        let group = Arc::clone(&self.broker.group);
        let Some(topic) = group.topic(TOPIC) else { return };
        let first = self.next_message;
        self.next_message += self.pick(1, 5);
        let messages = first..self.next_message;
        self.trace.note(format_args!("send {messages:?} to topic {}", topic.id));
        self.fleeting.sent.extend(messages.clone().map(|message| (message, topic.id)));
        let drafts = messages.map(|message| draft(message, 0)).collect();
        if let Ok(ticket) = group.send(&topic, drafts, &self.mailbox) {
            self.awaited.push((ticket, Awaited::Fleet(Fleet::Sent { first })));
        }
    }

    fn receive_fleeting(&mut self, max: usize) -> Result<usize, String> {
        let group = Arc::clone(&self.broker.group);
        let (Some(topic), Some(passing)) = (group.topic(TOPIC), group.consumer_group(GROUP)) else {
            return Ok(0);
        };
        self.has_unrecorded = true;
        let request = Receive {
            group: &passing,
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
            // Which messages these were is not told.
            self.fleeting.anew = None;
        }
        let count = received.deliveries.len();
        for mut delivery in received.deliveries {
            let receipt = delivery.receipt;
            self.fleeting.seen.insert((receipt.queue, receipt.offset));
            self.fleeting.holdings.push(receipt);
            if delivery.record.is_none()
                && let Err(error) = group.load(&mut delivery)
            {
                self.bear(&error)?;
                continue;
            }
            self.is_of(message_in(delivery.record.as_ref(), delivery.position)?, topic.id)?;
        }
        self.trace.note(format_args!("{GROUP} got {count}"));
        Ok(count)
    }

    fn ack_fleeting(&mut self) {
        self.has_unrecorded = true;
        for receipt in std::mem::take(&mut self.fleeting.holdings) {
            let acked = self.broker.group.ack(&receipt, self.now_ms, &self.mailbox);
            self.trace.note(format_args!("{GROUP} acks {}: {}", receipt.offset, acked.is_ok()));
        }
    }

    /// A message came from this topic, and was sent to it.
    fn is_of(&self, message: u64, topic: u32) -> Result<(), String> {
        match self.fleeting.sent.get(&message) {
            Some(&sent) if sent == topic => Ok(()),
            sent => Err(format!("message {message} came from topic {topic}, it was sent to {sent:?}")),
        }
    }

    /// Somebody hears what became of the topic or the group.
    pub(crate) fn fleet_answered(&mut self, fleet: Fleet, records: &[Placed]) {
        let end = records.last().map(|last| Position(last.position.0 + u64::from(last.bytes)));
        match (fleet, end) {
            (Fleet::Sent { first }, _) => {
                let positions = records.iter().map(|placed| placed.position);
                self.fleeting.stored.extend((first..).zip(positions));
            }
            (Fleet::TopicDeleted { id }, Some(end)) => drop(self.fleeting.deleted.insert(id, end)),
            (Fleet::GroupDeleted { number }, Some(end)) if number == self.fleeting.deletes => {
                self.fleeting.anew = Some(end);
                self.fleeting.seen.clear();
            }
            (Fleet::Made | Fleet::TopicDeleted { .. } | Fleet::GroupDeleted { .. }, _) => {}
        }
    }

    fn deleted_stays_so(&self) -> Result<(), String> {
        let topic = self.broker.group.topic(TOPIC);
        match topic.filter(|topic| self.fleeting.deleted.contains_key(&topic.id)) {
            Some(topic) => Err(format!("topic {} was deleted and is there", topic.id)),
            None => Ok(()),
        }
    }

    /// The broker is up again: what was not synced is lost with the power.
    pub(crate) fn fleeting_went_down(&mut self, power_lost: bool, durable: Position) -> Result<(), String> {
        if power_lost && self.config.log.flush == Flush::Async {
            self.fleeting.stored.retain(|_, position| *position < durable);
            self.fleeting.deleted.retain(|_, end| *end <= durable);
            // Others may get the offsets of what it saw.
            self.fleeting.anew = None;
        }
        self.deleted_stays_so()
    }

    /// In peace: what was stored in the topic that is there is in it, and the group that began anew got all of it.
    pub(crate) fn drain_fleeting(&mut self) -> Result<(), String> {
        self.deleted_stays_so()?;
        let group = Arc::clone(&self.broker.group);
        let head = group.log_state().head;
        let topic = group.topic(TOPIC);
        let id = topic.as_ref().map(|topic| topic.id);
        let is_gone = |sent: &u32| Some(*sent) != id && self.fleeting.may_be_gone.contains(sent);
        let fleeting = &self.fleeting;
        let mut missing: BTreeSet<u64> =
            fleeting.stored.iter().filter(|(_, at)| **at >= head).map(|(message, _)| *message).collect();
        missing.retain(|message| fleeting.sent.get(message).is_some_and(|sent| !is_gone(sent)));
        let Some(topic) = topic else {
            return if missing.is_empty() {
                Ok(())
            } else {
                Err(format!("{missing:?} went with their topic"))
            };
        };
        // The group may be deleted.
        self.make_fleeting();
        self.settle()?;
        loop {
            self.now_ms += 10 * INVISIBLE_MS;
            if self.receive_fleeting(64)? == 0 {
                break;
            }
            self.ack_fleeting();
        }
        for (queue, id) in (0..).zip(&topic.queues) {
            let (oldest, tail) = group.queue_range(*id);
            for offset in (oldest.0..tail.0).map(Offset) {
                if self.fleeting.anew.is_some() && !self.fleeting.seen.contains(&(*id, offset)) {
                    return Err(format!("{offset} of queue {id} never came to {GROUP}, which began anew"));
                }
                let request = Pull { topic: &topic, queue, from: offset, tags: None, max: 1 };
                let pulled = group.pull(&request, self.now_ms, None).map_err(|error| error.to_string())?;
                for mut message in pulled.messages {
                    if message.record.is_none() && group.load_pulled(&mut message).is_err() {
                        continue; // retention
                    }
                    let number = message_in(message.record.as_ref(), message.position)?;
                    self.is_of(number, topic.id)?;
                    missing.remove(&number);
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(format!("stored in {TOPIC} and not there: {missing:?}")) }
    }
}

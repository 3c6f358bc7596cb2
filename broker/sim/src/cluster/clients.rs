//! Producers and consumers: they talk to whoever says that it leads, and to those who said so once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::{
    Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy, TopicSpec,
    TopicType,
};
use engine::group::{Decision, Group, Receive};
use engine::inbox::Ticket;
use engine::lease::Receipt;
use engine::mailbox::Mailbox;
use store::log::{Draft, Encoding, Kind, Placed, crc32};
use store::{Offset, Position, QueueId};

use super::agenda::{Happening, What};
use super::moves::{MOVED, Moves};
use super::undelivered::Undelivered;
use super::world::Cluster;
use crate::clients::message_of;

const DOORS_MAX: usize = 5;
pub(crate) const READER: &str = "reader";
/// Reads in order.
pub(crate) const ORDERLY: &str = "orderly";
/// Message groups of the topic that has some.
const LANES: u64 = 4;
pub(crate) const AUDITOR: &str = "auditor";

/// Somebody who was leading when a client last heard.
struct Door {
    at: usize,
    group: Arc<Group>,
}

/// What a client waits for.
struct Awaited {
    at: usize,
    ticket: Ticket,
    answer: Answer,
}

/// What the answer is about.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Topics and consumer groups.
    SetUp,
    /// Messages that are entries of their queues.
    Entries(Range<u64>),
    /// Messages that wait for their time.
    Delayed(Range<u64>),
    /// Messages of transactions.
    Undecided(Range<u64>),
    /// What became of a transaction.
    Decision { message: u64, decision: Decision },
    /// Where a consumer group was moved to.
    Move { number: u64, places: Vec<(QueueId, Offset)> },
}

struct Holding {
    at: usize,
    group: Arc<Group>,
    receipt: Receipt,
    message: u64,
}

pub(crate) struct Clients {
    pub(crate) mailbox: Arc<Mailbox>,
    doors: Vec<Door>,
    awaited: Vec<Awaited>,
    holdings: Vec<Holding>,
    pub(crate) next_message: u64,
    /// Messages that are to be delivered as was answered: where they lie, and the record that says so.
    pub(crate) acknowledged: BTreeMap<u64, (Position, Position)>,
    pub(crate) undelivered: Undelivered,
    pub(crate) moves: Moves,
    pub(crate) audited: BTreeSet<u64>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            doors: Vec::new(),
            awaited: Vec::new(),
            holdings: Vec::new(),
            next_message: 0,
            acknowledged: BTreeMap::new(),
            undelivered: Undelivered::default(),
            moves: Moves::default(),
            audited: BTreeSet::new(),
        }
    }

    /// A process ended, and everything that clients knew of it.
    pub(crate) fn forget(&mut self, at: usize) {
        self.doors.retain(|door| door.at != at);
        self.awaited.retain(|awaited| awaited.at != at);
        self.holdings.retain(|holding| holding.at != at);
    }

    /// Nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.awaited.is_empty()
    }
}

impl Cluster {
    /// A client does something, and will again.
    pub(crate) fn client(&mut self) -> Result<(), String> {
        let ms = 1 + self.random.below(2 * self.plan.client_ms);
        self.after(ms, Happening::Client);
        self.find_doors();
        if self.clients.doors.is_empty() {
            return Ok(());
        }
        let last = self.clients.doors.len() as u64 - 1;
        let door = if self.random.one_in(6) { self.random.below(last + 1) } else { last } as usize;
        self.moves_stand()?;
        match self.pick(0, 12) {
            0..6 if !self.is_peace => self.send_some(door),
            6 => self.receive(door, READER, 1 + self.random.clone().below(20) as usize, 5000)?,
            7 => self.receive(door, ORDERLY, 1 + self.random.clone().below(20) as usize, 5000)?,
            8 if !self.is_peace => self.decide_some(door),
            9 if !self.is_peace => self.move_some(door),
            10 => self.pull_some(door)?,
            _ => self.finish_some(),
        }
        Ok(())
    }

    /// The way to this leader, if clients know one.
    pub(crate) fn door_of(&self, group: &Arc<Group>) -> Option<usize> {
        self.clients.doors.iter().position(|door| Arc::ptr_eq(&door.group, group))
    }

    /// Clients hear who leads.
    pub(crate) fn find_doors(&mut self) {
        for at in 0..self.machines.len() {
            let Some(process) = &self.machines[at].process else { continue };
            let Some(copy) = process.copy.as_ref().filter(|_| process.is_leading()) else { continue };
            let group = &copy.group;
            let known = self.clients.doors.iter().position(|door| Arc::ptr_eq(&door.group, group));
            if known.is_some_and(|known| known + 1 == self.clients.doors.len()) {
                continue;
            }
            if let Some(known) = known {
                let door = self.clients.doors.remove(known);
                self.clients.doors.push(door);
                continue;
            }
            let group = Arc::clone(group);
            self.set_up(at, &group);
            self.clients.doors.push(Door { at, group });
            if self.clients.doors.len() > DOORS_MAX {
                self.clients.doors.remove(0);
            }
        }
    }

    /// Applies topics and consumer groups, as a broker does once it leads.
    pub(crate) fn set_up(&mut self, at: usize, group: &Arc<Group>) {
        let applied = [
            group.apply_topics(&topics(), Adopt::Always, &self.clients.mailbox),
            group.apply_consumer_groups(&readers(), Adopt::Always, &self.clients.mailbox),
        ];
        for (_, ticket) in applied.into_iter().flatten() {
            let awaited = ticket.map(|ticket| Awaited { at, ticket, answer: Answer::SetUp });
            self.clients.awaited.extend(awaited);
        }
        self.nudge(at);
    }

    /// Who is behind a door.
    pub(crate) fn through(&self, door: usize) -> (usize, Arc<Group>) {
        let Door { at, group } = &self.clients.doors[door];
        (*at, Arc::clone(group))
    }

    /// A client waits for this.
    pub(crate) fn wait_for(&mut self, at: usize, ticket: Ticket, answer: Answer) {
        self.clients.awaited.push(Awaited { at, ticket, answer });
        self.nudge(at);
    }

    fn nudge(&mut self, at: usize) {
        if let Some(run) = self.machines[at].process.as_ref().map(|process| process.run) {
            let ms = self.random.below(3);
            self.after(ms, Happening::Run { at, run, what: What::Write });
        }
    }

    fn send_some(&mut self, door: usize) {
        let names = topics();
        let name = &names[self.random.below(names.len() as u64) as usize].name;
        let (at, group) = self.through(door);
        let Some(topic) = group.topic(name) else { return self.set_up(at, &group) };
        let count = 1 + self.random.below(5);
        let first = self.clients.next_message;
        self.clients.next_message += count;
        let messages = first..first + count;
        let is_fifo = topic.spec.topic_type == TopicType::Fifo;
        let kind = if is_fifo { 0 } else { self.pick(0, 5) };
        let mut drafts = Vec::new();
        for message in messages.clone() {
            let draft = draft(message, if is_fifo { lane_of(message) } else { 0 });
            drafts.push(match kind {
                3 => self.delayed(message, draft),
                4 => self.undecided(message, draft),
                _ => draft,
            });
        }
        let sent = group.send(&topic, drafts, &self.clients.mailbox);
        self.note(format_args!("send {messages:?} of kind {kind} to {at}: {}", sent.is_ok()));
        if let Ok(ticket) = sent {
            let answer = match kind {
                3 => Answer::Delayed(messages),
                4 => Answer::Undecided(messages),
                _ => Answer::Entries(messages),
            };
            self.wait_for(at, ticket, answer);
        }
    }

    /// A consumer asks for messages; what it gets is what was agreed.
    pub(crate) fn receive(
        &mut self,
        door: usize,
        reader: &str,
        max: usize,
        invisible_ms: u64,
    ) -> Result<(), String> {
        let (at, group) = self.through(door);
        let Some(consumer_group) = group.consumer_group(reader) else { return Ok(()) };
        for topic in topics() {
            let Some(topic) = group.topic(&topic.name) else { continue };
            let request = Receive {
                group: &consumer_group,
                topic: &topic,
                tags: None,
                max,
                invisible_ms,
                attempt_id: None,
                mailbox: &self.clients.mailbox,
            };
            let Ok(received) = group.receive(&request, self.clock(at), None) else { continue };
            for mut delivery in received.deliveries {
                if delivery.record.is_none() && group.load(&mut delivery).is_err() {
                    continue; // the disk, or retention
                }
                let message = message_of(&delivery)?;
                let (receipt, position) = (delivery.receipt, delivery.position);
                let (queue, offset) = (receipt.queue, delivery.offset);
                self.clients.audited.extend((reader == AUDITOR).then_some(message));
                self.note(format_args!("{reader} gets {message} from {at}"));
                if !self.views.holds_lost(at) {
                    let offsets = &mut self.invariants.offsets;
                    offsets.told(message, queue, offset, position, &self.views)?;
                    self.clients.undelivered.may_come(message, self.latest_clock_ms)?;
                    if reader == ORDERLY && topic.spec.topic_type == TopicType::Fifo {
                        let head = group.head();
                        self.invariants.lines.delivered(queue, lane_of(message), offset, position, head)?;
                    }
                }
                self.clients.holdings.push(Holding { at, group: Arc::clone(&group), receipt, message });
            }
        }
        self.nudge(at);
        Ok(())
    }

    /// A consumer acks some of what it holds.
    pub(crate) fn finish_some(&mut self) {
        let count = if self.is_peace { self.clients.holdings.len() } else { self.clients.holdings.len() / 2 };
        let rest = self.clients.holdings.split_off(count);
        for holding in std::mem::replace(&mut self.clients.holdings, rest) {
            let done = holding.group.ack(&holding.receipt, self.clock(holding.at), &self.clients.mailbox);
            self.note(format_args!("ack {} at {}: {done:?}", holding.message, holding.at));
            self.nudge(holding.at);
        }
    }

    /// Clients read their answers.
    pub(crate) fn hear_answers(&mut self) -> Result<(), String> {
        let mut number = 0;
        while let Some(awaited) = self.clients.awaited.get(number) {
            let Some(outcome) = awaited.ticket.try_outcome() else {
                number += 1;
                continue;
            };
            let Awaited { at, answer, .. } = self.clients.awaited.swap_remove(number);
            if self.trace.is_silent() {
            } else {
                self.note(format_args!("answer of {at} for {answer:?}: {outcome:?}"));
            }
            if let Ok(placed) = outcome {
                self.hear(answer, &placed)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, answer: Answer, placed: &[Placed]) -> Result<(), String> {
        if let Some(last) = placed.last().filter(|last| last.position >= self.views.agreed()) {
            return Err(format!("{answer:?} at {} is answered and not agreed", last.position));
        }
        let clients = &mut self.clients;
        match answer {
            Answer::SetUp => {}
            Answer::Move { number, places } => clients.moves.answered(number, &places, placed),
            Answer::Entries(messages) => {
                for (message, Placed { position, offset, .. }) in messages.zip(placed) {
                    let Some(queue) = self.views.find(*position) else {
                        return Err(format!("message {message} is told {position}, where none is agreed"));
                    };
                    self.invariants.offsets.told(message, queue, *offset, *position, &self.views)?;
                    clients.acknowledged.insert(message, (*position, *position));
                }
            }
            Answer::Delayed(messages) => {
                let bodies = placed.iter().map(|placed| (placed.position, placed.position));
                clients.acknowledged.extend(messages.zip(bodies));
            }
            Answer::Undecided(messages) => {
                for (message, placed) in messages.zip(placed) {
                    clients.undelivered.stored(message, placed.position);
                }
            }
            Answer::Decision { message, decision } => {
                // None: it had been decided so before.
                let Some(record) = placed.first().map(|placed| placed.position) else { return Ok(()) };
                match (decision, clients.undelivered.body(message)) {
                    (Decision::Commit, Some(body)) => {
                        clients.acknowledged.insert(message, (body, record));
                    }
                    (Decision::RollBack, Some(_)) => clients.undelivered.rolled_back(message, record),
                    (_, None) => return Err(format!("message {message} was decided and never stored")),
                }
            }
        }
        Ok(())
    }
}

/// Messages of one message group are in order; three neighbours are of the same one.
fn lane_of(message: u64) -> u32 {
    (message / 3 % LANES) as u32 + 1
}

fn draft(message: u64, lane: u32) -> Draft {
    let body = Bytes::from(crate::world::body_of(message));
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId::NONE,
        count: 1,
        attempt: 0,
        tag_hash: 1,
        lane,
        due_ms: 0,
        body_crc: crc32(&body),
        head: Bytes::new(),
        body,
    }
}

pub(crate) fn topics() -> Vec<TopicSpec> {
    let topic = |name: &str, queues| TopicSpec {
        name: name.to_owned(),
        topic_type: TopicType::Normal,
        queues,
        retention_ms: 0,
        groups: Vec::new(),
        owner: String::new(),
    };
    let fifo = TopicSpec { topic_type: TopicType::Fifo, ..topic("ledger", 2) };
    vec![topic("orders", 1), topic("events", 2), fifo]
}

fn readers() -> Vec<ConsumerGroupSpec> {
    let reader = |name: &str| ConsumerGroupSpec {
        name: name.to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts: 1000, backoff: Backoff::Custom(vec![1000]) },
        trace: false,
        consume_from: ConsumeFrom::Earliest,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    };
    let orderly = ConsumerGroupSpec { ordered: true, ..reader(ORDERLY) };
    vec![reader(READER), orderly, reader(AUDITOR), reader(MOVED)]
}

//! A broadcast whose consumers come and go.
//!
//! Promise: a member gets every message that is stored after its first receive, and none from before; it stays as long as it
//! is used, whatever happens, and goes when it is not. The clock that says so begins anew with each start of the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::catalog::{Broadcast, ConsumeFrom, ConsumerGroup, ConsumerGroupSpec};
use engine::group::{Group, Member, Receive};
use engine::lease::Receipt;
use store::log::{Flush, Placed};
use store::{Offset, Position};

use crate::moves;
use crate::world::{Awaited, World};

const NAME: &str = "everybody";
const TOPIC: &str = "events";
/// Two of them are of one host, and one member.
const CLIENTS: [&str; 4] = ["web-0@1@x", "web-0@2@x", "web-1@1@x", "job"];
const INVISIBLE_MS: u64 = 10_000;
/// A member that nobody used for so long goes.
const UNUSED_MS: u64 = 300_000;

/// What is known about the members, by host.
#[derive(Default)]
pub(crate) struct Members {
    known: BTreeMap<String, Known>,
    /// Whether these are forgotten is to be seen: there was no room to store it.
    in_doubt: BTreeSet<u32>,
}

/// A member.
struct Known {
    id: u32,
    /// Where the record that made it ends; none if nobody heard.
    made: Option<Position>,
    used_ms: u64,
    reading: Option<Reading>,
    holdings: Vec<Receipt>,
}

/// Where a member began to read the topic, and what came since.
struct Reading {
    /// By number of the queue. What came before it began to watch, nobody asks for.
    from: Vec<Offset>,
    /// It began to read there; else it had begun before, and nobody heard of it.
    is_exact: bool,
    /// The log has it, below there.
    recorded: Option<Position>,
    seen: BTreeSet<(u32, Offset)>,
}

pub(crate) fn spec() -> ConsumerGroupSpec {
    let consume_from = ConsumeFrom::Latest;
    ConsumerGroupSpec { name: NAME.to_owned(), broadcast: Broadcast::ByHost, consume_from, ..moves::spec() }
}

fn host_of(client: &str) -> &str {
    client.split('@').next().unwrap_or(client)
}

impl World {
    /// A consumer comes or reads, or those that nobody uses are looked for.
    pub(crate) fn broadcast_some(&mut self) -> Result<(), String> {
        let client = CLIENTS[self.pick(0, CLIENTS.len() as u64) as usize];
        match self.pick(0, 6) {
            0 => return self.forget_unused(),
            1 => self.ack_as_member(host_of(client)),
            _ => {
                if let Some(member) = self.member(client)? {
                    let max = self.pick(1, 33) as usize;
                    self.receive_as_member(host_of(client), &member, max)?;
                }
            }
        }
        self.members_stay()
    }

    /// The member that a client is, once that is there.
    fn member(&mut self, client: &str) -> Result<Option<Arc<ConsumerGroup>>, String> {
        let group = Arc::clone(&self.broker.group);
        let Some(everybody) = group.consumer_group(NAME) else { return Ok(None) };
        let host = host_of(client);
        match group.reads_for(&everybody, client, &self.mailbox) {
            Ok(Member::There(member)) if self.members.in_doubt.contains(&member.id) => Ok(None),
            Ok(Member::There(member)) => {
                let known =
                    self.members.known.entry(host.to_owned()).or_insert_with(|| Known::new(member.id));
                known.used_ms = self.now_ms;
                Ok(Some(member))
            }
            Ok(Member::Coming(ticket)) => {
                self.trace.note(format_args!("{host} becomes a member"));
                self.awaited.push((ticket, Awaited::Member { client: client.to_owned() }));
                Ok(None)
            }
            Ok(Member::TooMany) => Err(format!("{} are too many members", self.members.known.len())),
            // The log takes nothing now.
            Err(_) => Ok(None),
        }
    }

    /// A consumer hears that its member is made.
    pub(crate) fn member_made(&mut self, client: &str, records: &[Placed]) -> Result<(), String> {
        let group = Arc::clone(&self.broker.group);
        let member = group.consumer_group(NAME).and_then(|group| self.broker.group.member_of(&group, client));
        let member = member.ok_or_else(|| format!("{client} was told of its member, there is none"))?;
        let known =
            self.members.known.entry(host_of(client).to_owned()).or_insert_with(|| Known::new(member.id));
        let end = records.last().map(|last| Position(last.position.0 + u64::from(last.bytes)));
        (known.made, known.used_ms) = (known.made.or(end), self.now_ms);
        Ok(())
    }

    fn receive_as_member(&mut self, host: &str, member: &ConsumerGroup, max: usize) -> Result<usize, String> {
        let group = Arc::clone(&self.broker.group);
        let Some(topic) = group.topic(TOPIC) else { return Ok(0) };
        let is_new = group.floor(&topic, member, 0).is_none();
        self.has_unrecorded = true;
        let request = Receive {
            group: member,
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
        }
        let tails = || topic.queues.iter().map(|queue| group.queue_range(*queue).1).collect();
        let Some(known) = self.members.known.get_mut(host) else { return Ok(0) };
        if !received.corrupt.is_empty() {
            // Which messages these were is not told.
            known.reading = None;
        }
        let reading = known.reading.get_or_insert_with(|| Reading::new(tails(), is_new));
        for delivery in &received.deliveries {
            let (queue, offset) = (delivery.queue_index, delivery.offset);
            if reading.is_exact && offset < reading.from[queue as usize] {
                let from = reading.from[queue as usize];
                return Err(format!("{host} got {offset} of queue {queue}, it began to read at {from}"));
            }
            reading.seen.insert((queue, offset));
            known.holdings.push(delivery.receipt);
        }
        self.trace.note(format_args!("{host} got {}", received.deliveries.len()));
        Ok(received.deliveries.len())
    }

    fn ack_as_member(&mut self, host: &str) {
        let Some(known) = self.members.known.get_mut(host) else { return };
        self.has_unrecorded = true;
        for receipt in std::mem::take(&mut known.holdings) {
            let acked = self.broker.group.ack(&receipt, self.now_ms, &self.mailbox);
            self.trace.note(format_args!("{host} acks {}: {}", receipt.offset, acked.is_ok()));
        }
    }

    /// The broker's round: who was not used for long goes.
    fn forget_unused(&mut self) -> Result<(), String> {
        let (group, now_ms) = (Arc::clone(&self.broker.group), self.now_ms);
        let is_unused = |known: &Known| known.used_ms + UNUSED_MS <= now_ms;
        let unused: Vec<u32> =
            self.members.known.values().filter(|known| is_unused(known)).map(|known| known.id).collect();
        let forgotten = group.forget_members(|member| unused.contains(&member.id), &self.mailbox);
        self.trace.note(format_args!("{forgotten} members forgotten of {}", unused.len()));
        if forgotten > 0 {
            self.members.known.retain(|_, known| !unused.contains(&known.id));
            let restarts = self.restarts;
            // Whether that is stored is not told: once everything else is answered it is, or was refused.
            self.settle()?;
            let group = &self.broker.group;
            let is_there = unused.iter().any(|id| group.consumer_group_by_id(*id).is_some());
            if is_there && restarts == self.restarts {
                if !group.log_state().disk_full {
                    return Err(format!("of {unused:?} some were forgotten and are there"));
                }
                self.members.in_doubt.extend(unused);
            }
        }
        Ok(())
    }

    /// Who is a member stays one.
    fn members_stay(&self) -> Result<(), String> {
        let group = &self.broker.group;
        for (host, known) in &self.members.known {
            if group.consumer_group_by_id(known.id).is_none() {
                return Err(format!("{host} was member {}, which is gone", known.id));
            }
        }
        Ok(())
    }

    /// What members did before is in the log.
    pub(crate) fn members_written(&mut self, written: Position) {
        for reading in self.members.known.values_mut().filter_map(|known| known.reading.as_mut()) {
            reading.recorded.get_or_insert(written);
        }
    }

    /// The broker is up again: what was not written is gone, and what was not synced, with the power.
    pub(crate) fn members_went_down(&mut self, power_lost: bool, durable: Position) -> Result<(), String> {
        let group = Arc::clone(&self.broker.group);
        let is_synced = |end: Option<Position>| end.is_some_and(|end| end <= durable);
        let is_lost = power_lost && self.config.log.flush == Flush::Async;
        self.members.known.retain(|_, known| !is_lost || is_synced(known.made));
        self.members.in_doubt.clear();
        self.members_stay()?;
        let Some(topic) = group.topic(TOPIC) else { return Ok(()) };
        for (host, known) in &mut self.members.known {
            known.used_ms = self.now_ms;
            // Nobody waits for the record of a first read, so it is not synced at once.
            let is_kept = |end: Option<Position>| is_synced(end) || (end.is_some() && !power_lost);
            known.reading.take_if(|reading| !is_kept(reading.recorded));
            let member = group.consumer_group_by_id(known.id);
            let floor = member.and_then(|member| group.floor(&topic, &member, 0));
            let Some(reading) = &mut known.reading else { continue };
            if floor.is_none() {
                return Err(format!("{host} began to read at {:?}, that is forgotten", reading.from));
            }
            let tail = |queue: u32| group.queue_range(topic.queues[queue as usize]).1;
            reading.seen.retain(|(queue, offset)| *offset < tail(*queue));
        }
        Ok(())
    }

    /// In peace: each member has got everything since it began to read; then all of them go.
    pub(crate) fn drain_members(&mut self) -> Result<(), String> {
        for client in CLIENTS {
            let Some(member) = self.member(client)? else { continue };
            loop {
                self.now_ms += 10 * INVISIBLE_MS;
                if self.receive_as_member(host_of(client), &member, 64)? == 0 {
                    break;
                }
                self.ack_as_member(host_of(client));
            }
        }
        let group = Arc::clone(&self.broker.group);
        let topic = group.topic(TOPIC).ok_or("a topic is gone")?;
        for (host, known) in &self.members.known {
            let Some(Reading { from, seen, .. }) = &known.reading else { continue };
            for (number, (queue, from)) in (0..).zip(topic.queues.iter().zip(from)) {
                let (oldest, tail) = group.queue_range(*queue);
                let missing =
                    (from.0.max(oldest.0)..tail.0).find(|&at| !seen.contains(&(number, Offset(at))));
                if let Some(offset) = missing {
                    return Err(format!("{host} began at {from} of queue {queue} and never got {offset}"));
                }
            }
        }
        self.members_go(&group)
    }

    /// With their group, or because nobody uses them.
    fn members_go(&mut self, group: &Group) -> Result<(), String> {
        let id = group.consumer_group(NAME).ok_or("the broadcast is gone")?.id;
        self.settle()?;
        if self.random.one_in(2) {
            let deleted = group.delete_consumer_groups(&[NAME.to_owned()], None, &self.mailbox);
            let (_, ticket) = deleted.map_err(|error| error.to_string())?;
            self.awaited.extend(ticket.map(|ticket| (ticket, Awaited::Setup)));
            self.settle()?;
        }
        self.now_ms += UNUSED_MS;
        group.forget_members(|_| true, &self.mailbox);
        self.settle()?;
        let left = group.members_of(id);
        if left.is_empty() { Ok(()) } else { Err(format!("nobody uses these members: {left:?}")) }
    }
}

impl Known {
    fn new(id: u32) -> Self {
        Self { id, made: None, used_ms: 0, reading: None, holdings: Vec::new() }
    }
}

impl Reading {
    fn new(from: Vec<Offset>, is_exact: bool) -> Self {
        Self { from, is_exact, recorded: None, seen: BTreeSet::new() }
    }
}

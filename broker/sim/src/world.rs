//! Everything a story plays in.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::catalog::{
    Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy, TopicSpec, TopicType,
};
use engine::group::{Decision, Group, GroupConfig, TransactionChecks};
use engine::inbox::Ticket;
use engine::lease::Receipt;
use engine::mailbox::Mailbox;
use engine::writer::Writer;
use store::disk::sim::{Random, SimDisk};
use store::log::{Flush, LogConfig, Retention};
use store::{Offset, Position, QueueId};

use crate::event::Event;
use crate::fleeting::{Fleet, Fleeting};
use crate::invariant::Invariants;
use crate::members::Members;
use crate::moves::Mover;
use crate::pollers::Poller;
use crate::pulls::Pulls;
use crate::trace::Trace;
use crate::transactions::Half;

pub(crate) const START_MS: u64 = 1_700_000_000_000;
const TAGS: u64 = 3;

/// A consumer group and how it behaves.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) spec: ConsumerGroupSpec,
    /// Hashes of the tags it wants; `None`: all.
    pub(crate) tags: Option<Vec<u32>>,
    /// In the end it acks what it gets; else it lets every message go to the dead letters.
    pub(crate) acks: bool,
}

/// A consumer's hold on a message.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Holding {
    pub(crate) reader: usize,
    pub(crate) message: u64,
    pub(crate) receipt: Receipt,
}

/// Who waits for what.
pub(crate) enum Awaited {
    /// A producer, for these messages; whether they are of one queue.
    Send { first: u64, count: u64, is_run: bool },
    /// A consumer that gave a message up.
    Letter { reader: usize, message: u64 },
    /// A producer that took a message back.
    Recall { message: u64 },
    /// A producer that decided about a message.
    Decision { message: u64, decision: Decision },
    /// An administrator that moved a consumer group to these places.
    Move { number: u64, places: Vec<(QueueId, Offset)> },
    /// A reader that committed an offset.
    Commit { number: u64, queue: QueueId, offset: Offset },
    /// A consumer of the broadcast that becomes a member.
    Member { client: String },
    /// Whoever has to do with the topic and the group that come and go.
    Fleet(Fleet),
    /// Whoever set things up.
    Setup,
}

/// The broker while it is up.
pub(crate) struct Broker {
    pub(crate) group: Arc<Group>,
    pub(crate) writer: Writer,
}

/// The whole simulated world; its clock is `now_ms`.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    pub(crate) config: GroupConfig,
    pub(crate) broker: Broker,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) topics: Vec<TopicSpec>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) awaited: Vec<(Ticket, Awaited)>,
    pub(crate) holdings: Vec<Holding>,
    pub(crate) pollers: Vec<Poller>,
    pub(crate) mover: Mover,
    pub(crate) pulls: Pulls,
    pub(crate) fleeting: Fleeting,
    pub(crate) members: Members,
    pub(crate) next_message: u64,
    /// Messages with a delivery time: that, and where they were stored once that is known.
    pub(crate) timed: BTreeMap<u64, (u64, Option<Position>)>,
    /// Messages of transactions.
    pub(crate) halves: BTreeMap<u64, Half>,
    /// Receives so far.
    pub(crate) receives: u64,
    /// The latest try of each ordered reader and topic: its name, and what it got.
    pub(crate) tries: BTreeMap<(usize, String), (String, Vec<Holding>)>,
    /// Something refused for want of room since the last clean step.
    pub(crate) was_full: bool,
    /// Something took effect in memory that may not be in the log yet.
    pub(crate) has_unrecorded: bool,
    /// A checkpoint was taken at such a moment: it may know more than the log.
    pub(crate) checkpoint_knows_more: bool,
    pub(crate) restarts: u64,
    pub(crate) events: u64,
    pub(crate) trace: Trace,
    pub(crate) invariants: Invariants,
}

impl World {
    /// A new broker with its topics and consumer groups, synced.
    pub(crate) fn new(seed: u64, lines_max: usize) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.next_u64());
        let config = config(&mut random);
        let (topics, readers) = (topics(), readers());
        let Ok(broker) = Broker::open(&disk, &config, START_MS) else {
            return Err("no first start".to_owned());
        };
        let mut world = Self {
            invariants: Invariants::new(config.log.flush, &readers),
            disk,
            random,
            now_ms: START_MS,
            config,
            broker,
            mailbox: Mailbox::new(),
            topics,
            readers,
            awaited: Vec::new(),
            holdings: Vec::new(),
            pollers: Vec::new(),
            mover: Mover::default(),
            pulls: Pulls::default(),
            fleeting: Fleeting::default(),
            members: Members::default(),
            next_message: 0,
            timed: BTreeMap::new(),
            halves: BTreeMap::new(),
            receives: 0,
            tries: BTreeMap::new(),
            was_full: false,
            has_unrecorded: false,
            checkpoint_knows_more: false,
            restarts: 0,
            events: 0,
            trace: Trace::new(lines_max),
        };
        world.trace.note(format_args!("{:?}", world.config));
        world.set_up()?;
        world.broker.group.sync().map_err(|error| format!("first sync: {error}"))?;
        Ok(world)
    }

    /// Tells all invariants what happened.
    pub(crate) fn tell(&mut self, event: Event) -> Result<(), String> {
        self.events += 1;
        self.trace.note(format_args!("{} {event:?}", self.now_ms - START_MS));
        self.invariants.observe(&event)
    }

    /// A consumer group and a topic.
    pub(crate) fn pick_reading(&mut self) -> (usize, String) {
        let reader = self.pick(0, self.readers.len() as u64) as usize;
        let topic = self.pick(0, self.topics.len() as u64) as usize;
        (reader, self.topics[topic].name.clone())
    }

    /// A number from `least` to below `end`.
    pub(crate) fn pick(&mut self, least: u64, end: u64) -> u64 {
        least + self.random.below(end - least)
    }
}

/// What a message says: its number, and bytes that depend on it.
pub(crate) fn body_of(message: u64) -> Vec<u8> {
    let filling = (message.wrapping_mul(2_654_435_761) % 1500) as usize;
    let mut body = message.to_le_bytes().to_vec();
    body.extend((0..filling).map(|at| (message as usize + at) as u8));
    body
}

/// The tag of a message, as its hash.
pub(crate) fn tag_hash(message: u64) -> u32 {
    (message % TAGS) as u32 + 1
}

fn config(random: &mut Random) -> GroupConfig {
    let flush = if random.one_in(2) { Flush::Sync } else { Flush::Async };
    let segment_bytes = 4096 << random.below(6) << 2;
    let max_bytes = random.one_in(4).then_some(segment_bytes * 4);
    GroupConfig {
        log: LogConfig { segment_bytes, flush, new_id: Some([7; 16]) },
        retention: Retention { max_age_ms: 1 << 40, max_bytes }.into(),
        inbox_bytes_max: 1 << 20,
        batch_bytes_max: 1 << (10 + random.below(6)),
        cached_bytes: 0,
        checks: TransactionChecks { every_ms: 1000, max: 3 }.into(),
    }
}

fn topics() -> Vec<TopicSpec> {
    let topic = |name: &str, queues| TopicSpec {
        name: name.to_owned(),
        topic_type: TopicType::Normal,
        queues,
        retention_ms: 0,
        groups: Vec::new(),
        owner: String::new(),
    };
    let fifo = TopicSpec { topic_type: TopicType::Fifo, ..topic("ledger", 2) };
    let priority = TopicSpec { topic_type: TopicType::Priority, ..topic("alerts", 10) };
    vec![topic("orders", 1), topic("events", 4), fifo, priority]
}

fn readers() -> Vec<Reader> {
    let in_order =
        |reader: Reader| Reader { spec: ConsumerGroupSpec { ordered: true, ..reader.spec }, ..reader };
    let by =
        |priority, reader: Reader| Reader { spec: ConsumerGroupSpec { priority, ..reader.spec }, ..reader };
    let reader = |name: &str, max_attempts, tags, acks| Reader {
        spec: ConsumerGroupSpec {
            name: name.to_owned(),
            ordered: false,
            priority: PriorityPolicy::Strict,
            retry: RetryPolicy { max_attempts, backoff: Backoff::Custom(vec![1000]) },
            trace: false,
            consume_from: ConsumeFrom::Earliest,
            reset: None,
            broadcast: Broadcast::No,
            owner: String::new(),
        },
        tags,
        acks,
    };
    let waiting = |backoff: Backoff, reader: Reader| {
        let retry = RetryPolicy { backoff, ..reader.spec.retry };
        Reader { spec: ConsumerGroupSpec { retry, ..reader.spec }, ..reader }
    };
    let growing = |initial_ms, max_ms| Backoff::Exponential { initial_ms, max_ms, multiplier_permille: 2500 };
    let tracing =
        |reader: Reader| Reader { spec: ConsumerGroupSpec { trace: true, ..reader.spec }, ..reader };
    vec![
        waiting(growing(400, 60_000), reader("steady", 1000, None, true)),
        by(PriorityPolicy::Weighted, reader("choosy", 1000, Some(vec![tag_hash(1)]), true)),
        waiting(Backoff::Custom(vec![700, 9000]), tracing(reader("clumsy", 3, None, false))),
        by(PriorityPolicy::Aging { interval_ms: 10_000 }, in_order(reader("orderly", 1000, None, true))),
        waiting(growing(3000, 5000), in_order(reader("fumbling", 3, None, false))),
    ]
}

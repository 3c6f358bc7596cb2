//! What a message costs in engine and store, in CPU time of one thread, without network and without other threads.
//!
//! `cargo run --release -p engine --example engine_bench -- DIR`: DIR is created and left behind.

// A measurement has to unwrap what a program would handle.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

mod measures;

use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::{
    Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroup, ConsumerGroupSpec, PriorityPolicy, RetryPolicy,
    Topic, TopicSpec, TopicType,
};
use engine::group::{Group, GroupConfig, Receive};
use engine::mailbox::Mailbox;
use engine::writer::{Step, Writer};
use measures::{cpu_ns, resident_bytes};
use store::QueueId;
use store::disk::real::RealDisk;
use store::log::{Draft, Encoding, Flush, Kind, LogConfig, crc32};

const BODY_BYTES: usize = 1024;
const MESSAGES: usize = 200_000;

struct Bench {
    group: Arc<Group>,
    writer: Writer,
    mailbox: Arc<Mailbox>,
    now_ms: u64,
    /// Records that were not in the system's cache.
    loaded: usize,
}

fn measure(what: &str, count: usize, run: impl FnOnce()) {
    let before = cpu_ns();
    run();
    let each = (cpu_ns() - before) as f64 / count as f64;
    println!("{what:<52} {each:>8.0} ns/message");
}

fn draft(body: &Bytes) -> Draft {
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId::NONE,
        count: 1,
        attempt: 0,
        tag_hash: 0,
        lane: 0,
        due_ms: 0,
        body_crc: crc32(body),
        head: body.slice(..100),
        body: body.clone(),
    }
}

impl Bench {
    fn open(dir: &str) -> Self {
        let log = LogConfig { flush: Flush::Async, ..LogConfig::default() };
        let config = GroupConfig { log, ..GroupConfig::default() };
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        let (group, mut writer) = Group::open(disk, config, 1_000).unwrap();
        writer.lead_alone(1_000).unwrap();
        let mut this = Self { group, writer, mailbox: Mailbox::new(), now_ms: 1_000, loaded: 0 };
        let topics: Vec<_> = ["a", "b", "c", "d", "e"].map(topic).into_iter().collect();
        this.group.apply_topics(&topics, Adopt::Always, &this.mailbox).unwrap();
        this.group.apply_consumer_groups(&[readers()], Adopt::Always, &this.mailbox).unwrap();
        this.step();
        this
    }

    fn step(&mut self) {
        self.now_ms += 1;
        while self.writer.step(self.now_ms).unwrap() == Step::Wrote {}
    }

    /// `callers` requests of `batch` messages wait for each step.
    fn send(&mut self, name: &str, callers: usize, batch: usize) {
        let topic = self.group.topic(name).unwrap();
        let body = Bytes::from(vec![b'x'; BODY_BYTES]);
        let mut tickets = Vec::with_capacity(callers);
        for _ in 0..MESSAGES / callers / batch {
            for _ in 0..callers {
                let drafts = (0..batch).map(|_| draft(&body)).collect();
                tickets.push(self.group.send(&topic, drafts, &self.mailbox).unwrap());
            }
            self.step();
            for ticket in tickets.drain(..) {
                ticket.try_outcome().unwrap().unwrap();
            }
        }
    }

    /// What held messages take, when nobody acks them.
    fn hold(&mut self, name: &str, max: usize) {
        self.send(name, 1, 32);
        let topic = self.group.topic(name).unwrap();
        let group = self.group.consumer_group("readers").unwrap();
        let mailbox = Arc::clone(&self.mailbox);
        let request = request(&group, &topic, &mailbox, max);
        let before = resident_bytes();
        while !self.group.receive(&request, self.now_ms, None).unwrap().deliveries.is_empty() {}
        let each = (resident_bytes() - before) as f64 / MESSAGES as f64;
        println!("held, {max:>2} at a time {:>41} {each:.1} B/message", "");
    }

    fn receive(&mut self, name: &str, max: usize) -> usize {
        let topic = self.group.topic(name).unwrap();
        let group = self.group.consumer_group("readers").unwrap();
        let mailbox = Arc::clone(&self.mailbox);
        let request = request(&group, &topic, &mailbox, max);
        let mut count = 0;
        loop {
            let mut received = self.group.receive(&request, self.now_ms, None).unwrap();
            if received.deliveries.is_empty() {
                return count;
            }
            for delivery in &mut received.deliveries {
                if delivery.record.is_none() {
                    self.loaded += 1;
                    self.group.load(delivery).unwrap();
                }
                self.group.ack(&delivery.receipt, self.now_ms, &self.mailbox).unwrap();
            }
            count += received.deliveries.len();
            if count % 512 < max {
                self.step();
            }
        }
    }
}

fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        topic_type: TopicType::Normal,
        queues: 8,
        retention_ms: 0,
        groups: Vec::new(),
        owner: String::new(),
    }
}

fn readers() -> ConsumerGroupSpec {
    let retry = RetryPolicy { max_attempts: 16, backoff: Backoff::Custom(vec![1000]) };
    let (consume_from, owner) = (ConsumeFrom::Earliest, String::new());
    ConsumerGroupSpec {
        name: "readers".to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry,
        trace: false,
        consume_from,
        reset: None,
        broadcast: Broadcast::No,
        owner,
    }
}

fn request<'a>(
    group: &'a ConsumerGroup,
    topic: &'a Topic,
    mailbox: &'a Arc<Mailbox>,
    max: usize,
) -> Receive<'a> {
    Receive { group, topic, tags: None, max, invisible_ms: 60_000, attempt_id: None, mailbox }
}

fn main() {
    let dir = std::env::args().nth(1).expect("a folder to work in");
    let mut bench = Bench::open(&dir);
    measure("send, 1 caller, 1 message of 1 KiB", MESSAGES, || bench.send("a", 1, 1));
    measure("send, 32 callers, 1 message each", MESSAGES, || bench.send("b", 32, 1));
    measure("send, 32 messages per request", MESSAGES, || bench.send("c", 1, 32));
    let mut count = 0;
    measure("receive + ack, 1 at a time", MESSAGES, || count += bench.receive("a", 1));
    measure("receive + ack, 32 at a time, of 8 queues", MESSAGES, || count += bench.receive("b", 32));
    measure("receive + ack, 32 at a time, neighbours", MESSAGES, || count += bench.receive("c", 32));
    println!("received {count}, {} of them not in the system's cache", bench.loaded);
    bench.hold("d", 1);
    bench.hold("e", 32);
    measure("checkpoint", MESSAGES, || bench.group.checkpoint().unwrap());
    let specs: Vec<_> = (0..10_000).map(|n| topic(&format!("topic-{n}"))).collect();
    measure("apply 10,000 topics of 8 queues (per topic)", 10_000, || {
        bench.group.apply_topics(&specs, Adopt::Always, &bench.mailbox).unwrap();
        bench.step();
    });
}

//! What order and delay cost beside plain messages, in CPU time of one thread, without network and without other threads.
//!
//! `cargo run --release -p engine --example kinds_bench -- DIR`: DIR is created and left behind.

// A measurement has to unwrap what a program would handle.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

mod measures;

use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::{
    Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy, TopicSpec,
    TopicType,
};
use engine::group::{Group, GroupConfig, Receive};
use engine::mailbox::Mailbox;
use engine::writer::{Step, Writer};
use measures::{cpu_ns, resident_bytes};
use store::QueueId;
use store::disk::real::RealDisk;
use store::log::{Draft, Encoding, Flush, Kind, LogConfig, crc32};

const BODY_BYTES: usize = 100;
const MESSAGES: usize = 200_000;
const TIMERS: usize = 1_000_000;
/// Message groups.
const LANES: u32 = 1000;
/// The message group that is stuck.
const STUCK: u32 = 7;
const HOUR_MS: u64 = 3_600_000;

struct Bench {
    group: Arc<Group>,
    writer: Writer,
    mailbox: Arc<Mailbox>,
    now_ms: u64,
    body: Bytes,
}

/// Nanoseconds per message.
fn measure(what: &str, run: impl FnOnce() -> usize) -> f64 {
    let before = cpu_ns();
    let count = run();
    let each = (cpu_ns() - before) as f64 / count as f64;
    println!("{what:<60} {each:>8.0} ns/message, {count} of them");
    each
}

impl Bench {
    fn open(dir: &str) -> Self {
        let log = LogConfig { flush: Flush::Async, ..LogConfig::default() };
        let config = GroupConfig { log, ..GroupConfig::default() };
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        let (group, mut writer) = Group::open(disk, config, 1_000).unwrap();
        writer.lead_alone(1_000).unwrap();
        let body = Bytes::from(vec![b'x'; BODY_BYTES]);
        let mut this = Self { group, writer, mailbox: Mailbox::new(), now_ms: 1_000, body };
        let topics = ["plain", "later"].map(topic);
        this.group.apply_topics(&topics, Adopt::Always, &this.mailbox).unwrap();
        let groups = [group_spec("any", false), group_spec("ordered", true)];
        this.group.apply_consumer_groups(&groups, Adopt::Always, &this.mailbox).unwrap();
        this.step();
        this
    }

    fn step(&mut self) {
        while self.writer.step(self.now_ms).unwrap() == Step::Wrote {}
    }

    /// 32 requests of one message wait for each step.
    fn send(&mut self, name: &str, count: usize, mut change: impl FnMut(usize, Draft) -> Draft) -> usize {
        let topic = self.group.topic(name).unwrap();
        for first in (0..count).step_by(32) {
            for number in first..count.min(first + 32) {
                let draft = change(number, draft(&self.body));
                self.group.send(&topic, vec![draft], &self.mailbox).unwrap();
            }
            self.step();
        }
        count
    }

    /// Receives and acks until nothing comes; of one lane nothing is acked.
    fn drain(&mut self, name: &str, group: &str, stuck: Option<u32>) -> usize {
        let (topic, group) = (self.group.topic(name).unwrap(), self.group.consumer_group(group).unwrap());
        let mailbox = Arc::clone(&self.mailbox);
        let (mut acked, mut since) = (0, 0);
        loop {
            let request = Receive {
                group: &group,
                topic: &topic,
                tags: None,
                max: 32,
                invisible_ms: HOUR_MS,
                attempt_id: None,
                mailbox: &mailbox,
            };
            let received = self.group.receive(&request, self.now_ms, None).unwrap();
            if received.deliveries.is_empty() {
                self.step();
                return acked;
            }
            for delivery in &received.deliveries {
                let lane = delivery.record.as_ref().map_or(0, |record| record.entry().lane);
                if Some(lane) != stuck {
                    self.group.ack(&delivery.receipt, self.now_ms, &mailbox).unwrap();
                    acked += 1;
                }
            }
            since += received.deliveries.len();
            if since >= 512 {
                since = 0;
                self.step();
            }
        }
    }
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
        head: body.clone(),
        body: body.clone(),
    }
}

fn topic(name: &str) -> TopicSpec {
    let topic_type = TopicType::Normal;
    TopicSpec { name: name.to_owned(), topic_type, queues: 8, ..TopicSpec::default() }
}

fn group_spec(name: &str, ordered: bool) -> ConsumerGroupSpec {
    let retry = RetryPolicy { max_attempts: 16, backoff: Backoff::Custom(vec![1000]) };
    let (consume_from, owner) = (ConsumeFrom::Earliest, String::new());
    ConsumerGroupSpec {
        name: name.to_owned(),
        ordered,
        priority: PriorityPolicy::Strict,
        retry,
        trace: false,
        consume_from,
        reset: None,
        broadcast: Broadcast::No,
        owner,
    }
}

/// Medians of a few rounds, in turn: machines are noisy.
const ROUNDS: usize = 5;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Bench {
    fn fill(&mut self, kind: &str, round: usize) -> String {
        let name = format!("{kind}-{round}");
        self.group.apply_topics(&[topic(&name)], Adopt::Always, &self.mailbox).unwrap();
        self.step();
        self.send(&name, MESSAGES, |number, draft| Draft { lane: number as u32 % LANES + 1, ..draft });
        name
    }

    fn order(&mut self) {
        let (mut any, mut free, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let names = ["any", "free", "stuck"].map(|kind| self.fill(kind, round));
            any.push(measure("receive + ack, 32 at a time, in any order", || {
                self.drain(&names[0], "any", None)
            }));
            free.push(measure("  in order, 1,000 message groups", || self.drain(&names[1], "ordered", None)));
            stuck.push(measure("  one of them stuck", || self.drain(&names[2], "ordered", Some(STUCK))));
        }
        let (any, free, stuck) = (median(any), median(free), median(stuck));
        println!("in order {free:.0} ns, in any order {any:.0} ns");
        println!("with one message group stuck the others have {:.3} of their throughput", free / stuck);
    }

    fn delay(&mut self) {
        let plain = (0..ROUNDS)
            .map(|_| measure("send, 32 callers", || self.send("plain", MESSAGES, |_, draft| draft)));
        let plain = median(plain.collect());
        let before = resident_bytes();
        let hour_ms = self.now_ms + HOUR_MS;
        let timed = |number: usize, draft| {
            let due_ms = hour_ms + (number as u64 * 7919) % (24 * HOUR_MS);
            Draft { kind: Kind::Timed, due_ms, ..draft }
        };
        measure("send for later, 32 callers", || self.send("later", TIMERS, timed));
        let each = (resident_bytes() - before) as f64 / TIMERS as f64;
        println!("{TIMERS} timers in memory: {each:.1} B each");
        let beside = (0..ROUNDS).map(|_| {
            measure("send, 32 callers, beside them", || self.send("plain", MESSAGES, |_, draft| draft))
        });
        let beside = median(beside.collect());
        println!("rate of sends beside {TIMERS} timers: {:.3} of that without", plain / beside);
        self.now_ms = hour_ms + 24 * HOUR_MS;
        measure("their time comes", || {
            while self.group.pending_timers() > 0 {
                self.step();
                self.now_ms += 1;
            }
            TIMERS
        });
    }
}

fn main() {
    let dir = std::env::args().nth(1).expect("a folder to work in");
    let mut bench = Bench::open(&dir);
    bench.order();
    bench.delay();
}

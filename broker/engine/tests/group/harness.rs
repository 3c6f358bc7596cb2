//! A broker without threads.

use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::{
    Adopt, ApplyOutcome, Backoff, Broadcast, ConsumeFrom, ConsumerGroup, ConsumerGroupSpec, PriorityPolicy,
    RetryPolicy, Topic, TopicSpec, TopicType,
};
use engine::group::{Delivery, Group, GroupConfig, Receive, Received, TransactionChecks};
use engine::inbox::{StoreError, Ticket};
use engine::mailbox::Mailbox;
use engine::waiter::Waiter;
use engine::writer::{Step, Writer};
use store::QueueId;
use store::disk::sim::SimDisk;
use store::log::{Draft, Encoding, Flush, Kind, LogConfig, Placed, Retention, crc32};

pub(crate) const INVISIBLE_MS: u64 = 10_000;

pub(crate) struct Broker {
    pub(crate) disk: SimDisk,
    pub(crate) config: GroupConfig,
    pub(crate) group: Arc<Group>,
    pub(crate) writer: Writer,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) now_ms: u64,
}

pub(crate) fn config() -> GroupConfig {
    let log = LogConfig { segment_bytes: 1 << 20, flush: Flush::Sync, new_id: Some([7; 16]) };
    GroupConfig {
        log,
        retention: Retention { max_age_ms: 1_000_000, max_bytes: None }.into(),
        inbox_bytes_max: 1 << 20,
        batch_bytes_max: 64 << 10,
        cached_bytes: 0,
        checks: TransactionChecks { every_ms: 1000, max: 3 }.into(),
    }
}

pub(crate) fn topic_spec(name: &str, queues: u32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        topic_type: TopicType::Normal,
        queues,
        retention_ms: 0,
        groups: Vec::new(),
        owner: String::new(),
    }
}

pub(crate) fn group_spec(name: &str, max_attempts: u32) -> ConsumerGroupSpec {
    let backoff = Backoff::Exponential { initial_ms: 1000, max_ms: 60_000, multiplier_permille: 2000 };
    ConsumerGroupSpec {
        name: name.to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts, backoff },
        trace: false,
        consume_from: ConsumeFrom::Earliest,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    }
}

pub(crate) fn message(text: &str, tag_hash: u32) -> Draft {
    let body = Bytes::copy_from_slice(text.as_bytes());
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId::NONE,
        count: 1,
        attempt: 0,
        tag_hash,
        lane: 0,
        due_ms: 0,
        body_crc: crc32(&body),
        head: Bytes::from_static(b"\x02\0\0\0\xff\xff\x0a\x00"), // what it means is a gateway's business
        body,
    }
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.record.as_ref().expect("record is in memory").body().to_vec()).unwrap()
}

pub(crate) fn texts(received: &Received) -> Vec<String> {
    received.deliveries.iter().map(text).collect()
}

impl Broker {
    /// A broker with topic `orders` of so many queues and consumer group `billing` of 3 attempts.
    pub(crate) fn new(queues: u32) -> Self {
        Self::with(config(), queues)
    }

    pub(crate) fn with_small_segments(queues: u32) -> Self {
        let log = LogConfig { segment_bytes: 64 << 10, ..config().log };
        Self::with(GroupConfig { log, ..config() }, queues)
    }

    pub(crate) fn with(config: GroupConfig, queues: u32) -> Self {
        let mut this = Self::open(SimDisk::new(1), config);
        assert_eq!(this.apply_topic(&topic_spec("orders", queues)), ApplyOutcome::Created);
        assert_eq!(this.apply_group(&group_spec("billing", 3)), ApplyOutcome::Created);
        this
    }

    /// As `with`, where the topic takes messages of this type, in 2 queues.
    pub(crate) fn of_type(config: GroupConfig, topic_type: TopicType) -> Self {
        let mut this = Self::open(SimDisk::new(1), config);
        this.apply_topic(&TopicSpec { topic_type, ..topic_spec("orders", 2) });
        this.apply_group(&group_spec("billing", 3));
        this
    }

    pub(crate) fn open(disk: SimDisk, config: GroupConfig) -> Self {
        let now_ms = 1_000;
        let (group, mut writer) = Group::open(Arc::new(disk.clone()), config.clone(), now_ms).unwrap();
        writer.lead_alone(now_ms).unwrap();
        Self { disk, config, group, writer, mailbox: Mailbox::new(), now_ms }
    }

    /// The process dies and starts again.
    pub(crate) fn restart(self) -> Self {
        let Self { disk, config, group, writer, now_ms, .. } = self;
        drop((group, writer));
        disk.kill_process();
        Self { now_ms, ..Self::open(disk, config) }
    }

    pub(crate) fn apply_topic(&mut self, spec: &TopicSpec) -> ApplyOutcome {
        let specs = std::slice::from_ref(spec);
        let (mut outcomes, ticket) =
            self.group.apply_topics(specs, Adopt::IfCompatible, &self.mailbox).unwrap();
        self.settle(ticket);
        outcomes.remove(0)
    }

    pub(crate) fn apply_group(&mut self, spec: &ConsumerGroupSpec) -> ApplyOutcome {
        let specs = std::slice::from_ref(spec);
        let (mut outcomes, ticket) =
            self.group.apply_consumer_groups(specs, Adopt::IfCompatible, &self.mailbox).unwrap();
        self.settle(ticket);
        outcomes.remove(0)
    }

    pub(crate) fn settle(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.step();
            ticket.try_outcome().expect("answered by the step").unwrap();
        }
    }

    /// Steps until nothing waits.
    pub(crate) fn step(&mut self) {
        while self.writer.step(self.now_ms).unwrap() == Step::Wrote {}
    }

    pub(crate) fn topic(&self) -> Arc<Topic> {
        self.group.topic("orders").unwrap()
    }

    pub(crate) fn billing(&self) -> Arc<ConsumerGroup> {
        self.group.consumer_group("billing").unwrap()
    }

    /// One request with one message per text, stored.
    pub(crate) fn send(&mut self, texts: &[&str]) -> Vec<Placed> {
        self.send_drafts(texts.iter().map(|text| message(text, 0)).collect()).unwrap()
    }

    pub(crate) fn send_drafts(&mut self, drafts: Vec<Draft>) -> Result<Vec<Placed>, StoreError> {
        let ticket = self.group.send(&self.topic(), drafts, &self.mailbox).unwrap();
        self.step();
        ticket.try_outcome().expect("answered by the step")
    }

    pub(crate) fn receive(&self, max: usize) -> Received {
        self.receive_with(max, None, None)
    }

    pub(crate) fn receive_with(
        &self,
        max: usize,
        tags: Option<&[u32]>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Received {
        let (group, topic) = (self.billing(), self.topic());
        let request = Receive {
            group: &group,
            topic: &topic,
            tags,
            max,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox: &self.mailbox,
        };
        self.group.receive(&request, self.now_ms, waiter).unwrap()
    }

    pub(crate) fn receive_from(&self, topic: &str, group: &str, max: usize) -> Received {
        let (topic, group) = (self.group.topic(topic).unwrap(), self.group.consumer_group(group).unwrap());
        let request = Receive {
            group: &group,
            topic: &topic,
            tags: None,
            max,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox: &self.mailbox,
        };
        self.group.receive(&request, self.now_ms, None).unwrap()
    }

    /// Receives and acks what is there; what it says, sorted.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.step();
        let received = self.receive(32);
        self.ack_all(&received);
        self.step();
        let mut texts = texts(&received);
        texts.sort();
        texts
    }

    pub(crate) fn ack_all(&self, received: &Received) {
        for delivery in &received.deliveries {
            self.group.ack(&delivery.receipt, self.now_ms, &self.mailbox).unwrap();
        }
    }

    /// Everything that a restart must bring back.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for topic in self.group.topics() {
            let ranges: Vec<_> = topic.queues.iter().map(|&queue| self.group.queue_range(queue)).collect();
            lines.push(format!("{} {:?} {:?} {ranges:?}", topic.id, topic.spec, topic.queues));
        }
        for group in self.group.consumer_groups() {
            lines.push(format!("{group:?} {:?}", self.group.progress(&group)));
        }
        lines
    }
}

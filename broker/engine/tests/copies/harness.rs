//! Members of a group, each on its own disk; the test is the network and the protocol.

use std::sync::Arc;

use bytes::Bytes;
use engine::catalog::{
    Adopt, ApplyOutcome, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy,
    TopicSpec, TopicType,
};
use engine::group::{Group, GroupConfig, Planting, Receive, ReceiveError, Received, Seed, TransactionChecks};
use engine::inbox::{StoreError, SubmitError, Ticket};
use engine::mailbox::Mailbox;
use engine::waiter::Waiter;
use engine::writer::{Step, Writer};
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::log::{Draft, Encoding, Flush, Kind, LogConfig, Placed, Retention, Stamps, crc32};
use store::{Epoch, Position, QueueId};

pub(crate) const INVISIBLE_MS: u64 = 10_000;
const SPAN_BYTES_MAX: usize = 20_000;

pub(crate) struct Member {
    pub(crate) disk: SimDisk,
    pub(crate) config: GroupConfig,
    pub(crate) group: Arc<Group>,
    pub(crate) writer: Writer,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) now_ms: u64,
}

pub(crate) fn config(flush: Flush) -> GroupConfig {
    GroupConfig {
        log: LogConfig { segment_bytes: 64 << 10, flush, new_id: Some([7; 16]) },
        retention: Retention { max_age_ms: 1_000_000, max_bytes: None }.into(),
        inbox_bytes_max: 1 << 20,
        batch_bytes_max: 64 << 10,
        cached_bytes: 0,
        checks: TransactionChecks::default().into(),
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

pub(crate) fn group_spec(name: &str, consume_from: ConsumeFrom) -> ConsumerGroupSpec {
    let retry = RetryPolicy { max_attempts: 3, backoff: Backoff::Custom(vec![1000]) };
    ConsumerGroupSpec {
        name: name.to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry,
        trace: false,
        consume_from,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    }
}

pub(crate) fn message(text: &str) -> Draft {
    let body = Bytes::copy_from_slice(text.as_bytes());
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId::NONE,
        count: 1,
        attempt: 0,
        tag_hash: 0,
        lane: 0,
        due_ms: 0,
        body_crc: crc32(&body),
        head: Bytes::new(),
        body,
    }
}

pub(crate) fn texts(received: &Received) -> Vec<String> {
    let text = |delivery: &engine::group::Delivery| {
        String::from_utf8(delivery.record.as_ref().unwrap().body().to_vec()).unwrap()
    };
    received.deliveries.iter().map(text).collect()
}

impl Member {
    pub(crate) fn open(disk: SimDisk, config: GroupConfig) -> Self {
        let now_ms = 1_000;
        let (group, writer) = Group::open(Arc::new(disk.clone()), config.clone(), now_ms).unwrap();
        Self { disk, config, group, writer, mailbox: Mailbox::new(), now_ms }
    }

    pub(crate) fn new(flush: Flush) -> Self {
        Self::open(SimDisk::new(1), config(flush))
    }

    /// A member that leads epoch 1 with topic `orders` of so many queues and consumer groups `billing` and `latest`.
    pub(crate) fn leader(flush: Flush, queues: u32) -> Self {
        let mut this = Self::new(flush);
        this.take_over(1);
        let topics = this.group.apply_topics(&[topic_spec("orders", queues)], Adopt::Always, &this.mailbox);
        let specs = [group_spec("billing", ConsumeFrom::Earliest), group_spec("latest", ConsumeFrom::Latest)];
        let groups = this.group.apply_consumer_groups(&specs, Adopt::Always, &this.mailbox);
        this.agree();
        for applied in [topics, groups] {
            applied.unwrap().1.unwrap().try_outcome().unwrap().unwrap();
        }
        this
    }

    /// Leads, and everything that it has is agreed.
    pub(crate) fn take_over(&mut self, epoch: u32) {
        self.writer.lead(Epoch(epoch), self.now_ms).unwrap();
        self.agree();
    }

    /// The group is closed and opened again from the disk.
    pub(crate) fn reopen(mut self) -> Self {
        self.writer.close();
        let Self { disk, config, now_ms, .. } = self;
        Self { now_ms, ..Self::open(disk, config) }
    }

    /// The process dies and starts again.
    pub(crate) fn restart(self) -> Self {
        let Self { disk, config, group, writer, now_ms, .. } = self;
        drop((group, writer));
        disk.kill_process();
        Self { now_ms, ..Self::open(disk, config) }
    }

    /// Steps until nothing waits.
    pub(crate) fn step(&mut self) {
        while self.writer.step(self.now_ms).unwrap() == Step::Wrote {}
    }

    /// Writes what waits, and every copy has it.
    pub(crate) fn agree(&mut self) {
        self.step();
        self.commit();
    }

    /// Everything that is written is agreed.
    pub(crate) fn commit(&mut self) {
        let to = self.group.written();
        self.writer.stamp(Stamps { durable: None, committed: Some(to) });
        self.writer.commit(to).unwrap();
    }

    /// Takes everything that the leader has written.
    pub(crate) fn follow(&mut self, leader: &Self) {
        self.follow_to(leader, leader.group.written());
    }

    pub(crate) fn follow_to(&mut self, leader: &Self, to: Position) {
        let reader = leader.group.log_reader();
        let mut bytes = Vec::new();
        while let Some(head) = reader.read_raw(self.group.written(), to, SPAN_BYTES_MAX, &mut bytes).unwrap()
        {
            self.writer.append_raw(head.of(&bytes)).unwrap();
        }
    }

    /// As `follow`, and all of it is agreed.
    pub(crate) fn follow_agreed(&mut self, leader: &Self) {
        self.follow(leader);
        let to = leader.group.published().min(self.group.written());
        self.writer.commit(to).unwrap();
    }

    /// A new member that begins where this one's log begins.
    pub(crate) fn plant(&self) -> Self {
        let seed = Seed::decode(&self.group.seed().unwrap().encode()).unwrap();
        let disk = SimDisk::new(9);
        let planting = Planting {
            log_id: self.group.log_id(),
            segment_bytes: self.config.log.segment_bytes,
            epochs: self.group.epochs(),
        };
        let planted: Arc<dyn Disk> = Arc::new(disk.clone());
        Group::plant(&planted, &planting, &seed, self.now_ms).unwrap();
        Self { now_ms: self.now_ms, ..Self::open(disk, self.config.clone()) }
    }

    pub(crate) fn submit(&self, texts: &[&str]) -> Result<Ticket, SubmitError> {
        let topic = self.group.topic("orders").unwrap();
        let drafts = texts.iter().map(|text| message(text)).collect();
        self.group.send(&topic, drafts, &self.mailbox)
    }

    /// Written, not agreed.
    pub(crate) fn send(&mut self, texts: &[&str]) -> Ticket {
        let ticket = self.submit(texts).unwrap();
        self.step();
        ticket
    }

    pub(crate) fn apply_topic(&self, spec: &TopicSpec, adopt: Adopt) -> (ApplyOutcome, Option<Ticket>) {
        let specs = std::slice::from_ref(spec);
        let (mut outcomes, ticket) = self.group.apply_topics(specs, adopt, &self.mailbox).unwrap();
        (outcomes.remove(0), ticket)
    }

    pub(crate) fn receive(&self, group: &str, max: usize) -> Received {
        self.try_receive(group, max, None).unwrap()
    }

    pub(crate) fn try_receive(
        &self,
        group: &str,
        max: usize,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Received, ReceiveError> {
        let topic = self.group.topic("orders").unwrap();
        let group = self.group.consumer_group(group).unwrap();
        let request = Receive {
            group: &group,
            topic: &topic,
            tags: None,
            max,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox: &self.mailbox,
        };
        let mut received = self.group.receive(&request, self.now_ms, waiter)?;
        for delivery in &mut received.deliveries {
            if delivery.record.is_none() {
                self.group.load(delivery).unwrap();
            }
        }
        Ok(received)
    }

    pub(crate) fn ack_all(&self, received: &Received) {
        for delivery in &received.deliveries {
            self.group.ack(&delivery.receipt, self.now_ms, &self.mailbox).unwrap();
        }
    }

    /// Everything that can be seen without changing it.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for topic in self.group.topics() {
            let ranges: Vec<_> = topic.queues.iter().map(|&queue| self.group.queue_range(queue)).collect();
            lines.push(format!("{} {:?} {:?} {ranges:?}", topic.id, topic.spec, topic.queues));
        }
        for group in self.group.consumer_groups() {
            lines.push(format!("{group:?}"));
            lines.extend(self.group.progress(&group).iter().map(|progress| format!("{progress:?}")));
        }
        lines
    }

    /// Everything that each consumer group is given, with attempts.
    pub(crate) fn drain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for group in self.group.consumer_groups() {
            loop {
                let received = self.receive(&group.spec.name, 64);
                if received.deliveries.is_empty() {
                    break;
                }
                let told = received.deliveries.iter().zip(texts(&received)).map(|(delivery, text)| {
                    let (queue, offset) = (delivery.queue_index, delivery.offset);
                    format!("{} {queue} {offset} {} {text}", group.spec.name, delivery.attempt)
                });
                lines.extend(told);
            }
        }
        lines.sort();
        lines
    }
}

/// What a ticket was answered, and that it was answered.
pub(crate) fn outcome(ticket: &Ticket) -> Result<Vec<Placed>, StoreError> {
    ticket.try_outcome().expect("ticket is answered")
}

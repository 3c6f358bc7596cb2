//! What clients did with topics since this process opened the log: figures for metrics, kept by nobody.
//!
//! ```text
//!   a send --Sent--> Topic: messages and bytes by type       a decision --> Topic: committed, rolled back
//!   a receive --Outflow--> the consumer group's subscription to the topic, under the lock that it has anyway
//! ```
//!
//! Cost: two additions without a lock for each type of message in a request; one short lock of the topic for each receive
//! that brings something. 112 B for a topic that was sent to, 32 B for each consumer group that reads a topic.
//! Limit: everything begins with 0 when the process starts, when a topic is made anew, and when a group begins to read anew.

use std::ops::AddAssign;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::{Topic, TopicType};
use crate::group::{Decision, Group};

/// Types of topics, which are those of messages and one more.
const TYPES: usize = TopicType::Mixed as usize + 1;

/// Messages, and the bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many messages.
    pub messages: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// What one request stored in a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent([Amount; TYPES]);

/// What a consumer group was handed from a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outflow {
    /// Messages for the first time.
    pub first: Amount,
    /// Messages for another time.
    pub again: Amount,
}

/// What came into a topic; takes no room before something does.
#[derive(Debug, Default)]
pub(crate) struct Inflow(OnceLock<Box<Counters>>);

#[derive(Debug, Default)]
struct Counters {
    sent: [[AtomicU64; 2]; TYPES],
    decided: [AtomicU64; 2],
}

impl Amount {
    fn of_one(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl AddAssign for Outflow {
    fn add_assign(&mut self, other: Self) {
        self.first += other.first;
        self.again += other.again;
    }
}

impl Sent {
    /// One more message, of this type.
    pub fn add(&mut self, message_type: TopicType, bytes: usize) {
        self.0[message_type as usize] += Amount::of_one(bytes);
    }
}

impl Outflow {
    /// One more message, in its `attempt`th delivery.
    pub fn add(&mut self, attempt: u16, bytes: usize) {
        let amount = if attempt > 1 { &mut self.again } else { &mut self.first };
        *amount += Amount::of_one(bytes);
    }
}

impl Inflow {
    fn counters(&self) -> &Counters {
        self.0.get_or_init(Box::default)
    }
}

impl Topic {
    /// A request was stored.
    pub fn note_sent(&self, sent: &Sent) {
        let counters = self.state.inflow.counters();
        let amounts = counters.sent.iter().zip(&sent.0).filter(|(_, amount)| amount.messages > 0);
        for ([messages, bytes], amount) in amounts {
            messages.fetch_add(amount.messages, Ordering::Relaxed);
            bytes.fetch_add(amount.bytes, Ordering::Relaxed);
        }
    }

    /// A producer decided about a message, and that was stored.
    pub fn note_decided(&self, decision: Decision) {
        self.state.inflow.counters().decided[decision as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Messages of this type that were stored since the process opened the log.
    pub fn sent(&self, message_type: TopicType) -> Amount {
        let Some(counters) = self.state.inflow.0.get() else { return Amount::default() };
        let [messages, bytes] = &counters.sent[message_type as usize];
        Amount { messages: messages.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }

    /// Messages that producers decided about like this since the process opened the log.
    pub fn decided(&self, decision: Decision) -> u64 {
        let counters = self.state.inflow.0.get();
        counters.map_or(0, |counters| counters.decided[decision as usize].load(Ordering::Relaxed))
    }
}

impl Group {
    /// A consumer group, or a member of a broadcast, was handed messages; nothing is counted for one that does not read the
    /// topic (any more).
    pub fn note_received(&self, topic: &Topic, group: u32, outflow: Outflow) {
        if let Some(subscription) = topic.state.lock().subscription(group) {
            subscription.outflow += outflow;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_type_and_a_topic_without_any_takes_no_room() {
        let topic = Topic {
            id: 1,
            spec: crate::catalog::TopicSpec::default(),
            queues: Vec::new(),
            lane_queues: 1,
            state: std::sync::Arc::new(crate::topic::Queues::new(1)),
        };
        assert_eq!(topic.sent(TopicType::Fifo), Amount::default());
        assert_eq!(topic.decided(Decision::Commit), 0);
        assert!(topic.state.inflow.0.get().is_none());
        let mut sent = Sent::default();
        sent.add(TopicType::Fifo, 10);
        sent.add(TopicType::Delay, 1);
        sent.add(TopicType::Fifo, 20);
        topic.note_sent(&sent);
        topic.note_sent(&sent);
        topic.note_decided(Decision::RollBack);
        assert_eq!(topic.sent(TopicType::Fifo), Amount { messages: 4, bytes: 60 });
        assert_eq!(topic.sent(TopicType::Delay), Amount { messages: 2, bytes: 2 });
        assert_eq!(topic.sent(TopicType::Normal), Amount::default());
        assert_eq!([Decision::Commit, Decision::RollBack].map(|decision| topic.decided(decision)), [0, 1]);
    }
}

//! Clients that do a little of everything, so that a leader has something to tell of each kind.

use std::time::Duration;

use client::admin::{AdminClient, AdminConfig, DescribeConsumerGroupResponse};
use client::{Checker, Message, Producer, Resolution, SimpleConsumer};
use e2e::members::Members;
use e2e::traffic::{LIVE, TOPIC, manifests};
use e2e::{matrix, wait};
use tokio::runtime::Runtime;

/// A topic of transactions beside the ones of the traffic.
const PAID: &str = "paid";
/// The leader has read its manifests within this time, or something is wrong.
const APPLIED_MAX: Duration = Duration::from_secs(10);
const INVISIBLE: Duration = Duration::from_mins(5);
/// Messages in `TOPIC`.
pub(crate) const SENT: u64 = 5;
/// Of these, messages that group `LIVE` is done with, and holds.
pub(crate) const DONE: u64 = 1;
pub(crate) const HELD: u64 = 2;

/// The members of a group, two of them, and clients that stay connected.
pub(crate) struct Usage {
    pub(crate) members: Members,
    runtime: Runtime,
    _producer: Producer,
    _consumer: SimpleConsumer,
}

impl Usage {
    pub(crate) fn start() -> Self {
        let mut yaml = manifests();
        matrix::object(&mut yaml, "Topic", PAID, "local", "type: TRANSACTION");
        let members = Members::start(2, &yaml);
        wait::until("topics and consumer groups", APPLIED_MAX, || {
            let page = members.page(members.leader(), "/metrics")?;
            let all = ["\nmillpond_topics 2\n", "\nmillpond_consumer_groups 2\n"];
            all.iter().all(|line| page.contains(line)).then_some(())
        });
        let runtime = Runtime::new().expect("a runtime");
        let endpoint = members.endpoints().swap_remove(members.leader());
        let (producer, consumer) = runtime.block_on(use_all(&endpoint));
        Self { members, runtime, _producer: producer, _consumer: consumer }
    }

    /// The leader's page for Prometheus.
    pub(crate) fn page(&self) -> String {
        wait::until("a page", APPLIED_MAX, || self.members.page(self.members.leader(), "/metrics"))
    }

    /// What `millpond groups describe` shows of `LIVE`.
    pub(crate) fn described(&self) -> DescribeConsumerGroupResponse {
        let endpoint = self.members.admins().swap_remove(self.members.leader());
        let endpoint = endpoint.parse().expect("an endpoint");
        self.runtime.block_on(async {
            let admin = AdminClient::new(AdminConfig::new(endpoint)).expect("a client");
            admin.consumer_group(LIVE).await.expect("the group")
        })
    }
}

async fn use_all(endpoint: &str) -> (Producer, SimpleConsumer) {
    let checker = Checker::new(|_| async { Resolution::Unknown });
    let producer = Producer::builder(endpoint).topic(TOPIC).topic(PAID).checker(checker);
    let producer = producer.start().await.expect("a producer");
    for number in 0..SENT {
        producer.send(Message::new(TOPIC, number.to_string())).await.expect("stored");
    }
    producer.begin(Message::new(PAID, "yes")).await.expect("stored").commit().await.expect("decided");
    producer.begin(Message::new(PAID, "no")).await.expect("stored").roll_back().await.expect("decided");
    let consumer = SimpleConsumer::builder(endpoint, LIVE).subscribe(TOPIC, "*");
    let consumer = consumer.start().await.expect("a consumer");
    let mut held = Vec::new();
    while (held.len() as u64) < DONE + HELD {
        held.extend(consumer.receive(1, INVISIBLE).await.expect("messages"));
    }
    consumer.ack_all(&held[..DONE as usize]).await.expect("an answer").remove(0).expect("done");
    // Not yet, and it comes later.
    consumer.change_invisible(&mut held[DONE as usize], 2 * INVISIBLE).await.expect("changed");
    (producer, consumer)
}

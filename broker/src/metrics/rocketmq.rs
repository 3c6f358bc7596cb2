//! Figures under the names that Apache RocketMQ gives them: of single topics, of consumer groups, and of these on topics.
//!
//! Promise: they mean what they mean there, or `docs/reference/metrics.md` says how they differ. Only the leader of a group
//! tells them, so that copies are not counted twice; but what is said of the disk is of each member. There are never more
//! series than `LIMITS` allow, of queues there are none, and `millpond_metrics_series_left_out` tells what has none.
//! Cost: see `Group::census`.

use engine::catalog::TopicType;
use engine::group::{Census, CensusLimits, Decision, Group, Pair, TopicFigures};
use engine::traffic::{Amount, Outflow};
use gateway_grpc::census::ClientKinds;
use gateway_grpc::gateway::Gateway;

use super::page::Page;

/// The oldest topics, consumer groups and pairs of both have series: 60,000 together at most, if each topic takes several
/// types of messages and each group was handed some again.
pub(super) const LIMITS: CensusLimits =
    CensusLimits { topics: 1000, consumer_groups: 1000, pairs: 5000, looks: 10_000 };
/// Series of clients.
const CLIENT_KINDS_MAX: usize = 500;

const TYPES: [TopicType; 5] =
    [TopicType::Normal, TopicType::Fifo, TopicType::Delay, TopicType::Transaction, TopicType::Priority];

/// One family of series after the other, all with the labels of the broker.
struct Families<'a> {
    page: &'a mut Page,
    broker: [(&'static str, &'a str); 3],
    name: &'static str,
}

/// Of the disk of this broker, leading or not.
pub(super) fn storage(page: &mut Page, names: &[String; 2], group: &Group, now_ms: u64) {
    let mut families = Families::new(page, names);
    let log = group.log_state();
    families.gauge("rocketmq_storage_size", "Bytes of the log that is kept.");
    families.put(&[], log.written.0 - log.head.0);
    families.gauge("rocketmq_storage_flush_behind_bytes", "Bytes of the log that are not synced yet.");
    families.put(&[], log.written.0.saturating_sub(log.durable.0));
    families.gauge(
        "rocketmq_storage_message_reserve_time",
        "Milliseconds since the oldest part of the log that is kept was begun.",
    );
    families.put(&[], group.kept_from_ms().map_or(0, |kept_ms| now_ms.saturating_sub(kept_ms)));
}

/// Of the topics and consumer groups of the group that this broker leads.
pub(super) fn figures(page: &mut Page, names: &[String; 2], gateway: &Gateway) {
    let census = gateway.census(&LIMITS);
    let clients = gateway.client_kinds(CLIENT_KINDS_MAX);
    let mut families = Families::new(page, names);
    families.gauge("rocketmq_topic_number", "Topics.");
    families.put(&[], census.topic_count);
    families.gauge("rocketmq_consumer_group_number", "Consumer groups, without members of broadcasts.");
    families.put(&[], census.consumer_group_count);
    families.gauge("rocketmq_timing_messages", "Messages that wait for their time.");
    families.put(&[], gateway.group().pending_timers());
    incoming(&mut families, &census.topics);
    transactions(&mut families, &census.topics);
    outgoing(&mut families, &census.pairs);
    behind(&mut families, &census.pairs);
    families.counter(
        "rocketmq_send_to_dlq_messages_total",
        "Messages that were put into the dead letter topic, since that was made.",
    );
    for figures in &census.consumer_groups {
        families.put(&[("consumer_group", &figures.group.spec.name)], figures.dead_letters);
    }
    connections(&mut families, &clients);
    left_out(page, &census, &clients);
}

/// A type that the topic takes is there from the beginning: of a series that begins with 1, Prometheus does not see the first
/// step.
fn incoming(families: &mut Families<'_>, topics: &[TopicFigures]) {
    let mut each = |name, help, value: fn(&Amount) -> u64| {
        families.counter(name, help);
        for TopicFigures { topic, .. } in topics {
            for message_type in TYPES {
                let amount = topic.sent(message_type);
                if amount.messages > 0 || is_taken(topic.spec.topic_type, message_type) {
                    let message_type = message_type.word().to_ascii_lowercase();
                    families
                        .put(&[("topic", &topic.spec.name), ("message_type", &message_type)], value(&amount));
                }
            }
        }
    };
    each("rocketmq_messages_in_total", "Messages that producers had stored.", |amount| amount.messages);
    each("rocketmq_throughput_in_total", "Bytes of these messages as they came.", |amount| amount.bytes);
}

/// Whether the topic takes such messages.
fn is_taken(topic_type: TopicType, message_type: TopicType) -> bool {
    match topic_type {
        TopicType::Mixed => message_type != TopicType::Priority,
        TopicType::Normal
        | TopicType::Fifo
        | TopicType::Delay
        | TopicType::Transaction
        | TopicType::Priority => message_type == topic_type,
    }
}

fn transactions(families: &mut Families<'_>, topics: &[TopicFigures]) {
    let decided = |figures: &TopicFigures| {
        [Decision::Commit, Decision::RollBack].map(|decision| figures.topic.decided(decision))
    };
    let has_some = |figures: &&TopicFigures| {
        let has_any = figures.undecided > 0 || decided(figures) != [0, 0];
        has_any || is_taken(figures.topic.spec.topic_type, TopicType::Transaction)
    };
    let topics: Vec<_> = topics.iter().filter(has_some).collect();
    let names = [
        ("rocketmq_commit_messages_total", "Messages of transactions that producers committed."),
        ("rocketmq_rollback_messages_total", "Messages of transactions that producers rolled back."),
    ];
    for (number, (name, help)) in names.into_iter().enumerate() {
        families.counter(name, help);
        for figures in &topics {
            families.put(&[("topic", &figures.topic.spec.name)], decided(figures)[number]);
        }
    }
    families.gauge("rocketmq_half_messages", "Messages whose transaction is not decided.");
    for figures in &topics {
        families.put(&[("topic", &figures.topic.spec.name)], figures.undecided);
    }
}

/// Those handed out again only once there are any.
fn outgoing(families: &mut Families<'_>, pairs: &[Pair]) {
    let mut each = |name, help, value: fn(&Amount) -> u64| {
        families.counter(name, help);
        for Pair { topic, group, outflow: Outflow { first, again }, .. } in pairs {
            let retries = (again.messages > 0).then_some(("true", again));
            for (is_retry, amount) in [Some(("false", first)), retries].into_iter().flatten() {
                let labels = [
                    ("topic", &*topic.spec.name),
                    ("consumer_group", &group.spec.name),
                    ("is_retry", is_retry),
                ];
                families.put(&labels, value(amount));
            }
        }
    };
    each("rocketmq_messages_out_total", "Messages that were handed out, each time.", |amount| {
        amount.messages
    });
    each("rocketmq_throughput_out_total", "Bytes of these messages in the replies.", |amount| amount.bytes);
}

fn behind(families: &mut Families<'_>, pairs: &[Pair]) {
    let mut each = |name, help, value: fn(&Pair) -> Option<u64>| {
        families.gauge(name, help);
        for pair in pairs {
            if let Some(value) = value(pair) {
                let labels = [("topic", &*pair.topic.spec.name), ("consumer_group", &pair.group.spec.name)];
                families.put(&labels, value);
            }
        }
    };
    each("rocketmq_consumer_lag_messages", "Messages that are not done: ready and in flight.", |pair| {
        Some(pair.ready + pair.in_flight)
    });
    each("rocketmq_consumer_ready_messages", "Messages that are not done and held by nobody.", |pair| {
        Some(pair.ready)
    });
    each(
        "rocketmq_consumer_inflight_messages",
        "Messages that are handed out, or wait for their next delivery.",
        |pair| Some(pair.in_flight),
    );
    each(
        "rocketmq_consumer_lag_latency",
        "Milliseconds since the oldest message was stored that is not done; 0: there is none.",
        |pair| pair.waits.map(|waits| waits.undone_ms),
    );
    each(
        "rocketmq_consumer_queueing_latency",
        "Milliseconds since the oldest message was stored that is not done and held by nobody; 0: there is none.",
        |pair| pair.waits.map(|waits| waits.ready_ms),
    );
}

fn connections(families: &mut Families<'_>, clients: &ClientKinds) {
    families.gauge("rocketmq_producer_connections", "Producers with a session.");
    for (kind, count) in clients.kinds.iter().filter(|(kind, _)| kind.mode.is_empty()) {
        families.put(&[("language", &kind.language), ("version", &kind.version)], count);
    }
    families.gauge("rocketmq_consumer_connections", "Consumers with a session.");
    for (kind, count) in clients.kinds.iter().filter(|(kind, _)| !kind.mode.is_empty()) {
        let labels = [
            ("consumer_group", &*kind.group),
            ("language", &kind.language),
            ("version", &kind.version),
            ("consume_mode", kind.mode),
        ];
        families.put(&labels, count);
    }
}

fn left_out(page: &mut Page, census: &Census, clients: &ClientKinds) {
    let name = "millpond_metrics_series_left_out";
    page.family(
        "gauge",
        name,
        "Topics, consumer groups, pairs of both, latencies of pairs and clients without series.",
    );
    let unseen = census.pairs.iter().filter(|pair| pair.waits.is_none()).count() as u64;
    let each = [
        ("topics", census.topics_left_out),
        ("consumer_groups", census.consumer_groups_left_out),
        ("pairs", census.pairs_left_out),
        ("latencies", unseen),
        ("clients", clients.left_out),
    ];
    for (of, count) in each {
        page.labelled(name, &[("of", of)], count);
    }
}

impl<'a> Families<'a> {
    fn new(page: &'a mut Page, [cluster, group]: &'a [String; 2]) -> Self {
        // As upstream: a node is called as in routes, and every member of a group goes by the same name.
        let broker = [("cluster", &**cluster), ("node_type", "broker"), ("node_id", &**group)];
        Self { page, broker, name: "" }
    }

    fn gauge(&mut self, name: &'static str, help: &str) {
        self.family("gauge", name, help);
    }

    fn counter(&mut self, name: &'static str, help: &str) {
        self.family("counter", name, help);
    }

    fn family(&mut self, kind: &str, name: &'static str, help: &str) {
        self.page.family(kind, name, help);
        self.name = name;
    }

    /// One series of the family.
    fn put(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.page.series(self.name, &self.broker, labels, value);
    }
}

#[cfg(test)]
mod tests;

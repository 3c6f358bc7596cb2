use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use engine::catalog::{
    Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy, TopicSpec,
};
use engine::group::{GroupConfig, Receive};
use engine::inbox::Ticket;
use engine::mailbox::Mailbox;
use engine::writer::{Step, Writer};
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::Leadership;
use hyper::body::Bytes;
use store::QueueId;
use store::disk::sim::SimDisk;
use store::log::{Draft, Encoding, Flush, Kind, crc32};

use super::*;

const NOW_MS: u64 = 1_763_000_000_000;

/// A group with this many topics of so many queues, all read by this many consumer groups, and with a message in each topic.
struct Crowd {
    group: Arc<Group>,
    writer: Writer,
    mailbox: Arc<Mailbox>,
}

impl Crowd {
    fn new(topics: usize, queues: u32, readers: usize) -> Self {
        let mut config = GroupConfig::default();
        config.log.flush = Flush::Async;
        let (group, mut writer) = Group::open(Arc::new(SimDisk::new(1)), config, NOW_MS).unwrap();
        writer.lead_alone(NOW_MS).unwrap();
        let mut crowd = Self { group, writer, mailbox: Mailbox::new() };
        let specs: Vec<_> = (0..topics).map(|number| topic(&format!("topic-{number}"), queues)).collect();
        for some in specs.chunks(256) {
            let (_, ticket) = crowd.group.apply_topics(some, Adopt::Always, &crowd.mailbox).unwrap();
            crowd.settle(&ticket.unwrap());
        }
        let specs: Vec<_> = (0..readers).map(|number| consumer_group(&format!("reader-{number}"))).collect();
        let (_, ticket) = crowd.group.apply_consumer_groups(&specs, Adopt::Always, &crowd.mailbox).unwrap();
        crowd.settle(&ticket.unwrap());
        crowd.read_and_send();
        crowd
    }

    fn read_and_send(&mut self) {
        let groups = self.group.consumer_groups();
        for topic in self.group.topics() {
            for group in &groups {
                let request = Receive {
                    group,
                    topic: &topic,
                    tags: None,
                    max: 1,
                    invisible_ms: 1000,
                    attempt_id: None,
                    mailbox: &self.mailbox,
                };
                self.group.receive(&request, NOW_MS, None).unwrap();
            }
            let ticket = self.group.send(&topic, vec![draft()], &self.mailbox).unwrap();
            self.settle(&ticket);
        }
    }

    fn settle(&mut self, ticket: &Ticket) {
        while self.writer.step(NOW_MS).unwrap() == Step::Wrote {}
        ticket.try_outcome().expect("answered by the step").unwrap();
    }

    fn page(&self) -> String {
        let now_ms = Arc::new(|| NOW_MS + 1500);
        let leadership = Leadership::always(GatewayConfig::default(), Arc::clone(&self.group), now_ms);
        let mut page = Page::default();
        let names = ["default/main".to_owned(), "g0".to_owned()];
        figures(&mut page, &names, &leadership.gateway().unwrap());
        page.into_text()
    }
}

fn topic(name: &str, queues: u32) -> TopicSpec {
    TopicSpec { name: name.to_owned(), queues, ..TopicSpec::default() }
}

fn consumer_group(name: &str) -> ConsumerGroupSpec {
    ConsumerGroupSpec {
        name: name.to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts: 3, backoff: Backoff::Custom(vec![1000]) },
        trace: false,
        consume_from: ConsumeFrom::Earliest,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    }
}

fn draft() -> Draft {
    let body = Bytes::from_static(b"body");
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
        head: Bytes::from_static(b"\x02\0\0\0\xff\xff\x0a\x00"),
        body,
    }
}

/// Series by family, each with its value.
fn series(page: &str) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let mut families: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        families.entry(name).or_default().push((labels.trim_end_matches('}'), value.parse().unwrap()));
    }
    families
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it is printed, and nothing depends on it")]
fn however_much_there_is_a_page_has_so_many_series_and_says_what_has_none() {
    // 8,800 queues, 6,600 pairs.
    let crowd = Crowd::new(1100, 8, 6);
    let began = Instant::now();
    let page = crowd.page();
    println!("{} bytes in {:?}", page.len(), began.elapsed());
    let families = series(&page);
    for name in ["rocketmq_messages_in_total", "rocketmq_throughput_in_total"] {
        assert_eq!(families[name].len(), 1000, "{name}");
    }
    let of_pairs = [
        "rocketmq_messages_out_total",
        "rocketmq_throughput_out_total",
        "rocketmq_consumer_lag_messages",
        "rocketmq_consumer_ready_messages",
        "rocketmq_consumer_inflight_messages",
        "rocketmq_consumer_lag_latency",
        "rocketmq_consumer_queueing_latency",
    ];
    for name in of_pairs {
        assert_eq!(families[name].len(), 5000, "{name}");
    }
    assert!(families["rocketmq_consumer_lag_messages"].iter().all(|&(_, lag)| lag == 1));
    assert!(families["rocketmq_consumer_lag_latency"].iter().all(|&(_, waited_ms)| waited_ms == 1500));
    assert_eq!(families["rocketmq_send_to_dlq_messages_total"].len(), 6);
    assert_eq!(families["rocketmq_topic_number"][0].1, 1100);
    let left_out = &families["millpond_metrics_series_left_out"];
    let left_out: Vec<_> = left_out.iter().map(|&(of, count)| (of, count)).collect();
    let expected = [
        ("of=\"topics\"", 100),
        ("of=\"consumer_groups\"", 0),
        ("of=\"pairs\"", 1600),
        ("of=\"latencies\"", 0),
        ("of=\"clients\"", 0),
    ];
    assert_eq!(left_out, expected);
}

#[test]
fn every_series_names_the_broker_and_no_two_are_the_same() {
    let page = Crowd::new(3, 2, 2).page();
    let mut known = std::collections::BTreeSet::new();
    for (name, all) in series(&page) {
        for (labels, _) in all {
            let broker = "cluster=\"default/main\",node_type=\"broker\",node_id=\"g0\"";
            assert!(labels.starts_with(broker) || name.starts_with("millpond_"), "{name}{{{labels}}}");
            assert!(known.insert((name, labels)), "{name}{{{labels}}} is there twice");
        }
    }
    let line = "rocketmq_consumer_lag_messages{cluster=\"default/main\",node_type=\"broker\",node_id=\"g0\",\
                topic=\"topic-0\",consumer_group=\"reader-0\"} 1";
    assert!(page.lines().any(|found| found == line), "{page}");
}

#[test]
fn a_topic_shows_the_types_that_it_takes_before_anything_comes() {
    let takes = |topic_type| TYPES.into_iter().filter(|&kind| is_taken(topic_type, kind)).collect::<Vec<_>>();
    assert_eq!(takes(TopicType::Fifo), [TopicType::Fifo]);
    assert_eq!(takes(TopicType::Mixed), TYPES[..4]);
}

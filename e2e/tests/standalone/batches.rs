//! Requests with several messages, over a kill of the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Delivered, Filter, Message, Producer, SimpleConsumer};
use e2e::broker::Broker;
use e2e::cells;
use e2e::matrix::{self, COUNT};
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::verify;

const INVISIBLE: Duration = Duration::from_secs(30);
/// Batches of different lengths, one of them more than a record takes.
const BATCHES: [usize; 4] = [1, 7, 32, 100];

fn manifests() -> String {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "local", "queues: {perGroup: 2}");
    for group in ["all", "odd"] {
        matrix::object(&mut yaml, "ConsumerGroup", group, "local", "consumeFrom: Earliest");
    }
    yaml
}

async fn producer(broker: &Broker) -> Producer {
    Producer::builder(broker.endpoint()).start().await.expect("a producer")
}

async fn consumer(broker: &Broker, group: &str, filter: Filter) -> SimpleConsumer {
    let consumer = SimpleConsumer::builder(broker.endpoint(), group).subscribe("orders", filter);
    consumer.start().await.expect("a consumer")
}

/// Sends messages with the numbers from `first` on in one request; what each has to be.
async fn send(producer: &Producer, first: usize, count: usize) -> Vec<String> {
    let message = |number: usize| {
        let tag = if number.is_multiple_of(2) { "even" } else { "odd" };
        Message::new("orders", vec![b'x'; number * 7 % 500 + 1])
            .tag(tag)
            .property("number", number.to_string())
    };
    let sent = producer.send_all((first..first + count).map(message).collect()).await.expect("an answer");
    let receipts: Vec<_> = sent.into_iter().map(|one| one.expect("it is stored")).collect();
    assert!(receipts.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset), "{receipts:?}");
    receipts.into_iter().map(|receipt| receipt.message_id).collect()
}

/// Receives so many messages, by id.
async fn receive(consumer: &SimpleConsumer, count: usize) -> BTreeMap<String, Delivered> {
    let mut got = BTreeMap::new();
    while got.len() < count {
        let delivered = consumer.receive(32, INVISIBLE).await.expect("an answer");
        assert!(!delivered.is_empty(), "{} of {count} came", got.len());
        for one in delivered {
            assert!(one.is_intact());
            assert_eq!(one.body.len(), number(&one) * 7 % 500 + 1);
            assert!(got.insert(one.message_id.clone(), one).is_none(), "one came twice");
        }
    }
    got
}

fn number(delivered: &Delivered) -> usize {
    delivered.properties["number"].parse().expect("a number")
}

#[tokio::test]
async fn of_batches_that_were_partly_acked_before_a_kill_only_the_rest_comes_again() {
    let mut broker = Broker::start(&manifests());
    let mut sent = Vec::new();
    {
        let producer = producer(&broker).await;
        for count in BATCHES {
            let ids = send(&producer, sent.len(), count).await;
            sent.extend(ids);
        }
        let consumer = consumer(&broker, "all", Filter::Tags("*".to_owned())).await;
        let got = receive(&consumer, sent.len()).await;
        for one in got.values().filter(|one| number(one).is_multiple_of(3)) {
            consumer.ack(one).await.expect("acked");
        }
        // What was acked is in the log before what is sent later.
        sent.extend(send(&producer, sent.len(), 5).await);
    }
    broker.kill_and_restart();
    let consumer = consumer(&broker, "all", Filter::Tags("*".to_owned())).await;
    let last = sent.len() - 5;
    let open: Vec<_> = (0..sent.len()).filter(|number| number % 3 != 0 || *number >= last).collect();
    let got = receive(&consumer, open.len()).await;
    let mut numbers: Vec<_> = got.values().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, open);
    assert!(got.values().all(|one| sent[number(one)] == one.message_id));
}

#[tokio::test]
async fn a_filter_finds_single_messages_of_batches_after_a_kill() {
    let mut broker = Broker::start(&manifests());
    let mut sent = 0;
    {
        let producer = producer(&broker).await;
        for count in BATCHES {
            sent += send(&producer, sent, count).await.len();
        }
    }
    broker.kill_and_restart();
    let odd = consumer(&broker, "odd", Filter::Tags("odd".to_owned())).await;
    let got = receive(&odd, sent / 2).await;
    assert!(got.values().all(|one| one.tag.as_deref() == Some("odd")));
    for one in got.values() {
        odd.ack(one).await.expect("acked");
    }
    let condition = Filter::Sql("number BETWEEN 30 AND 45".to_owned());
    let some = consumer(&broker, "all", condition).await;
    let mut numbers: Vec<_> = receive(&some, 16).await.values().map(number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(30..46));
}

#[test]
fn every_official_sdk_reads_a_batch_unharmed() {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "local", "queues: {perGroup: 4}");
    for cell in cells::all() {
        matrix::object(&mut yaml, "ConsumerGroup", &cells::name(cell), "local", "consumeFrom: Earliest");
    }
    let broker = Broker::start(&yaml);
    // Of the size that every SDK can receive.
    let rules = Call::new(Sdk::Node, Mode::Simple, &broker.endpoint(), "orders", "unused");
    let message = |index: usize| {
        let message = Message::new("orders", verify::body(&rules, Scenario::Receive, index));
        let message = message.tag(format!("t{}", index % 3)).key(format!("k{index}")).key("schlüssel");
        message.property("index", index.to_string()).property("note", "Grüße, 世界")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sent = runtime
        .block_on(async { producer(&broker).await.send_all((0..COUNT).map(message).collect()).await })
        .expect("an answer");
    let ids: Vec<_> = sent.into_iter().map(|one| one.expect("it is stored").message_id).collect();
    cells::play(&cells::all(), |cell| {
        let call = Call::new(cell.0, cell.1, &broker.endpoint(), "orders", &cells::name(cell));
        let report = match call.run(Scenario::Receive, COUNT) {
            Ok(report) => report,
            Err(error) => return vec![format!("{error:#}")],
        };
        let rules = Call { sdk: Sdk::Node, ..call };
        let mut wrong = verify::problems(&rules, Scenario::Receive, COUNT, &report);
        let others = report.received.iter().filter(|delivery| delivery.id != ids[delivery.index]);
        wrong.extend(others.map(|delivery| format!("message {} has id {}", delivery.index, delivery.id)));
        wrong
    });
}

//! Messages that wait for their time, against a broker that is killed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Filter, Message, Producer, SimpleConsumer, now_ms};
use e2e::broker::Broker;
use e2e::matrix;

const MESSAGES: u64 = 200;
const SPREAD_MS: u64 = 6000;

fn broker() -> Broker {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "later", "local", "type: DELAY");
    matrix::object(&mut yaml, "ConsumerGroup", "later", "local", "consumeFrom: Earliest");
    Broker::start(&yaml)
}

async fn producer(broker: &Broker) -> Producer {
    Producer::builder(broker.endpoint()).start().await.expect("a producer starts")
}

#[tokio::test]
async fn nothing_is_early_lost_or_recalled_and_delivered_although_the_broker_is_killed() {
    let mut broker = broker();
    let producer = producer(&broker).await;
    let start_ms = now_ms() + 1000;
    let mut dues = BTreeMap::new();
    let mut recalled = 0;
    for number in 0..MESSAGES {
        let due_ms = start_ms + number * 37 % SPREAD_MS;
        let body = format!("{number}");
        let message = Message::new("later", body.clone()).delivery_ms(due_ms);
        let receipt = producer.send(message).await.expect("stored");
        if number % 10 == 3 && producer.recall("later", &receipt.recall_handle).await.is_ok() {
            recalled += 1;
        } else {
            dues.insert(body, due_ms);
        }
    }
    assert!(recalled > 0, "none was recalled in time");
    println!("serves again {} ms after kill -9", broker.kill_and_restart().as_millis());
    let consumer = SimpleConsumer::builder(broker.endpoint(), "later").subscribe("later", Filter::all());
    let consumer = consumer.start().await.expect("a consumer starts");
    let mut worst_ms = 0;
    while !dues.is_empty() {
        for message in consumer.receive(32, Duration::from_secs(30)).await.unwrap_or_default() {
            let came_ms = now_ms();
            let body = String::from_utf8_lossy(&message.body).into_owned();
            // A send or an ack whose answer got lost brings a message twice; a recalled one never comes.
            if let Some(due_ms) = dues.remove(&body) {
                assert!(came_ms >= due_ms, "{body} came {} ms early", due_ms - came_ms);
                worst_ms = worst_ms.max(came_ms - due_ms);
            } else {
                assert_ne!(body.parse::<u64>().expect("a number") % 10, 3, "{body} was recalled");
            }
            let _ = consumer.ack(&message).await;
        }
    }
    println!("{recalled} recalled; the last of the others came {worst_ms} ms after its time");
    consumer.close().await;
    producer.close().await;
}

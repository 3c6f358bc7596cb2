//! The pull consumer of our own client against a real broker: by offset, across a crash, in shares.

use std::collections::BTreeSet;
use std::time::Duration;

use client::{ClientBuilder, Message, Place, Producer, PullConsumer, PullError};
use e2e::broker::Broker;
use e2e::matrix;

const QUEUES: usize = 4;
const MESSAGES: usize = 100;
const SOON: Duration = Duration::from_mins(1);

fn broker() -> Broker {
    let mut yaml = String::new();
    let queues = format!("type: NORMAL\n  queues: {{perGroup: {QUEUES}}}");
    matrix::object(&mut yaml, "Topic", "log", "local", &queues);
    matrix::object(&mut yaml, "ConsumerGroup", "readers", "local", "consumeFrom: Earliest");
    Broker::start(&yaml)
}

async fn send(broker: &Broker) {
    let producer =
        Producer::builder(broker.endpoint()).topic("log").start().await.expect("a producer starts");
    for number in 0..MESSAGES {
        producer.send(Message::new("log", number.to_string())).await.expect("stored");
    }
    producer.close().await;
}

async fn reader_of(broker: &Broker) -> PullConsumer {
    reader_over(broker, 1).await
}

async fn reader_over(broker: &Broker, connections: usize) -> PullConsumer {
    let reach = ClientBuilder::new(broker.endpoint()).connections(connections);
    let builder = PullConsumer::builder(reach, "readers").subscribe("log", "*");
    builder.start().await.expect("a pull consumer starts")
}

/// Reads on until nothing comes, committing each time; returns what came.
async fn read(consumer: &PullConsumer, max: usize) -> Vec<String> {
    let queues = consumer.queues("log").await.expect("queues");
    assert_eq!(queues.len(), QUEUES);
    let mut reader = consumer.reader(queues, Place::Beginning).await.expect("a reader");
    let mut bodies = Vec::new();
    while bodies.len() < max {
        let messages = reader.next(7, Duration::from_millis(100)).await.expect("a pull");
        if messages.is_empty() {
            break;
        }
        bodies.extend(messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()));
        reader.commit().await.expect("a commit");
    }
    bodies
}

#[tokio::test]
async fn each_message_is_read_once_although_the_broker_is_killed_after_a_commit() {
    let mut broker = broker();
    send(&broker).await;
    let first = reader_of(&broker).await;
    let mut bodies = read(&first, MESSAGES / 2).await;
    first.close().await;
    broker = tokio::task::spawn_blocking(move || {
        broker.kill_and_restart();
        broker
    })
    .await
    .expect("the broker starts again");
    let second = reader_of(&broker).await;
    bodies.extend(read(&second, usize::MAX).await);
    second.close().await;
    assert_eq!(bodies.len(), MESSAGES, "nothing twice");
    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), MESSAGES);
}

#[tokio::test]
async fn a_pull_at_the_end_is_answered_by_what_is_sent_and_beyond_it_refused() {
    let broker = broker();
    let consumer = reader_of(&broker).await;
    let queues = consumer.queues("log").await.expect("queues");
    let mut reader = consumer.reader(queues.clone(), Place::End).await.expect("a reader");
    let (came, ()) = tokio::join!(reader.next(32, SOON), send(&broker));
    assert!(!came.expect("a pull").is_empty());
    let end = consumer.query_offset(&queues[0], Place::End).await.expect("an offset");
    let beyond = consumer.pull(&queues[0], end + 5, 1, Duration::ZERO).await;
    let Err(PullError::IllegalOffset { nearest, .. }) = beyond else { panic!("{beyond:?}") };
    assert_eq!(nearest, Some(end));
    let beyond = consumer.commit(&queues[0], end + 5).await;
    assert!(matches!(beyond, Err(PullError::IllegalOffset { .. })), "{beyond:?}");
    consumer.close().await;
}

#[tokio::test]
async fn members_of_a_group_have_shares_that_make_up_the_topic() {
    let broker = broker();
    let one = reader_of(&broker).await;
    // Each time the first heartbeat of the other is about as young as its farewell.
    for round in 0..100 {
        let other = reader_over(&broker, 1 + round % 2).await;
        let mine = one.assigned("log").await.expect("a share");
        let theirs = other.assigned("log").await.expect("a share");
        let all: BTreeSet<i32> = mine.iter().chain(&theirs).map(|queue| queue.id).collect();
        assert_eq!((mine.len(), theirs.len(), all.len()), (QUEUES / 2, QUEUES / 2, QUEUES));
        other.close().await;
        let mine = one.assigned("log").await.expect("a share");
        assert_eq!(mine.len(), QUEUES, "the rest is left to the first: {mine:?}");
    }
    one.close().await;
}

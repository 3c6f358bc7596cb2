//! Producer and consumer against a broker: its gateway on a loopback port, its log on a simulated disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod config;
mod fake;
mod pull;
mod push;
mod server;
mod simple;
mod transactions;

use std::time::Duration;

use client::{
    AskError, CallError, Code, Filter, Message, Producer, SendError, SimpleBuilder, SimpleConsumer,
    StartError,
};

use crate::server::Server;

const INVISIBLE: Duration = Duration::from_secs(30);

async fn producer(server: &Server) -> Producer {
    Producer::builder(server.endpoint()).start().await.unwrap()
}

async fn consumer(server: &Server) -> SimpleConsumer {
    builder(server, "billing").start().await.unwrap()
}

fn builder(server: &Server, group: &str) -> SimpleBuilder {
    let builder = SimpleConsumer::builder(server.endpoint(), group);
    builder.subscribe("orders", Filter::all()).wait(Duration::from_secs(5))
}

#[tokio::test]
async fn a_message_arrives_with_all_its_parts() {
    let server = Server::start().await;
    let message = Message::new("orders", "hello").tag("new").key("k1").key("k2").property("a", "b");
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = message.trace_context(context);
    let receipt = producer(&server).await.send(message).await.unwrap();
    let delivered = consumer(&server).await.receive(8, INVISIBLE).await.unwrap();
    let [one] = &delivered[..] else { panic!("{delivered:?}") };
    assert_eq!(one.message_id, receipt.message_id);
    assert_eq!((&one.body[..], one.tag.as_deref(), one.attempt), (&b"hello"[..], Some("new"), 1));
    assert_eq!((&one.keys[..], &*one.properties["a"]), (&["k1".to_owned(), "k2".to_owned()][..], "b"));
    assert_eq!(one.trace_context.as_deref(), Some(context));
    assert!(one.is_intact());
}

#[tokio::test]
async fn each_message_of_a_request_has_its_own_receipt() {
    let server = Server::start().await;
    let messages = (0..20).map(|n| Message::new("orders", n.to_string())).collect();
    let results = producer(&server).await.send_all(messages).await.unwrap();
    let ids: std::collections::BTreeSet<_> = results.into_iter().map(|one| one.unwrap().message_id).collect();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn a_batch_arrives_message_by_message_and_each_is_acked_for_itself() {
    let server = Server::start().await;
    let messages = (0..10).map(|n| {
        let tag = if n % 2 == 0 { "even" } else { "odd" };
        Message::new("orders", n.to_string()).tag(tag).key(format!("key-{n}")).property("n", n.to_string())
    });
    let results = producer(&server).await.send_all(messages.collect()).await.unwrap();
    let sent: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert!(sent.iter().map(|one| one.offset).eq(0..10), "as if sent one by one: {sent:?}");
    let consumer = consumer(&server).await;
    let mut delivered = consumer.receive(32, INVISIBLE).await.unwrap();
    delivered.sort_by_key(|one| one.offset);
    for (n, one) in delivered.iter().enumerate() {
        assert_eq!((&one.message_id, one.offset), (&sent[n].message_id, sent[n].offset));
        assert_eq!((one.body.clone(), one.properties["n"].clone()), (n.to_string().into(), n.to_string()));
        assert_eq!((one.keys[0].clone(), one.is_intact()), (format!("key-{n}"), true));
    }
    assert_eq!(delivered.len(), 10);
    for mut one in delivered {
        if one.tag.as_deref() == Some("even") {
            consumer.ack(&one).await.unwrap();
        } else {
            consumer.change_invisible(&mut one, Duration::ZERO).await.unwrap();
        }
    }
    let again = consumer.receive(32, INVISIBLE).await.unwrap();
    let mut bodies: Vec<_> = again.iter().map(|one| (one.body.clone(), one.attempt)).collect();
    bodies.sort();
    assert_eq!(bodies, ["1", "3", "5", "7", "9"].map(|body| (body.into(), 2)));
}

#[tokio::test]
async fn what_cannot_be_one_request_is_told_before_it_is_sent() {
    let server = Server::start().await;
    let producer = producer(&server).await;
    assert!(matches!(producer.send_all(Vec::new()).await, Err(SendError::Empty)));
    let mixed = vec![Message::new("orders", "a"), Message::new("bills", "b")];
    assert!(matches!(producer.send_all(mixed).await, Err(SendError::Mixed)));
    let body = bytes::Bytes::from(vec![0; 4 << 20]);
    let large = (0..16).map(|_| Message::new("orders", body.clone())).collect();
    let refused = producer.send_all(large).await;
    let Err(SendError::TooLarge { bytes, limit_bytes }) = refused else { panic!("{refused:?}") };
    assert!(bytes > limit_bytes);
}

#[tokio::test]
async fn a_message_that_is_given_back_comes_again_and_its_old_handle_is_refused() {
    let server = Server::start().await;
    producer(&server).await.send(Message::new("orders", "x")).await.unwrap();
    let consumer = consumer(&server).await;
    let mut first = consumer.receive(1, INVISIBLE).await.unwrap().remove(0);
    let stale = first.clone();
    consumer.change_invisible(&mut first, Duration::ZERO).await.unwrap();
    let again = consumer.receive(1, INVISIBLE).await.unwrap().remove(0);
    assert_eq!((again.attempt, &again.message_id), (2, &stale.message_id));
    let refused = consumer.ack(&stale).await.unwrap_err();
    assert!(
        matches!(&refused, AskError::Refused(why) if why.code() == Some(Code::InvalidReceiptHandle)),
        "{refused}"
    );
    consumer.ack(&again).await.unwrap();
}

#[tokio::test]
async fn a_client_goes_on_after_its_connections_are_cut() {
    let server = Server::start().await;
    let (producer, consumer) = (producer(&server).await, consumer(&server).await);
    producer.send(Message::new("orders", "before")).await.unwrap();
    server.cut_connections();
    producer.send(Message::new("orders", "after")).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        for message in consumer.receive(8, INVISIBLE).await.unwrap() {
            consumer.ack(&message).await.unwrap();
            bodies.push(message.body);
        }
    }
    bodies.sort();
    assert_eq!(bodies, ["after", "before"]);
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_its_code() {
    let server = Server::start().await;
    let producer = producer(&server).await;
    let refused = producer.send(Message::new("nosuch", "x")).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Refused(why) if why.code() == Some(Code::TopicNotFound)),
        "{refused}"
    );
    let refused = producer.send(Message::new("orders", "")).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Refused(why) if why.code() == Some(Code::MessageBodyEmpty)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_consumer_of_an_unknown_group_does_not_start_and_says_why() {
    let server = Server::start().await;
    let Err(error) = builder(&server, "nosuch").start().await else { panic!("it started") };
    let StartError::Route { source: AskError::Call(CallError::Grpc { message, .. }), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(message.contains("nosuch"), "{error}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let server = Server::start().await;
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    producer(&server).await.send(Message::new("orders", body.clone())).await.unwrap();
    let delivered = consumer(&server).await.receive(1, INVISIBLE).await.unwrap();
    assert!(delivered[0].body == body && delivered[0].is_intact());
}

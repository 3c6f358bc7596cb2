//! Messages in transactions, and checkers that decide about those of others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{
    AskError, Checker, ClientBuilder, Code, Filter, Message, Producer, Resolution, SendError, SimpleConsumer,
    Undecided,
};
use parking_lot::Mutex;

use crate::INVISIBLE;
use crate::server::Server;

async fn producer(server: &Server, checker: Option<Checker>) -> Producer {
    let mut builder = Producer::builder(server.endpoint()).topic("paid");
    if let Some(checker) = checker {
        builder = builder.checker(checker);
    }
    builder.start().await.unwrap()
}

async fn consumer(server: &Server) -> SimpleConsumer {
    let patient = Duration::from_secs(6);
    let client = ClientBuilder::new(server.endpoint()).request_timeout(patient);
    let builder = SimpleConsumer::builder(client, "billing").subscribe("paid", Filter::all());
    builder.wait(Duration::from_secs(1)).start().await.unwrap()
}

async fn bodies(consumer: &SimpleConsumer) -> BTreeSet<String> {
    let received = consumer.receive(32, INVISIBLE).await.unwrap();
    received.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test]
async fn a_message_arrives_once_it_is_committed() {
    let server = Server::start().await;
    let (producer, consumer) = (producer(&server, None).await, consumer(&server).await);
    let yes = producer.begin(Message::new("paid", "yes")).await.unwrap();
    let no = producer.begin(Message::new("paid", "no")).await.unwrap();
    let transaction_id = yes.transaction_id.clone();
    assert_eq!(bodies(&consumer).await, texts(&[]));
    no.roll_back().await.unwrap();
    yes.commit().await.unwrap();
    let received = consumer.receive(32, INVISIBLE).await.unwrap();
    let [one] = &received[..] else { panic!("{received:?}") };
    assert_eq!(&one.body[..], b"yes");
    assert_eq!(one.properties["__transactionId__"], transaction_id);
}

#[tokio::test]
async fn a_transaction_needs_a_topic_that_the_producer_was_made_for_and_that_takes_some() {
    let server = Server::start().await;
    let producer = producer(&server, None).await;
    let undeclared = producer.begin(Message::new("orders", "x")).await;
    assert!(matches!(undeclared, Err(SendError::Undeclared(topic)) if topic == "orders"));
    let producer = Producer::builder(server.endpoint()).topic("orders").start().await.unwrap();
    let refused = producer.begin(Message::new("orders", "x")).await;
    let Err(SendError::Refused(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code(), Some(Code::MessagePropertyConflictWithType));
}

#[tokio::test]
async fn a_checker_decides_about_what_another_producer_left_open() {
    let server = Server::start().await;
    let consumer = consumer(&server).await;
    let sender = producer(&server, None).await;
    for text in ["commit", "roll back", "later"] {
        let _undecided = sender.begin(Message::new("paid", text)).await.unwrap();
    }
    sender.close().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let checker = Checker::new(move |Undecided { message, .. }| {
        let text = String::from_utf8(message.body.to_vec()).unwrap();
        let before = log.lock().iter().filter(|(earlier, _)| *earlier == text).count();
        log.lock().push((text.clone(), message.attempt));
        async move {
            match (text.as_str(), before) {
                ("commit", _) | ("later", 2..) => Resolution::Commit,
                ("roll back", _) => Resolution::RollBack,
                _ => Resolution::Unknown,
            }
        }
    });
    let _checking = producer(&server, Some(checker)).await;
    let mut got = BTreeSet::new();
    while got.len() < 2 {
        got.extend(bodies(&consumer).await);
    }
    got.extend(bodies(&consumer).await);
    assert_eq!(got, texts(&["commit", "later"]));
    let asked = asked.lock();
    let times: Vec<i32> = asked.iter().filter(|(text, _)| text == "later").map(|(_, time)| *time).collect();
    assert!(times.is_sorted() && times.len() >= 3, "{asked:?}");
}

#[tokio::test]
async fn a_decision_that_comes_too_late_says_so() {
    let server = Server::start().await;
    let checker = Checker::new(|_| async { Resolution::RollBack });
    let producer = producer(&server, Some(checker)).await;
    let transaction = producer.begin(Message::new("paid", "x")).await.unwrap();
    let consumer = consumer(&server).await;
    // Much longer than the 50 ms until the first question.
    assert_eq!(bodies(&consumer).await, texts(&[]));
    let late = transaction.commit().await;
    let Err(AskError::Refused(refused)) = late else { panic!("{late:?}") };
    assert_eq!(refused.code(), Some(Code::InvalidTransactionId));
}

//! A simple consumer and a route that knows of a broker that is gone.

use std::time::Duration;

use client::{ClientBuilder, SimpleConsumer};
use tokio::net::TcpListener;
use wire::v2::receive_message_response::Content;
use wire::v2::{self, Code};

use crate::fake::{Fake, framed, status};

/// A port where nobody listens.
async fn nobody() -> i32 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    i32::from(listener.local_addr().unwrap().port())
}

/// A queue of the server itself, or of a broker at this port.
fn queue(port: Option<i32>) -> v2::MessageQueue {
    let endpoints = |port| {
        let addresses = vec![v2::Address { host: "127.0.0.1".into(), port }];
        v2::Endpoints { scheme: v2::AddressScheme::IPv4.into(), addresses }
    };
    let name = port.map_or_else(|| "here".to_owned(), |port| format!("gone-{port}"));
    let broker = v2::Broker { name, id: 0, endpoints: port.map(endpoints) };
    v2::MessageQueue {
        permission: v2::Permission::ReadWrite.into(),
        broker: Some(broker),
        ..Default::default()
    }
}

/// A consumer whose route has these queues.
async fn consumer(message_queues: Vec<v2::MessageQueue>) -> (Fake, SimpleConsumer) {
    let server = Fake::start(move |name, _| match name {
        "QueryRoute" => {
            let message_queues = message_queues.clone();
            Some(vec![framed(&v2::QueryRouteResponse { status: Some(status(Code::Ok)), message_queues })])
        }
        "ReceiveMessage" => {
            let nothing = Content::Status(status(Code::MessageNotFound));
            Some(vec![framed(&v2::ReceiveMessageResponse { content: Some(nothing) })])
        }
        other => panic!("{other} is not expected"),
    })
    .await;
    let client = ClientBuilder::from(server.endpoint()).request_timeout(Duration::from_secs(1));
    let builder = SimpleConsumer::builder(client, "billing").subscribe("orders", "*");
    let consumer = builder.wait(Duration::from_secs(1)).start().await.unwrap();
    (server, consumer)
}

#[tokio::test]
async fn where_nobody_answers_the_next_place_is_asked() {
    let (_server, consumer) = consumer(vec![queue(Some(nobody().await)), queue(None)]).await;
    for _ in 0..4 {
        assert_eq!(consumer.receive(1, Duration::from_secs(30)).await.unwrap().len(), 0);
    }
}

//! A push consumer: how much it takes, and what it does when something is wrong.

use std::sync::Arc;

use client::{
    AskError, CallError, Code, Consumed, Delivered, Held, Message, PushBuilder, PushConsumer, StartError,
};
use tokio::sync::{Semaphore, mpsc};

use crate::server::Server;
use crate::{INVISIBLE, consumer, producer};

fn builder(server: &Server) -> PushBuilder {
    PushConsumer::builder(server.endpoint(), "billing").subscribe("orders", "*")
}

/// A listener that tells what came and lets nothing pass before the gate is open.
fn gated(
    gate: &Arc<Semaphore>,
    came: mpsc::UnboundedSender<Delivered>,
) -> impl Fn(Delivered) -> Handling + use<> {
    let gate = gate.clone();
    move |message| {
        let (gate, came) = (gate.clone(), came.clone());
        Box::pin(async move {
            came.send(message).unwrap();
            gate.acquire().await.unwrap().forget();
            Consumed::Done
        })
    }
}

type Handling = std::pin::Pin<Box<dyn Future<Output = Consumed> + Send>>;

/// What is held while the first of `messages` is stuck, and what another member of the group still gets.
async fn full(server: &Server, messages: Vec<Message>, builder: PushBuilder) -> (Held, usize) {
    producer(server).await.send_all(messages).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut came) = mpsc::unbounded_channel();
    let push = builder.concurrency(1).listener(gated(&gate, tell)).start().await.unwrap();
    came.recv().await.unwrap();
    let held = push.held();
    let others = consumer(server).await;
    let mut left = 0;
    loop {
        let received = others.receive(32, INVISIBLE).await.unwrap();
        if received.is_empty() {
            break;
        }
        left += received.len();
    }
    assert_eq!(push.held(), held, "it took no more");
    gate.add_permits(1);
    push.close().await;
    (held, left)
}

#[tokio::test]
async fn a_full_cache_leaves_the_messages_to_others() {
    let server = Server::start().await;
    let messages = (0..20).map(|number| Message::new("orders", number.to_string())).collect();
    let (held, left) = full(&server, messages, builder(&server).cache_messages(4)).await;
    assert_eq!((held.messages, left), (4, 16));
}

#[tokio::test]
async fn a_cache_is_full_of_bytes_as_well_beyond_which_one_receive_may_go() {
    let server = Server::start().await;
    let messages = (0..40).map(|_| Message::new("orders", vec![b'x'; 1000])).collect();
    let (held, left) = full(&server, messages, builder(&server).cache_bytes(1500)).await;
    assert_eq!((held, left), (Held { messages: 32, bytes: 32_000 }, 8));
}

#[tokio::test]
async fn a_listener_that_panics_gets_the_message_again_and_others_as_well() {
    let server = Server::start().await;
    let (tell, mut came) = mpsc::unbounded_channel();
    let panics = move |message: Delivered| {
        let tell = tell.clone();
        assert!(message.body != "early" || message.attempt > 1, "before its future is made");
        async move {
            assert!(message.body != "late" || message.attempt > 1, "within its future");
            tell.send((message.body.clone(), message.attempt)).unwrap();
            Consumed::Done
        }
    };
    let push = builder(&server).listener(panics).start().await.unwrap();
    let producer = producer(&server).await;
    for body in ["early", "late", "fine"] {
        producer.send(Message::new("orders", body)).await.unwrap();
    }
    let mut done = Vec::new();
    while done.len() < 3 {
        let (body, attempt) = came.recv().await.unwrap();
        done.push((String::from_utf8(body.to_vec()).unwrap(), attempt));
    }
    done.sort();
    assert_eq!(done, [("early".to_owned(), 2), ("fine".to_owned(), 1), ("late".to_owned(), 2)]);
    push.close().await;
}

#[tokio::test]
async fn a_push_consumer_goes_on_after_its_connections_are_cut() {
    let server = Server::start().await;
    let (tell, mut came) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(2));
    let push = builder(&server).listener(gated(&gate, tell)).start().await.unwrap();
    let producer = producer(&server).await;
    for body in ["before", "after"] {
        producer.send(Message::new("orders", body)).await.unwrap();
        assert_eq!(came.recv().await.unwrap().body, body);
        server.cut_connections();
    }
    push.close().await;
}

#[tokio::test]
async fn what_keeps_a_push_consumer_from_starting_is_told() {
    let server = Server::start().await;
    let listener = |_| async { Consumed::Done };
    let unknown =
        PushConsumer::builder(server.endpoint(), "nosuch").subscribe("orders", "*").listener(listener);
    let error = unknown.start().await.unwrap_err();
    let StartError::Route { source: AskError::Call(CallError::Grpc { message, .. }), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(message.contains("nosuch"), "{error}");
    let error = builder(&server).subscribe("nosuch", "*").listener(listener).start().await.unwrap_err();
    let StartError::Route { topic, source: AskError::Refused(refused) } = &error else { panic!("{error:?}") };
    assert_eq!((topic.as_str(), refused.code()), ("nosuch", Some(Code::TopicNotFound)));
}

use engine::catalog::TopicType;
use gateway_grpc::method::Method;
use wire::v2::{self, Code, MessageType};

use crate::broker::{Broker, code_of, message, resource};

/// A message whose content makes it one of each type.
fn of_type(message_type: MessageType) -> v2::Message {
    let mut made = message("M");
    let system = made.system_properties.as_mut().unwrap();
    // What the sender calls it counts for transactions only.
    system.message_type = MessageType::Normal.into();
    match message_type {
        MessageType::Transaction => system.message_type = MessageType::Transaction.into(),
        MessageType::Delay => system.delivery_timestamp = Some(prost_types::Timestamp::default()),
        MessageType::Fifo => system.message_group = Some("g".into()),
        MessageType::Priority => system.priority = Some(3),
        MessageType::Lite => system.lite_topic = Some("l".into()),
        MessageType::Normal | MessageType::Unspecified => {}
    }
    made
}

const TYPES: [MessageType; 6] = [
    MessageType::Normal,
    MessageType::Fifo,
    MessageType::Delay,
    MessageType::Transaction,
    MessageType::Priority,
    MessageType::Lite,
];

const TAKES: [(&str, &[MessageType]); 6] = [
    ("orders", &[MessageType::Normal]),
    ("fifo", &[MessageType::Fifo]),
    ("delay", &[MessageType::Delay]),
    ("transaction", &[MessageType::Transaction]),
    ("priority", &[MessageType::Priority]),
    ("mixed", &[MessageType::Normal, MessageType::Fifo, MessageType::Delay, MessageType::Transaction]),
];

#[tokio::test(start_paused = true)]
async fn a_topic_takes_messages_of_its_type_only() {
    let broker = Broker::start().await;
    broker.topic_of("fifo", TopicType::Fifo, 4).await;
    broker.topic_of("delay", TopicType::Delay, 4).await;
    broker.topic_of("transaction", TopicType::Transaction, 4).await;
    broker.topic_of("mixed", TopicType::Mixed, 4).await;
    broker.topic_of("priority", TopicType::Priority, 4).await;
    for (topic, takes) in TAKES {
        for found in TYPES {
            let sent = v2::Message { topic: resource(topic), ..of_type(found) };
            let reply = broker.send(vec![sent]).await;
            let fits = takes.contains(&found);
            let code = if fits { Code::Ok } else { Code::MessagePropertyConflictWithType };
            assert_eq!(code_of(reply.status.as_ref()), code, "{found:?} to {topic}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_message_of_a_request_is_looked_at() {
    let broker = Broker::start().await;
    let reply = broker.send(vec![of_type(MessageType::Normal), of_type(MessageType::Fifo)]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::MessagePropertyConflictWithType);
    assert_eq!(broker.lag(), 0, "nothing of it was stored");
}

#[tokio::test(start_paused = true)]
async fn a_message_with_a_group_and_a_time_is_one_with_a_time() {
    let broker = Broker::start().await;
    broker.topic_of("fifo", TopicType::Fifo, 4).await;
    let mut both = v2::Message { topic: resource("fifo"), ..of_type(MessageType::Fifo) };
    both.system_properties.as_mut().unwrap().delivery_timestamp = Some(prost_types::Timestamp::default());
    let reply = broker.send(vec![both]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::MessagePropertyConflictWithType);
}

#[tokio::test(start_paused = true)]
async fn the_route_tells_the_types_that_a_topic_takes() {
    let broker = Broker::start().await;
    broker.topic_of("fifo", TopicType::Fifo, 4).await;
    broker.topic_of("delay", TopicType::Delay, 4).await;
    broker.topic_of("transaction", TopicType::Transaction, 4).await;
    broker.topic_of("mixed", TopicType::Mixed, 4).await;
    broker.topic_of("priority", TopicType::Priority, 4).await;
    for (topic, takes) in TAKES {
        let request = v2::QueryRouteRequest { topic: resource(topic), endpoints: None };
        let route: v2::QueryRouteResponse = broker.unary(Method::QueryRoute, request).await;
        let types: Vec<_> = route.message_queues[0].accept_message_types().collect();
        assert_eq!(types, takes);
    }
}

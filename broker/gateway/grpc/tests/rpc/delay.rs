use std::time::Duration;

use engine::catalog::TopicType;
use gateway_grpc::method::Method;
use wire::v2::{self, Code, MessageType};

use crate::broker::{Broker, code_of, ids, message, resource, simple, system};

async fn later() -> Broker {
    let broker = Broker::start().await;
    broker.topic_of("later", TopicType::Delay, 4).await;
    broker
}

fn at(id: &str, ms: u64) -> v2::Message {
    let mut made = v2::Message { topic: resource("later"), ..message(id) };
    let time =
        prost_types::Timestamp { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 };
    made.system_properties.as_mut().unwrap().delivery_timestamp = Some(time);
    made
}

fn take() -> v2::ReceiveMessageRequest {
    let queue = v2::MessageQueue { topic: resource("later"), ..Default::default() };
    v2::ReceiveMessageRequest {
        message_queue: Some(queue),
        long_polling_timeout: crate::broker::duration(20_000),
        ..simple()
    }
}

/// Receives while the log thread looks every 10 ms.
async fn receive(broker: &Broker) -> Vec<v2::Message> {
    let log_thread = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            broker.write();
        }
    };
    tokio::select! {
        taken = broker.take(take()) => taken,
        () = log_thread => unreachable!(),
    }
}

async fn recall(broker: &Broker, topic: &str, handle: &str) -> v2::RecallMessageResponse {
    let request = v2::RecallMessageRequest { topic: resource(topic), recall_handle: handle.into() };
    broker.unary(Method::RecallMessage, request).await
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_waits_gets_the_message_at_its_time() {
    let broker = later().await;
    let due_ms = broker.now_ms() + 7000;
    let reply = broker.send(vec![at("M", due_ms)]).await;
    let entry = &reply.entries[0];
    assert_eq!((entry.message_id.as_str(), entry.transaction_id.as_str()), ("M", "M"));
    assert!(!entry.recall_handle.is_empty());
    let got = receive(&broker).await;
    let now_ms = broker.now_ms();
    assert!(
        (due_ms..due_ms + 100).contains(&now_ms),
        "{} ms late",
        now_ms.cast_signed() - due_ms.cast_signed()
    );
    assert_eq!((ids(&got), system(&got[0]).delivery_attempt), (vec!["M"], Some(1)));
    assert_eq!(system(&got[0]).message_type(), MessageType::Delay);
    let told = system(&got[0]).delivery_timestamp.unwrap();
    assert_eq!(
        (told.seconds.cast_unsigned() * 1000, told.nanos),
        (due_ms / 1000 * 1000, (due_ms % 1000 * 1_000_000) as i32)
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_means_now_and_cannot_be_recalled() {
    let broker = later().await;
    let reply = broker.send(vec![at("past", broker.now_ms() - 20_000), at("now", broker.now_ms())]).await;
    assert!(reply.entries.iter().all(|entry| entry.recall_handle.is_empty()));
    assert_eq!(ids(&receive(&broker).await), ["now", "past"]);
}

#[tokio::test(start_paused = true)]
async fn a_time_too_far_ahead_is_refused() {
    let broker = later().await;
    let day_ms = 24 * 3600 * 1000;
    let refused = broker.send(vec![at("M", broker.now_ms() + day_ms + 5000)]).await;
    assert_eq!(code_of(refused.status.as_ref()), Code::IllegalDeliveryTime);
    let taken = broker.send(vec![at("M", broker.now_ms() + day_ms)]).await;
    assert_eq!(code_of(taken.status.as_ref()), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_recalled_message_never_comes_and_a_late_recall_says_so() {
    let broker = later().await;
    let due_ms = broker.now_ms() + 7000;
    let reply = broker.send(vec![at("gone", due_ms), at("stays", due_ms)]).await;
    let handles: Vec<_> = reply.entries.iter().map(|entry| entry.recall_handle.as_str()).collect();
    let recalled = broker.drive(recall(&broker, "later", handles[0])).await;
    assert_eq!((code_of(recalled.status.as_ref()), recalled.message_id.as_str()), (Code::Ok, "gone"));
    let again = recall(&broker, "later", handles[0]).await;
    assert_eq!(code_of(again.status.as_ref()), Code::NotFound);
    assert_eq!(ids(&receive(&broker).await), ["stays"]);
    let late = recall(&broker, "later", handles[1]).await;
    assert_eq!(code_of(late.status.as_ref()), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_recall_of_another_topic_or_without_a_handle_changes_nothing() {
    let broker = later().await;
    broker.topic_of("other", TopicType::Delay, 1).await;
    let reply = broker.send(vec![at("M", broker.now_ms() + 7000)]).await;
    let handle = &reply.entries[0].recall_handle;
    for (topic, handle, code) in [
        ("orders", handle.as_str(), Code::MessagePropertyConflictWithType),
        ("none", handle.as_str(), Code::TopicNotFound),
        ("other", handle.as_str(), Code::BadRequest),
        ("later", "nonsense", Code::BadRequest),
        ("later", &format!("{handle}0"), Code::BadRequest),
    ] {
        assert_eq!(code_of(recall(&broker, topic, handle).await.status.as_ref()), code, "{topic} {handle}");
    }
    assert_eq!(ids(&receive(&broker).await), ["M"]);
}

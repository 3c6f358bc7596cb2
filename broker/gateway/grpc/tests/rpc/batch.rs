//! Requests with several messages, which share records.

use bytes::BytesMut;
use gateway_grpc::method::Method;
use wire::v2::{self, Code, DigestType, FilterType, MessageType};

use crate::broker::{
    Broker, code_of, duration, handle, ids, message, only, resource, simple, system, tagged,
};

fn sent(number: usize) -> v2::Message {
    let mut made = message(&format!("M{number}"));
    made.user_properties.insert("number".into(), number.to_string());
    let system = made.system_properties.as_mut().unwrap();
    system.tag = Some(["red", "blue", "green"][number % 3].into());
    system.keys = vec![format!("key-{number}")];
    made
}

fn in_group(number: usize, group: &str) -> v2::Message {
    let mut made = message(&format!("{group}{number}"));
    let system = made.system_properties.as_mut().unwrap();
    system.message_group = Some(group.into());
    made
}

fn in_order(messages: &[v2::Message]) -> Vec<&str> {
    messages.iter().map(|message| system(message).message_id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_request_come_as_if_sent_one_by_one() {
    let (shared, singly) = (Broker::start().await, Broker::start().await);
    let messages: Vec<_> = (0..5).map(sent).collect();
    assert_eq!(shared.send_ok(messages.clone()).await, [0, 1, 2, 3, 4]);
    singly.topic("alone", 1).await;
    for message in &messages {
        singly.send_ok(vec![v2::Message { topic: resource("alone"), ..message.clone() }]).await;
    }
    let mut request = simple();
    request.message_queue.as_mut().unwrap().topic = resource("alone");
    let (mut batch, mut alone) = (shared.take(simple()).await, singly.take(request).await);
    assert_eq!(in_order(&batch), ["M0", "M1", "M2", "M3", "M4"]);
    for message in batch.iter_mut().chain(&mut alone) {
        // What differs between two brokers and two topics.
        message.topic = resource("orders");
        let system = message.system_properties.as_mut().unwrap();
        assert_eq!(system.body_digest.as_ref().unwrap().r#type(), DigestType::Crc32);
        (system.receipt_handle, system.queue_id) = (None, 0);
    }
    assert_eq!(batch, alone, "digests, offsets, tags, keys and properties included");
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_each_message_is_acked_and_comes_again_for_itself() {
    let broker = Broker::start().await;
    broker.send_ok((0..5).map(sent).collect()).await;
    let first = broker.take(simple()).await;
    let acked = [handle(&first[1]), handle(&first[3])];
    assert_eq!(code_of(broker.ack("billing", &acked).await.status.as_ref()), Code::Ok);
    broker.pass(11_000).await;
    let again = broker.take(simple()).await;
    assert_eq!(in_order(&again), ["M0", "M2", "M4"]);
    assert!(again.iter().all(|message| system(message).delivery_attempt == Some(2)));
    assert_eq!(again.iter().map(|message| system(message).queue_offset()).collect::<Vec<_>>(), [0, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn filters_look_inside() {
    let broker = Broker::start().await;
    broker.send_ok((0..70).map(sent).collect()).await;
    broker.consumer_group("sql", 3).await;
    let blue = broker.take(tagged("blue || purple")).await;
    assert_eq!(in_order(&blue)[..3], ["M1", "M4", "M7"]);
    assert!(blue.iter().all(|message| system(message).tag() == "blue"));
    let expression = "number BETWEEN 28 AND 31 AND TAGS <> 'red'".into();
    let filter = v2::FilterExpression { r#type: FilterType::Sql.into(), expression };
    let request =
        v2::ReceiveMessageRequest { filter_expression: Some(filter), group: resource("sql"), ..simple() };
    assert_eq!(ids(&broker.take(request).await), ["M28", "M29", "M31"]);
}

#[tokio::test(start_paused = true)]
async fn filters_look_inside_of_what_is_not_in_memory() {
    let broker = Broker::start().await;
    broker.send_ok((0..9).map(sent).collect()).await;
    broker.disk.set_cold(true);
    assert_eq!(in_order(&broker.take(tagged("green")).await), ["M2", "M5", "M8"]);
    assert_eq!(broker.lag(), 3, "the others are done");
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_message_group_stay_in_order() {
    let broker = Broker::start().await;
    broker.topic_of("steps", engine::catalog::TopicType::Fifo, 1).await;
    broker.group_of("walkers", 3, true).await;
    let steps = [(0, "a"), (1, "a"), (0, "b"), (2, "a"), (1, "b")];
    let messages =
        steps.map(|(number, group)| v2::Message { topic: resource("steps"), ..in_group(number, group) });
    assert_eq!(broker.send_ok(messages.to_vec()).await, [0, 1, 2, 3, 4]);
    let mut request = v2::ReceiveMessageRequest { group: resource("walkers"), ..simple() };
    request.message_queue.as_mut().unwrap().topic = resource("steps");
    let taken = broker.take(request).await;
    assert_eq!(in_order(&taken), ["a0", "a1", "a2", "b0", "b1"]);
    assert!(taken.iter().all(|message| system(message).message_type() == MessageType::Fifo));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_share_a_record_is_stored_beside_it_in_order() {
    let broker = Broker::start().await;
    broker.topic_of("anything", engine::catalog::TopicType::Mixed, 1).await;
    let home = |message| v2::Message { topic: resource("anything"), ..message };
    let mut later = message("later");
    let at_ms = broker.now_ms().cast_signed() + 60_000;
    later.system_properties.as_mut().unwrap().delivery_timestamp =
        Some(prost_types::Timestamp { seconds: at_ms / 1000, nanos: 0 });
    let messages = vec![home(sent(0)), home(sent(1)), home(later), home(sent(2)), home(in_group(0, "g"))];
    let reply = broker.send(messages).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    let told: Vec<_> = reply.entries.iter().map(|entry| (entry.message_id.as_str(), entry.offset)).collect();
    assert_eq!(told, [("M0", 0), ("M1", 1), ("later", 0), ("M2", 2), ("g0", 3)]);
    assert!(
        reply.entries.iter().all(|entry| entry.recall_handle.is_empty() == (entry.message_id != "later"))
    );
    let mut request = simple();
    request.message_queue.as_mut().unwrap().topic = resource("anything");
    assert_eq!(in_order(&broker.take(request.clone()).await), ["M0", "M1", "M2", "g0"]);
    broker.pass(61_000).await;
    assert!(ids(&broker.take(request).await).contains(&"later"));
}

#[tokio::test(start_paused = true)]
async fn one_bad_message_refuses_the_whole_request() {
    let broker = Broker::start().await;
    let bad = v2::Message { body: vec![0; (4 << 20) + 1].into(), ..message("large") };
    let reply = broker.send(vec![sent(0), bad, sent(1)]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::MessageBodyTooLarge);
    assert_eq!(broker.lag(), 0, "nothing of it was stored");
    assert!(
        broker
            .take(v2::ReceiveMessageRequest { invisible_duration: duration(10_000), ..simple() })
            .await
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_batch_is_forwarded_to_the_dead_letters_alone() {
    let broker = Broker::start().await;
    broker.send_ok((0..4).map(sent).collect()).await;
    let taken = broker.take(simple()).await;
    let request = v2::ForwardMessageToDeadLetterQueueRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&taken[2]).into(),
        message_id: "M2".into(),
        delivery_attempt: 1,
        max_delivery_attempts: 3,
        lite_topic: None,
    };
    let reply: v2::ForwardMessageToDeadLetterQueueResponse =
        broker.unary(Method::ForwardMessageToDeadLetterQueue, request).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    broker.consumer_group("undertaker", 3).await;
    let mut letters = v2::ReceiveMessageRequest { group: resource("undertaker"), ..simple() };
    letters.message_queue.as_mut().unwrap().topic = resource("%DLQ%billing");
    let letters = broker.take(letters).await;
    assert_eq!(ids(&letters), ["M2"]);
    let origin = system(&letters[0]).dead_letter_queue.as_ref().unwrap();
    assert_eq!((origin.topic.as_str(), origin.message_id.as_str()), ("orders", "M2"));
    assert_eq!((system(&letters[0]).tag(), &letters[0].body), ("green", &sent(2).body));
}

#[tokio::test(start_paused = true)]
async fn a_raw_request_of_4096_small_messages_is_answered_message_by_message() {
    use prost::Message;
    let broker = Broker::start().await;
    let messages: Vec<_> = (0..4096).map(sent).collect();
    let request = v2::SendMessageRequest { messages }.encode_to_vec();
    let mut out = BytesMut::new();
    broker.drive(broker.gateway.send_message(&broker.call(), request.into(), &mut out)).await.unwrap();
    let reply: v2::SendMessageResponse = only(&out);
    let expected = (0..4096).map(|number| (format!("M{number}"), number));
    assert!(reply.entries.into_iter().map(|entry| (entry.message_id, entry.offset)).eq(expected));
    let topic = broker.group.topic("orders").unwrap();
    let tails = topic.queues.iter().map(|&queue| broker.group.queue_range(queue).1.0);
    assert_eq!(tails.sum::<u64>(), 4096);
}

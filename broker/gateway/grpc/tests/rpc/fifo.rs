use std::time::Duration;

use engine::catalog::TopicType;
use gateway_grpc::method::Method;
use store::disk::sim::{Call as DiskCall, Failure};
use wire::v2::{self, ClientType, Code, settings::PubSub};

use crate::broker::{Broker, code_of, handle, message, resource, simple, system};
use crate::telemetry::{Telemetry, consumer};

const GROUP: &str = "ledger";

/// A broker with a topic `ledger` of type FIFO and a consumer group that reads in order, three attempts.
async fn ledger() -> Broker {
    let broker = Broker::start().await;
    broker.topic_of("ledger", TopicType::Fifo, 4).await;
    broker.group_of(GROUP, 3, true).await;
    broker
}

fn of(group: &str, id: &str) -> v2::Message {
    let mut made = v2::Message { topic: resource("ledger"), ..message(id) };
    made.system_properties.as_mut().unwrap().message_group = Some(group.into());
    made
}

fn take(max: i32) -> v2::ReceiveMessageRequest {
    v2::ReceiveMessageRequest {
        group: resource(GROUP),
        message_queue: Some(v2::MessageQueue { topic: resource("ledger"), ..Default::default() }),
        batch_size: max,
        ..simple()
    }
}

/// In the order of the reply.
fn ids(messages: &[v2::Message]) -> Vec<&str> {
    messages.iter().map(|message| system(message).message_id.as_str()).collect()
}

async fn nothing(broker: &Broker, request: v2::ReceiveMessageRequest) {
    let received = broker.receive(request).await;
    assert_eq!(code_of(Some(&received.status)), Code::MessageNotFound, "{:?}", ids(&received.messages));
    received.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_those_before_it_in_its_group_and_for_no_other() {
    let broker = ledger().await;
    for (group, id) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("a", "a3")] {
        broker.send_ok(vec![of(group, id)]).await;
    }
    let first = broker.take(take(1)).await;
    let rest = broker.take(take(32)).await;
    let (stuck, free) = if ids(&first) == ["a1"] { ("a", ["b1", "b2"]) } else { ("b", ["a1", "a2"]) };
    assert_eq!(ids(&rest)[..2], free, "the other group flows while {stuck} is held up");
    assert!(rest.iter().all(|message| system(message).message_group.as_deref() != Some(stuck)));
    let before_ms = broker.now_ms();
    broker.ack(GROUP, &[handle(&first[0])]).await;
    let next = broker.take(take(32)).await;
    assert!(ids(&next)[0].starts_with(stuck));
    assert!(broker.now_ms() - before_ms < 100, "an ack makes way at once");
}

#[tokio::test(start_paused = true)]
async fn the_messages_of_a_group_come_in_order_within_a_reply_too() {
    let broker = ledger().await;
    let all: Vec<String> = (0..40).map(|n| format!("m{n:02}")).collect();
    for id in &all {
        broker.send_ok(vec![of("a", id)]).await;
    }
    let mut got = Vec::new();
    while got.len() < 40 {
        let taken = broker.take(take(7)).await;
        let handles: Vec<_> = taken.iter().map(handle).collect();
        broker.ack(GROUP, &handles).await;
        got.extend(ids(&taken).into_iter().map(str::to_owned));
    }
    assert_eq!(got, all);
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_is_tried_again_in_place_and_then_gives_way_to_the_next() {
    let broker = ledger().await;
    broker.send_ok(vec![of("a", "bad"), of("a", "good")]).await;
    for attempt in 1..=3 {
        let taken = broker.take(take(1)).await;
        assert_eq!((ids(&taken), system(&taken[0]).delivery_attempt), (vec!["bad"], Some(attempt)));
        nothing(&broker, take(1)).await;
        broker.pass(11_000).await;
    }
    assert_eq!(ids(&broker.take(take(1)).await), ["good"], "the bad one is a dead letter now");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_forwards_to_the_dead_letters_gives_way_to_the_next() {
    let broker = ledger().await;
    broker.send_ok(vec![of("a", "bad"), of("a", "good")]).await;
    let taken = broker.take(take(1)).await;
    let (reply, next) = broker
        .drive(async {
            let forward = v2::ForwardMessageToDeadLetterQueueRequest {
                group: resource(GROUP),
                topic: resource("ledger"),
                receipt_handle: handle(&taken[0]).into(),
                message_id: "bad".into(),
                ..Default::default()
            };
            tokio::join!(
                broker.unary::<_, v2::ForwardMessageToDeadLetterQueueResponse>(
                    Method::ForwardMessageToDeadLetterQueue,
                    forward
                ),
                broker.receive(take(1))
            )
        })
        .await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    assert_eq!(ids(&next.messages), ["good"], "a receive that waits is woken");
    next.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_again_under_the_same_name_gets_what_it_never_got() {
    let broker = ledger().await;
    broker.send_ok((0..5).map(|n| of("a", &n.to_string())).collect()).await;
    let named = |name: &str| v2::ReceiveMessageRequest { attempt_id: Some(name.into()), ..take(3) };
    let lost = broker.receive(named("try")).await;
    assert_eq!(ids(&lost.messages), ["0", "1", "2"]);
    lost.handout.delivered();
    nothing(&broker, named("another")).await;
    let again = broker.take(named("try")).await;
    assert_eq!(ids(&again), ["0", "1", "2"]);
    assert!(again.iter().all(|message| system(message).delivery_attempt == Some(1)));
    let handles: Vec<_> = again.iter().map(handle).collect();
    broker.ack(GROUP, &handles).await;
    assert_eq!(ids(&broker.take(named("try")).await), ["3", "4"], "what it acked does not come again");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_was_not_written_is_not_an_attempt_for_a_client_that_asks_again() {
    let broker = ledger().await;
    broker.send_ok(vec![of("a", "M")]).await;
    let named = v2::ReceiveMessageRequest { attempt_id: Some("try".into()), ..take(1) };
    drop(broker.receive(named.clone()).await.handout);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = broker.take(named).await;
    assert_eq!((ids(&again), system(&again[0]).delivery_attempt), (vec!["M"], Some(1)));
}

/// What a client gets, with the numbers of the attempts.
async fn attempts(broker: &Broker) -> Vec<(String, i32)> {
    let taken = broker.take(take(32)).await;
    let told = taken.iter().map(system);
    told.map(|told| (told.message_id.clone(), told.delivery_attempt.unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_that_never_verifies_come_at_once_and_for_the_first_time() {
    let broker = ledger().await;
    let rotten = v2::Message { body: "rotten".into(), ..of("a", "0") };
    for message in [rotten, of("a", "1"), of("a", "2")] {
        broker.send_ok(vec![message]).await;
    }
    let file = format!("log/{:020}.log", 0);
    let bytes = broker.disk.contents(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"rotten").unwrap();
    assert!(broker.disk.flip_bit(&file, at as u64, 3));
    broker.disk.set_cold(true);
    let began_ms = broker.now_ms();
    assert_eq!(attempts(&broker).await, [("1".to_owned(), 1), ("2".to_owned(), 1)]);
    assert_eq!(broker.now_ms(), began_ms);
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_that_the_disk_refuses_wait_for_it_and_use_up_no_attempt() {
    let broker = ledger().await;
    for id in ["0", "1", "2"] {
        broker.send_ok(vec![of("a", id)]).await;
    }
    broker.disk.set_cold(true);
    broker.disk.fail(DiskCall::Read, 1, Failure::Io);
    let first = broker.take(take(32)).await;
    assert_eq!((ids(&first), system(&first[0]).delivery_attempt), (vec!["0"], Some(2)));
    broker.ack(GROUP, &[handle(&first[0])]).await;
    assert_eq!(attempts(&broker).await, [("1".to_owned(), 1), ("2".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_without_order_takes_messages_of_a_fifo_topic_as_they_come() {
    let broker = ledger().await;
    broker.send_ok(vec![of("a", "a1"), of("a", "a2")]).await;
    let plain = |max| v2::ReceiveMessageRequest { group: resource("billing"), ..take(max) };
    assert_eq!(ids(&broker.take(plain(1)).await), ["a1"]);
    assert_eq!(ids(&broker.take(plain(1)).await), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_to_work_in_order_and_gets_a_way_for_each_queue() {
    let broker = ledger().await;
    let mut settings = consumer(ClientType::PushConsumer);
    if let Some(PubSub::Subscription(subscription)) = &mut settings.pub_sub {
        subscription.group = resource(GROUP);
    }
    let settled = Telemetry::new(&broker, &broker.call()).settle(settings).await.unwrap();
    let Some(PubSub::Subscription(subscription)) = settled.pub_sub else { panic!("{settled:?}") };
    assert_eq!(subscription.fifo, Some(true));
    let request =
        v2::QueryAssignmentRequest { topic: resource("ledger"), group: resource(GROUP), endpoints: None };
    let reply: v2::QueryAssignmentResponse = broker.unary(Method::QueryAssignment, request).await;
    let queues = reply.assignments.iter().map(|assignment| assignment.message_queue.as_ref().unwrap().id);
    assert_eq!(queues.collect::<Vec<_>>(), [0, 1, 2, 3]);
}

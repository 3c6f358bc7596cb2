use std::time::Duration;

use bytes::BytesMut;
use gateway_grpc::gateway::GatewayConfig;
use prost::Message;
use wire::v2::{self, Code, DigestType, MessageType};

use crate::broker::{Broker, code_of, handle, ids, message, push, resource, simple, system, tagged};

fn tag(id: &str, tag: &str) -> v2::Message {
    let mut message = message(id);
    message.system_properties.as_mut().unwrap().tag = Some(tag.into());
    message
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_as_sent_with_what_the_broker_knows_of_it() {
    let broker = Broker::start().await;
    let mut sent = tag("M", "red");
    sent.system_properties.as_mut().unwrap().keys = vec!["k1".into(), "k 2".into()];
    broker.send_ok(vec![message("L"), sent.clone()]).await;
    let taken = broker.take(tagged("red")).await;
    let [taken] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!(
        (&taken.topic, &taken.user_properties, &taken.body),
        (&sent.topic, &sent.user_properties, &sent.body)
    );
    let (got, put) = (system(taken), system(&sent));
    assert_eq!((&got.message_id, &got.tag, &got.keys), (&put.message_id, &put.tag, &put.keys));
    assert_eq!((got.queue_offset, got.delivery_attempt), (Some(1), Some(1)));
    assert_eq!(got.message_type(), MessageType::Normal);
    assert_eq!((got.born_host.as_str(), got.store_host.as_str()), ("10.0.0.1", "127.0.0.1:8081"));
    assert!(got.born_timestamp.is_some() && got.store_timestamp.is_some());
    assert_eq!(got.body_digest.as_ref().unwrap().r#type(), DigestType::Crc32);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_crc_is_not_known_gets_an_md5() {
    let broker = Broker::start().await;
    broker.send_ok(vec![v2::Message { body: "hello".into(), ..message("M") }]).await;
    let call = broker.call_with("x-mq-language", "HTTP");
    let received = broker.receive_as(&call, simple()).await;
    let digest = system(&received.messages[0]).body_digest.clone().unwrap();
    assert_eq!(digest.checksum, "5D41402ABC4B2A76B9719D911017C592");
    received.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_receive_drains_all_queues_whatever_queue_it_names() {
    let broker = Broker::start().await;
    for n in 0..8 {
        broker.send_ok(vec![message(&format!("M{n}"))]).await;
    }
    let mut request = simple();
    request.message_queue.as_mut().unwrap().id = 3;
    let taken = broker.take(request).await;
    let mut queues: Vec<_> = taken.iter().map(|message| system(message).queue_id).collect();
    queues.sort_unstable();
    queues.dedup();
    assert_eq!((taken.len(), queues), (8, vec![0, 1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_receive_brings_32_messages_at_most_and_one_at_least() {
    let broker = Broker::start().await;
    broker.send_ok((0..40).map(|n| message(&n.to_string())).collect()).await;
    assert_eq!(broker.take(v2::ReceiveMessageRequest { batch_size: 100, ..simple() }).await.len(), 32);
    assert_eq!(broker.take(v2::ReceiveMessageRequest { batch_size: 0, ..simple() }).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn large_messages_come_in_replies_of_some_mebibytes_and_lose_no_attempt() {
    let broker = Broker::start().await;
    for n in 0..5 {
        broker.send_ok(vec![v2::Message { body: vec![1; 3 << 20].into(), ..message(&n.to_string()) }]).await;
    }
    let mut got = Vec::new();
    while got.len() < 5 {
        let taken = broker.take(simple()).await;
        assert!((1..=2).contains(&taken.len()), "{}", taken.len());
        assert!(taken.iter().all(|message| system(message).delivery_attempt == Some(1)));
        got.extend(taken);
    }
    assert_eq!(ids(&got), ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_receive_waits_as_long_as_asked_and_says_that_there_was_nothing() {
    let broker = Broker::start().await;
    let before_ms = broker.now_ms();
    let received = broker.receive(simple()).await;
    assert_eq!(code_of(Some(&received.status)), Code::MessageNotFound);
    let waited_ms = broker.now_ms() - before_ms;
    assert!((5000..5100).contains(&waited_ms), "{waited_ms}");
    received.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_is_woken_by_a_send() {
    let broker = Broker::start().await;
    let before_ms = broker.now_ms();
    let (received, ()) = broker
        .drive(async {
            tokio::join!(broker.receive(simple()), async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                broker.send_ok(vec![message("M")]).await;
            })
        })
        .await;
    assert_eq!(ids(&received.messages), ["M"]);
    assert!(broker.now_ms() - before_ms < 2100);
    received.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_lease_ran_out_is_found_by_a_receive_that_waits() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    assert_eq!(broker.take(simple()).await.len(), 1);
    let before_ms = broker.now_ms();
    let again = broker
        .take(v2::ReceiveMessageRequest { long_polling_timeout: crate::broker::duration(20_000), ..simple() })
        .await;
    let waited_ms = broker.now_ms() - before_ms;
    assert_eq!(system(&again[0]).delivery_attempt, Some(2));
    assert!((9_000..=11_000).contains(&waited_ms), "{waited_ms}");
}

#[tokio::test(start_paused = true)]
async fn tags_with_one_hash_are_not_mixed_up_and_what_is_not_wanted_is_done() {
    let broker = Broker::start().await;
    broker.send_ok(vec![tag("1", "Aa"), tag("2", "BB"), tag("3", "other"), message("4")]).await;
    let taken = broker.take(tagged("Aa || none")).await;
    assert_eq!(ids(&taken), ["1"]);
    broker.ack("billing", &[handle(&taken[0])]).await;
    broker.write();
    assert_eq!(broker.lag(), 0);
}

#[tokio::test(start_paused = true)]
async fn messages_whose_reply_was_not_written_are_free_after_a_second() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    drop(broker.receive(push()).await.handout);
    let before_ms = broker.now_ms();
    let again = broker.take(push()).await;
    assert_eq!((ids(&again), system(&again[0]).delivery_attempt), (vec!["M"], Some(2)));
    assert!((900..=2100).contains(&(broker.now_ms() - before_ms)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_it_waits_loses_nothing_for_others() {
    let broker = Broker::start().await;
    let (call, mut out) = (broker.call(), BytesMut::new());
    let mut waiting =
        Box::pin(broker.gateway.receive_message(&call, simple().encode_to_vec().into(), &mut out));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    broker.send_ok(vec![message("M")]).await;
    drop(waiting);
    assert_eq!(ids(&broker.take(simple()).await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_not_in_memory_are_read_elsewhere_and_delivered() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    broker.disk.set_cold(true);
    assert_eq!(ids(&broker.take(simple()).await), ["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn more_waiting_receives_than_allowed_are_turned_away() {
    let broker = Broker::start_with(GatewayConfig { pollers_max: 1, ..Default::default() }, 1 << 20).await;
    let (call, mut out) = (broker.call(), BytesMut::new());
    let mut waiting =
        Box::pin(broker.gateway.receive_message(&call, simple().encode_to_vec().into(), &mut out));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let refused = broker.receive(simple()).await;
    assert_eq!(code_of(Some(&refused.status)), Code::TooManyRequests);
    assert!(refused.status.message.contains('1'), "{}", refused.status.message);
    refused.handout.delivered();
    drop(waiting);
    let free = broker.receive(simple()).await;
    assert_eq!(code_of(Some(&free.status)), Code::MessageNotFound);
    free.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_message_out_of_attempts_is_found_among_the_dead_letters_with_its_origin() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    for attempt in 1..=3 {
        let taken = broker.take(simple()).await;
        assert_eq!(system(&taken[0]).delivery_attempt, Some(attempt));
        broker.pass(11_000).await;
    }
    let none = broker.receive(simple()).await;
    assert_eq!(code_of(Some(&none.status)), Code::MessageNotFound);
    none.handout.delivered();
    let mut request = simple();
    request.message_queue.as_mut().unwrap().topic = resource("%DLQ%billing");
    let dead = broker.take(request).await;
    assert_eq!(ids(&dead), ["M"]);
    let origin = system(&dead[0]).dead_letter_queue.clone().unwrap();
    assert_eq!((origin.topic.as_str(), origin.message_id.as_str()), ("orders", "M"));
}

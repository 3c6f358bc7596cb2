use bytes::{Bytes, BytesMut};
use gateway_grpc::call::Unanswered;
use gateway_grpc::gateway::GatewayConfig;
use prost::Message;
use store::disk::sim::{Call as DiskCall, Failure};
use wire::v2::{self, Code};

use crate::broker::{Broker, code_of, ids, message, resource, simple};

#[tokio::test(start_paused = true)]
async fn each_message_of_a_request_has_its_entry_in_one_run_of_offsets() {
    let broker = Broker::start().await;
    let reply = broker.send((0..5).map(|n| message(&format!("M{n}"))).collect()).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    for (n, entry) in (0..).zip(&reply.entries) {
        assert_eq!(code_of(entry.status.as_ref()), Code::Ok);
        assert_eq!((entry.message_id.as_str(), entry.offset), (format!("M{n}").as_str(), n));
        assert_eq!(entry.transaction_id, entry.message_id, "clients expect it of every message");
        assert_eq!(entry.recall_handle, "");
    }
    assert_eq!(reply.entries.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_again_is_stored_again() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    broker.send_ok(vec![message("M")]).await;
    assert_eq!(ids(&broker.take(simple()).await), ["M", "M"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_not_there_is_told_in_the_wording_that_tests_of_an_sdk_look_for() {
    let broker = Broker::start().await;
    let reply = broker.send(vec![v2::Message { topic: resource("none"), ..message("M") }]).await;
    let status = reply.status.unwrap();
    assert_eq!(code_of(Some(&status)), Code::TopicNotFound);
    let wording = "CODE: 17  DESC: No topic route info in name server for the topic: none";
    assert!(status.message.contains(wording), "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_messages_or_for_two_topics_is_corrupted() {
    let broker = Broker::start().await;
    broker.topic("bills", 1).await;
    let other = v2::Message { topic: resource("bills"), ..message("B") };
    let mut elsewhere = message("C");
    elsewhere.topic.as_mut().unwrap().resource_namespace = "ns".into();
    for messages in [vec![], vec![message("A"), other], vec![message("A"), elsewhere]] {
        let reply = broker.send(messages).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::MessageCorrupted);
    }
    assert_eq!(broker.lag(), 0, "nothing of them was stored");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_request_end_the_call_as_invalid_argument() {
    let broker = Broker::start().await;
    for noise in [&b"\x0a\x05ab"[..], b"\xff\xff\xff", b"\x0a\x02\x1a\x07"] {
        let error = broker.send_raw(&broker.call(), Bytes::from_static(noise)).await.unwrap_err();
        assert!(matches!(&error, Unanswered::Failed(failed) if failed.code == 3), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_a_request_may_hold_are_refused_as_a_whole() {
    let broker = Broker::start().await;
    let reply = broker.send((0..4097).map(|n| message(&n.to_string())).collect()).await;
    let status = reply.status.unwrap();
    assert_eq!(code_of(Some(&status)), Code::PayloadTooLarge);
    assert!(status.message.contains("4096"), "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn a_busy_log_asks_clients_to_slow_down() {
    let broker = Broker::start_with(GatewayConfig::default(), 4096).await;
    let request = |id: &str| {
        let large = v2::Message { body: vec![1; 4000].into(), ..message(id) };
        v2::SendMessageRequest { messages: vec![large.clone(), large] }.encode_to_vec().into()
    };
    let (call, mut first, mut second) = (broker.call(), BytesMut::new(), BytesMut::new());
    let mut waiting = Box::pin(broker.gateway.send_message(&call, request("A"), &mut first));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    broker.gateway.send_message(&call, request("B"), &mut second).await.unwrap();
    let reply: v2::SendMessageResponse = crate::broker::only(&second);
    let codes: Vec<_> = reply.entries.iter().map(|entry| code_of(entry.status.as_ref())).collect();
    assert_eq!(code_of(reply.status.as_ref()), Code::TooManyRequests);
    assert_eq!(codes, [Code::TooManyRequests; 2], "one entry per message");
    broker.drive(waiting).await.unwrap();
    let stored: v2::SendMessageResponse = crate::broker::only(&first);
    assert_eq!(code_of(stored.status.as_ref()), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_sends_until_there_is_room() {
    let broker = Broker::start().await;
    broker.disk.set_capacity_bytes(Some(9 << 20));
    let large = |n: usize| v2::Message { body: vec![1; 4 << 20].into(), ..message(&n.to_string()) };
    let mut refused = None;
    for n in 0..8 {
        let reply = broker.send(vec![large(n)]).await;
        if code_of(reply.status.as_ref()) != Code::Ok {
            refused = reply.status;
            break;
        }
    }
    let refused = refused.expect("8 messages of 4 MiB do not fit");
    assert_eq!(code_of(Some(&refused)), Code::InternalServerError);
    assert!(refused.message.contains("disk is full"), "{}", refused.message);
    broker.disk.set_capacity_bytes(None);
    broker.send_ok(vec![message("M")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_send_whose_outcome_nobody_knows_is_not_called_refused() {
    let broker = Broker::start().await;
    broker.disk.fail(DiskCall::Write, 1, Failure::Io);
    let reply = broker.send(vec![message("M")]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::MasterPersistenceTimeout);
    assert_eq!(code_of(reply.entries[0].status.as_ref()), Code::MasterPersistenceTimeout);
}

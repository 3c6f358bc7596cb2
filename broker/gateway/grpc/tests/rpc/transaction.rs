use engine::catalog::TopicType;
use gateway_grpc::method::Method;
use wire::v2::{
    self, Code, MessageType, TransactionResolution as Resolution, TransactionSource,
    telemetry_command::Command,
};

use crate::broker::{Broker, code_of, duration, ids, message, resource, simple, system};
use crate::telemetry::{Telemetry, open, producer};

/// Seconds from a message to the first question about it, between questions, and how many there are.
const FIRST_MS: u64 = 6000;
const EVERY_MS: u64 = 30_000;
const CHECKS: u64 = 15;

async fn paid() -> Broker {
    let broker = Broker::start().await;
    broker.topic_of("paid", TopicType::Transaction, 4).await;
    broker
}

fn half(id: &str) -> v2::Message {
    let mut made = v2::Message { topic: resource("paid"), ..message(id) };
    made.system_properties.as_mut().unwrap().message_type = MessageType::Transaction.into();
    made
}

/// Sends a half and returns its transaction id.
async fn begin(broker: &Broker, id: &str) -> String {
    let reply = broker.send(vec![half(id)]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    assert_eq!(reply.entries[0].message_id, id);
    reply.entries[0].transaction_id.clone()
}

fn end_request(id: &str, transaction_id: &str, resolution: Resolution) -> v2::EndTransactionRequest {
    v2::EndTransactionRequest {
        topic: resource("paid"),
        message_id: id.into(),
        transaction_id: transaction_id.into(),
        resolution: resolution.into(),
        source: TransactionSource::SourceClient.into(),
        trace_context: String::new(),
    }
}

async fn end(broker: &Broker, id: &str, transaction_id: &str, resolution: Resolution) -> Code {
    let request = end_request(id, transaction_id, resolution);
    let reply: v2::EndTransactionResponse = broker.unary(Method::EndTransaction, request).await;
    code_of(reply.status.as_ref())
}

async fn take(broker: &Broker, topic: &str) -> Vec<v2::Message> {
    let queue = v2::MessageQueue { topic: resource(topic), ..Default::default() };
    broker.take(v2::ReceiveMessageRequest { message_queue: Some(queue), ..simple() }).await
}

/// The question that has come over the stream, if one has.
async fn asked(stream: &mut Telemetry) -> Option<v2::RecoverOrphanedTransactionCommand> {
    let next = tokio::time::timeout(std::time::Duration::from_millis(1), stream.next()).await;
    match next.ok()??.unwrap().command {
        Some(Command::RecoverOrphanedTransactionCommand(command)) => Some(command),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_when_it_is_committed_and_names_its_transaction() {
    let broker = paid().await;
    let (yes, no) = (begin(&broker, "yes").await, begin(&broker, "no").await);
    assert_eq!(take(&broker, "paid").await.len(), 0);
    assert_eq!(end(&broker, "yes", &yes, Resolution::Commit).await, Code::Ok);
    assert_eq!(end(&broker, "no", &no, Resolution::Rollback).await, Code::Ok);
    let got = take(&broker, "paid").await;
    assert_eq!(ids(&got), ["yes"]);
    assert_eq!(system(&got[0]).message_type(), MessageType::Transaction);
    assert_eq!(got[0].user_properties["__transactionId__"], yes);
    assert_eq!(got[0].user_properties["colour"], "blue");
    assert_eq!(got[0].body, message("yes").body);
}

#[tokio::test(start_paused = true)]
async fn the_first_decision_stands_and_not_known_yet_is_none() {
    let broker = paid().await;
    let id = begin(&broker, "M").await;
    assert_eq!(end(&broker, "M", &id, Resolution::Unspecified).await, Code::Ok);
    for _ in 0..2 {
        assert_eq!(end(&broker, "M", &id, Resolution::Commit).await, Code::Ok);
        assert_eq!(end(&broker, "M", &id, Resolution::Unspecified).await, Code::Ok);
        assert_eq!(end(&broker, "M", &id, Resolution::Rollback).await, Code::InvalidTransactionId);
    }
    assert_eq!(ids(&take(&broker, "paid").await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn a_decision_waits_for_another_one_that_is_on_its_way() {
    let broker = paid().await;
    let id = begin(&broker, "M").await;
    let both = async {
        tokio::join!(
            broker.unary::<_, v2::EndTransactionResponse>(
                Method::EndTransaction,
                end_request("M", &id, Resolution::Commit)
            ),
            broker.unary::<_, v2::EndTransactionResponse>(
                Method::EndTransaction,
                end_request("M", &id, Resolution::Commit)
            ),
        )
    };
    let (one, other) = broker.drive(both).await;
    assert_eq!((code_of(one.status.as_ref()), code_of(other.status.as_ref())), (Code::Ok, Code::Ok));
    assert_eq!(ids(&take(&broker, "paid").await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn what_names_no_open_transaction_is_refused_and_changes_nothing() {
    let broker = paid().await;
    broker.topic_of("other", TopicType::Transaction, 1).await;
    let id = begin(&broker, "M").await;
    let wrong = Code::InvalidTransactionId;
    for (message_id, transaction_id) in
        [("M", " "), ("M", "M"), ("N", id.as_str()), ("", id.as_str()), ("M", "1-1-8-M")]
    {
        let code = end(&broker, message_id, transaction_id, Resolution::Commit).await;
        assert_eq!(code, wrong, "{message_id} {transaction_id}");
    }
    for (topic, code) in [("other", wrong), ("none", Code::TopicNotFound)] {
        let request =
            v2::EndTransactionRequest { topic: resource(topic), ..end_request("M", &id, Resolution::Commit) };
        let reply: v2::EndTransactionResponse = broker.unary(Method::EndTransaction, request).await;
        assert_eq!(code_of(reply.status.as_ref()), code, "{topic}");
    }
    assert_eq!(take(&broker, "paid").await.len(), 0);
    assert_eq!(end(&broker, "M", &id, Resolution::Commit).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_its_time_or_for_a_decision_not_for_both() {
    let broker = Broker::start().await;
    broker.topic_of("paid", TopicType::Mixed, 4).await;
    let mut both = half("M");
    both.system_properties.as_mut().unwrap().delivery_timestamp = Some(prost_types::Timestamp::default());
    let reply = broker.send(vec![both]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::MessagePropertyConflictWithType);
    let id = begin(&broker, "N").await;
    assert_eq!(end(&broker, "N", &id, Resolution::Commit).await, Code::Ok);
    assert_eq!(ids(&take(&broker, "paid").await), ["N"]);
}

#[tokio::test(start_paused = true)]
async fn any_producer_of_the_topic_is_asked_and_one_that_is_gone_is_not() {
    let broker = paid().await;
    // The sender itself is not there any more.
    let id = begin(&broker, "M").await;
    let mut streams = Vec::new();
    let topics = ["paid", "paid", "orders"];
    for (client, topic) in ["b", "c", "d"].into_iter().zip(topics) {
        streams.push(open(&broker, &broker.call_with("x-mq-client-id", client), producer(&[topic])).await);
    }
    broker.pass(FIRST_MS - 1000).await;
    for stream in &mut streams {
        assert_eq!(asked(stream).await, None, "too early");
    }
    let mut times = [0; 3];
    for _ in 0..4 {
        // Clients are heard of every few seconds.
        for (topic, stream) in topics.into_iter().zip(&mut streams) {
            stream.settle(producer(&[topic])).await.unwrap();
        }
        broker.pass(EVERY_MS).await;
        for (times, stream) in times.iter_mut().zip(&mut streams) {
            while let Some(command) = asked(stream).await {
                let asked_about = command.message.unwrap();
                assert_eq!(command.transaction_id, id);
                assert_eq!(ids(std::slice::from_ref(&asked_about)), ["M"]);
                assert_eq!(asked_about.body, message("M").body);
                *times += 1;
            }
        }
    }
    assert_eq!(times, [2, 2, 0], "they take turns");
    streams.remove(0);
    streams[0].settle(producer(&["paid"])).await.unwrap();
    broker.pass(2 * EVERY_MS).await;
    assert!(asked(&mut streams[0]).await.is_some() && asked(&mut streams[0]).await.is_some());
    assert_eq!(end(&broker, "M", &id, Resolution::Commit).await, Code::Ok);
    broker.pass(2 * EVERY_MS).await;
    assert_eq!(asked(&mut streams[0]).await, None, "it is decided");
    assert_eq!(ids(&take(&broker, "paid").await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_say_when_its_sender_is_asked_first() {
    let broker = paid().await;
    let mut stream = open(&broker, &broker.call(), producer(&["paid"])).await;
    let mut later = half("M");
    later.system_properties.as_mut().unwrap().orphaned_transaction_recovery_duration = duration(60_000);
    let reply = broker.send(vec![later]).await;
    broker.pass(59_000).await;
    assert_eq!(asked(&mut stream).await, None);
    broker.pass(2000).await;
    assert!(asked(&mut stream).await.is_some());
    // The reference server refuses a sender's own decision that comes after this time.
    let code = end(&broker, "M", &reply.entries[0].transaction_id, Resolution::Commit).await;
    assert_eq!(code, Code::Ok);
    let mut too_late = half("N");
    too_late.system_properties.as_mut().unwrap().orphaned_transaction_recovery_duration = duration(3_600_001);
    assert_eq!(code_of(broker.send(vec![too_late]).await.status.as_ref()), Code::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_decides_can_be_inspected_and_not_be_sent_to() {
    let broker = paid().await;
    let id = begin(&broker, "M").await;
    // Nobody is there to be asked.
    broker.pass(20 * EVERY_MS).await;
    assert_eq!(broker.group.open_transactions(), 1);
    let mut stream = open(&broker, &broker.call(), producer(&["paid"])).await;
    let alive = v2::HeartbeatRequest { client_type: v2::ClientType::Producer.into(), ..Default::default() };
    let mut questions = 0;
    while broker.group.open_transactions() > 0 {
        broker.pass(EVERY_MS).await;
        // Clients are heard of every few seconds.
        let _: v2::HeartbeatResponse = broker.unary(Method::Heartbeat, alive.clone()).await;
        questions += u64::from(asked(&mut stream).await.is_some());
    }
    assert_eq!(questions, CHECKS);
    assert_eq!(end(&broker, "M", &id, Resolution::Commit).await, Code::InvalidTransactionId);
    let name = "TRANS_CHECK_MAX_TIME_TOPIC";
    let aside = take(&broker, name).await;
    assert_eq!(ids(&aside), ["M"]);
    assert_eq!(system(&aside[0]).dead_letter_queue.as_ref().unwrap().topic, "paid");
    let sent = v2::Message { topic: resource(name), ..message("N") };
    assert_eq!(code_of(broker.send(vec![sent]).await.status.as_ref()), Code::IllegalTopic);
}

//! Bytes that nobody meant to send.

use bytes::{Bytes, BytesMut};
use gateway_grpc::call::Unanswered;
use gateway_grpc::handout::Handout;
use gateway_grpc::method::Method;
use gateway_grpc::rocketmq_admin::Rpc;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use wire::v2;

use crate::broker::{Broker, handle, message, resource, simple, tagged};

const ROUNDS: usize = 800;

/// Requests that are served, to be spoilt.
fn fair_requests(receipt: &str) -> Vec<Vec<u8>> {
    let entry =
        v2::AckMessageEntry { message_id: "M".into(), receipt_handle: receipt.into(), lite_topic: None };
    let ack =
        v2::AckMessageRequest { group: resource("billing"), topic: resource("orders"), entries: vec![entry] };
    let change = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: receipt.into(),
        invisible_duration: crate::broker::duration(1000),
        ..Default::default()
    };
    let route = v2::QueryRouteRequest { topic: resource("orders"), endpoints: None };
    let heartbeat = v2::HeartbeatRequest { group: resource("billing"), client_type: 2 };
    vec![
        v2::SendMessageRequest { messages: vec![message("A"), message("B")] }.encode_to_vec(),
        simple().encode_to_vec(),
        tagged("a || b").encode_to_vec(),
        ack.encode_to_vec(),
        change.encode_to_vec(),
        route.encode_to_vec(),
        heartbeat.encode_to_vec(),
    ]
}

async fn call(broker: &Broker, method: Method, request: Bytes) {
    let (call, mut out) = (broker.call(), BytesMut::new());
    let gateway = &broker.gateway;
    let answered = match method {
        Method::SendMessage => broker.drive(gateway.send_message(&call, request, &mut out)).await,
        Method::ReceiveMessage => {
            broker.drive(gateway.receive_message(&call, request, &mut out)).await.map(Handout::delivered)
        }
        Method::PullMessage => broker.drive(gateway.pull_message(&call, request, &mut out)).await,
        Method::AckMessage => broker.drive(gateway.ack_message(&call, request, &mut out)).await,
        Method::Telemetry => {
            let inbound = futures::stream::iter([Ok::<_, ()>(request)]);
            let mut replies = std::pin::pin!(gateway.telemetry(call, inbound));
            futures::StreamExt::next(&mut replies).await.transpose().map(drop).map_err(Unanswered::from)
        }
        Method::QueryRoute
        | Method::Heartbeat
        | Method::QueryAssignment
        | Method::ForwardMessageToDeadLetterQueue
        | Method::UpdateOffset
        | Method::GetOffset
        | Method::QueryOffset
        | Method::EndTransaction
        | Method::NotifyClientTermination
        | Method::ChangeInvisibleDuration
        | Method::RecallMessage
        | Method::SyncLiteSubscription
        | Method::Admin(_) => broker.drive(gateway.unary(method, &call, request, &mut out)).await,
    };
    if let Err(error) = answered {
        let is_invalid = matches!(&error, Unanswered::Failed(failed) if failed.code == 3);
        assert!(is_invalid, "{method:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_bytes_arrive_each_method_answers_or_says_invalid_argument() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    let fair = fair_requests(handle(&taken[0]));
    let mut methods = vec![
        Method::SendMessage,
        Method::ReceiveMessage,
        Method::AckMessage,
        Method::Telemetry,
        Method::QueryRoute,
        Method::QueryAssignment,
        Method::Heartbeat,
        Method::NotifyClientTermination,
        Method::ChangeInvisibleDuration,
        Method::ForwardMessageToDeadLetterQueue,
        Method::EndTransaction,
        Method::RecallMessage,
        Method::PullMessage,
        Method::UpdateOffset,
        Method::GetOffset,
        Method::QueryOffset,
    ];
    // A program without a log level has an answer of its own.
    let calls = Rpc::ALL.into_iter().filter(|rpc| *rpc != Rpc::ChangeLogLevel);
    methods.extend(calls.map(Method::Admin));
    let spoilt = (0..fair.len(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    let noise = prop::collection::vec(any::<u8>(), 0..64);
    let mut runner = TestRunner::deterministic();
    for round in 0..ROUNDS {
        let (which, at, byte, cut) = spoilt.new_tree(&mut runner).unwrap().current();
        let mut bytes = fair[which].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let noise = noise.new_tree(&mut runner).unwrap().current();
        let method = methods[round % methods.len()];
        call(&broker, method, bytes.into()).await;
        call(&broker, method, noise.into()).await;
    }
    broker.send_ok(vec![message("N")]).await;
}

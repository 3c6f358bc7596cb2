//! A leader that stops leading, and what its clients notice.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::channel::mpsc;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::{Absence, Place};
use http::Request;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use wire::v2::{self, ClientType, Code};

use crate::broker::{Broker, code_of, frames, message, only, push, simple};
use crate::member::{Log, Member, eventually, in_time, pair};
use crate::telemetry::{consumer, open};

fn send_of(id: &str) -> v2::SendMessageRequest {
    v2::SendMessageRequest { messages: vec![message(id)] }
}

#[tokio::test(start_paused = true)]
async fn streams_and_sessions_end_at_once() {
    let broker = Broker::start().await;
    let mut stream = open(&broker, &broker.call(), consumer(ClientType::PushConsumer)).await;
    let client = broker.gateway.clients().swap_remove(0);
    broker.leadership.set(Place::Nowhere(Absence::Electing));
    let error = in_time(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, 14, "{error}");
    assert!(stream.next().await.is_none() && client.ended());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_ends_at_once_with_no_message() {
    let broker = Broker::start().await;
    let began = broker.now_ms();
    let ended = async {
        while broker.gateway.figures().waiting_receives == 0 {
            tokio::task::yield_now().await;
        }
        broker.leadership.set(Place::Nowhere(Absence::Electing));
    };
    let (received, ()) = in_time(futures::future::join(broker.receive(simple()), ended)).await;
    assert_eq!(code_of(Some(&received.status)), Code::MessageNotFound);
    assert_eq!(broker.now_ms(), began, "no time has passed");
}

#[tokio::test]
async fn a_clients_connection_outlives_two_changes_of_the_leader() {
    let (log, leader, follower) = pair().await;
    let client = leader.client().await;
    for id in ["A", "B", "C"] {
        let sent: v2::SendMessageResponse = client.ask("SendMessage", &send_of(id)).await;
        assert_eq!(code_of(sent.status.as_ref()), Code::Ok);
        let (from, to) = if id == "A" { (&leader, &follower) } else { (&follower, &leader) };
        from.leadership.set(Place::Nowhere(Absence::Electing));
        to.leadership.set(log.here());
        from.leadership.set(to.there());
    }
    assert_eq!(log.stored(), 3);
}

#[tokio::test]
async fn a_client_without_a_session_is_served_by_the_new_leader() {
    let (log, leader, follower) = pair().await;
    let client = follower.client().await;
    let beat = v2::HeartbeatRequest { group: crate::broker::resource("billing"), client_type: 2 };
    let _: v2::HeartbeatResponse = client.ask("Heartbeat", &beat).await;
    leader.leadership.set(Place::Nowhere(Absence::Electing));
    follower.leadership.set(log.here());
    let _: v2::SendMessageResponse = client.ask("SendMessage", &send_of("A")).await;
    for request in [simple(), push()] {
        let (bytes, _) = client.call("ReceiveMessage", &request).await;
        let replies = frames::<v2::ReceiveMessageResponse>(&bytes);
        let _: v2::SendMessageResponse = client.ask("SendMessage", &send_of("B")).await;
        assert_eq!(replies.len(), 3, "status, the message, time");
    }
}

#[tokio::test]
async fn a_group_that_is_no_longer_led_is_let_go_whatever_clients_do() {
    let member = Member::start(GatewayConfig::default()).await;
    let log = Log::start().await;
    let others = Arc::strong_count(&log.broker.group);
    member.leadership.set(log.here());
    let client = member.client().await;
    // A stream whose replies nobody reads, and a send whose message does not come.
    let (settings, _reply) = client.telemetry().await;
    settings.unbounded_send(crate::relay::settings()).unwrap();
    let (rest, body) = mpsc::unbounded();
    rest.unbounded_send(Bytes::from_static(&[0, 0, 0, 1, 0, 7])).unwrap();
    let slow = client.clone();
    let sending = tokio::spawn(async move { slow.any(streamed(body)).await });
    let gateway = member.leadership.gateway().unwrap();
    eventually(|| gateway.clients().len() == 1).await;
    drop(gateway);
    member.leadership.set(Place::Nowhere(Absence::Electing));
    in_time(eventually(|| Arc::strong_count(&log.broker.group) == others)).await;
    drop(rest);
    sending.abort();
}

#[tokio::test]
async fn a_send_whose_message_arrives_after_the_change_is_stored_by_the_new_leader() {
    let (former, leader, follower) = pair().await;
    let next = Log::start().await;
    let client = leader.client().await;
    let (rest, body) = mpsc::unbounded();
    let mut framed = BytesMut::new();
    wire::frame::put(&mut framed, &send_of("M"));
    rest.unbounded_send(framed.split_to(9).freeze()).unwrap();
    let sending = client.clone();
    let sent = tokio::spawn(async move { sending.any(streamed(body)).await });
    // Answered after the send was begun: requests of one connection are taken in turn.
    let route = v2::QueryRouteRequest { topic: crate::broker::resource("orders"), endpoints: None };
    let _: v2::QueryRouteResponse = client.ask("QueryRoute", &route).await;
    leader.leadership.set(Place::Nowhere(Absence::Electing));
    follower.leadership.set(next.here());
    leader.leadership.set(follower.there());
    rest.unbounded_send(framed.freeze()).unwrap();
    drop(rest);
    let (frame, status) = crate::network::whole(in_time(sent).await.unwrap()).await;
    let reply: v2::SendMessageResponse = only(&frame);
    assert_eq!((code_of(reply.status.as_ref()), status.as_str()), (Code::Ok, "0"));
    assert_eq!((former.stored(), next.stored()), (0, 1));
}

/// A send whose body comes piece by piece.
fn streamed(body: mpsc::UnboundedReceiver<Bytes>) -> Request<UnsyncBoxBody<Bytes, Infallible>> {
    let request = crate::network::request("127.0.0.1:1".parse().unwrap(), "SendMessage", &send_of(""));
    let body = StreamBody::new(body.map(|bytes| Ok(Frame::data(bytes))));
    request.map(|_| body.boxed_unsync())
}

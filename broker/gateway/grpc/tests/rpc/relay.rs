//! Calls that reach a member which does not lead.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::{Absence, LeaderAddress, Place};
use http_body_util::BodyExt;
use wire::admin;
use wire::v2::{self, ClientType, Code, telemetry_command::Command};

use crate::broker::{code_of, duration, frames, handle, message, only, resource, simple};
use crate::member::{Client, Log, Member, eventually, in_time, pair, scripted};

fn send_of(ids: &[&str]) -> v2::SendMessageRequest {
    v2::SendMessageRequest { messages: ids.iter().map(|id| message(id)).collect() }
}

async fn send(client: &Client, id: &str) -> v2::SendMessageResponse {
    client.ask("SendMessage", &send_of(&[id])).await
}

async fn receive(client: &Client, request: v2::ReceiveMessageRequest) -> Vec<v2::Message> {
    let (bytes, status) = client.call("ReceiveMessage", &request).await;
    assert_eq!(status, "0");
    let replies = frames::<v2::ReceiveMessageResponse>(&bytes).into_iter();
    let message = |reply: v2::ReceiveMessageResponse| match reply.content {
        Some(v2::receive_message_response::Content::Message(message)) => Some(message),
        _ => None,
    };
    replies.filter_map(message).collect()
}

pub(crate) fn settings() -> Bytes {
    let settings = crate::telemetry::consumer(ClientType::PushConsumer);
    let command = v2::TelemetryCommand { status: None, command: Some(Command::Settings(settings)) };
    let mut framed = BytesMut::new();
    wire::frame::put(&mut framed, &command);
    framed.freeze()
}

/// The next DATA of a reply.
async fn data(body: &mut hyper::body::Incoming) -> Bytes {
    in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap()
}

/// The gRPC status that a reply ends with.
async fn status(mut body: hyper::body::Incoming) -> String {
    loop {
        let frame = in_time(body.frame()).await.expect("a reply ends with trailers").unwrap();
        if let Some(trailers) = frame.trailers_ref() {
            return trailers["grpc-status"].to_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn a_follower_serves_the_life_of_a_message_as_the_leader_does() {
    let (log, _leader, follower) = pair().await;
    let client = follower.client().await;
    let sent = send(&client, "M").await;
    assert_eq!((code_of(sent.status.as_ref()), sent.entries.len()), (Code::Ok, 1));
    let taken = receive(&client, simple()).await;
    let change = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&taken[0]).into(),
        invisible_duration: duration(20_000),
        ..Default::default()
    };
    let changed: v2::ChangeInvisibleDurationResponse = client.ask("ChangeInvisibleDuration", &change).await;
    assert_eq!(code_of(changed.status.as_ref()), Code::Ok);
    let entry = v2::AckMessageEntry { receipt_handle: changed.receipt_handle, ..Default::default() };
    let ack =
        v2::AckMessageRequest { group: resource("billing"), topic: resource("orders"), entries: vec![entry] };
    let acked: v2::AckMessageResponse = client.ask("AckMessage", &ack).await;
    assert_eq!((code_of(acked.status.as_ref()), log.broker.lag()), (Code::Ok, 0));
    assert_eq!(follower.leadership.figures().relayed, 4);
}

#[tokio::test]
async fn a_follower_relays_every_other_call_with_the_address_dialled_and_the_clients_own() {
    let (_log, leader, follower) = pair().await;
    let client = follower.client().await;
    let route: v2::QueryRouteResponse =
        client.ask("QueryRoute", &v2::QueryRouteRequest { topic: resource("orders"), endpoints: None }).await;
    let endpoints = route.message_queues[0].broker.clone().unwrap().endpoints.unwrap();
    let named = format!("{}:{}", endpoints.addresses[0].host, endpoints.addresses[0].port);
    assert_eq!(named, follower.address.client, "the client dialled the follower");
    let beat = v2::HeartbeatRequest { group: resource("billing"), client_type: 2 };
    let beaten: v2::HeartbeatResponse = client.ask("Heartbeat", &beat).await;
    assert_eq!(code_of(beaten.status.as_ref()), Code::Ok);
    let known = leader.leadership.gateway().unwrap().clients();
    assert_eq!((known.len(), known[0].profile().remote), (1, client.local));
    let assignment: v2::QueryAssignmentResponse = client
        .ask(
            "QueryAssignment",
            &v2::QueryAssignmentRequest {
                topic: resource("orders"),
                group: resource("billing"),
                endpoints: None,
            },
        )
        .await;
    assert_eq!(assignment.assignments.len(), 1);
    let ended: v2::NotifyClientTerminationResponse =
        client.ask("NotifyClientTermination", &v2::NotifyClientTerminationRequest::default()).await;
    assert_eq!(code_of(ended.status.as_ref()), Code::Ok);
    assert!(leader.leadership.gateway().unwrap().clients().is_empty());
}

#[tokio::test]
async fn a_telemetry_stream_through_a_follower_is_answered_frame_by_frame() {
    let (_log, _leader, follower) = pair().await;
    let (send, reply) = follower.client().await.telemetry().await;
    let mut body = reply.into_body();
    for _ in 0..3 {
        send.unbounded_send(settings()).unwrap();
        let told: v2::TelemetryCommand = only(&data(&mut body).await);
        assert_eq!(code_of(told.status.as_ref()), Code::Ok);
    }
    drop(send);
    assert_eq!(status(body).await, "0");
}

#[tokio::test]
async fn frames_of_a_reply_arrive_before_the_reply_ends() {
    let (leader, frames, _serving) = scripted().await;
    let follower = Member::start(GatewayConfig::default()).await;
    follower.leadership.set(Place::There(Arc::new(leader)));
    let client = follower.client().await;
    let waiting = tokio::spawn(async move { client.begin("ReceiveMessage", &simple()).await.into_body() });
    let mut body = in_time(waiting).await.unwrap();
    for frame in ["one", "two"] {
        frames.unbounded_send(frame.into()).unwrap();
        assert_eq!(data(&mut body).await, frame);
    }
    drop(frames);
    assert_eq!(status(body).await, "14", "a reply without a status is told to be lost");
}

#[tokio::test]
async fn the_admin_api_of_a_follower_changes_the_leader_and_tells_about_itself() {
    let (log, leader, follower) = pair().await;
    let client = Client::connect(&follower.address.admin).await;
    let topic = admin::Topic { name: "new".into(), r#type: 1, queues: 1, ..Default::default() };
    let apply = admin::ApplyTopicsRequest { topics: vec![topic], adopt: 0 };
    let applied: admin::ApplyResponse = client.administer("ApplyTopics", &apply).await;
    assert_eq!(applied.results[0].code(), admin::Code::Created);
    assert!(log.broker.group.topic("new").is_some());
    let about = |client: Client| async move {
        client.administer::<admin::GetBrokerResponse>("GetBroker", &admin::GetBrokerRequest {}).await
    };
    let told = about(client.clone()).await;
    assert_eq!((told.state.as_str(), told.log_written), ("following", 0));
    follower.leadership.keep(&log.broker.group);
    let told = about(client).await;
    assert_eq!((told.state.as_str(), told.epoch), ("following", 1));
    let told = about(Client::connect(&leader.address.admin).await).await;
    assert_eq!(told.state, "serving");
}

#[tokio::test]
async fn held_calls_go_on_when_a_leader_is_found_here_or_elsewhere() {
    let log = Log::start().await;
    let config = GatewayConfig::default;
    let (one, other) = (Member::start(config()).await, Member::start(config()).await);
    let (client, theirs) = (one.client().await, other.client().await);
    let held = tokio::spawn(async move { send(&client, "A").await });
    let held_elsewhere = tokio::spawn(async move { send(&theirs, "B").await });
    one.holds(1).await;
    other.holds(1).await;
    one.leadership.set(Place::Nowhere(Absence::Electing));
    one.leadership.set(log.here());
    other.leadership.set(one.there());
    for reply in [in_time(held).await.unwrap(), in_time(held_elsewhere).await.unwrap()] {
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    }
    assert_eq!(log.stored(), 2, "each was stored once");
    one.holds(0).await;
    other.holds(0).await;
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_holds_calls_until_another_one_leads() {
    let (log, gone, follower) = pair().await;
    gone.kill();
    let next = Member::start(GatewayConfig::default()).await;
    let client = follower.client().await;
    let held = tokio::spawn(async move { send(&client, "M").await });
    follower.holds(1).await;
    next.leadership.set(log.here());
    follower.leadership.set(next.there());
    assert_eq!(code_of(in_time(held).await.unwrap().status.as_ref()), Code::Ok);
    assert_eq!(log.stored(), 1, "stored once");
}

#[tokio::test]
async fn a_leader_that_comes_back_at_its_address_is_found_again() {
    let (log, leader, follower) = pair().await;
    let client = follower.client().await;
    send(&client, "A").await;
    let mut end = client.telemetry().await.1.into_body();
    leader.kill();
    while in_time(end.frame()).await.is_some() {}
    let held = tokio::spawn(async move { send(&client, "B").await });
    follower.holds(1).await;
    let again = Member::start_on(&leader.address.client, GatewayConfig::default()).await;
    again.leadership.set(log.here());
    assert_eq!(code_of(in_time(held).await.unwrap().status.as_ref()), Code::Ok);
    assert_eq!(log.stored(), 2);
}

#[tokio::test]
async fn a_call_to_a_leader_that_falls_silent_ends_although_no_other_one_leads() {
    // It takes the connection and whatever is sent, and is not heard of again.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = silent.local_addr().unwrap().to_string();
    let follower = Member::start(GatewayConfig::default()).await;
    let leader = LeaderAddress { member: 9, client, admin: String::new() };
    follower.leadership.set(Place::There(Arc::new(leader)));
    let (_, status) = in_time(follower.client().await.call("SendMessage", &send_of(&["M"]))).await;
    assert_eq!(status, "14", "whether it was stored is not known");
    follower.holds(0).await;
}

#[tokio::test]
async fn a_client_that_vanishes_behind_a_follower_takes_no_message_with_it() {
    let (_log, leader, follower) = pair().await;
    let vanishing = follower.client().await;
    let hour = v2::ReceiveMessageRequest { invisible_duration: duration(3_600_000), ..simple() };
    let waiting = tokio::spawn(async move { vanishing.begin("ReceiveMessage", &hour).await });
    let gateway = leader.leadership.gateway().unwrap();
    eventually(|| gateway.figures().waiting_receives == 1).await;
    waiting.abort();
    eventually(|| gateway.figures().waiting_receives == 0).await;
    let client = follower.client().await;
    send(&client, "M").await;
    assert_eq!(receive(&client, simple()).await.len(), 1);
}

/// Each believes that the other one leads.
async fn at_cross_purposes(hold_ms_max: u64) -> [Member; 2] {
    let config = || GatewayConfig { hold_ms_max, ..GatewayConfig::default() };
    let (one, other) = (Member::start(config()).await, Member::start(config()).await);
    one.leadership.set(other.there());
    other.leadership.set(one.there());
    [one, other]
}

#[tokio::test]
async fn members_that_point_at_each_other_try_again_and_never_relay_back() {
    let [one, other] = at_cross_purposes(3_600_000).await;
    let client = one.client().await;
    let held = tokio::spawn(async move { send(&client, "M").await });
    eventually(|| one.leadership.figures().relayed > 2).await;
    assert_eq!(other.leadership.figures().relayed, 0);
    let log = Log::start().await;
    other.leadership.set(log.here());
    assert_eq!(code_of(in_time(held).await.unwrap().status.as_ref()), Code::Ok);
    assert_eq!(log.stored(), 1, "stored once");
}

#[tokio::test]
async fn members_that_point_at_each_other_refuse_each_message_in_the_end() {
    let [one, _other] = at_cross_purposes(50).await;
    let client = one.client().await;
    let reply: v2::SendMessageResponse = client.ask("SendMessage", &send_of(&["A", "B"])).await;
    let status = reply.status.as_ref().unwrap();
    assert_eq!(code_of(Some(status)), Code::HaNotAvailable);
    assert!(status.message.contains("group `g0`") && status.message.contains("election"), "{status:?}");
    let codes: Vec<_> = reply.entries.iter().map(|entry| code_of(entry.status.as_ref())).collect();
    assert_eq!(codes, [Code::HaNotAvailable; 2]);
}

#[tokio::test]
async fn calls_over_the_limit_are_refused_at_once_and_held_ones_before_their_deadline() {
    let config = GatewayConfig { held_max: 2, ..GatewayConfig::default() };
    let member = Member::start(config).await;
    let client = member.client().await;
    let began = tokio::time::Instant::now();
    let held: Vec<_> = ["A", "B"].map(|id| tokio::spawn(with_timeout(client.clone(), id, "900m"))).into();
    member.holds(2).await;
    let over = send(&client, "C").await;
    assert_eq!(code_of(over.status.as_ref()), Code::TooManyRequests);
    for reply in held {
        assert_eq!(code_of(in_time(reply).await.unwrap().status.as_ref()), Code::HaNotAvailable);
    }
    let took_ms = began.elapsed().as_millis();
    assert!((600..5000).contains(&took_ms), "{took_ms} ms, 700 were to be held");
    member.holds(0).await;
}

async fn with_timeout(client: Client, id: &'static str, timeout: &'static str) -> v2::SendMessageResponse {
    let mut request = crate::network::request("127.0.0.1:1".parse().unwrap(), "SendMessage", &send_of(&[id]));
    request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    let body = |body: http_body_util::Full<Bytes>| body.map_err(|never: Infallible| never).boxed_unsync();
    only(&in_time(crate::network::whole(client.any(request.map(body)).await)).await.0)
}

#[tokio::test]
async fn every_method_is_refused_in_its_own_shape_while_nobody_leads() {
    let config = GatewayConfig { hold_ms_max: 0, ..GatewayConfig::default() };
    let member = Member::start(config).await;
    let client = member.client().await;
    let methods = [
        "QueryRoute",
        "Heartbeat",
        "SendMessage",
        "QueryAssignment",
        "ReceiveMessage",
        "AckMessage",
        "ForwardMessageToDeadLetterQueue",
        "PullMessage",
        "UpdateOffset",
        "GetOffset",
        "QueryOffset",
        "EndTransaction",
        "NotifyClientTermination",
        "ChangeInvisibleDuration",
        "RecallMessage",
        "SyncLiteSubscription",
    ];
    for method in methods {
        let (bytes, status) = client.call(method, &v2::HeartbeatRequest::default()).await;
        assert_eq!(status, "0", "{method}");
        // Field 1 of every reply is its status.
        let first = frames::<v2::HeartbeatResponse>(&bytes).swap_remove(0);
        assert_eq!(code_of(first.status.as_ref()), Code::HaNotAvailable, "{method}");
    }
    assert_eq!(client.call("Telemetry", &v2::TelemetryCommand::default()).await.1, "14");
}

#[tokio::test]
async fn calls_of_a_leader_that_dies_are_told_that_their_outcome_is_unknown() {
    let (_log, leader, follower) = pair().await;
    let client = follower.client().await;
    let (settle, telemetry) = client.telemetry().await;
    let mut telemetry = telemetry.into_body();
    settle.unbounded_send(settings()).unwrap();
    data(&mut telemetry).await;
    let poll = client.clone();
    let waiting = tokio::spawn(async move { poll.begin("ReceiveMessage", &simple()).await });
    let gateway = leader.leadership.gateway().unwrap();
    eventually(|| gateway.figures().waiting_receives == 1).await;
    leader.kill();
    let lost = in_time(waiting).await.unwrap();
    assert_eq!(lost.headers()["grpc-status"], "14");
    let text = lost.headers()["grpc-message"].to_str().unwrap();
    assert!(text.contains("outcome unknown"), "{text}");
    assert_eq!(status(telemetry).await, "14");
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_given_up_when_another_one_leads() {
    let (silent, _frames, _serving) = scripted().await;
    let (log, leader, follower) = pair().await;
    follower.leadership.set(Place::There(Arc::new(silent)));
    let client = follower.client().await;
    // The script has one reply, and this takes it.
    let begun = client.begin("ReceiveMessage", &simple()).await;
    let poll = client.clone();
    let unanswered = tokio::spawn(async move { poll.begin("ReceiveMessage", &simple()).await });
    eventually(|| follower.leadership.figures().relayed == 2).await;
    follower.leadership.set(leader.there());
    assert_eq!(in_time(unanswered).await.unwrap().headers()["grpc-status"], "14");
    assert_eq!(status(begun.into_body()).await, "14");
    assert_eq!(code_of(send(&client, "M").await.status.as_ref()), Code::Ok, "on the same connection");
    assert_eq!(log.stored(), 1);
}

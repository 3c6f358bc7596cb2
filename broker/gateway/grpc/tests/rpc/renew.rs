use gateway_grpc::call::Call;
use gateway_grpc::method::Method;
use wire::v2::{self, ClientType, Code};

use crate::broker::{Broker, code_of, handle, ids, message, push, resource, system};

const MINUTE_MS: u64 = 60_000;

async fn heartbeat(broker: &Broker, call: &Call) {
    let request =
        v2::HeartbeatRequest { group: resource("billing"), client_type: ClientType::PushConsumer.into() };
    let reply: v2::HeartbeatResponse = broker.unary_as(call, Method::Heartbeat, request).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
}

/// Lets time pass with a heartbeat every ten seconds.
async fn live(broker: &Broker, ms: u64) {
    for _ in 0..ms / 10_000 {
        broker.pass(10_000).await;
        heartbeat(broker, &broker.call()).await;
    }
}

async fn terminate(broker: &Broker, call: &Call) -> Code {
    let request = v2::NotifyClientTerminationRequest { group: resource("billing") };
    let reply: v2::NotifyClientTerminationResponse =
        broker.unary_as(call, Method::NotifyClientTermination, request).await;
    code_of(reply.status.as_ref())
}

/// Another member of the group, to see what is free.
fn other(broker: &Broker) -> Call {
    Call { remote: "10.0.0.2:40000".parse().unwrap(), ..broker.call_with("x-mq-client-id", "b") }
}

/// What another member gets when it waits 5 s.
async fn free(broker: &Broker) -> Vec<v2::Message> {
    let received = broker.receive_as(&other(broker), push()).await;
    received.handout.delivered();
    received.messages
}

#[tokio::test(start_paused = true)]
async fn a_living_client_keeps_its_message_and_acks_it_with_the_first_handle() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(push()).await;
    live(&broker, 30 * MINUTE_MS).await;
    assert!(free(&broker).await.is_empty());
    let reply = broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    assert_eq!((broker.lag(), broker.gateway.held_count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_kept_for_3_hours_at_most() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    broker.take(push()).await;
    live(&broker, 180 * MINUTE_MS).await;
    live(&broker, MINUTE_MS).await;
    let again = free(&broker).await;
    assert_eq!((ids(&again), system(&again[0]).delivery_attempt), (vec!["M"], Some(2)));
}

#[tokio::test(start_paused = true)]
async fn what_a_terminated_client_held_is_free_after_a_second() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    broker.take(push()).await;
    assert_eq!(terminate(&broker, &broker.call()).await, Code::Ok);
    let before_ms = broker.now_ms();
    assert_eq!(ids(&free(&broker).await), ["M"]);
    assert!((900..=2100).contains(&(broker.now_ms() - before_ms)));
    assert!(broker.gateway.clients().iter().all(|client| client.client_id != "a"));
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_client_held_is_free_after_two_minutes() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    broker.take(push()).await;
    broker.pass(115_000).await;
    assert_eq!(broker.gateway.held_count(), 1);
    assert!(free(&broker).await.is_empty(), "it may still come back");
    broker.pass(2000).await;
    assert_eq!(ids(&free(&broker).await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn a_farewell_of_another_client_with_the_same_id_takes_nothing_away() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let _stream =
        crate::telemetry::open(&broker, &broker.call(), crate::telemetry::consumer(ClientType::PushConsumer))
            .await;
    broker.take(push()).await;
    let twin = Call { remote: "10.0.0.9:40000".parse().unwrap(), ..broker.call() };
    assert_eq!(terminate(&broker, &twin).await, Code::Ok);
    live(&broker, 2 * MINUTE_MS).await;
    assert!(free(&broker).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_lost_with_its_connection_comes_again_though_the_client_lives() {
    for (lived_ms, comes_again) in [(0, true), (50_000, true), (60_000, false)] {
        let broker = Broker::start().await;
        broker.send_ok(vec![message("M")]).await;
        let call = broker.call();
        let received = broker.receive_as(&call, push()).await;
        assert_eq!(ids(&received.messages), ["M"]);
        received.handout.delivered();
        live(&broker, lived_ms).await;
        call.connection.end(broker.now_ms());
        // Renewed once at most before that.
        live(&broker, 2 * MINUTE_MS).await;
        assert_eq!(ids(&free(&broker).await), ["M"; 1][..usize::from(comes_again)], "after {lived_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_decides_when_a_message_comes_back_and_renewing_does_not_undo_it() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(push()).await;
    let request = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&taken[0]).into(),
        invisible_duration: crate::broker::duration(3000),
        ..Default::default()
    };
    let changed: v2::ChangeInvisibleDurationResponse =
        broker.unary(Method::ChangeInvisibleDuration, request).await;
    assert_eq!(code_of(changed.status.as_ref()), Code::Ok);
    live(&broker, 40_000).await;
    assert_eq!(ids(&free(&broker).await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_never_heard_of_cannot_say_farewell() {
    let broker = Broker::start().await;
    assert_eq!(terminate(&broker, &broker.call()).await, Code::UnrecognizedClientType);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_kinds_that_do_not_exist_are_refused_and_others_taken_in() {
    let broker = Broker::start().await;
    for (number, code) in [
        (1, Code::Ok),
        (2, Code::Ok),
        (3, Code::Ok),
        (4, Code::Ok),
        (5, Code::Ok),
        (0, Code::UnrecognizedClientType),
        (77, Code::UnrecognizedClientType),
    ] {
        let request = v2::HeartbeatRequest { group: resource("billing"), client_type: number };
        let reply: v2::HeartbeatResponse = broker.unary(Method::Heartbeat, request).await;
        assert_eq!(code_of(reply.status.as_ref()), code, "{number}");
    }
}

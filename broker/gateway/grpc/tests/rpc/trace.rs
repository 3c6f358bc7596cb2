//! Finding messages and telling what became of them, through the administration protocol.

use std::sync::Arc;

use gateway_grpc::admin::AdminService;
use gateway_grpc::method::Method;
use tonic::{Request, Response, Status};
use wire::admin::admin_server::Admin;
use wire::admin::{self, Code, TraceState, TraceWhat};
use wire::v2;

use crate::broker::{Broker, START_MS, handle, message, resource, simple, system};

fn service(broker: &Broker) -> AdminService {
    AdminService::new(Arc::clone(&broker.leadership), Arc::clone(&broker.mailbox), Arc::new(|| 5))
}

async fn done<R>(broker: &Broker, call: impl Future<Output = Result<Response<R>, Status>>) -> R {
    broker.drive(call).await.unwrap().into_inner()
}

async fn find(broker: &Broker, request: admin::FindMessagesRequest) -> admin::FindMessagesResponse {
    done(broker, service(broker).find_messages(Request::new(request))).await
}

fn of_topic(topic: &str) -> admin::FindMessagesRequest {
    admin::FindMessagesRequest { topic: topic.into(), ..Default::default() }
}

fn found(answer: &admin::FindMessagesResponse) -> Vec<&str> {
    assert_eq!(answer.result.as_ref().unwrap().code(), Code::Unchanged, "{answer:?}");
    answer.messages.iter().map(|message| message.message_id.as_str()).collect()
}

/// A message of `orders` with a tag and two keys.
fn keyed(id: &str, key: &str) -> v2::Message {
    let system = v2::SystemProperties {
        tag: Some("new".into()),
        keys: vec![key.into(), "both".into()],
        ..message(id).system_properties.unwrap()
    };
    v2::Message { system_properties: Some(system), ..message(id) }
}

/// The whole history of the only message with this id.
async fn trace(broker: &Broker, id: &str) -> admin::TraceMessageResponse {
    let request = admin::FindMessagesRequest { message_id: id.into(), ..Default::default() };
    let answer = find(broker, request).await;
    assert_eq!(found(&answer), [id]);
    let (position, bytes) = (answer.messages[0].position, answer.messages[0].bytes);
    let request = admin::TraceMessageRequest { position, bytes, number: 0, scroll: Vec::new().into() };
    let answer = done(broker, service(broker).trace_message(Request::new(request))).await;
    assert!(answer.scroll.is_empty() && answer.damaged == 0, "{answer:?}");
    assert_eq!(answer.message.as_ref().unwrap().message_id, id);
    answer
}

/// What happened, to which consumer group and client, which time.
fn told(answer: &admin::TraceMessageResponse) -> Vec<(TraceWhat, &str, &str, u32)> {
    let event = |event: &'_ admin::TraceEvent| event.what();
    let events = answer.events.iter();
    events.map(|e| (event(e), e.consumer_group.as_str(), e.client_id.as_str(), e.attempt)).collect()
}

async fn tracing_group(broker: &Broker, name: &str) {
    let retry = admin::RetryPolicy { max_attempts: 5, custom_ms: vec![1000], ..Default::default() };
    let group =
        admin::ConsumerGroup { name: name.into(), retry: Some(retry), trace: true, ..Default::default() };
    let request = admin::ApplyConsumerGroupsRequest { groups: vec![group], adopt: 0 };
    let applied = done(broker, service(broker).apply_consumer_groups(Request::new(request))).await;
    assert_eq!(applied.results[0].code(), Code::Created);
}

fn by(group: &str) -> v2::ReceiveMessageRequest {
    v2::ReceiveMessageRequest { group: resource(group), ..simple() }
}

#[tokio::test(start_paused = true)]
async fn messages_are_found_by_id_key_and_time_and_told_as_they_were_sent() {
    let broker = Broker::start().await;
    broker.topic("others", 1).await;
    broker.send_ok(vec![keyed("A", "k1")]).await;
    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    broker.send_ok(vec![keyed("B", "k2")]).await;
    broker.send_ok(vec![v2::Message { topic: resource("others"), ..keyed("C", "k1") }]).await;
    let all = find(&broker, of_topic("")).await;
    assert_eq!((found(&all), all.next_before, all.damaged), (vec!["C", "B", "A"], 0, 0));
    assert_eq!(all.kept_from_ms, START_MS);
    assert_eq!(found(&find(&broker, of_topic("orders")).await), ["B", "A"]);
    let key = |topic: &str, key: &str| admin::FindMessagesRequest { key: key.into(), ..of_topic(topic) };
    assert_eq!(found(&find(&broker, key("", "k1")).await), ["C", "A"]);
    assert_eq!(found(&find(&broker, key("orders", "both")).await), ["B", "A"]);
    assert!(found(&find(&broker, key("orders", "k")).await).is_empty());
    let middle = START_MS + 30_000;
    let early = admin::FindMessagesRequest { to_ms: middle, ..of_topic("") };
    let late = admin::FindMessagesRequest { from_ms: middle, ..of_topic("orders") };
    assert_eq!(found(&find(&broker, early).await), ["A"]);
    assert_eq!(found(&find(&broker, late).await), ["B"]);

    let by_id = admin::FindMessagesRequest { message_id: "A".into(), ..Default::default() };
    let answer = find(&broker, by_id).await;
    let message = &answer.messages[0];
    assert_eq!((message.topic.as_str(), message.offset, message.stored_ms), ("orders", Some(0), START_MS));
    assert_eq!(
        (message.tag.as_deref(), &*message.keys),
        (Some("new"), &["k1".to_owned(), "both".to_owned()][..])
    );
    assert_eq!(message.properties["colour"], "blue");
    assert_eq!((message.born_ms, message.born_host.is_empty()), (START_MS, false));
}

#[tokio::test(start_paused = true)]
async fn pages_go_on_where_the_one_before_ended() {
    let broker = Broker::start().await;
    for number in 0..10 {
        broker.send_ok(vec![message(&format!("m{number}"))]).await;
    }
    let (mut all, mut before) = (Vec::new(), 0);
    loop {
        let page = find(&broker, admin::FindMessagesRequest { limit: 3, before, ..of_topic("orders") }).await;
        assert!(page.messages.len() <= 3);
        all.extend(found(&page).into_iter().map(str::to_owned));
        before = page.next_before;
        if before == 0 {
            break;
        }
    }
    assert_eq!(all, (0..10).rev().map(|number| format!("m{number}")).collect::<Vec<_>>());
}

/// A request of somebody who does not wait.
fn hurried<M>(request: M) -> Request<M> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("grpc-timeout", "0m".parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_deadline_says_where_to_go_on() {
    let broker = Broker::start().await;
    for number in 0..4 {
        let large = v2::Message { body: vec![7; 3 << 20].into(), ..message(&format!("m{number}")) };
        broker.send_ok(vec![large]).await;
    }
    let (mut all, mut before, mut calls) = (Vec::new(), 0, 0);
    loop {
        let request = hurried(admin::FindMessagesRequest { before, ..of_topic("") });
        let page = done(&broker, service(&broker).find_messages(request)).await;
        all.extend(found(&page).into_iter().map(str::to_owned));
        (before, calls) = (page.next_before, calls + 1);
        if before == 0 {
            break;
        }
    }
    assert!(calls > 1);
    assert_eq!(all, ["m3", "m2", "m1", "m0"]);

    let first = find(&broker, admin::FindMessagesRequest { message_id: "m0".into(), ..of_topic("") }).await;
    let (position, bytes) = (first.messages[0].position, first.messages[0].bytes);
    let mut request = admin::TraceMessageRequest { position, bytes, ..Default::default() };
    let mut events = 0;
    for call in 1.. {
        let request_now = hurried(request.clone());
        let answer = done(&broker, service(&broker).trace_message(request_now)).await;
        events += answer.events.len();
        assert_eq!(answer.message.is_some(), call == 1);
        request.scroll = answer.scroll;
        if request.scroll.is_empty() {
            assert!(call > 1);
            break;
        }
    }
    assert_eq!(events, 1, "it was stored, and nothing else");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_makes_no_sense_is_told_what_is_wrong() {
    let broker = Broker::start().await;
    let both = admin::FindMessagesRequest { message_id: "A".into(), key: "k".into(), ..of_topic("") };
    let inverted = admin::FindMessagesRequest { from_ms: 5, to_ms: 5, ..of_topic("") };
    let greedy = admin::FindMessagesRequest { limit: 1001, ..of_topic("") };
    let wrong = [
        (of_topic("nowhere"), Code::NotFound, "nowhere"),
        (both, Code::Invalid, "not by both"),
        (inverted, Code::Invalid, "from 5 on and before 5"),
        (greedy, Code::Invalid, "1001"),
    ];
    for (request, code, text) in wrong {
        let result = find(&broker, request).await.result.unwrap();
        assert!(result.code() == code && result.message.contains(text), "{result:?}");
    }
    let trace = |position, bytes, scroll: &'static [u8]| {
        let request = admin::TraceMessageRequest { position, bytes, number: 0, scroll: scroll.into() };
        let service = service(&broker);
        let broker = &broker;
        async move { done(broker, service.trace_message(Request::new(request))).await.result.unwrap() }
    };
    assert_eq!(trace(1 << 40, 100, b"").await.code(), Code::NotFound);
    assert_eq!(trace(8, u32::MAX, b"").await.code(), Code::Invalid);
    broker.send_ok(vec![message("A")]).await;
    let place = find(&broker, of_topic("")).await.messages[0].clone();
    assert_eq!(trace(place.position, place.bytes, b"\xff").await.code(), Code::Invalid);
}

#[tokio::test(start_paused = true)]
async fn a_history_names_groups_clients_and_attempts() {
    let broker = Broker::start().await;
    tracing_group(&broker, "tracing").await;
    broker.send_ok(vec![message("A")]).await;
    let first = broker.take(by("tracing")).await;
    assert_eq!(system(&first[0]).delivery_attempt, Some(1));
    broker.write();
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    let received = broker.receive_as(&broker.call_with("x-mq-client-id", "b"), by("tracing")).await;
    received.handout.delivered();
    let held = trace(&broker, "A").await;
    let standing = &held.standings[0];
    assert_eq!((standing.consumer_group.as_str(), standing.state()), ("tracing", TraceState::Held));
    assert_eq!((standing.attempts, standing.until_ms), (2, broker.now_ms() + 10_000));
    broker.ack("tracing", &[handle(&received.messages[0])]).await;
    let second = broker.take(by("billing")).await;
    let forward = v2::ForwardMessageToDeadLetterQueueRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&second[0]).into(),
        message_id: "A".into(),
        delivery_attempt: 1,
        max_delivery_attempts: 3,
        ..Default::default()
    };
    let _: v2::ForwardMessageToDeadLetterQueueResponse =
        broker.unary(Method::ForwardMessageToDeadLetterQueue, forward).await;
    let answer = trace(&broker, "A").await;
    let wanted = [
        (TraceWhat::Stored, "", "", 0),
        (TraceWhat::Delivered, "tracing", "a", 1),
        (TraceWhat::Delivered, "tracing", "b", 2),
        (TraceWhat::Done, "tracing", "", 0),
        (TraceWhat::DeadLettered, "billing", "", 1),
    ];
    assert_eq!(told(&answer), wanted);
    assert_eq!(answer.events[4].topic, "%DLQ%billing");
    assert_eq!(&answer.body[..], b"body of A");
    let letters = find(&broker, of_topic("%DLQ%billing")).await;
    assert_eq!(found(&letters), ["A"]);
    assert_eq!(letters.messages[0].dead_letter_of, "orders");
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_passes_over_was_not_delivered() {
    let broker = Broker::start().await;
    tracing_group(&broker, "picky").await;
    broker.send_ok(vec![message("A")]).await;
    let condition =
        v2::FilterExpression { r#type: v2::FilterType::Sql.into(), expression: "price > 10".into() };
    let request = v2::ReceiveMessageRequest { filter_expression: Some(condition), ..by("picky") };
    assert!(broker.take(request).await.is_empty());
    broker.write();
    let answer = trace(&broker, "A").await;
    assert_eq!(told(&answer), [(TraceWhat::Stored, "", "", 0), (TraceWhat::Done, "picky", "", 0)]);
    assert_eq!(answer.standings[0].state(), TraceState::Finished);
}

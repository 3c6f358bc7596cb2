use std::time::Duration;

use bytes::BytesMut;
use gateway_grpc::method::Method;
use prost::Message;
use wire::v2::pull_message_response::Content;
use wire::v2::{self, ClientType, Code, QueryOffsetPolicy};

use crate::broker::{Broker, code_of, duration, frames, ids, message, resource, simple, system};

/// What a pull brought.
struct Pulled {
    status: v2::Status,
    messages: Vec<v2::Message>,
    next: Option<i64>,
}

impl Pulled {
    fn code(&self) -> Code {
        code_of(Some(&self.status))
    }
}

fn queue(id: i32) -> Option<v2::MessageQueue> {
    Some(v2::MessageQueue { topic: resource("log"), id, ..Default::default() })
}

fn asking(offset: i64) -> v2::PullMessageRequest {
    v2::PullMessageRequest {
        group: resource("billing"),
        message_queue: queue(0),
        offset,
        batch_size: 32,
        filter_expression: None,
        long_polling_timeout: None,
    }
}

async fn pull(broker: &Broker, request: v2::PullMessageRequest) -> Pulled {
    let mut out = BytesMut::new();
    let request = request.encode_to_vec().into();
    broker.drive(broker.gateway.pull_message(&broker.call(), request, &mut out)).await.unwrap();
    let mut contents =
        frames::<v2::PullMessageResponse>(&out).into_iter().map(|reply| reply.content.unwrap());
    let Some(Content::Status(status)) = contents.next() else { panic!("a reply begins with its status") };
    let (mut messages, mut next) = (Vec::new(), None);
    for content in contents {
        assert!(next.is_none(), "nothing comes after the next offset");
        match content {
            Content::Message(message) => messages.push(message),
            Content::NextOffset(offset) => next = Some(offset),
            Content::Status(status) => panic!("a second status: {status:?}"),
        }
    }
    Pulled { status, messages, next }
}

/// A broker with topic `log` of one queue and these messages in it.
async fn with(messages: &[&str]) -> Broker {
    let broker = Broker::start().await;
    broker.topic("log", 1).await;
    for id in messages {
        send(&broker, id).await;
    }
    broker
}

async fn send(broker: &Broker, id: &str) {
    broker.send_ok(vec![v2::Message { topic: resource("log"), ..message(id) }]).await;
}

async fn update(broker: &Broker, id: i32, offset: i64) -> Code {
    let request = v2::UpdateOffsetRequest { group: resource("billing"), message_queue: queue(id), offset };
    let reply: v2::UpdateOffsetResponse = broker.unary(Method::UpdateOffset, request).await;
    code_of(reply.status.as_ref())
}

async fn get(broker: &Broker) -> Result<i64, Code> {
    let request = v2::GetOffsetRequest { group: resource("billing"), message_queue: queue(0) };
    let reply: v2::GetOffsetResponse = broker.unary(Method::GetOffset, request).await;
    let code = code_of(reply.status.as_ref());
    if code == Code::Ok { Ok(reply.offset) } else { Err(code) }
}

async fn query(broker: &Broker, policy: i32, ms: Option<u64>) -> Result<i64, Code> {
    let timestamp = ms.map(|ms| prost_types::Timestamp {
        seconds: (ms / 1000).cast_signed(),
        nanos: (ms % 1000 * 1_000_000) as i32,
    });
    let request = v2::QueryOffsetRequest { message_queue: queue(0), query_offset_policy: policy, timestamp };
    let reply: v2::QueryOffsetResponse = broker.unary(Method::QueryOffset, request).await;
    let code = code_of(reply.status.as_ref());
    if code == Code::Ok { Ok(reply.offset) } else { Err(code) }
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_read_by_offset_with_all_that_a_delivery_has_but_a_receipt() {
    let broker = with(&["A", "B", "C"]).await;
    let pulled = pull(&broker, v2::PullMessageRequest { batch_size: 2, ..asking(0) }).await;
    assert_eq!((pulled.code(), ids(&pulled.messages), pulled.next), (Code::Ok, vec!["A", "B"], Some(2)));
    let second = &pulled.messages[1];
    assert_eq!((system(second).queue_offset, system(second).receipt_handle.as_ref()), (Some(1), None));
    assert_eq!(
        (second.body.as_ref(), second.topic.as_ref().unwrap().name.as_str()),
        (&b"body of B"[..], "log")
    );
    assert_eq!(second.user_properties["colour"], "blue");
    assert!(system(second).body_digest.is_some() && system(second).store_timestamp.is_some());
    let rest = pull(&broker, asking(2)).await;
    assert_eq!((ids(&rest.messages), rest.next), (vec!["C"], Some(3)));
    assert_eq!(broker.lag(), 0, "nobody subscribed");
}

#[tokio::test(start_paused = true)]
async fn at_the_tail_a_pull_waits_and_is_woken_or_tells_that_there_is_nothing() {
    let broker = with(&["A"]).await;
    let at_once = pull(&broker, asking(1)).await;
    assert_eq!((at_once.code(), at_once.next), (Code::MessageNotFound, Some(1)));
    let waits = v2::PullMessageRequest { long_polling_timeout: duration(10_000), ..asking(1) };
    let began_ms = broker.now_ms();
    let nothing = pull(&broker, waits.clone()).await;
    assert_eq!(
        (nothing.code(), nothing.next, broker.now_ms() - began_ms),
        (Code::MessageNotFound, Some(1), 10_000)
    );
    let later = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        send(&broker, "B").await;
    };
    let began_ms = broker.now_ms();
    let (woken, ()) = tokio::join!(pull(&broker, waits), later);
    assert_eq!((ids(&woken.messages), woken.next, broker.now_ms() - began_ms), (vec!["B"], Some(2), 3000));
}

#[tokio::test(start_paused = true)]
async fn a_filter_passes_over_and_the_next_offset_says_how_far() {
    let broker = with(&["A", "B"]).await;
    let mut tagged = v2::Message { topic: resource("log"), ..message("C") };
    tagged.system_properties.as_mut().unwrap().tag = Some("x".into());
    broker.send_ok(vec![tagged]).await;
    let filter = |r#type: v2::FilterType, text: &str| {
        Some(v2::FilterExpression { r#type: r#type.into(), expression: text.into() })
    };
    let by_tag = v2::PullMessageRequest { filter_expression: filter(v2::FilterType::Tag, "x"), ..asking(0) };
    let pulled = pull(&broker, by_tag).await;
    assert_eq!((ids(&pulled.messages), pulled.next), (vec!["C"], Some(3)));
    let by_sql = v2::PullMessageRequest {
        filter_expression: filter(v2::FilterType::Sql, "colour = 'red'"),
        ..asking(0)
    };
    let pulled = pull(&broker, by_sql).await;
    assert_eq!((pulled.code(), pulled.next), (Code::MessageNotFound, Some(3)));
    let wrong =
        v2::PullMessageRequest { filter_expression: filter(v2::FilterType::Sql, "colour ="), ..asking(0) };
    assert_eq!(pull(&broker, wrong).await.code(), Code::IllegalFilterExpression);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_is_woken_by_the_wanted_message_after_unwanted_ones() {
    let broker = with(&["A"]).await;
    let later = async {
        for id in ["B", "C", "D"] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            send(&broker, id).await;
        }
        let mut wanted = v2::Message { topic: resource("log"), ..message("E") };
        wanted.system_properties.as_mut().unwrap().tag = Some("x".into());
        broker.send_ok(vec![wanted]).await;
    };
    let filter = v2::FilterExpression { r#type: v2::FilterType::Tag.into(), expression: "x".into() };
    let waits = v2::PullMessageRequest {
        filter_expression: Some(filter),
        long_polling_timeout: duration(20_000),
        ..asking(1)
    };
    let began_ms = broker.now_ms();
    let (woken, ()) = tokio::join!(pull(&broker, waits), later);
    assert_eq!((ids(&woken.messages), woken.next), (vec!["E"], Some(5)));
    assert_eq!(broker.now_ms() - began_ms, 3000);
}

#[tokio::test(start_paused = true)]
async fn offsets_outside_of_the_queue_are_refused_with_the_nearest_one() {
    let broker = with(&["A", "B"]).await;
    let beyond = pull(&broker, asking(3)).await;
    assert_eq!((beyond.code(), beyond.next), (Code::IllegalOffset, Some(2)));
    let negative = pull(&broker, asking(-1)).await;
    assert_eq!((negative.code(), negative.next), (Code::IllegalOffset, None));
    for id in [1, -1] {
        let elsewhere = pull(&broker, v2::PullMessageRequest { message_queue: queue(id), ..asking(0) }).await;
        assert_eq!(elsewhere.code(), Code::NotFound);
    }
    let nobody = pull(&broker, v2::PullMessageRequest { group: resource("nobody"), ..asking(0) }).await;
    assert_eq!(nobody.code(), Code::ConsumerGroupNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_group_keeps_the_offset_that_it_is_given_and_receives_go_on_there() {
    let broker = with(&["A", "B", "C"]).await;
    assert_eq!(get(&broker).await, Err(Code::OffsetNotFound));
    assert_eq!(update(&broker, 0, 2).await, Code::Ok);
    assert_eq!(get(&broker).await, Ok(2));
    for (id, offset, code) in
        [(0, 4, Code::IllegalOffset), (0, -1, Code::IllegalOffset), (5, 0, Code::NotFound)]
    {
        assert_eq!(update(&broker, id, offset).await, code);
    }
    assert_eq!(get(&broker).await, Ok(2), "what is refused changes nothing");
    let receive = v2::ReceiveMessageRequest { message_queue: queue(0), ..simple() };
    assert_eq!(ids(&broker.take(receive.clone()).await), ["C"]);
    assert_eq!(update(&broker, 0, 0).await, Code::Ok);
    assert_eq!(ids(&broker.take(receive).await), ["A", "B", "C"]);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_found_by_policy_and_time() {
    let broker = with(&["A"]).await;
    let first_ms = broker.now_ms();
    broker.pass(5000).await;
    send(&broker, "B").await;
    assert_eq!(query(&broker, QueryOffsetPolicy::Beginning.into(), None).await, Ok(0));
    assert_eq!(query(&broker, QueryOffsetPolicy::End.into(), None).await, Ok(2));
    let timestamp = QueryOffsetPolicy::Timestamp.into();
    for (ms, offset) in [(0, 0), (first_ms, 0), (first_ms + 1, 1), (first_ms + 5001, 2), (2 * first_ms, 2)] {
        assert_eq!(query(&broker, timestamp, Some(ms)).await, Ok(offset), "{ms}");
    }
    assert_eq!(query(&broker, timestamp, None).await, Err(Code::BadRequest));
    assert_eq!(query(&broker, 7, None).await, Err(Code::BadRequest));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pulls_is_told_every_queue_and_clients_of_a_group_share_them() {
    let broker = Broker::start().await;
    let route = v2::QueryRouteRequest { topic: resource("orders"), endpoints: None };
    let ids_of = |queues: Vec<v2::MessageQueue>| queues.iter().map(|queue| queue.id).collect::<Vec<_>>();
    let told: v2::QueryRouteResponse = broker.unary(Method::QueryRoute, route.clone()).await;
    assert_eq!(ids_of(told.message_queues), [0]);
    let calls = ["a", "b"].map(|id| broker.call_with("x-mq-client-id", id));
    for call in &calls {
        let beat =
            v2::HeartbeatRequest { group: resource("billing"), client_type: ClientType::PullConsumer.into() };
        let _: v2::HeartbeatResponse = broker.unary_as(call, Method::Heartbeat, beat).await;
        let told: v2::QueryRouteResponse = broker.unary_as(call, Method::QueryRoute, route.clone()).await;
        assert_eq!(ids_of(told.message_queues), [0, 1, 2, 3]);
    }
    let ask =
        v2::QueryAssignmentRequest { topic: resource("orders"), group: resource("billing"), endpoints: None };
    let mut shares = Vec::new();
    for call in &calls {
        let told: v2::QueryAssignmentResponse =
            broker.unary_as(call, Method::QueryAssignment, ask.clone()).await;
        shares.push(ids_of(told.assignments.into_iter().map(|share| share.message_queue.unwrap()).collect()));
    }
    assert_eq!(shares, [[0, 2], [1, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_that_it_pulls_is_told_every_queue_by_a_broker_that_has_no_session_of_it() {
    let broker = Broker::start().await;
    let call = broker.call_with("x-millpond-client-type", "PULL_CONSUMER");
    let route = v2::QueryRouteRequest { topic: resource("orders"), endpoints: None };
    let told: v2::QueryRouteResponse = broker.unary_as(&call, Method::QueryRoute, route).await;
    assert!(told.message_queues.iter().map(|queue| queue.id).eq(0..4), "{told:?}");
    let ask =
        v2::QueryAssignmentRequest { topic: resource("orders"), group: resource("billing"), endpoints: None };
    let told: v2::QueryAssignmentResponse = broker.unary_as(&call, Method::QueryAssignment, ask).await;
    let share = told.assignments.iter().map(|share| share.message_queue.as_ref().map(|queue| queue.id));
    assert!(share.eq((0..4).map(Some)), "{told:?}");
}

//! What is told of messages whose trace is sampled, and of nobody else.

use std::sync::Arc;

use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::method::Method;
use gateway_grpc::spans::{Counts, Operation, Span, Spans};
use wire::traceparent::TraceParent;
use wire::v2::{self, Code, MessageType};

use crate::broker::{Broker, START_MS, code_of, duration, handle, message, resource, simple, system};

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

async fn start() -> (Broker, Arc<Spans>) {
    let began = tokio::time::Instant::now();
    let spans = Spans::new(move || START_MS * 1_000_000 + began.elapsed().as_nanos() as u64);
    spans.switch(true);
    let config = GatewayConfig { spans: Some(Arc::clone(&spans)), ..GatewayConfig::default() };
    (Broker::start_with(config, 64 << 20).await, spans)
}

/// As the C++ SDK sends it.
fn in_field(id: &str, context: &str) -> v2::Message {
    let mut message = message(id);
    message.system_properties.as_mut().unwrap().trace_context = Some(context.into());
    message
}

/// As instrumentations of other SDKs send it.
fn in_property(id: &str, context: &str) -> v2::Message {
    let mut message = message(id);
    message.user_properties.insert("traceparent".into(), context.into());
    message
}

/// What was done with which message, which attempt of it, and how it failed.
fn told(spans: &Spans) -> Vec<(Operation, String, Option<u32>, Option<&'static str>)> {
    let line = |span: Span| {
        assert_eq!(Some(span.about.context), TraceParent::parse(SAMPLED));
        assert!(span.begin_ns >= START_MS * 1_000_000 && span.end_ns >= span.begin_ns, "{span:?}");
        let attempt = span.handed.as_ref().map(|handed| handed.attempt);
        (span.operation, span.about.message_id.clone(), attempt, span.fault.map(|fault| fault.kind))
    };
    spans.take(usize::MAX).into_iter().map(line).collect()
}

fn done(
    operation: Operation,
    id: &str,
    attempt: u32,
) -> (Operation, String, Option<u32>, Option<&'static str>) {
    let attempt = Some(attempt).filter(|_| operation != Operation::Send);
    (operation, id.into(), attempt, None)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_told_of_from_its_send_to_its_ack_and_keeps_its_context() {
    for sent in [in_field("M", SAMPLED), in_property("M", SAMPLED)] {
        let (broker, spans) = start().await;
        broker.send_ok(vec![sent.clone()]).await;
        broker.pass(3000).await;
        let taken = broker.take(simple()).await;
        assert_eq!(system(&taken[0]).trace_context, system(&sent).trace_context);
        assert_eq!(taken[0].user_properties, sent.user_properties);
        let acked = broker.ack("billing", &[handle(&taken[0])]).await;
        assert_eq!(code_of(acked.status.as_ref()), Code::Ok);
        let all = spans.take(usize::MAX);
        let operations: Vec<_> = all.iter().map(|span| span.operation).collect();
        assert_eq!(operations, [Operation::Send, Operation::Receive, Operation::Ack]);
        let received = &all[1];
        assert_eq!(received.queued_ms, Some(3000));
        let handed = received.handed.as_ref().unwrap();
        assert_eq!((&*handed.consumer_group, handed.offset, handed.attempt), ("billing", 0, 1));
        assert_eq!(all[2].handed.as_ref(), Some(handed));
        for span in &all {
            assert_eq!(Some(span.about.context), TraceParent::parse(SAMPLED));
            assert_eq!((&*span.about.topic, &*span.about.message_id), ("orders", "M"));
            assert_eq!((span.about.message_type, span.about.body_bytes), (MessageType::Normal, 9));
            assert_eq!((&*span.client_id, span.fault.as_ref()), ("a", None));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_sampled_context_nothing_is_told() {
    let (broker, spans) = start().await;
    let sent = [message("A"), in_field("B", UNSAMPLED), in_property("C", UNSAMPLED), in_field("D", "noise")];
    for message in sent {
        broker.send_ok(vec![message]).await;
    }
    let taken = broker.take(simple()).await;
    assert_eq!(taken.len(), 4);
    broker.ack("billing", &taken.iter().map(handle).collect::<Vec<_>>()).await;
    assert_eq!(told(&spans), []);
}

#[tokio::test(start_paused = true)]
async fn switched_off_nothing_is_told_of_a_sampled_message() {
    let (broker, spans) = start().await;
    spans.switch(false);
    broker.send_ok(vec![in_field("M", SAMPLED)]).await;
    let taken = broker.take(simple()).await;
    broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!((told(&spans), spans.counts()), (vec![], Counts::default()));
}

#[tokio::test(start_paused = true)]
async fn of_many_messages_in_one_request_only_sampled_ones_are_told_of() {
    let (broker, spans) = start().await;
    broker.send_ok(vec![message("A"), in_property("B", SAMPLED), message("C")]).await;
    broker.take(simple()).await;
    assert_eq!(told(&spans), [done(Operation::Send, "B", 0), done(Operation::Receive, "B", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_not_stored_says_why() {
    let (broker, spans) = start().await;
    broker.close();
    let request = v2::SendMessageRequest { messages: vec![in_field("M", SAMPLED)] };
    let sent = broker.send_raw(&broker.call(), prost::Message::encode_to_vec(&request).into()).await;
    // Another member serves it, and tells.
    assert!(sent.is_err());
    assert_eq!(told(&spans), []);

    let spans = Spans::new(|| START_MS * 1_000_000);
    spans.switch(true);
    let config = GatewayConfig { spans: Some(Arc::clone(&spans)), ..GatewayConfig::default() };
    let narrow = Broker::start_with(config, 4096).await;
    let large = v2::Message { body: vec![0; 8192].into(), ..in_field("M", SAMPLED) };
    let first = v2::Message { body: vec![0; 4000].into(), ..message("F") };
    let request =
        |message| prost::Message::encode_to_vec(&v2::SendMessageRequest { messages: vec![message] });
    let call = narrow.call();
    let mut out = bytes::BytesMut::new();
    let mut waiting = Box::pin(narrow.gateway.send_message(&call, request(first).into(), &mut out));
    assert!(futures::poll!(&mut waiting).is_pending());
    let mut refused = bytes::BytesMut::new();
    narrow.gateway.send_message(&call, request(large).into(), &mut refused).await.unwrap();
    let reply: v2::SendMessageResponse = crate::broker::only(&refused);
    assert_eq!(code_of(reply.status.as_ref()), Code::TooManyRequests);
    assert_eq!(told(&spans), [(Operation::Send, "M".into(), None, Some("TOO_MANY_REQUESTS"))]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_not_written_says_so_and_comes_again() {
    let (broker, spans) = start().await;
    broker.send_ok(vec![in_field("M", SAMPLED)]).await;
    drop(broker.receive(simple()).await.handout);
    broker.pass(2000).await;
    broker.take(simple()).await;
    let lost = (Operation::Receive, "M".into(), Some(1), Some("not_delivered"));
    assert_eq!(told(&spans), [done(Operation::Send, "M", 0), lost, done(Operation::Receive, "M", 2)]);
}

async fn change(broker: &Broker, handle: &str) -> v2::ChangeInvisibleDurationResponse {
    let request = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle.into(),
        invisible_duration: duration(1000),
        message_id: "M".into(),
        lite_topic: None,
        suspend: None,
    };
    broker.unary(Method::ChangeInvisibleDuration, request).await
}

#[tokio::test(start_paused = true)]
async fn a_changed_lease_and_every_attempt_are_told_until_the_message_is_given_up() {
    let (broker, spans) = start().await;
    broker.send_ok(vec![in_property("M", SAMPLED)]).await;
    for _ in 0..3 {
        let taken = broker.take(simple()).await;
        change(&broker, handle(&taken[0])).await;
        broker.pass(1500).await;
    }
    // The fourth receive finds no attempt left.
    assert!(broker.take(simple()).await.is_empty());
    let mut wanted = vec![done(Operation::Send, "M", 0)];
    for attempt in 1..=3 {
        wanted.push(done(Operation::Receive, "M", attempt));
        wanted.push(done(Operation::ChangeInvisibleDuration, "M", attempt));
    }
    wanted.push(done(Operation::DeadLetter, "M", 3));
    assert_eq!(told(&spans), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_consumer_gives_up_is_told_once_and_its_dead_letter_goes_on_with_the_trace() {
    let (broker, spans) = start().await;
    broker.consumer_group("repair", 3).await;
    broker.send_ok(vec![in_field("M", SAMPLED)]).await;
    let taken = broker.take(simple()).await;
    let forward = v2::ForwardMessageToDeadLetterQueueRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&taken[0]).into(),
        message_id: "M".into(),
        delivery_attempt: 1,
        max_delivery_attempts: 3,
        lite_topic: None,
    };
    let moved: v2::ForwardMessageToDeadLetterQueueResponse =
        broker.unary(Method::ForwardMessageToDeadLetterQueue, forward).await;
    assert_eq!(code_of(moved.status.as_ref()), Code::Ok);
    let mut letters = simple();
    letters.group = resource("repair");
    letters.message_queue.as_mut().unwrap().topic = resource("%DLQ%billing");
    assert_eq!(broker.take(letters).await.len(), 1);
    let wanted = [
        done(Operation::Send, "M", 0),
        done(Operation::Receive, "M", 1),
        done(Operation::DeadLetter, "M", 1),
        done(Operation::Receive, "M", 1),
    ];
    assert_eq!(told(&spans), wanted);
}

#[tokio::test(start_paused = true)]
async fn an_ack_that_comes_too_late_is_told_with_its_code() {
    let (broker, spans) = start().await;
    broker.send_ok(vec![in_field("M", SAMPLED)]).await;
    let taken = broker.take(simple()).await;
    broker.pass(11_000).await;
    broker.ack("billing", &[handle(&taken[0])]).await;
    let late = (Operation::Ack, "M".into(), Some(1), Some("INVALID_RECEIPT_HANDLE"));
    assert_eq!(told(&spans), [done(Operation::Send, "M", 0), done(Operation::Receive, "M", 1), late]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_costs_spans_and_no_messages() {
    let (broker, spans) = start().await;
    let room = gateway_grpc::spans::WAITING_MAX;
    let sent = |from: usize| (from..from + 512).map(|n| in_field(&format!("M{n}"), SAMPLED)).collect();
    for from in (0..room + 512).step_by(512) {
        broker.send_ok(sent(from)).await;
    }
    assert_eq!(spans.counts(), Counts { exported: 0, dropped: 512 });
    assert_eq!(spans.take(usize::MAX).len(), room);
}

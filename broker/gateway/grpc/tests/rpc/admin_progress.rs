//! Service `Admin`: who reads what and how far, and moving or forgetting it.

use gateway_grpc::method::Method;
use gateway_grpc::rocketmq_admin::Rpc;
use wire::v2::{self, ClientType, Code, FilterExpression, FilterType, settings::PubSub};

use crate::admin_service::ask;
use crate::broker::{Broker, code_of, handle, ids, message, resource, simple};
use crate::telemetry::{Telemetry, consumer, open};

/// A client of `billing` that reads `orders` like this.
async fn reader(broker: &Broker, id: &str, expression: Option<(FilterType, &str)>) -> Telemetry {
    let mut settings = consumer(ClientType::PushConsumer);
    let Some(PubSub::Subscription(subscription)) = &mut settings.pub_sub else { unreachable!() };
    subscription.subscriptions[0].expression =
        expression.map(|(kind, text)| FilterExpression { r#type: kind.into(), expression: text.to_owned() });
    settings.user_agent = Some(v2::Ua { hostname: format!("host-{id}"), ..Default::default() });
    open(broker, &broker.call_with("x-mq-client-id", id), settings).await
}

pub(crate) async fn list(
    broker: &Broker,
    topic: &str,
    group: &str,
) -> Result<Vec<v2::SubscriptionInfo>, Code> {
    let asked = v2::ListSubscriptionRequest {
        deployment_name: None,
        topic: resource(topic).filter(|topic| !topic.name.is_empty()),
        group: resource(group).filter(|group| !group.name.is_empty()),
    };
    let told: v2::ListSubscriptionResponse = ask(broker, Rpc::ListSubscription, asked).await;
    let code = code_of(told.status.as_ref());
    if code == Code::Ok { Ok(told.subscription_info) } else { Err(code) }
}

pub(crate) async fn delete(broker: &Broker, topic: &str, group: &str) -> Code {
    let asked = v2::DeleteSubscriptionRequest {
        topic: resource(topic),
        group: resource(group),
        ..Default::default()
    };
    let told: v2::DeleteSubscriptionResponse = ask(broker, Rpc::DeleteSubscription, asked).await;
    code_of(told.status.as_ref())
}

async fn accumulation(broker: &Broker, group: &str) -> v2::DescribeGroupAccumulationResponse {
    let asked = v2::DescribeGroupAccumulationRequest { group: resource(group), ..Default::default() };
    ask(broker, Rpc::DescribeGroupAccumulation, asked).await
}

async fn reset(broker: &Broker, time_ms: Option<u64>) -> Code {
    let time = |ms: u64| prost_types::Timestamp {
        seconds: (ms / 1000).cast_signed(),
        nanos: (ms % 1000 * 1_000_000) as i32,
    };
    let asked = v2::ResetGroupOffsetRequest {
        deployment_name: None,
        group: resource("billing"),
        topic: resource("orders"),
        reset_timestamp: time_ms.map(time),
    };
    let told: v2::ResetGroupOffsetResponse = ask(broker, Rpc::ResetGroupOffset, asked).await;
    code_of(told.status.as_ref())
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_told_with_their_expressions_and_whether_all_clients_agree() {
    let broker = Broker::start().await;
    assert!(list(&broker, "orders", "").await.unwrap().is_empty(), "nobody reads it");
    let _one = reader(&broker, "one", Some((FilterType::Tag, "a || b"))).await;
    let _same = reader(&broker, "two", Some((FilterType::Tag, "b||a||b"))).await;
    for (topic, group) in [("orders", ""), ("", "billing"), ("orders", "billing")] {
        let told = list(&broker, topic, group).await.unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].online && told[0].subscription_consistency, "{told:?}");
        assert!(told[0].expression.as_ref().unwrap().expression.contains('a'));
        assert_eq!(told[0].last_update_timestamp.unwrap().seconds, (broker.now_ms() / 1000).cast_signed());
    }
    let _other = reader(&broker, "three", None).await;
    assert!(!list(&broker, "orders", "").await.unwrap()[0].subscription_consistency);
    assert_eq!(list(&broker, "", "").await, Err(Code::BadRequest));
    assert_eq!(list(&broker, "none", "").await, Err(Code::TopicNotFound));
    assert_eq!(list(&broker, "orders", "none").await, Err(Code::ConsumerGroupNotFound));
}

#[tokio::test(start_paused = true)]
async fn what_each_client_says_is_told_with_the_client() {
    let broker = Broker::start().await;
    let _one = reader(&broker, "one", Some((FilterType::Sql, "price > 1"))).await;
    let _two = reader(&broker, "two", None).await;
    let asked =
        v2::DescribeSubscriptionRequest { deployment_name: None, topic: None, group: resource("billing") };
    let told: v2::DescribeSubscriptionResponse = ask(&broker, Rpc::DescribeSubscription, asked).await;
    let each: Vec<_> = told
        .client_subscription_info
        .into_iter()
        .map(|told| {
            let client = told.client_info.unwrap();
            let info = told.subscription_info.unwrap();
            assert!(!info.subscription_consistency && client.egress_ip == "10.0.0.1");
            (client.client_id, client.hostname, info.expression.unwrap().expression)
        })
        .collect();
    let expected = [("one", "host-one", "price > 1"), ("two", "host-two", "*")];
    let expected = expected.map(|(id, host, said)| (id.to_owned(), host.to_owned(), said.to_owned()));
    assert_eq!(each, expected);
    let asked = |topic: &str| v2::ListConsumerConnectionRequest {
        group: resource("billing"),
        topic: resource(topic),
        ..Default::default()
    };
    let told: v2::ListConsumerConnectionResponse =
        ask(&broker, Rpc::ListConsumerConnection, asked("orders")).await;
    assert_eq!(told.client_info.len(), 2);
    broker.topic("elsewhere", 1).await;
    let told: v2::ListConsumerConnectionResponse =
        ask(&broker, Rpc::ListConsumerConnection, asked("elsewhere")).await;
    assert_eq!((code_of(told.status.as_ref()), told.client_info.len()), (Code::Ok, 0));
    let lite = v2::ListConsumerConnectionRequest { lite_topic: Some("x".into()), ..asked("orders") };
    let told: v2::ListConsumerConnectionResponse = ask(&broker, Rpc::ListConsumerConnection, lite).await;
    assert_eq!(code_of(told.status.as_ref()), Code::NotImplemented);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_deleted_when_nobody_is_online_for_it() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    let taken = broker.take(simple()).await;
    broker.ack("billing", &[handle(&taken[0]), handle(&taken[1])]).await;
    assert!(!list(&broker, "orders", "billing").await.unwrap()[0].online);
    let stream = reader(&broker, "a", None).await;
    assert_eq!(delete(&broker, "orders", "billing").await, Code::PreconditionFailed);
    assert!(broker.take(simple()).await.is_empty(), "what is refused changes nothing");
    let end = v2::NotifyClientTerminationRequest { group: resource("billing") };
    drop(stream);
    let _: v2::NotifyClientTerminationResponse = broker.unary(Method::NotifyClientTermination, end).await;
    assert_eq!(delete(&broker, "orders", "billing").await, Code::Ok);
    assert!(list(&broker, "orders", "billing").await.unwrap().is_empty());
    assert_eq!(delete(&broker, "orders", "billing").await, Code::NotFound);
    assert_eq!(delete(&broker, "none", "billing").await, Code::TopicNotFound);
    assert_eq!(delete(&broker, "orders", "none").await, Code::ConsumerGroupNotFound);
    assert_eq!(ids(&broker.take(simple()).await), ["A", "B"], "the group starts anew");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_not_told_what_it_reads_counts_as_online() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A")]).await;
    broker.take(simple()).await;
    let beat = v2::HeartbeatRequest { group: resource("billing"), client_type: 3 };
    let _: v2::HeartbeatResponse = broker.unary(Method::Heartbeat, beat).await;
    assert_eq!(delete(&broker, "orders", "billing").await, Code::PreconditionFailed);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_group_is_counted_by_topic_and_as_a_whole() {
    let broker = Broker::start().await;
    let first_ms = broker.now_ms();
    broker.send_ok(vec![message("A")]).await;
    let taken = broker.take(simple()).await;
    broker.ack("billing", &[handle(&taken[0])]).await;
    broker.write();
    broker.send_ok(vec![message("B"), message("C")]).await;
    broker.take(v2::ReceiveMessageRequest { batch_size: 1, ..simple() }).await;
    broker.pass(3000).await;
    let told = accumulation(&broker, "billing").await;
    let all = told.accumulation.unwrap();
    assert_eq!((all.inflight_messages, all.ready_messages, all.accumulation), (1, 1, 2));
    assert_eq!(all.deliver_delay_time.unwrap().seconds, 3);
    assert_eq!(all.last_consume_timestamp, first_ms.cast_signed());
    assert_eq!(told.topic_accumulation["orders"], all);
    let told = accumulation(&broker, "none").await;
    assert_eq!(code_of(told.status.as_ref()), Code::ConsumerGroupNotFound);
    let lite = v2::DescribeGroupAccumulationRequest {
        group: resource("billing"),
        lite_topic: Some("x".into()),
        ..Default::default()
    };
    let told: v2::DescribeGroupAccumulationResponse =
        ask(&broker, Rpc::DescribeGroupAccumulation, lite).await;
    assert_eq!(code_of(told.status.as_ref()), Code::NotImplemented);
}

#[tokio::test(start_paused = true)]
async fn time_spans_tell_the_oldest_the_newest_and_where_the_group_is() {
    let broker = Broker::start().await;
    broker.topic("single", 1).await;
    let to_single = |id| v2::Message { topic: resource("single"), ..message(id) };
    let first_ms = broker.now_ms().cast_signed();
    broker.send_ok(vec![to_single("A")]).await;
    broker.pass(2000).await;
    broker.send_ok(vec![to_single("B")]).await;
    broker.pass(1000).await;
    let queue = v2::MessageQueue { topic: resource("single"), ..Default::default() };
    let receive = v2::ReceiveMessageRequest { message_queue: Some(queue), batch_size: 1, ..simple() };
    let taken = broker.take(receive).await;
    let spans = || async {
        let asked = v2::QueryTimeSpanRequest {
            group: resource("billing"),
            topics: vec![resource("single").unwrap()],
            deployment_name: None,
        };
        let told: v2::QueryTimeSpanResponse = ask(&broker, Rpc::QueryTimeSpan, asked).await;
        told.queue_time_span_list
    };
    let told = spans().await.remove(0);
    assert_eq!((told.min_timestamp, told.max_timestamp), (first_ms, first_ms + 2000));
    assert_eq!((told.consume_timestamp, told.delay_time_ms), (first_ms, 3000));
    let entry = v2::AckMessageEntry { receipt_handle: handle(&taken[0]).into(), ..Default::default() };
    let request =
        v2::AckMessageRequest { group: resource("billing"), topic: resource("single"), entries: vec![entry] };
    let mut out = bytes::BytesMut::new();
    let request = prost::Message::encode_to_vec(&request).into();
    broker.drive(broker.gateway.ack_message(&broker.call(), request, &mut out)).await.unwrap();
    broker.write();
    let told = spans().await.remove(0);
    assert_eq!((told.consume_timestamp, told.delay_time_ms), (first_ms + 2000, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_group_is_moved_to_a_time_and_not_into_the_future() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A")]).await;
    broker.pass(5000).await;
    let later_ms = broker.now_ms();
    broker.send_ok(vec![message("B")]).await;
    let taken = broker.take(simple()).await;
    let handles: Vec<_> = taken.iter().map(handle).collect();
    broker.ack("billing", &handles).await;
    for (time_ms, code) in [(None, Code::BadRequest), (Some(later_ms + 60_000), Code::IllegalOffset)] {
        assert_eq!(reset(&broker, time_ms).await, code);
    }
    assert!(broker.take(simple()).await.is_empty(), "what is refused changes nothing");
    assert_eq!(reset(&broker, Some(later_ms)).await, Code::Ok);
    assert_eq!(ids(&broker.take(simple()).await), ["B"]);
    assert_eq!(reset(&broker, Some(0)).await, Code::Ok);
    assert_eq!(ids(&broker.take(simple()).await), ["A", "B"]);
}

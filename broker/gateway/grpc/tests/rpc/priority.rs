use std::sync::Arc;

use engine::catalog::TopicType;
use gateway_grpc::admin::AdminService;
use gateway_grpc::method::Method;
use tonic::Request;
use wire::admin::{self, admin_server::Admin};
use wire::v2::{self, Code, MessageType};

use crate::broker::{Broker, code_of, handle, message, resource, simple, system};

const TOPIC: &str = "alerts";

async fn alerts() -> Broker {
    let broker = Broker::start().await;
    broker.topic_of(TOPIC, TopicType::Priority, 4).await;
    broker
}

fn of(priority: i32) -> v2::Message {
    let mut made = v2::Message { topic: resource(TOPIC), ..message(&format!("p{priority}")) };
    made.system_properties.as_mut().unwrap().priority = Some(priority);
    made
}

fn take(max: i32) -> v2::ReceiveMessageRequest {
    let message_queue = Some(v2::MessageQueue { topic: resource(TOPIC), ..Default::default() });
    v2::ReceiveMessageRequest { message_queue, batch_size: max, ..simple() }
}

fn priorities(messages: &[v2::Message]) -> Vec<i32> {
    messages.iter().map(|message| system(message).priority()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_come_first_and_carry_their_priority() {
    let broker = alerts().await;
    for priority in [3, 0, 9, 5, 9] {
        broker.send_ok(vec![of(priority)]).await;
    }
    let mut got = Vec::new();
    for max in [1, 2, 32] {
        let taken = broker.take(take(max)).await;
        got.extend(priorities(&taken));
        let handles: Vec<_> = taken.iter().map(handle).collect();
        broker.ack("billing", &handles).await;
    }
    assert_eq!(got, [9, 9, 5, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_hold_messages_of_several_priorities() {
    let broker = alerts().await;
    broker.send_ok(vec![of(2), of(8), of(2)]).await;
    let taken = broker.take(take(32)).await;
    let places: Vec<_> =
        taken.iter().map(|message| (system(message).queue_id, system(message).queue_offset())).collect();
    assert_eq!((priorities(&taken), places), (vec![8, 2, 2], vec![(8, 0), (2, 0), (2, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_priority_above_the_highest_level_is_as_good_as_that_and_comes_back_as_sent() {
    let broker = alerts().await;
    for priority in [9, 10, i32::MAX] {
        broker.send_ok(vec![of(priority)]).await;
    }
    let taken = broker.take(take(32)).await;
    assert!(taken.iter().all(|message| system(message).queue_id == 9));
    assert_eq!(priorities(&taken), [9, 10, i32::MAX], "in the order in which they were sent");
}

#[tokio::test(start_paused = true)]
async fn a_negative_priority_is_refused_and_nothing_of_its_request_is_stored() {
    let broker = alerts().await;
    let reply = broker.send(vec![of(1), of(-1)]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::BadRequest, "{reply:?}");
    let received = broker.receive(take(32)).await;
    assert_eq!(code_of(Some(&received.status)), Code::MessageNotFound);
    received.handout.delivered();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_keeps_its_level() {
    let broker = alerts().await;
    broker.send_ok(vec![of(7)]).await;
    broker.take(take(1)).await;
    broker.pass(10_000).await;
    broker.send_ok(vec![of(6), of(8)]).await;
    let taken = broker.take(take(32)).await;
    let attempts: Vec<_> = taken.iter().map(|message| system(message).delivery_attempt()).collect();
    assert_eq!((priorities(&taken), attempts), (vec![8, 7, 6], vec![1, 2, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_message_with_a_message_group_and_a_priority_is_one_with_a_group() {
    let broker = alerts().await;
    broker.topic_of("fifo", TopicType::Fifo, 4).await;
    let both = |topic| {
        let mut made = v2::Message { topic: resource(topic), ..of(9) };
        made.system_properties.as_mut().unwrap().message_group = Some("g".into());
        made
    };
    let refused = broker.send(vec![both(TOPIC)]).await;
    assert_eq!(code_of(refused.status.as_ref()), Code::MessagePropertyConflictWithType);
    assert_eq!(broker.send_ok(vec![both("fifo")]).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn the_admin_protocol_makes_priority_topics_and_policies() {
    let broker = Broker::start().await;
    let service =
        AdminService::new(Arc::clone(&broker.leadership), Arc::clone(&broker.mailbox), Arc::new(|| 5));
    let topic = |queues| admin::Topic {
        name: TOPIC.into(),
        r#type: admin::TopicType::Priority.into(),
        queues,
        ..Default::default()
    };
    for (queues, code) in [(0, admin::Code::Created), (4, admin::Code::Unchanged)] {
        let request = admin::ApplyTopicsRequest { topics: vec![topic(queues)], adopt: 0 };
        let reply = broker.drive(service.apply_topics(Request::new(request))).await.unwrap();
        assert_eq!(reply.get_ref().results[0].code(), code, "{reply:?}");
    }
    let request = Request::new(admin::DescribeRequest { name: TOPIC.into() });
    let described = broker.drive(service.describe_topic(request)).await.unwrap().into_inner();
    assert_eq!((described.topic, described.queues.len()), (Some(topic(10)), 10));
    let group = |policy: admin::PriorityPolicy, aging_interval_ms| admin::ConsumerGroup {
        name: format!("{}-{aging_interval_ms}", policy.as_str_name()),
        priority: policy.into(),
        aging_interval_ms,
        ..Default::default()
    };
    let policies =
        [admin::PriorityPolicy::Strict, admin::PriorityPolicy::Weighted, admin::PriorityPolicy::Aging];
    let groups = policies.iter().flat_map(|policy| [group(*policy, 0), group(*policy, 500)]).collect();
    let request = admin::ApplyConsumerGroupsRequest { groups, adopt: 0 };
    let reply = broker.drive(service.apply_consumer_groups(Request::new(request))).await.unwrap();
    let codes: Vec<_> = reply.get_ref().results.iter().map(admin::Result::code).collect();
    let (fine, wrong) = (admin::Code::Created, admin::Code::Invalid);
    assert_eq!(codes, [fine, wrong, fine, wrong, fine, fine]);
    assert!(reply.get_ref().results[1].message.contains("only AGING has one"), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn the_route_of_a_priority_topic_tells_its_type() {
    let broker = alerts().await;
    let request = v2::QueryRouteRequest { topic: resource(TOPIC), endpoints: None };
    let route: v2::QueryRouteResponse = broker.unary(Method::QueryRoute, request).await;
    let types: Vec<_> = route.message_queues[0].accept_message_types().collect();
    assert_eq!(types, [MessageType::Priority]);
}

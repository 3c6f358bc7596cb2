use gateway_grpc::endpoints::GroupAddress;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::method::Method;
use wire::v2::{self, AddressScheme, Code, MessageType, Permission};

use crate::broker::{Broker, code_of, resource};

fn typed() -> Option<v2::Endpoints> {
    let address = |host: &str| v2::Address { host: host.into(), port: 30_081 };
    Some(v2::Endpoints {
        scheme: AddressScheme::IPv4.into(),
        addresses: vec![address("192.0.2.1"), address("192.0.2.2")],
    })
}

async fn route(broker: &Broker, topic: &str) -> v2::QueryRouteResponse {
    let request = v2::QueryRouteRequest { topic: resource(topic), endpoints: typed() };
    broker.unary(Method::QueryRoute, request).await
}

async fn assignment(broker: &Broker, topic: &str, group: &str) -> v2::QueryAssignmentResponse {
    let request =
        v2::QueryAssignmentRequest { topic: resource(topic), group: resource(group), endpoints: typed() };
    broker.unary(Method::QueryAssignment, request).await
}

fn shop() -> GatewayConfig {
    let group =
        |n: u32| GroupAddress::parse(&format!("g{n}"), &format!("shop-g{n}.default.svc:8081")).unwrap();
    GatewayConfig { group: "g1".into(), groups: vec![group(0), group(1)], ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn the_route_of_one_group_is_the_address_that_the_client_typed() {
    let broker = Broker::start().await;
    let reply = route(&broker, "orders").await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    let [entry] = reply.message_queues.as_slice() else { panic!("{reply:?}") };
    assert_eq!((&entry.topic, entry.permission()), (&resource("orders"), Permission::ReadWrite));
    assert_eq!(entry.accept_message_types, [i32::from(MessageType::Normal)]);
    let broker = entry.broker.as_ref().unwrap();
    assert_eq!((broker.name.as_str(), broker.id, &broker.endpoints), ("g0", 0, &typed()));
}

#[tokio::test(start_paused = true)]
async fn the_route_of_several_groups_is_what_each_advertises_in_a_lasting_order() {
    let broker = Broker::start_with(shop(), 1 << 20).await;
    let reply = route(&broker, "orders").await;
    let brokers: Vec<_> = reply.message_queues.iter().map(|entry| entry.broker.clone().unwrap()).collect();
    let hosts: Vec<_> =
        brokers.iter().map(|broker| broker.endpoints.clone().unwrap().addresses[0].host.clone()).collect();
    assert_eq!(hosts, ["shop-g0.default.svc", "shop-g1.default.svc"]);
    assert!(
        brokers.iter().all(|broker| broker.endpoints.as_ref().unwrap().scheme() == AddressScheme::DomainName)
    );
    assert_eq!(route(&broker, "orders").await, reply);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_not_there_has_a_code_and_never_an_empty_list() {
    let broker = Broker::start().await;
    assert_eq!(code_of(route(&broker, "none").await.status.as_ref()), Code::TopicNotFound);
    assert_eq!(code_of(route(&broker, "a b").await.status.as_ref()), Code::IllegalTopic);
    assert_eq!(code_of(route(&broker, "%DLQ%billing").await.status.as_ref()), Code::TopicNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_assigned_all_queues_of_each_broker() {
    let broker = Broker::start_with(shop(), 1 << 20).await;
    let reply = assignment(&broker, "orders", "billing").await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    let queues: Vec<_> =
        reply.assignments.into_iter().map(|assignment| assignment.message_queue.unwrap()).collect();
    assert_eq!(queues.len(), 2);
    for queue in &queues {
        assert_eq!((queue.id, queue.permission()), (-1, Permission::ReadWrite));
        assert!(queue.accept_message_types.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_assignment_needs_topic_and_group() {
    let broker = Broker::start().await;
    for (topic, group, code) in [
        ("none", "billing", Code::TopicNotFound),
        ("orders", "none", Code::ConsumerGroupNotFound),
        ("orders", "CID_RMQ_SYS_X", Code::IllegalConsumerGroup),
    ] {
        assert_eq!(code_of(assignment(&broker, topic, group).await.status.as_ref()), code);
    }
}

#[tokio::test(start_paused = true)]
async fn what_this_version_does_not_serve_says_so_with_the_protocols_own_code() {
    let broker = Broker::start().await;
    let end = v2::EndTransactionRequest { topic: resource("orders"), ..Default::default() };
    let blank: v2::EndTransactionResponse = broker.unary(Method::EndTransaction, end.clone()).await;
    assert_eq!(code_of(blank.status.as_ref()), Code::InvalidTransactionId);
    let end = v2::EndTransactionRequest { transaction_id: "T".into(), ..end };
    let ended: v2::EndTransactionResponse = broker.unary(Method::EndTransaction, end).await;
    assert_eq!(code_of(ended.status.as_ref()), Code::NotImplemented);
    let recall = v2::RecallMessageRequest { topic: resource("orders"), recall_handle: "h".into() };
    let recalled: v2::RecallMessageResponse = broker.unary(Method::RecallMessage, recall).await;
    assert_eq!(code_of(recalled.status.as_ref()), Code::MessagePropertyConflictWithType);
    for method in [Method::SyncLiteSubscription, Method::UpdateOffset, Method::GetOffset, Method::QueryOffset]
    {
        let reply: v2::HeartbeatResponse = broker.unary(method, v2::HeartbeatRequest::default()).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::NotImplemented, "{method:?}");
    }
    let pulled: v2::PullMessageResponse =
        broker.unary(Method::PullMessage, v2::PullMessageRequest::default()).await;
    let Some(v2::pull_message_response::Content::Status(status)) = pulled.content else {
        panic!("{pulled:?}")
    };
    assert_eq!(code_of(Some(&status)), Code::NotImplemented);
}

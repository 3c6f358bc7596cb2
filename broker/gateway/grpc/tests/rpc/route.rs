use std::sync::Arc;

use engine::setting::Setting;
use gateway_grpc::endpoints::GroupAddress;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::listener::{Advertised, Listener};
use gateway_grpc::members::Members;
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
    GatewayConfig {
        group: "g1".into(),
        groups: Setting::from(Arc::from([group(0), group(1)])),
        ..Default::default()
    }
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
async fn a_client_of_a_listener_is_told_of_the_groups_that_it_can_reach_by_it() {
    let groups = [("g0", "*:30091"), ("g1", "g1.mq.example.com:443")];
    let advertised = |count: usize| -> Setting<Arc<[Listener]>> {
        let groups = groups.iter().take(count).map(|(name, at)| Advertised::parse(name, at).unwrap());
        Setting::from(Arc::from([Listener { name: "public".into(), groups: groups.collect() }]))
    };
    let shop = GatewayConfig { listeners: advertised(2), ..shop() };
    let listeners = shop.listeners.clone();
    let broker = Broker::start_with(shop, 1 << 20).await;
    let told = async |listener: &str| {
        let request = v2::QueryRouteRequest { topic: resource("orders"), endpoints: typed() };
        let mut call = broker.call();
        call.headers.insert("x-millpond-listener", listener.parse().unwrap());
        let reply: v2::QueryRouteResponse = broker.unary_as(&call, Method::QueryRoute, request).await;
        let addresses = |entry: &v2::MessageQueue| {
            let endpoints = entry.broker.clone().unwrap().endpoints.unwrap();
            let addresses = endpoints.addresses.iter().map(|at| format!("{}:{}", at.host, at.port));
            addresses.collect::<Vec<_>>().join(",")
        };
        reply.message_queues.iter().map(addresses).collect::<Vec<_>>()
    };
    let dialled = "192.0.2.1:30091,192.0.2.2:30091";
    assert_eq!(told("public").await, [dialled, "g1.mq.example.com:443"]);
    let inside = ["shop-g0.default.svc:8081", "shop-g1.default.svc:8081"];
    assert_eq!(told("").await, inside);
    listeners.set(advertised(1).get());
    assert_eq!(told("public").await, [dialled], "a group without an address is not told of");
}

/// A group of three whose member 1 is asked; member 0 is not in sync.
fn trio() -> GatewayConfig {
    let members = Members {
        addresses: (0..3).map(|number| format!("shop-g0-{number}.shop-g0.orders.svc:8081")).collect(),
        service: Some("shop.orders.svc:8081".into()),
        in_sync: Arc::new(|| vec![1, 2]),
    };
    GatewayConfig { members: Some(members), ..Default::default() }
}

/// The brokers of a route, each with the host that is dialled first.
fn brokers(reply: &v2::QueryRouteResponse) -> Vec<(String, String)> {
    let broker = |entry: &v2::MessageQueue| {
        let broker = entry.broker.clone().unwrap();
        (broker.name, broker.endpoints.unwrap().addresses[0].host.clone())
    };
    reply.message_queues.iter().map(broker).collect()
}

fn dialled_the_service() -> Option<v2::Endpoints> {
    let address = v2::Address { host: "shop.orders".into(), port: 8081 };
    Some(v2::Endpoints { scheme: AddressScheme::DomainName.into(), addresses: vec![address] })
}

#[tokio::test(start_paused = true)]
async fn who_dialled_the_service_of_a_group_with_copies_is_told_each_member_in_sync() {
    let broker = Broker::start_with(trio(), 1 << 20).await;
    let request = v2::QueryRouteRequest { topic: resource("orders"), endpoints: dialled_the_service() };
    let reply: v2::QueryRouteResponse = broker.unary(Method::QueryRoute, request.clone()).await;
    let host = |number: u32| format!("shop-g0-{number}.shop-g0.orders.svc");
    assert_eq!(brokers(&reply), [("g0-1".into(), host(1)), ("g0-2".into(), host(2))]);
    let go = broker.call_with("x-mq-language", "GO");
    let reply: v2::QueryRouteResponse = broker.unary_as(&go, Method::QueryRoute, request).await;
    assert_eq!(
        brokers(&reply),
        [("g0".into(), "shop.orders".into())],
        "it would stay with one that is broken"
    );
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_a_group_with_copies_polls_by_each_way() {
    let broker = Broker::start_with(trio(), 1 << 20).await;
    let request = v2::QueryAssignmentRequest {
        topic: resource("orders"),
        group: resource("billing"),
        endpoints: dialled_the_service(),
    };
    let reply: v2::QueryAssignmentResponse = broker.unary(Method::QueryAssignment, request).await;
    let broker_of = |assignment: v2::Assignment| assignment.message_queue.unwrap().broker.unwrap().name;
    let brokers: Vec<_> = reply.assignments.into_iter().map(broker_of).collect();
    assert_eq!(brokers, ["g0-1", "g0-2"]);
}

#[tokio::test(start_paused = true)]
async fn who_typed_several_addresses_of_a_group_with_copies_is_told_each_of_them_first_once() {
    let broker = Broker::start_with(trio(), 1 << 20).await;
    let reply = route(&broker, "orders").await;
    assert_eq!(brokers(&reply), [("g0-0".into(), "192.0.2.1".into()), ("g0-1".into(), "192.0.2.2".into())]);
    let endpoints = |entry: &v2::MessageQueue| entry.broker.clone().unwrap().endpoints.unwrap();
    assert_eq!(Some(endpoints(&reply.message_queues[0])), typed(), "the connection that is there goes on");
    assert!(reply.message_queues.iter().all(|entry| endpoints(entry).addresses.len() == 2));
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
    let recall = v2::RecallMessageRequest { topic: resource("orders"), recall_handle: "h".into() };
    let recalled: v2::RecallMessageResponse = broker.unary(Method::RecallMessage, recall).await;
    assert_eq!(code_of(recalled.status.as_ref()), Code::MessagePropertyConflictWithType);
    let reply: v2::SyncLiteSubscriptionResponse =
        broker.unary(Method::SyncLiteSubscription, v2::SyncLiteSubscriptionRequest::default()).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::NotImplemented);
}

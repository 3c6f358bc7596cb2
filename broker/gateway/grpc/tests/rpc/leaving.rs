//! Topics that are in some groups only, and groups that leave.

use std::sync::Arc;

use engine::catalog::{Adopt, TopicSpec, TopicType};
use engine::setting::Setting;
use gateway_grpc::admin::AdminService;
use gateway_grpc::endpoints::{GroupAddress, Standing};
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::method::Method;
use tonic::Request;
use wire::admin;
use wire::admin::admin_server::Admin;
use wire::v2::{self, Code, Permission};

use crate::broker::{Broker, code_of, handle, message, resource, simple};

type Groups = Setting<Arc<[GroupAddress]>>;

fn groups(standings: &[Standing]) -> Arc<[GroupAddress]> {
    let group = |(number, standing): (usize, &Standing)| {
        GroupAddress::parse(&format!("g{number}"), &format!("shop-g{number}:8081")).unwrap().stands(*standing)
    };
    standings.iter().enumerate().map(group).collect()
}

/// The broker of g1, and what it is told of the groups.
async fn broker() -> (Broker, Groups) {
    let told = Groups::from(groups(&[Standing::Open; 3]));
    let config = GatewayConfig { group: "g1".into(), groups: told.clone(), ..Default::default() };
    (Broker::start_with(config, 1 << 20).await, told)
}

async fn place(broker: &Broker, groups: &[&str]) {
    let spec = TopicSpec {
        name: "ledger".into(),
        topic_type: TopicType::Fifo,
        queues: 2,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..TopicSpec::default()
    };
    let (_, ticket) = broker.group.apply_topics(&[spec], Adopt::Always, &broker.mailbox).unwrap();
    broker.drive(ticket.unwrap()).await.unwrap();
}

/// The groups in the route of a topic, with `-` behind those that producers leave out.
async fn route(broker: &Broker, topic: &str) -> Vec<String> {
    let request = v2::QueryRouteRequest { topic: resource(topic), endpoints: None };
    let reply: v2::QueryRouteResponse = broker.unary(Method::QueryRoute, request).await;
    let entry = |queue: &v2::MessageQueue| {
        let mark = if queue.permission() == Permission::ReadWrite { "" } else { "-" };
        format!("{}{mark}", queue.broker.as_ref().unwrap().name)
    };
    reply.message_queues.iter().map(entry).collect()
}

async fn remains(broker: &Broker) -> Option<admin::Remains> {
    let service =
        AdminService::new(Arc::clone(&broker.leadership), Arc::clone(&broker.mailbox), Arc::new(|| 0));
    let reply = service.get_broker(Request::new(admin::GetBrokerRequest {}));
    broker.drive(reply).await.unwrap().into_inner().remains
}

fn of_group(topic: &str) -> v2::Message {
    let mut made = message("A");
    made.topic = resource(topic);
    made.system_properties.as_mut().unwrap().message_group = Some("g".into());
    made
}

#[tokio::test(start_paused = true)]
async fn a_placed_topic_is_in_its_groups_in_its_own_order() {
    let (broker, _) = broker().await;
    assert_eq!(route(&broker, "orders").await, ["g0", "g1", "g2"]);
    place(&broker, &["g2", "g1"]).await;
    assert_eq!(route(&broker, "ledger").await, ["g2", "g1"]);
    broker.send_ok(vec![of_group("ledger")]).await;
    place(&broker, &["g2"]).await;
    assert_eq!(route(&broker, "ledger").await, ["g2"]);
    let refused = broker.send(vec![of_group("ledger")]).await;
    assert_eq!(code_of(refused.status.as_ref()), Code::HaNotAvailable, "its order is kept in g2");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_leaves_is_closed_step_by_step() {
    let (broker, told) = broker().await;
    place(&broker, &["g1"]).await;
    for (standing, of_orders, of_ledger, takes) in [
        (Standing::Open, vec!["g0", "g1", "g2"], vec!["g1"], true),
        (Standing::Diverting, vec!["g0", "g1-", "g2"], vec!["g1"], true),
        (Standing::Draining, vec!["g0", "g1-", "g2"], vec!["g1-"], false),
        (Standing::Closed, vec!["g0", "g2"], vec![], false),
        (Standing::Open, vec!["g0", "g1", "g2"], vec!["g1"], true),
    ] {
        told.set(groups(&[Standing::Open, standing, Standing::Open]));
        assert_eq!(route(&broker, "orders").await, of_orders, "{standing:?}");
        assert_eq!(route(&broker, "ledger").await, of_ledger, "{standing:?}");
        let code = if takes { Code::Ok } else { Code::HaNotAvailable };
        for sent in [broker.send(vec![message("A")]).await, broker.send(vec![of_group("ledger")]).await] {
            assert_eq!(code_of(sent.status.as_ref()), code, "{standing:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_producer_is_not_shown_what_is_for_reading_alone() {
    let (broker, told) = broker().await;
    told.set(groups(&[Standing::Open, Standing::Open, Standing::Diverting]));
    assert_eq!(route(&broker, "orders").await, ["g0", "g1", "g2-"]);
    let settings = crate::telemetry::producer(&["orders"]);
    let _stream = crate::telemetry::open(&broker, &broker.call(), settings).await;
    assert_eq!(route(&broker, "orders").await, ["g0", "g1"], "Go 5.1.4 would send there");
}

#[tokio::test(start_paused = true)]
async fn another_group_that_leaves_takes_nothing_from_this_one() {
    let (broker, told) = broker().await;
    told.set(groups(&[Standing::Open, Standing::Open, Standing::Draining]));
    broker.send_ok(vec![message("A")]).await;
    assert_eq!(route(&broker, "orders").await, ["g0", "g1", "g2-"]);
    assert_eq!(remains(&broker).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_counts_until_it_is_done_and_what_nobody_reads_counts_too() {
    let (broker, told) = broker().await;
    broker.topic("audit", 1).await;
    place(&broker, &["g1"]).await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    let mut unread = message("C");
    unread.topic = resource("audit");
    broker.send_ok(vec![unread]).await;
    told.set(groups(&[Standing::Open, Standing::Draining, Standing::Open]));
    let part = |topic: &str, consumer_group: &str, messages| admin::Remainder {
        topic: topic.into(),
        consumer_group: consumer_group.into(),
        messages,
    };
    let found = remains(&broker).await.unwrap();
    assert_eq!((found.messages, found.standing.as_str()), (3, "draining"), "nobody has read anything yet");
    assert_eq!(found.largest, [part("orders", "", 2), part("audit", "", 1)]);
    assert_eq!(found.placed_topics, ["ledger"]);
    let taken = broker.take(simple()).await;
    let found = remains(&broker).await.unwrap();
    assert_eq!(found.largest, [part("orders", "billing", 2), part("audit", "", 1)], "handed out is not done");
    let handles: Vec<_> = taken.iter().map(handle).collect();
    broker.ack("billing", &handles).await;
    broker.write();
    assert_eq!(remains(&broker).await.unwrap().largest, [part("audit", "", 1)]);
}

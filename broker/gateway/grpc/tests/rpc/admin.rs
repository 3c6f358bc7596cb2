use std::future::Future;
use std::sync::Arc;

use gateway_grpc::admin::AdminService;
use tonic::{Request, Response, Status};
use wire::admin::admin_server::Admin;
use wire::admin::{self, Code};
use wire::v2::ClientType;

use crate::broker::{Broker, message, simple};

fn service(broker: &Broker) -> AdminService {
    AdminService::new(Arc::clone(&broker.leadership), Arc::clone(&broker.mailbox), Arc::new(|| 5))
}

async fn done<R>(broker: &Broker, call: impl Future<Output = Result<Response<R>, Status>>) -> R {
    broker.drive(call).await.unwrap().into_inner()
}

fn topic(name: &str, queues: u32) -> admin::Topic {
    admin::Topic { name: name.into(), r#type: 1, queues, owner: "me".into(), ..Default::default() }
}

fn topics(topics: Vec<admin::Topic>) -> Request<admin::ApplyTopicsRequest> {
    Request::new(admin::ApplyTopicsRequest { topics, adopt: 0 })
}

fn named(name: &str) -> Request<admin::DescribeRequest> {
    Request::new(admin::DescribeRequest { name: name.into() })
}

fn codes(reply: &admin::ApplyResponse) -> Vec<Code> {
    reply.results.iter().map(admin::Result::code).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bulk_request_is_answered_item_by_item_and_again_without_a_change() {
    let (broker, bulk) =
        (Broker::start().await, vec![topic("a", 2), topic("b c", 1), topic("d", 0), topic("e", 1)]);
    let service = service(&broker);
    let reply = done(&broker, service.apply_topics(topics(bulk.clone()))).await;
    assert_eq!(codes(&reply), [Code::Created, Code::Invalid, Code::Invalid, Code::Created]);
    assert!(reply.results[1].message.contains("b c"), "{reply:?}");
    let written = broker.group.log_state().written;
    let again = done(&broker, service.apply_topics(topics(bulk))).await;
    assert_eq!(codes(&again), [Code::Unchanged, Code::Invalid, Code::Invalid, Code::Unchanged]);
    assert_eq!(broker.group.log_state().written, written, "an equal definition writes nothing");
}

#[tokio::test(start_paused = true)]
async fn changes_that_cannot_be_and_foreign_owners_keep_the_old_state() {
    let broker = Broker::start().await;
    let service = service(&broker);
    done(&broker, service.apply_topics(topics(vec![topic("a", 2)]))).await;
    let fewer = done(&broker, service.apply_topics(topics(vec![topic("a", 1)]))).await;
    assert_eq!(codes(&fewer), [Code::InvalidChange]);
    let foreign = admin::Topic { owner: "you".into(), ..topic("a", 4) };
    let foreign = done(&broker, service.apply_topics(topics(vec![foreign]))).await;
    assert_eq!(codes(&foreign), [Code::Conflict]);
    let described = done(&broker, service.describe_topic(named("a"))).await;
    assert_eq!((described.topic, described.queues.len()), (Some(topic("a", 2)), 2));
}

#[tokio::test(start_paused = true)]
async fn definitions_come_back_as_applied_and_go_when_deleted() {
    let broker = Broker::start().await;
    let service = service(&broker);
    let retry = admin::RetryPolicy {
        max_attempts: 5,
        initial_ms: 10,
        max_ms: 100,
        multiplier: 1.5,
        ..Default::default()
    };
    let group = admin::ConsumerGroup {
        name: "g".into(),
        retry: Some(retry),
        consume_from: 1,
        owner: "me".into(),
        ordered: true,
        priority: admin::PriorityPolicy::Aging.into(),
        aging_interval_ms: 500,
        consume_from_ms: 0,
        broadcast: admin::Broadcast::ByHost.into(),
        reset: Some(admin::Reset { id: "x".into(), topics: vec!["orders".into()], to: 2, to_ms: 7 }),
        trace: true,
    };
    let request = admin::ApplyConsumerGroupsRequest { groups: vec![group.clone()], adopt: 0 };
    let applied = done(&broker, service.apply_consumer_groups(Request::new(request))).await;
    assert_eq!(codes(&applied), [Code::Created]);
    let list = |prefix: &str| Request::new(admin::ListRequest { prefix: prefix.into(), names: vec![] });
    assert_eq!(done(&broker, service.list_consumer_groups(list("g"))).await.groups, [group]);
    let delete = |owner: &str| {
        Request::new(admin::DeleteRequest { names: vec!["g".into(), "x".into()], owner: owner.into() })
    };
    let foreign = done(&broker, service.delete_consumer_groups(delete("you"))).await;
    assert_eq!(codes(&foreign), [Code::Conflict, Code::NotFound]);
    let deleted = done(&broker, service.delete_consumer_groups(delete("me"))).await;
    assert_eq!(codes(&deleted), [Code::Deleted, Code::NotFound]);
    assert!(done(&broker, service.list_consumer_groups(list("g"))).await.groups.is_empty());
    let gone = done(&broker, service.describe_consumer_group(named("g"))).await;
    assert_eq!(gone.result.unwrap().code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_described_with_its_progress_and_its_clients() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B"), message("C")]).await;
    let taken = broker.take(simple()).await;
    broker.ack("billing", &[crate::broker::handle(&taken[0])]).await;
    broker.write();
    let settings = crate::telemetry::consumer(ClientType::SimpleConsumer);
    let _stream = crate::telemetry::open(&broker, &broker.call(), settings).await;
    let described = done(&broker, service(&broker).describe_consumer_group(named("billing"))).await;
    let progress: Vec<_> = described.progress.iter().filter(|p| p.tail > 0).collect();
    assert_eq!((progress[0].lag, progress[0].in_flight, progress[0].tail), (2, 2, 3));
    let client = &described.clients[0];
    assert_eq!(
        (client.client_id.as_str(), client.language.as_str(), client.version.as_str()),
        ("a", "JAVA", "5.2.0")
    );
}

#[tokio::test(start_paused = true)]
async fn the_broker_tells_how_it_is() {
    let broker = Broker::start().await;
    let service = service(&broker);
    broker.pass(2000).await;
    let told = done(&broker, service.get_broker(Request::new(admin::GetBrokerRequest {}))).await;
    assert_eq!((told.state.as_str(), told.epoch, told.log_id.len()), ("serving", 1, 32));
    assert_eq!((told.connections, told.uptime_ms, told.topics), (5, 2000, 1));
    assert!(told.log_written >= told.log_durable && told.log_written > 0);
}

fn moving(to: admin::move_offsets_request::To) -> admin::MoveOffsetsRequest {
    admin::MoveOffsetsRequest { group: "billing".into(), to: Some(to), ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_moved_where_it_reads_and_a_dry_run_only_tells() {
    use admin::move_offsets_request::To;
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B"), message("C")]).await;
    let taken = broker.take(simple()).await;
    let handles: Vec<_> = taken.iter().map(crate::broker::handle).collect();
    broker.ack("billing", &handles).await;
    broker.write();
    assert_eq!(broker.lag(), 0);
    let service = service(&broker);
    let earliest = moving(To::Place(admin::ConsumeFrom::Earliest.into()));
    let dry = admin::MoveOffsetsRequest { dry_run: true, ..earliest.clone() };
    let told = done(&broker, service.move_offsets(Request::new(dry))).await;
    assert_eq!(told.result.unwrap().code(), Code::Unchanged);
    assert_eq!((told.moves.len(), broker.lag()), (4, 0));
    assert_eq!(told.moves.iter().map(|moved| moved.from.unwrap() - moved.to).sum::<u64>(), 3);
    let moved = done(&broker, service.move_offsets(Request::new(earliest))).await;
    assert_eq!((moved.result.unwrap().code(), moved.moves), (Code::Changed, told.moves));
    assert_eq!(broker.lag(), 3);
    let one =
        admin::MoveOffsetsRequest { queue: Some(0), topics: vec!["orders".into()], ..moving(To::Offset(0)) };
    assert_eq!(done(&broker, service.move_offsets(Request::new(one))).await.moves.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_makes_no_sense_is_refused_and_nothing_is_done() {
    use admin::move_offsets_request::To;
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A")]).await;
    broker.take(simple()).await;
    broker.write();
    let future = broker.now_ms() + 60_000;
    let orders = |to| admin::MoveOffsetsRequest { topics: vec!["orders".into()], ..moving(to) };
    for (request, code) in [
        (admin::MoveOffsetsRequest { group: "no".into(), ..orders(To::Offset(0)) }, Code::NotFound),
        (admin::MoveOffsetsRequest { topics: vec!["no".into()], ..orders(To::Offset(0)) }, Code::NotFound),
        (admin::MoveOffsetsRequest { queue: Some(9), ..orders(To::Offset(0)) }, Code::NotFound),
        (admin::MoveOffsetsRequest { to: None, ..orders(To::Offset(0)) }, Code::Invalid),
        (orders(To::Offset(99)), Code::Invalid),
        (orders(To::TimeMs(future)), Code::Invalid),
        (orders(To::Place(2)), Code::Invalid),
        (orders(To::Place(7)), Code::Invalid),
    ] {
        let written = broker.group.log_state().written;
        let reply = done(&broker, service(&broker).move_offsets(Request::new(request.clone()))).await;
        let result = reply.result.unwrap();
        assert_eq!(result.code(), code, "{request:?}: {result:?}");
        assert!(!result.message.is_empty() && reply.moves.is_empty());
        assert_eq!(broker.group.log_state().written, written);
    }
}

//! Service `Admin` as a whole: paths, deployments, noise, topics, numbers, the log level.

use std::sync::Arc;

use bytes::BytesMut;
use engine::catalog::TopicType;
use gateway_grpc::call::Unanswered;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::Place;
use gateway_grpc::method::Method;
use gateway_grpc::rocketmq_admin::{LogLevel, Rpc};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use prost::Message;
use wire::v2::change_log_level_request::Level;
use wire::v2::{self, ClientType, Code, MessageType};

use crate::broker::{Broker, code_of, frames, message, only, resource};
use crate::member::{Client, Member, in_time, pair};
use crate::network::{request, whole};
use crate::telemetry::{consumer, open, producer};

pub(crate) async fn ask<R: Message + Default>(broker: &Broker, rpc: Rpc, request: impl Message) -> R {
    broker.unary(Method::Admin(rpc), request).await
}

/// A call over a connection, without any header of a client: the frames and the gRPC status.
async fn over(client: &Client, address: &str, rpc: &str, message: &impl Message) -> (bytes::Bytes, String) {
    let mut call = request(address.parse().unwrap(), "", message);
    *call.uri_mut() = format!("http://{address}/apache.rocketmq.v2.Admin/{rpc}").parse().unwrap();
    for header in ["x-mq-client-id", "x-mq-language", "x-mq-client-version"] {
        call.headers_mut().remove(header);
    }
    in_time(whole(client.any(call.map(Full::boxed_unsync)).await)).await
}

fn status_of(topic: &str) -> v2::DescribeTopicStatusRequest {
    v2::DescribeTopicStatusRequest { deployment_name: None, topic: resource(topic) }
}

#[tokio::test]
async fn every_call_is_relayed_to_the_leader_and_the_log_level_is_the_brokers_own() {
    let (_log, leader, follower) = pair().await;
    let client = follower.client().await;
    for rpc in Rpc::ALL {
        // What is asked does not matter: each of these requests names nothing.
        let (bytes, status) =
            over(&client, &follower.address.client, rpc.name(), &v2::GetProxyRuntimeStatsRequest {}).await;
        if rpc == Rpc::ChangeLogLevel {
            assert_eq!(status, "12", "this program has no level");
            continue;
        }
        assert_eq!(status, "0", "{rpc:?}");
        let reply = frames::<v2::DeleteSubscriptionResponse>(&bytes).swap_remove(0);
        assert_ne!(code_of(reply.status.as_ref()), Code::HaNotAvailable, "{rpc:?}");
    }
    assert_eq!(follower.leadership.figures().relayed, 15);
    let (bytes, _) =
        over(&client, &follower.address.client, "DescribeTopicStatus", &status_of("orders")).await;
    let told: v2::DescribeTopicStatusResponse = only(&bytes);
    assert_eq!((told.status.unwrap().code(), told.topic_message_type), (Code::Ok, 1));
    assert_eq!(leader.leadership.figures().relayed, 0);
}

#[tokio::test]
async fn every_call_is_refused_in_its_own_shape_while_nobody_leads() {
    let member = Member::start(GatewayConfig { hold_ms_max: 0, ..GatewayConfig::default() }).await;
    let client = member.client().await;
    for rpc in Rpc::ALL.into_iter().filter(|rpc| *rpc != Rpc::ChangeLogLevel) {
        let empty = v2::GetProxyRuntimeStatsRequest {};
        let (bytes, status) = over(&client, &member.address.client, rpc.name(), &empty).await;
        assert_eq!(status, "0", "{rpc:?}");
        let first = frames::<v2::DeleteSubscriptionResponse>(&bytes).swap_remove(0);
        assert_eq!(code_of(first.status.as_ref()), Code::HaNotAvailable, "{rpc:?}");
    }
    let empty = v2::GetProxyRuntimeStatsRequest {};
    assert_eq!(over(&client, &member.address.client, "NoSuchCall", &empty).await.1, "12");
}

#[tokio::test]
async fn the_level_of_the_broker_that_was_dialled_is_changed_although_another_one_leads() {
    let levels = Arc::new(Mutex::new(vec!["info".to_owned()]));
    let set = Arc::clone(&levels);
    let log_level = LogLevel::new(move |level| {
        let mut levels = set.lock();
        levels.push(level.to_owned());
        Ok(levels[levels.len() - 2].clone())
    });
    let (_log, leader, _) = pair().await;
    let config = GatewayConfig { log_level: Some(log_level), ..GatewayConfig::default() };
    let follower = Member::start(config).await;
    follower.leadership.set(leader.there());
    let (client, address) = (follower.client().await, &follower.address.client);
    let asked = v2::ChangeLogLevelRequest { level: Level::Debug.into() };
    let (bytes, status) = over(&client, address, "ChangeLogLevel", &asked).await;
    let told: v2::ChangeLogLevelResponse = only(&bytes);
    assert_eq!((status.as_str(), told.remark.as_str()), ("0", "log level was `info`, is `debug`"));
    assert_eq!(*levels.lock(), ["info", "debug"]);
    let unknown = v2::ChangeLogLevelRequest { level: 9 };
    assert_eq!(over(&client, address, "ChangeLogLevel", &unknown).await.1, "3");
    assert_eq!(levels.lock().len(), 2, "what is refused changes nothing");
    assert!(matches!(follower.leadership.get(), Place::There(_)));
}

#[tokio::test(start_paused = true)]
async fn whatever_bytes_arrive_each_call_answers_or_says_invalid_argument() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let fair = v2::ListMessageRequest {
        topic: resource("orders"),
        begin_timestamp: Some(prost_types::Timestamp { seconds: -5, nanos: i32::MIN }),
        page_num: Some(i32::MIN),
        queue_id: Some(-1),
        ..Default::default()
    };
    let fair = fair.encode_to_vec();
    for rpc in Rpc::ALL {
        for at in 0..fair.len() {
            for change in [0x00, 0x0a, 0x7f, 0xff] {
                let mut bytes = fair.clone();
                bytes[at] = change;
                let (call, mut out) = (broker.call(), BytesMut::new());
                let method = Method::Admin(rpc);
                let answered = broker.gateway.unary(method, &call, bytes.into(), &mut out);
                if let Err(error) = broker.drive(answered).await {
                    let codes = if rpc == Rpc::ChangeLogLevel { [3, 12] } else { [3, 3] };
                    let is_invalid =
                        matches!(&error, Unanswered::Failed(failed) if codes.contains(&failed.code));
                    assert!(is_invalid, "{rpc:?}: {error}");
                }
            }
        }
    }
    broker.send_ok(vec![message("N")]).await;
}

#[tokio::test(start_paused = true)]
async fn topics_are_described_by_what_they_are() {
    let broker = Broker::start().await;
    broker.topic_of("line", TopicType::Fifo, 2).await;
    broker.topic_of("all", TopicType::Mixed, 1).await;
    for (name, kind) in
        [("orders", MessageType::Normal), ("line", MessageType::Fifo), ("all", MessageType::Unspecified)]
    {
        let told: v2::DescribeTopicStatusResponse =
            ask(&broker, Rpc::DescribeTopicStatus, status_of(name)).await;
        assert_eq!((code_of(told.status.as_ref()), told.topic_message_type()), (Code::Ok, kind), "{name}");
        let queues = broker.group.topic(name).unwrap().queues.len().to_string();
        assert_eq!(told.tags["queues"], queues);
    }
    for (name, code) in [("none", Code::TopicNotFound), ("", Code::IllegalTopic), ("a b", Code::IllegalTopic)]
    {
        let told: v2::DescribeTopicStatusResponse =
            ask(&broker, Rpc::DescribeTopicStatus, status_of(name)).await;
        assert_eq!(code_of(told.status.as_ref()), code, "{name:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_meant_for_another_deployment_is_refused() {
    let broker = Broker::start().await;
    for (name, code) in [("millpond", Code::Ok), ("", Code::Ok), ("other", Code::NotFound)] {
        let asked =
            v2::DescribeTopicStatusRequest { deployment_name: Some(name.into()), ..status_of("orders") };
        let told: v2::DescribeTopicStatusResponse = ask(&broker, Rpc::DescribeTopicStatus, asked).await;
        assert_eq!(code_of(told.status.as_ref()), code, "{name:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_is_told_in_the_shape_that_tools_read() {
    let broker = Broker::start().await;
    let route = |name| v2::GetTopicRouteRequest { topic: resource(name), ..Default::default() };
    let told: v2::GetTopicRouteResponse = ask(&broker, Rpc::GetTopicRoute, route("orders")).await;
    let expected = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"broker.example:8081"},"brokerName":"g0","cluster":"millpond"}],"#,
        r#""filterServerTable":{},"#,
        r#""queueDatas":[{"brokerName":"g0","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#,
    );
    assert_eq!(told.topic_route_data, expected);
    let told: v2::GetTopicRouteResponse = ask(&broker, Rpc::GetTopicRoute, route("none")).await;
    assert_eq!(code_of(told.status.as_ref()), Code::TopicNotFound);
}

#[tokio::test(start_paused = true)]
async fn the_numbers_of_now_are_those_of_the_last_sweep() {
    let broker = Broker::start().await;
    broker.pass(1000).await;
    broker.send_ok(vec![message("A"), message("B"), message("C")]).await;
    assert_eq!(broker.take(crate::broker::simple()).await.len(), 3);
    let _producer = open(&broker, &broker.call_with("x-mq-client-id", "p"), producer(&["orders"])).await;
    let _consumer = open(&broker, &broker.call(), consumer(ClientType::PushConsumer)).await;
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    broker.gateway.sweep();
    let stats = || ask(&broker, Rpc::GetProxyRuntimeStats, v2::GetProxyRuntimeStatsRequest {});
    let told: v2::GetProxyRuntimeStatsResponse = stats().await;
    assert_eq!(told.proxy_name, "127.0.0.1:8081");
    assert!((told.in_tps - 1.5).abs() < 0.01 && (told.out_tps - 1.5).abs() < 0.01, "{told:?}");
    assert_eq!((told.producers, told.consumers, told.connections), (1, 1, 0));
    broker.pass(1000).await;
    let told: v2::GetProxyRuntimeStatsResponse = stats().await;
    assert!(told.in_tps == 0.0 && told.out_tps == 0.0, "nothing since: {told:?}");
}

#[tokio::test]
async fn open_connections_are_counted() {
    let (_log, leader, _follower) = pair().await;
    let clients = [leader.client().await, leader.client().await];
    let asked = v2::GetProxyRuntimeStatsRequest {};
    // Each is counted once it has said something.
    for client in &clients {
        over(client, &leader.address.client, "GetProxyRuntimeStats", &asked).await;
    }
    let (bytes, _) = over(&clients[0], &leader.address.client, "GetProxyRuntimeStats", &asked).await;
    assert_eq!(only::<v2::GetProxyRuntimeStatsResponse>(&bytes).connections, 2);
}

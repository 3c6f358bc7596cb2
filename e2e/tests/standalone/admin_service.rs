//! Service `Admin` of RocketMQ 5 on the client port of a real broker, as a tool calls it: through a generated client.

use std::time::Duration;

use client::{Filter, Message, Producer, SimpleConsumer, now_ms};
use e2e::broker::Broker;
use e2e::matrix;
use tonic::Request;
use tonic::transport::Channel;
use wire::v2::admin_client::AdminClient;
use wire::v2::change_log_level_request::Level;
use wire::v2::list_message_request::SearchKey;
use wire::v2::{self, Code};

const PATIENCE: Duration = Duration::from_secs(20);

fn broker() -> Broker {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "local", "type: NORMAL");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "local", "consumeFrom: Earliest");
    Broker::start(&yaml)
}

async fn tool(broker: &Broker) -> AdminClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", broker.endpoint())).expect("an address");
    AdminClient::new(endpoint.connect().await.expect("a connection"))
}

async fn consumer(broker: &Broker) -> SimpleConsumer {
    let consumer = SimpleConsumer::builder(broker.endpoint(), "billing").subscribe("orders", Filter::all());
    consumer.start().await.expect("a consumer starts")
}

async fn take(consumer: &SimpleConsumer, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    let taking = async {
        while bodies.len() < count {
            let messages = consumer.receive(32, Duration::from_secs(30)).await.expect("a receive");
            for message in &messages {
                consumer.ack(message).await.expect("an ack");
                bodies.push(String::from_utf8_lossy(&message.body).into_owned());
            }
        }
    };
    tokio::time::timeout(PATIENCE, taking).await.expect("they come in time");
    bodies.sort();
    bodies
}

fn resource(name: &str) -> v2::Resource {
    v2::Resource { resource_namespace: String::new(), name: name.to_owned() }
}

fn code(status: Option<v2::Status>) -> Code {
    status.expect("a status").code()
}

async fn send(tool: &mut AdminClient<Channel>, body: &'static [u8]) -> String {
    let asked = v2::AdminSendMessageRequest {
        topic: Some(resource("orders")),
        key: Some("probe".to_owned()),
        body: body.into(),
        ..Default::default()
    };
    let told = tool.admin_send_message(asked).await.expect("an answer").into_inner();
    assert_eq!(code(told.status), Code::Ok);
    told.message_id
}

async fn ready(tool: &mut AdminClient<Channel>) -> i64 {
    let asked =
        v2::DescribeGroupAccumulationRequest { group: Some(resource("billing")), ..Default::default() };
    let told = tool.describe_group_accumulation(asked).await.expect("an answer").into_inner();
    assert_eq!(code(told.status), Code::Ok);
    told.accumulation.expect("an accumulation").accumulation
}

async fn forget(tool: &mut AdminClient<Channel>) -> Code {
    let asked = v2::DeleteSubscriptionRequest {
        topic: Some(resource("orders")),
        group: Some(resource("billing")),
        ..Default::default()
    };
    code(tool.delete_subscription(asked).await.expect("an answer").into_inner().status)
}

#[tokio::test]
async fn a_tool_sends_finds_counts_and_moves_and_a_forgotten_subscription_stays_so() {
    let mut broker = broker();
    let mut tool = tool(&broker).await;
    let id = send(&mut tool, b"1").await;
    let producer = Producer::builder(broker.endpoint()).start().await.expect("a producer starts");
    producer.send(Message::new("orders", "2")).await.expect("stored");
    let by_id = v2::ListMessageRequest {
        topic: Some(resource("orders")),
        search_key: Some(SearchKey::MessageId(id)),
        ..Default::default()
    };
    let found = tool.query_message(by_id).await.expect("an answer").into_inner();
    assert_eq!((code(found.status), &found.messages[0].body[..]), (Code::Ok, &b"1"[..]));

    let reader = consumer(&broker).await;
    assert_eq!(take(&reader, 2).await, ["1", "2"]);
    assert_eq!(ready(&mut tool).await, 0);
    let back = v2::ResetGroupOffsetRequest {
        deployment_name: None,
        group: Some(resource("billing")),
        topic: Some(resource("orders")),
        reset_timestamp: Some(prost_types::Timestamp::default()),
    };
    let moved = tool.reset_group_offset(back).await.expect("an answer").into_inner();
    assert_eq!(code(moved.status), Code::Ok);
    assert_eq!(ready(&mut tool).await, 2);
    assert_eq!(take(&reader, 2).await, ["1", "2"]);

    assert_eq!(forget(&mut tool).await, Code::PreconditionFailed, "its reader is online");
    reader.close().await;
    // The farewell travels by itself.
    let until_ms = now_ms() + PATIENCE.as_millis() as u64;
    let forgotten = loop {
        let code = forget(&mut tool).await;
        if code != Code::PreconditionFailed {
            break code;
        }
        assert!(now_ms() < until_ms, "the reader is online for ever");
    };
    assert_eq!(forgotten, Code::Ok);
    broker.kill_and_restart();
    let mut tool = self::tool(&broker).await;
    assert_eq!(forget(&mut tool).await, Code::NotFound, "forgotten, also after kill -9");
    assert_eq!(take(&consumer(&broker).await, 2).await, ["1", "2"], "the group starts anew");
}

#[tokio::test]
async fn a_tool_sees_clients_and_numbers_and_changes_the_log_level() {
    let broker = broker();
    let mut tool = tool(&broker).await;
    let _reader = consumer(&broker).await;
    let of_group =
        v2::ListConsumerConnectionRequest { group: Some(resource("billing")), ..Default::default() };
    let told = tool.list_consumer_connection(of_group).await.expect("an answer").into_inner();
    assert_eq!((code(told.status), told.client_info.len()), (Code::Ok, 1));
    let client_id = told.client_info[0].client_id.clone();
    // Our own client has no threads to show: it says nothing, and the tool is told before its own time is over.
    let mut asked = Request::new(v2::PrintThreadStackTraceRequest {
        deployment_name: None,
        client_id,
        group: Some(resource("billing")),
    });
    asked.set_timeout(Duration::from_secs(2));
    let told = tool.print_thread_stack_trace(asked).await.expect("an answer").into_inner();
    assert_eq!(code(told.status), Code::ProxyTimeout);
    let stats = tool.get_proxy_runtime_stats(v2::GetProxyRuntimeStatsRequest {}).await;
    let stats = stats.expect("an answer").into_inner();
    assert!(stats.connections >= 2 && stats.consumers == 1, "{stats:?}");

    assert!(!broker.log().contains("DEBUG"));
    for (level, remark) in [
        (Level::Debug, "log level was `info`, is `debug`"),
        (Level::Info, "log level was `debug`, is `info`"),
    ] {
        let asked = v2::ChangeLogLevelRequest { level: level.into() };
        let told = tool.change_log_level(asked).await.expect("an answer").into_inner();
        assert_eq!(told.remark, remark);
        if level == Level::Debug {
            // A handshake that is none is worth a line at this level.
            let mut stream = broker.connect();
            std::io::Write::write_all(&mut stream, b"\x16\x03\x01\xff\xff").expect("written");
            drop(stream);
            e2e::wait::until("a line at the new level", PATIENCE, || {
                broker.log().contains("DEBUG").then_some(())
            });
        }
    }
}

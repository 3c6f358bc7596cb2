//! What metrics are told of what clients did.

use engine::catalog::TopicType;
use engine::group::{Census, CensusLimits, Decision};
use engine::traffic::{Amount, Outflow};
use gateway_grpc::census::ClientKind;
use gateway_grpc::method::Method;
use prost::Message;
use wire::v2::{self, ClientType, Code, MessageType};

use crate::broker::{Broker, code_of, duration, handle, message, resource, simple, system};
use crate::telemetry::{consumer, open, producer};

const ALL: CensusLimits = CensusLimits { topics: 100, consumer_groups: 100, pairs: 100, looks: 100 };

fn census(broker: &Broker) -> Census {
    broker.gateway.census(&ALL)
}

/// Lag, ready and in flight of `billing` on `orders`; the lag is what every other place says that tells it.
fn standing(broker: &Broker) -> [u64; 3] {
    let census = census(broker);
    let [pair] = &census.pairs[..] else { panic!("{census:?}") };
    assert_eq!(pair.ready + pair.in_flight, broker.lag());
    [broker.lag(), pair.ready, pair.in_flight]
}

fn outflow(broker: &Broker) -> Outflow {
    census(broker).pairs[0].outflow
}

#[tokio::test(start_paused = true)]
async fn what_a_consumer_group_did_and_has_to_do_is_told_as_it_happens() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B"), message("C")]).await;
    let taken = broker.take(v2::ReceiveMessageRequest { batch_size: 2, ..simple() }).await;
    assert_eq!(taken.len(), 2);
    assert_eq!(standing(&broker), [3, 1, 2]);
    let reply = broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    assert_eq!(standing(&broker), [2, 1, 1]);
    // Not yet: it shall come again in 3 s.
    let request = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle(&taken[1]).into(),
        invisible_duration: duration(3000),
        message_id: system(&taken[1]).message_id.clone(),
        lite_topic: None,
        suspend: None,
    };
    let reply: v2::ChangeInvisibleDurationResponse =
        broker.unary(Method::ChangeInvisibleDuration, request).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    assert_eq!(standing(&broker), [2, 1, 1]);
    broker.pass(4000).await;
    assert_eq!(standing(&broker), [2, 2, 0]);
    assert_eq!(census(&broker).pairs[0].waits.unwrap().undone_ms, 4000);
    assert_eq!((outflow(&broker).first.messages, outflow(&broker).again.messages), (2, 0));
    let taken = broker.take(simple()).await;
    assert_eq!((outflow(&broker).first.messages, outflow(&broker).again.messages), (3, 1));
    let bytes = taken.iter().map(Message::encoded_len).sum::<usize>() as u64;
    assert!(outflow(&broker).first.bytes + outflow(&broker).again.bytes > bytes);
    let handles: Vec<_> = taken.iter().map(handle).collect();
    broker.ack("billing", &handles).await;
    assert_eq!(standing(&broker), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_producers_send_is_counted_by_topic_and_type_once_it_is_stored() {
    let broker = Broker::start().await;
    broker.topic_of("mixed", TopicType::Mixed, 2).await;
    let of = |id: &str, change: fn(&mut v2::SystemProperties)| {
        let mut made = v2::Message { topic: resource("mixed"), ..message(id) };
        change(made.system_properties.as_mut().unwrap());
        made
    };
    let sent = vec![
        of("A", |_| {}),
        of("B", |system| system.message_group = Some("g".into())),
        of("C", |system| system.message_group = Some("h".into())),
    ];
    let bytes = sent[1..].iter().map(Message::encoded_len).sum::<usize>() as u64;
    broker.send_ok(sent).await;
    let half = of("D", |system| system.message_type = MessageType::Transaction.into());
    let reply = broker.send(vec![half]).await;
    let refused = of("E", |system| system.priority = Some(3));
    assert_ne!(code_of(broker.send(vec![refused]).await.status.as_ref()), Code::Ok);
    let topic = broker.group.topic("mixed").unwrap();
    assert_eq!(topic.sent(TopicType::Fifo), Amount { messages: 2, bytes });
    let counts = [TopicType::Normal, TopicType::Transaction, TopicType::Priority, TopicType::Delay];
    assert_eq!(counts.map(|kind| topic.sent(kind).messages), [1, 1, 0, 0]);
    assert_eq!(broker.group.topic("orders").unwrap().sent(TopicType::Normal), Amount::default());
    assert_eq!(census(&broker).topics[1].undecided, 1);
    for _ in 0..2 {
        let request = v2::EndTransactionRequest {
            topic: resource("mixed"),
            message_id: "D".into(),
            transaction_id: reply.entries[0].transaction_id.clone(),
            resolution: v2::TransactionResolution::Rollback.into(),
            ..Default::default()
        };
        let reply: v2::EndTransactionResponse = broker.unary(Method::EndTransaction, request).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    }
    let decided = [Decision::Commit, Decision::RollBack].map(|decision| topic.decided(decision));
    assert_eq!(decided, [0, 1], "the same decision again counts for nothing");
    assert_eq!(census(&broker).topics[1].undecided, 0);
}

#[tokio::test(start_paused = true)]
async fn clients_are_counted_by_kind_and_there_are_only_so_many_kinds() {
    let broker = Broker::start().await;
    let mut streams = Vec::new();
    for (id, version) in [("one", "5.0.1"), ("two", "5.0.9"), ("three", "5.0.1")] {
        let mut call = broker.call_with("x-mq-client-id", id);
        call.headers.insert("x-mq-client-version", version.parse().unwrap());
        streams.push(open(&broker, &call, consumer(ClientType::PushConsumer)).await);
    }
    let call = broker.call_with("x-mq-client-id", "four");
    streams.push(open(&broker, &call, producer(&["orders"])).await);
    let kind = |mode, group: &str, version: &str| ClientKind {
        mode,
        group: group.into(),
        language: "java".into(),
        version: version.into(),
    };
    let producers = (kind("", "", "5.2.0"), 1);
    let (most, least) = ((kind("push", "billing", "5.0.1"), 2), (kind("push", "billing", "5.0.9"), 1));
    let told = broker.gateway.client_kinds(9);
    assert_eq!((told.kinds, told.left_out), (vec![producers.clone(), most.clone(), least], 0));
    let told = broker.gateway.client_kinds(2);
    assert_eq!((told.kinds, told.left_out), (vec![producers, most], 1));
    let told = broker.gateway.client_kinds(0);
    assert_eq!((told.kinds.len(), told.left_out), (0, 4));
}

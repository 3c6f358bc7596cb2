//! Every limit of the protocol, over the network's own bytes: code, and a sentence that names value and limit.

use wire::v2::{self, Code, MessageType};

use crate::broker::{Broker, START_MS, code_of, duration, message, resource, simple};

struct Case {
    message: v2::Message,
    code: Code,
    /// What the text must name.
    names: &'static [&'static str],
}

fn case(code: Code, names: &'static [&'static str], spoil: impl FnOnce(&mut v2::Message)) -> Case {
    let mut message = message("M");
    spoil(&mut message);
    Case { message, code, names }
}

fn system_case(
    code: Code,
    names: &'static [&'static str],
    spoil: impl FnOnce(&mut v2::SystemProperties),
) -> Case {
    case(code, names, |message| spoil(message.system_properties.as_mut().unwrap()))
}

fn at(ms: u64) -> Option<prost_types::Timestamp> {
    let (seconds, nanos) = ((ms / 1000).cast_signed(), (ms % 1000 * 1_000_000) as i32);
    Some(prost_types::Timestamp { seconds, nanos })
}

fn names_and_bodies() -> Vec<Case> {
    let named = |name: &str| resource(name);
    vec![
        case(Code::IllegalTopic, &["blank"], |m| m.topic = None),
        case(Code::IllegalTopic, &["a.b", "a-z"], |m| m.topic = named("a.b")),
        case(Code::IllegalTopic, &["128", "127"], |m| m.topic = named(&"t".repeat(128))),
        case(Code::IllegalTopic, &["TBW102"], |m| m.topic = named("TBW102")),
        case(Code::IllegalTopic, &["%DLQ%billing"], |m| m.topic = named("%DLQ%billing")),
        case(Code::MessageBodyEmpty, &["empty"], |m| m.body.clear()),
        case(Code::MessageBodyTooLarge, &["4194305", "4194304"], |m| m.body = vec![0; 4_194_305].into()),
        case(Code::MessagePropertiesTooLarge, &["129", "128"], |m| {
            m.user_properties = (0..129).map(|n| (n.to_string(), "v".into())).collect();
        }),
        case(Code::MessagePropertiesTooLarge, &["16385", "16384"], |m| {
            m.user_properties = [("k".to_owned(), "v".repeat(16_384))].into();
        }),
        case(Code::IllegalMessagePropertyKey, &["UNIQ_KEY"], |m| {
            m.user_properties = [("UNIQ_KEY".to_owned(), "v".to_owned())].into();
        }),
        case(Code::IllegalMessagePropertyKey, &["k"], |m| {
            m.user_properties = [("k".to_owned(), "\u{1}".to_owned())].into();
        }),
    ]
}

fn system_properties() -> Vec<Case> {
    vec![
        system_case(Code::IllegalMessageId, &["blank"], |s| s.message_id = "\t".into()),
        system_case(Code::IllegalMessageTag, &["a|b"], |s| s.tag = Some("a|b".into())),
        system_case(Code::IllegalMessageTag, &["blank"], |s| s.tag = Some(" ".into())),
        system_case(Code::IllegalMessageKey, &["blank"], |s| s.keys = vec!["k".into(), " ".into()]),
        system_case(Code::IllegalMessageGroup, &["64", "63"], |s| s.message_group = Some("g".repeat(64))),
        system_case(Code::IllegalMessageGroup, &["blank"], |s| s.message_group = Some(" ".into())),
        system_case(Code::IllegalLiteTopic, &["a.b"], |s| s.lite_topic = Some("a.b".into())),
        system_case(Code::IllegalDeliveryTime, &["86400000"], |s| {
            s.delivery_timestamp = at(START_MS + 86_400_000 + 60_000);
        }),
        system_case(Code::BadRequest, &["-1"], |s| s.priority = Some(-1)),
        system_case(Code::BadRequest, &["3600001", "3600000"], |s| {
            s.orphaned_transaction_recovery_duration = duration(3_600_001);
        }),
    ]
}

fn other_types() -> Vec<Case> {
    const CONFLICT: Code = Code::MessagePropertyConflictWithType;
    vec![
        system_case(CONFLICT, &["FIFO", "NORMAL", "orders"], |s| s.message_group = Some("g".repeat(63))),
        system_case(CONFLICT, &["DELAY", "NORMAL"], |s| s.delivery_timestamp = at(START_MS)),
        system_case(CONFLICT, &["PRIORITY", "NORMAL"], |s| s.priority = Some(0)),
        system_case(CONFLICT, &["LITE", "NORMAL"], |s| s.lite_topic = Some("l".into())),
        system_case(CONFLICT, &["TRANSACTION", "NORMAL"], |s| {
            s.message_type = MessageType::Transaction.into();
        }),
        system_case(CONFLICT, &["DELAY"], |s| {
            s.message_group = Some("g".into());
            s.delivery_timestamp = at(START_MS);
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_broken_limit_of_a_message_has_its_code_and_names_value_and_limit() {
    let broker = Broker::start().await;
    for case in [names_and_bodies(), system_properties(), other_types()].into_iter().flatten() {
        // A fair message before it: one that breaks a rule takes the whole request with it.
        let mut fair = message("F");
        fair.topic.clone_from(&case.message.topic);
        let alone = case.message.topic != resource("orders");
        let messages = if alone { vec![case.message] } else { vec![fair, case.message] };
        let status = broker.send(messages).await.status.unwrap();
        assert_eq!(code_of(Some(&status)), case.code, "{}", status.message);
        for name in case.names {
            assert!(status.message.contains(name), "`{}` should name {name}", status.message);
        }
    }
    assert_eq!(broker.lag(), 0, "nothing was stored");
}

#[tokio::test(start_paused = true)]
async fn messages_at_the_limits_are_stored() {
    let broker = Broker::start().await;
    let mut full = message("M");
    full.body = vec![7; 4_194_304].into();
    full.user_properties = [("k".to_owned(), "v".repeat(16_384 - 1 - 3 - 3))].into();
    let system = full.system_properties.as_mut().unwrap();
    system.tag = Some("tag".into());
    system.keys = vec!["key".into()];
    let mut many = message("N");
    many.user_properties = (0..128).map(|n| (n.to_string(), "v".into())).collect();
    broker.send_ok(vec![full.clone()]).await;
    broker.send_ok(vec![many]).await;
    let taken = broker.take(simple()).await;
    let back = taken.iter().find(|message| message.user_properties.contains_key("k")).unwrap();
    assert_eq!((&back.user_properties, &back.body), (&full.user_properties, &full.body));
}

#[tokio::test(start_paused = true)]
async fn every_broken_limit_of_a_receive_has_its_code() {
    let broker = Broker::start().await;
    let filtered = |kind: v2::FilterType, expression: &str| {
        let filter = v2::FilterExpression { r#type: kind.into(), expression: expression.into() };
        v2::ReceiveMessageRequest { filter_expression: Some(filter), ..simple() }
    };
    let from = |topic: &str| Some(v2::MessageQueue { topic: resource(topic), ..Default::default() });
    let cases = [
        (Code::IllegalTopic, v2::ReceiveMessageRequest { message_queue: from("a b"), ..simple() }),
        (Code::IllegalTopic, v2::ReceiveMessageRequest { message_queue: None, ..simple() }),
        (Code::TopicNotFound, v2::ReceiveMessageRequest { message_queue: from("none"), ..simple() }),
        (
            Code::IllegalConsumerGroup,
            v2::ReceiveMessageRequest { group: resource(&"g".repeat(121)), ..simple() },
        ),
        (Code::ConsumerGroupNotFound, v2::ReceiveMessageRequest { group: resource("none"), ..simple() }),
        (
            Code::IllegalInvisibleTime,
            v2::ReceiveMessageRequest { invisible_duration: duration(9_999), ..simple() },
        ),
        (Code::IllegalInvisibleTime, v2::ReceiveMessageRequest { invisible_duration: None, ..simple() }),
        (
            Code::IllegalInvisibleTime,
            v2::ReceiveMessageRequest { invisible_duration: duration(43_200_001), ..simple() },
        ),
        (Code::IllegalFilterExpression, filtered(v2::FilterType::Tag, " || ")),
        (Code::IllegalFilterExpression, filtered(v2::FilterType::Sql, " ")),
        (Code::IllegalFilterExpression, filtered(v2::FilterType::Sql, "a > ")),
        (Code::IllegalFilterExpression, filtered(v2::FilterType::Sql, "a LIKE 'x%'")),
    ];
    for (code, request) in cases {
        let received = broker.receive(request).await;
        assert_eq!(code_of(Some(&received.status)), code, "{}", received.status.message);
        assert!(received.messages.is_empty());
        received.handout.delivered();
    }
}

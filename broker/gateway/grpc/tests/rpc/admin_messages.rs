//! Service `Admin`: looking for messages, and sending one.

use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::method::Method;
use gateway_grpc::rocketmq_admin::Rpc;
use wire::v2::{self, Code, list_message_request::SearchKey};

use crate::admin_service::ask;
use crate::broker::{Broker, code_of, message, resource, simple, system};

/// Ten messages, one a second; number n has tag `t0` or `t1`, keys `k<n>` and `all`.
async fn filled() -> Broker {
    let broker = Broker::start().await;
    for number in 0..10 {
        let system = v2::SystemProperties {
            message_id: format!("M{number}"),
            tag: Some(format!("t{}", number % 2)),
            keys: vec![format!("k{number}"), "all".to_owned()],
            ..Default::default()
        };
        broker.send_ok(vec![v2::Message { system_properties: Some(system), ..message("") }]).await;
        broker.pass(1000).await;
    }
    broker
}

fn by(key: Option<SearchKey>) -> v2::ListMessageRequest {
    v2::ListMessageRequest { topic: resource("orders"), search_key: key, ..Default::default() }
}

async fn query(broker: &Broker, asked: v2::ListMessageRequest) -> v2::ListMessageResponse {
    ask(broker, Rpc::QueryMessage, asked).await
}

/// The ids of the messages found, sorted.
async fn found(broker: &Broker, asked: v2::ListMessageRequest) -> Vec<String> {
    let told = query(broker, asked).await;
    assert_eq!((code_of(told.status.as_ref()), told.scroll_id.as_str()), (Code::Ok, ""));
    let mut ids: Vec<_> = told.messages.iter().map(|message| system(message).message_id.clone()).collect();
    ids.sort();
    ids
}

fn at(ms: u64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 })
}

#[tokio::test(start_paused = true)]
async fn messages_are_found_by_id_key_filter_and_time() {
    let broker = filled().await;
    let told = query(&broker, by(Some(SearchKey::MessageId("M3".into())))).await;
    let message = &told.messages[0];
    assert_eq!(
        (told.messages.len(), &message.body[..], message.user_properties["colour"].as_str()),
        (1, &b"body of "[..], "blue")
    );
    assert_eq!(
        (system(message).tag.as_deref(), system(message).receipt_handle.as_deref()),
        (Some("t1"), None)
    );
    assert_eq!(found(&broker, by(Some(SearchKey::MessageKey("k7".into())))).await, ["M7"]);
    assert_eq!(found(&broker, by(Some(SearchKey::MessageKey("all".into())))).await.len(), 10);
    let even = found(&broker, by(Some(SearchKey::Subscription("t0 || t9".into())))).await;
    assert_eq!(even, ["M0", "M2", "M4", "M6", "M8"]);
    let start_ms = crate::broker::START_MS;
    let span = v2::ListMessageRequest {
        begin_timestamp: at(start_ms + 2000),
        end_timestamp: at(start_ms + 4000),
        ..by(None)
    };
    assert_eq!(found(&broker, span).await, ["M2", "M3", "M4"], "both ends are in it");
    assert_eq!(found(&broker, by(None)).await.len(), 10);
    let in_queues = (0..4).map(|queue| v2::ListMessageRequest { queue_id: Some(queue), ..by(None) });
    let mut all = Vec::new();
    for asked in in_queues {
        all.extend(found(&broker, asked).await);
    }
    all.sort();
    assert_eq!(all.len(), 10);
    all.dedup();
    assert_eq!(all.len(), 10, "each is in one queue");
}

#[tokio::test(start_paused = true)]
async fn pages_and_scrolls_bring_each_message_once() {
    let broker = filled().await;
    let asked = |page| v2::ListMessageRequest { page_num: Some(page), page_size: Some(4), ..by(None) };
    let mut paged = Vec::new();
    for page in 1..=4 {
        let told = query(&broker, asked(page)).await;
        assert_eq!(told.scroll_id.is_empty(), page >= 3, "page {page}");
        paged.extend(told.messages.iter().map(|message| system(message).message_id.clone()));
    }
    let mut scrolled = Vec::new();
    let mut scroll_id = None;
    loop {
        let asked = v2::ListMessageRequest { scroll_id: scroll_id.take(), max_message_nums: 3, ..by(None) };
        let told = query(&broker, asked).await;
        assert!(told.messages.len() <= 3);
        scrolled.extend(told.messages.iter().map(|message| system(message).message_id.clone()));
        if told.scroll_id.is_empty() {
            break;
        }
        scroll_id = Some(told.scroll_id);
    }
    assert_eq!(paged, scrolled);
    scrolled.sort();
    scrolled.dedup();
    assert_eq!(scrolled.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_large_messages_ends_early_and_goes_on_where_it_ended() {
    let broker = Broker::start().await;
    for number in 0..4 {
        let large = v2::Message { body: vec![7; 2 << 20].into(), ..message(&format!("L{number}")) };
        broker.send_ok(vec![large]).await;
    }
    let mut count = 0;
    let mut scroll_id = None;
    for _ in 0..4 {
        let told = query(&broker, v2::ListMessageRequest { scroll_id: scroll_id.take(), ..by(None) }).await;
        assert_eq!(told.messages.len(), 1, "one is enough for a reply");
        count += 1;
        scroll_id = Some(told.scroll_id);
    }
    assert_eq!((count, scroll_id.as_deref()), (4, Some("")));
}

#[tokio::test(start_paused = true)]
async fn queries_that_make_no_sense_are_refused_with_what_is_wrong() {
    let broker = filled().await;
    let backwards = v2::ListMessageRequest { begin_timestamp: at(2000), end_timestamp: at(1000), ..by(None) };
    let before = prost_types::Timestamp { seconds: -1, nanos: 0 };
    let cases = [
        (by(Some(SearchKey::MessageId("none".into()))), Code::MessageNotFound),
        (by(Some(SearchKey::Subscription("||".into()))), Code::IllegalFilterExpression),
        (by(Some(SearchKey::LiteTopic("x".into()))), Code::NotImplemented),
        (v2::ListMessageRequest { topic: resource("none"), ..by(None) }, Code::TopicNotFound),
        (backwards, Code::BadRequest),
        (v2::ListMessageRequest { begin_timestamp: Some(before), ..by(None) }, Code::BadRequest),
        (v2::ListMessageRequest { page_num: Some(0), ..by(None) }, Code::BadRequest),
        (v2::ListMessageRequest { scroll_id: Some("x".into()), ..by(None) }, Code::BadRequest),
        (
            v2::ListMessageRequest { scroll_id: Some("0.0.0".into()), page_num: Some(1), ..by(None) },
            Code::BadRequest,
        ),
        (v2::ListMessageRequest { queue_id: Some(4), ..by(None) }, Code::NotFound),
        (v2::ListMessageRequest { queue_id: Some(-1), ..by(None) }, Code::NotFound),
        (v2::ListMessageRequest { broker_name: Some("g7".into()), ..by(None) }, Code::NotFound),
    ];
    for (asked, code) in cases {
        let told = query(&broker, asked.clone()).await;
        assert_eq!(code_of(told.status.as_ref()), code, "{asked:?}");
    }
    let beyond = v2::ListMessageRequest { scroll_id: Some(format!("0.{}.0", u64::MAX)), ..by(None) };
    assert_eq!(code_of(query(&broker, beyond).await.status.as_ref()), Code::Ok, "of a queue that was longer");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_an_administrator_is_one_like_any_other() {
    let broker = Broker::start().await;
    let asked = |topic: &str, body: &'static [u8]| v2::AdminSendMessageRequest {
        topic: resource(topic),
        tag: Some("probe".into()),
        key: Some("k".into()),
        body: body.into(),
        user_properties: [("colour".to_owned(), "red".to_owned())].into(),
        ..Default::default()
    };
    let nameless = broker.call_with("x-mq-client-id", "");
    let send = |topic, body| {
        let (method, nameless, request) =
            (Method::Admin(Rpc::AdminSendMessage), nameless.clone(), asked(topic, body));
        let broker = &broker;
        async move { broker.unary_as::<_, v2::AdminSendMessageResponse>(&nameless, method, request).await }
    };
    let (one, other) = (send("orders", b"1").await, send("orders", b"2").await);
    assert_eq!(code_of(one.status.as_ref()), Code::Ok);
    assert!(one.message_id.len() == 34 && one.message_id != other.message_id, "{one:?} {other:?}");
    let mut taken = broker.take(simple()).await;
    taken.sort_by_key(|message| message.body.clone());
    assert_eq!(taken.len(), 2);
    let first = system(&taken[0]);
    assert_eq!((&first.message_id, first.tag.as_deref()), (&one.message_id, Some("probe")));
    assert_eq!(
        (&first.keys[..], taken[0].user_properties["colour"].as_str()),
        (&["k".to_owned()][..], "red")
    );
    for (topic, body, code) in [
        ("none", &b"1"[..], Code::TopicNotFound),
        ("", b"1", Code::IllegalTopic),
        ("orders", b"", Code::MessageBodyEmpty),
    ] {
        let refused = send(topic, body).await;
        assert_eq!((code_of(refused.status.as_ref()), refused.message_id.as_str()), (code, ""), "{topic}");
    }
    let wrong_type = v2::AdminSendMessageRequest {
        system_properties: Some(v2::SystemProperties { priority: Some(1), ..Default::default() }),
        ..asked("orders", b"1")
    };
    let refused: v2::AdminSendMessageResponse = ask(&broker, Rpc::AdminSendMessage, wrong_type).await;
    assert_eq!(code_of(refused.status.as_ref()), Code::MessagePropertyConflictWithType);
}

#[tokio::test(start_paused = true)]
async fn searches_for_which_there_is_no_room_are_refused_with_the_limit() {
    let config = GatewayConfig { searches_max: 0, ..GatewayConfig::default() };
    let broker = Broker::start_with(config, 64 << 20).await;
    let status = query(&broker, by(None)).await.status.unwrap();
    assert_eq!(status.code(), Code::TooManyRequests);
    assert!(status.message.contains("0 searches"), "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_ended_makes_room_for_the_next() {
    let config = GatewayConfig { searches_max: 1, ..GatewayConfig::default() };
    let broker = Broker::start_with(config, 64 << 20).await;
    for _ in 0..3 {
        assert!(found(&broker, by(None)).await.is_empty());
    }
}

use wire::v2::{self, FilterType};

use crate::broker::{Broker, ids, message, simple};

fn sql(expression: &str) -> v2::ReceiveMessageRequest {
    let filter = v2::FilterExpression { r#type: FilterType::Sql.into(), expression: expression.into() };
    v2::ReceiveMessageRequest { filter_expression: Some(filter), ..simple() }
}

fn with(id: &str, properties: &[(&str, &str)]) -> v2::Message {
    let mut made = message(id);
    made.user_properties =
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    made
}

#[tokio::test(start_paused = true)]
async fn a_condition_chooses_by_properties_and_what_is_not_wanted_is_done() {
    let broker = Broker::start().await;
    let sent = vec![
        with("cheap", &[("price", "5"), ("region", "eu")]),
        with("dear", &[("price", "50"), ("region", "eu")]),
        with("far", &[("price", "50")]),
        with("odd", &[("price", "many"), ("region", "eu")]),
    ];
    broker.send_ok(sent).await;
    let taken = broker.take(sql("price > 10 AND region IS NOT NULL")).await;
    assert_eq!(ids(&taken), ["dear"]);
    broker.ack("billing", &[crate::broker::handle(&taken[0])]).await;
    broker.write();
    assert_eq!(broker.lag(), 0);
}

#[tokio::test(start_paused = true)]
async fn conditions_know_the_tag_and_the_keys() {
    let broker = Broker::start().await;
    let mut sent = message("M");
    let system = sent.system_properties.as_mut().unwrap();
    (system.tag, system.keys) = (Some("red".into()), vec!["k1".into(), "k2".into()]);
    broker.send_ok(vec![message("N"), sent]).await;
    assert_eq!(ids(&broker.take(sql("TAGS = 'red' AND KEYS CONTAINS 'k2'")).await), ["M"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_first_message_that_is_wanted() {
    let broker = Broker::start().await;
    for n in 0..100 {
        broker.send_ok(vec![with(&n.to_string(), &[("n", &n.to_string())])]).await;
    }
    assert_eq!(ids(&broker.take(sql("n = 99")).await), ["99"]);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_that_nobody_wants_leaves_the_runtime_to_others() {
    let broker = Broker::start().await;
    for n in 0..20 {
        broker.send_ok((0..32).map(|m| with(&format!("{n}-{m}"), &[("n", "1")])).collect()).await;
    }
    let (mut turns, mut done) = (0, false);
    let search = async {
        let received = broker.receive(sql("n = 2")).await;
        received.handout.delivered();
    };
    let mut search = std::pin::pin!(search);
    while !done {
        done = futures::poll!(search.as_mut()).is_ready();
        turns += 1;
        if turns > 30 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(turns > 15, "the whole backlog was searched in {turns} turns");
    broker.write();
    assert_eq!(broker.lag(), 0, "and all of it is done for the group");
}

//! `kubectl apply` is the whole job: it becomes Ready, says so in columns, and an edit is carried out.

use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::{matrix, place, verify};

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_becomes_ready_and_passes_messages() {
    let here = Place::new("quickstart").await;
    let yaml =
        std::fs::read_to_string(place::root().join("examples/quickstart.yaml")).expect("the quickstart");
    here.apply(&yaml);
    let cluster = here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    here.ready::<ConsumerGroup>("billing").await;
    let status = cluster.status.expect("a status");
    assert_eq!(status.endpoint, Some(format!("shop.{}.svc:8081", here.namespace)));
    let reach = here.reach("shop").await;
    for sdk in Sdk::ALL {
        let call = Call::new(sdk, Mode::Simple, reach.endpoint(), "orders", "billing");
        let report = call.run(Scenario::Roundtrip, matrix::COUNT).expect("a report");
        assert_eq!(
            verify::problems(&call, Scenario::Roundtrip, matrix::COUNT, &report),
            Vec::<String>::new()
        );
    }
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_get_answers_in_columns() {
    let here = Place::new("columns").await;
    here.apply(&(super::shop("") + &super::pair("orders")));
    here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    let columns = |kind: &str| {
        let said = here.kubectl(&["get", kind]);
        let mut lines = said.text.lines();
        let words = |line: Option<&str>| {
            line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        (words(lines.next()), words(lines.next()))
    };
    let (head, row) = columns("brokerclusters");
    assert_eq!(head[..7], ["NAME", "READY", "STATE", "SAFE", "COPIES", "FLUSH", "ENDPOINT"]);
    assert_eq!(row[..6], ["shop", "1/1", "Serving", "True", "1/1", "Async"]);
    let (head, row) = columns("topics");
    assert_eq!(head[..5], ["NAME", "CLUSTER", "TYPE", "QUEUES", "STATE"]);
    assert_eq!(row[..5], ["orders", "shop", "NORMAL", "4", "Ready"]);
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_the_broker_and_an_impossible_one_keeps_the_old_state() {
    let here = Place::new("edit").await;
    here.apply(&(super::shop("") + &super::pair("orders")));
    here.ready::<Topic>("orders").await;
    let patch = |queues: u32| {
        let patch = format!("{{\"spec\":{{\"queues\":{{\"perGroup\":{queues}}}}}}}");
        let said = here.kubectl(&["patch", "topic", "orders", "--type", "merge", "--patch", &patch]);
        assert!(said.ok, "{}", said.text);
    };
    patch(8);
    let topic = here.ready::<Topic>("orders").await;
    assert_eq!(topic.status.and_then(|status| status.queues), Some(8));
    patch(2);
    let refused = here.condition::<Topic>("orders", "False").await;
    assert_eq!(refused.reason, "InvalidChange", "{}", refused.message);
    let topics: kube::Api<Topic> = here.api();
    let queues = topics.get("orders").await.expect("the topic").status.and_then(|status| status.queues);
    assert_eq!(queues, Some(8));
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_waits_for_a_cluster_that_does_not_exist_yet() {
    let here = Place::new("waiting").await;
    here.apply(&super::pair("orders"));
    let waiting = here.condition::<Topic>("orders", "False").await;
    assert!(waiting.reason.contains("Cluster"), "{}: {}", waiting.reason, waiting.message);
    here.apply(&super::shop(""));
    here.ready::<Topic>("orders").await;
    here.remove().await;
}

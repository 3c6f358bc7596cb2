//! Deleting: `Retain` keeps the data and the next object of the name takes it over, `Delete` removes it.

use std::time::Duration;

use crds::broker_cluster::ClusterState;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::{matrix, verify, wait};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

#[tokio::test(flavor = "multi_thread")]
async fn retained_cluster_comes_back_with_its_messages() {
    let here = Place::new("retain").await;
    let yaml = super::shop("") + &super::pair("orders");
    here.apply(&yaml);
    here.ready::<ConsumerGroup>("orders").await;
    here.ready::<Topic>("orders").await;
    let reach = here.reach("shop").await;
    let call = Call::new(Sdk::Go, Mode::Simple, reach.endpoint(), "orders", "orders");
    let sent = call.run(Scenario::Send, matrix::COUNT).expect("a report");
    assert!(sent.ok, "{:?}", sent.errors);
    drop(reach);
    assert!(here.kubectl(&["delete", "brokercluster", "shop", "--timeout=60s"]).ok);
    here.gone::<BrokerCluster>("shop").await;
    assert_eq!(here.names::<PersistentVolumeClaim>().await, ["data-shop-g0-0"]);
    here.apply(&yaml);
    here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    let reach = here.reach("shop").await;
    let call = Call::new(Sdk::Go, Mode::Simple, reach.endpoint(), "orders", "orders");
    let received = call.run(Scenario::Receive, matrix::COUNT).expect("a report");
    assert_eq!(verify::problems(&call, Scenario::Receive, matrix::COUNT, &received), Vec::<String>::new());
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_cluster_takes_its_disks_along() {
    let here = Place::new("delete").await;
    here.apply(&super::shop(", deletionPolicy: Delete"));
    here.ready::<BrokerCluster>("shop").await;
    assert!(here.kubectl(&["delete", "brokercluster", "shop", "--timeout=60s"]).ok);
    here.gone::<PersistentVolumeClaim>("data-shop-g0-0").await;
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_protected_cannot_be_deleted() {
    let here = Place::new("protected").await;
    let mut yaml = super::shop(", deletionProtection: true");
    matrix::object(&mut yaml, "Topic", "orders", "shop", "deletionProtection: true");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "deletionProtection: true");
    here.apply(&yaml);
    let all = ["brokercluster/shop", "topic/orders", "consumergroup/billing"];
    for object in all {
        let said = here.kubectl(&["delete", object, "--wait=false"]);
        assert!(!said.ok && said.text.contains("set it to false first"), "{object}: {}", said.text);
    }
    here.ready::<Topic>("orders").await;
    here.apply(&yaml.replace("deletionProtection: true", "deletionProtection: false"));
    for object in all {
        let said = here.kubectl(&["delete", object, "--wait=false"]);
        assert!(said.ok, "{object}: {}", said.text);
    }
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_by_itself() {
    let here = Place::new("pause").await;
    here.apply(&super::shop(""));
    here.ready::<BrokerCluster>("shop").await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(20);
    let pause =
        format!(", reconciliation: Paused, pausedUntil: '{until:.0}', podTemplate: {{labels: {{team: a}}}}");
    here.apply(&super::shop(&pause));
    let clusters: kube::Api<BrokerCluster> = here.api();
    let state = async |state: ClusterState| {
        wait::eventually(&format!("the state is {state:?}"), Duration::from_mins(2), async || {
            let status =
                clusters.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            if status.state == state { Ok(()) } else { Err(format!("{:?}", status.state)) }
        })
        .await;
    };
    state(ClusterState::Paused).await;
    let pods: kube::Api<Pod> = here.api();
    let team = async || pods.get("shop-g0-0").await.ok()?.metadata.labels?.remove("team");
    assert_eq!(team().await, None);
    wait::eventually("the new template is there", Duration::from_mins(2), async || {
        team().await.map(drop).ok_or_else(|| "it is not".to_owned())
    })
    .await;
    assert!(jiff::Timestamp::now() > until, "the pause was not over");
    state(ClusterState::Serving).await;
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_kept_or_deleted_in_the_broker_as_their_policy_says() {
    let here = Place::new("topics").await;
    let mut yaml = super::shop("");
    matrix::object(&mut yaml, "Topic", "kept", "shop", "deletionPolicy: Retain");
    matrix::object(&mut yaml, "Topic", "dropped", "shop", "deletionPolicy: Delete");
    here.apply(&yaml);
    here.ready::<Topic>("kept").await;
    here.ready::<Topic>("dropped").await;
    assert!(here.kubectl(&["delete", "topics", "kept", "dropped", "--timeout=60s"]).ok);
    here.gone::<Topic>("kept").await;
    here.gone::<Topic>("dropped").await;
    let listed = wait::eventually("the broker has dropped the topic", Duration::from_secs(30), async || {
        let said = here.millpond("shop-g0-0", &["topics", "list", "-o", "json"]);
        if said.text.contains("\"dropped\"") { Err(said.text) } else { Ok(said.text) }
    })
    .await;
    assert!(listed.contains("\"kept\""), "{listed}");
    let mut again = String::new();
    matrix::object(&mut again, "Topic", "kept", "shop", "deletionPolicy: Delete");
    here.apply(&again);
    here.ready::<Topic>("kept").await;
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_its_cluster_releases_itself() {
    let here = Place::new("orphan").await;
    here.apply(&(super::shop(", deletionPolicy: Delete") + &super::pair("orders")));
    here.ready::<Topic>("orders").await;
    assert!(here.kubectl(&["delete", "brokercluster", "shop", "--timeout=60s"]).ok);
    let said = here.kubectl(&["delete", "topic", "orders", "--timeout=60s"]);
    assert!(said.ok, "{}", said.text);
    here.remove().await;
}

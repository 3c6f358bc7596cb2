//! The chart goes and comes back: brokers and everything that users made stay, and go on.

use std::time::Duration;

use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::cluster::nodes::Disturbance;
use e2e::{matrix, wait};

const MESSAGES: usize = 20;
const SOON: Duration = Duration::from_mins(1);

fn manifests(queues: u32) -> String {
    let mut yaml = "apiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {name: shop}\n\
                    spec: {copies: 2, storage: {size: 1Gi}, flush: Async}\n"
        .to_owned();
    matrix::object(&mut yaml, "Topic", "orders", "shop", &format!("queues: {{perGroup: {queues}}}"));
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "consumeFrom: Earliest");
    yaml
}

/// What a user has in the namespace: kinds, names and identities.
fn possessions(here: &Place) -> Vec<String> {
    let kinds =
        "brokerclusters,topics,consumergroups,pods,statefulsets,services,persistentvolumeclaims,leases";
    let path = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let said = here.kubectl(&["get", kinds, "-o", path]);
    assert!(said.ok, "{}", said.text);
    let mut all: Vec<_> = said.text.lines().map(str::to_owned).collect();
    all.sort();
    all
}

fn send(here: &Place, from: usize) {
    let numbers: Vec<_> = (from..from + MESSAGES).map(|number| format!("number {number}")).collect();
    let args = ["exec", "-i", "shop-g0-0", "--", "millpond", "send", "orders"];
    let said = here.kubectl_with(&args, &numbers.join("\n"));
    assert!(said.ok, "{}", said.text);
}

fn received(here: &Place) -> usize {
    let said = here.millpond("shop-g0-0", &["receive", "orders", "--group", "billing", "--max", "1000"]);
    said.text.lines().filter(|line| line.contains("number ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_made_outlives_the_chart_and_is_looked_after_again() {
    let here = Place::new("uninstall").await;
    here.apply(&manifests(2));
    here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    here.ready::<ConsumerGroup>("billing").await;
    send(&here, 0);
    let before = possessions(&here);

    let gone = Disturbance::without_chart();
    let deployments = here.kubectl(&["get", "deployments", "-n", "millpond-system", "-o", "name"]);
    assert_eq!((deployments.ok, deployments.text.trim()), (true, ""), "the operator is gone");
    assert_eq!(possessions(&here), before, "the chart takes nothing with it");
    send(&here, MESSAGES);
    assert_eq!(received(&here), 2 * MESSAGES, "brokers need no operator");

    gone.end();
    here.apply(&manifests(4));
    wait::eventually("the operator is back at work", SOON, async || {
        let topics: kube::Api<Topic> = here.api();
        let topic = topics.get("orders").await.map_err(|error| error.to_string())?;
        let queues = topic.status.and_then(|status| status.queues);
        if queues == Some(4) { Ok(()) } else { Err(format!("{queues:?}")) }
    })
    .await;
    here.ready::<BrokerCluster>("shop").await;
    assert_eq!(possessions(&here), before, "nothing was made anew, and nobody was restarted");
    here.remove().await;
}

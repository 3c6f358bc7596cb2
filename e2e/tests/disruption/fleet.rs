//! One change for many clusters reaches one after the other, whatever becomes of the operator.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::BrokerCluster;
use e2e::cluster::Place;
use e2e::cluster::nodes::Disturbance;
use e2e::cluster::operator::{Fate, Operator};
use e2e::wait;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::operators::unsettled;

const CLUSTERS: [&str; 3] = ["a", "b", "c"];
/// Each change costs an operator that dies the time of a start.
const SETTLED_MAX: Duration = Duration::from_mins(4);
/// Longer than the deadline of a roll-out and some looks of the operator.
const HALTED: Duration = Duration::from_secs(30);

fn manifests(rest: &str) -> String {
    let one = |name: &&str| {
        format!(
            "---\napiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: {name}}}\n\
             spec: {{storage: {{size: 64Mi}}, flush: Async, rollout: {{progressDeadline: 10s}}{rest}}}\n"
        )
    };
    CLUSTERS.iter().map(one).collect()
}

/// Who has a turn, by the Lease.
async fn turns(here: &Place) -> BTreeSet<String> {
    let leases: Api<Lease> = Api::namespaced(here.client.clone(), "millpond-system");
    let lease = leases.get_opt("millpond-operator-rollouts").await.expect("the API server answers");
    let text = lease.and_then(|lease| lease.annotations().get("millpond.io/rollouts").cloned());
    text.map(|text| serde_json::from_str(&text).expect("a list")).unwrap_or_default()
}

struct Now {
    /// Clusters of which no broker serves.
    down: BTreeSet<String>,
    /// Clusters that wait for others.
    waiting: BTreeSet<String>,
    /// Clusters whose roll-out has halted.
    halted: BTreeSet<String>,
}

async fn now(here: &Place) -> Now {
    let clusters: Api<BrokerCluster> = here.api();
    let all = clusters.list(&ListParams::default()).await.expect("the API server answers").items;
    let with = |kind: &str, reason: &str| {
        let has = |cluster: &&BrokerCluster| {
            let status = cluster.status.iter().flat_map(|status| &status.conditions);
            status.into_iter().any(|one| one.type_ == kind && one.status == "True" && one.reason == reason)
        };
        all.iter().filter(has).map(ResourceExt::name_any).collect()
    };
    let pods: Api<k8s_openapi::api::core::v1::Pod> = here.api();
    let pods = pods.list(&ListParams::default()).await.expect("the API server answers").items;
    let is_ready = |pod: &&k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
        pod.metadata.deletion_timestamp.is_none()
            && conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    let up: BTreeSet<String> = pods
        .iter()
        .filter(is_ready)
        .filter_map(|pod| pod.labels().get("app.kubernetes.io/instance").cloned())
        .collect();
    Now {
        down: CLUSTERS.map(str::to_owned).into_iter().filter(|name| !up.contains(name)).collect(),
        waiting: with("Reconciling", "WaitsForTurn"),
        halted: with("Stalled", "RolloutHalted"),
    }
}

/// Waits until all is settled; until then one cluster at most is down, or has a turn.
async fn one_after_the_other(here: &Place, what: &str) {
    wait::eventually(what, SETTLED_MAX, async || {
        let (turns, now) = (turns(here).await, now(here).await);
        assert!(turns.len() <= 1, "{what}: {turns:?} have a turn");
        assert!(now.down.len() <= 1, "{what}: {:?} are down at once", now.down);
        let open = unsettled(here);
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_from_cluster_to_cluster_and_stops_at_the_first_that_it_breaks() {
    let here = Place::new("fleet").await;
    let _alone = Disturbance::without_operator();
    let operator =
        Operator::start_with(&here.namespace, Fate::DiesAfterEachChange, &["--rollouts-max", "1"]).await;
    here.apply(&manifests(""));
    wait::eventually("three clusters serve", SETTLED_MAX, async || {
        let open = unsettled(&here);
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;

    let before = operator.changes().len();
    here.apply(&manifests(", podTemplate: {labels: {team: orders}}"));
    one_after_the_other(&here, "the template reaches all of them").await;
    assert_eq!(turns(&here).await, BTreeSet::new(), "turns are given back");
    let changes = operator.changes().split_off(before);
    assert!(changes.iter().filter(|one| one.contains("millpond-system/leases")).count() >= 6, "{changes:?}");

    // An image that is nowhere: one cluster pays for it, and the others say that they wait.
    here.apply(&manifests(", podTemplate: {labels: {team: orders}}, image: localhost/millpond:none"));
    wait::eventually("the first one halts", SETTLED_MAX, async || {
        let now = now(&here).await;
        if now.halted.len() == 1 && now.waiting.len() == 2 {
            Ok(())
        } else {
            Err(format!("{:?}", now.halted))
        }
    })
    .await;
    tokio::time::sleep(HALTED).await;
    let halted = now(&here).await;
    assert_eq!((halted.halted.len(), halted.down.len()), (1, 1), "{:?} {:?}", halted.halted, halted.down);
    here.apply(&manifests(", podTemplate: {labels: {team: orders}}"));
    one_after_the_other(&here, "all is as before").await;
    drop(operator);
    here.remove().await;
}

//! Three groups of three copies get a new template again and again under load: `make rollout`.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::BrokerCluster;
use e2e::cluster::Place;
use e2e::sdk::Sdk;
use e2e::wait;

use crate::rollout::GAP_MS_MAX;
use crate::streams::Streams;

const GROUPS: usize = 3;
const COPIES: usize = 3;
/// Nine brokers restart one after the other within this time, or something is wrong.
const ROLLED_MAX: Duration = Duration::from_mins(10);
const FLOW: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: `make rollout`"]
async fn nine_brokers_roll_under_load_and_no_send_fails() {
    let rounds = std::env::var("E2E_ROLLOUT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let here = Place::new("nine").await;
    let cluster = format!(
        "apiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: shop}}\n\
         spec: {{groups: {GROUPS}, copies: {COPIES}, storage: {{size: 1Gi}}, deletionPolicy: Delete}}\n"
    );
    let clients = [("go", Sdk::Go), ("java", Sdk::Java), ("python", Sdk::Python)];
    let pairs: String = clients.iter().map(|(name, ..)| super::pair(name)).collect();
    here.apply(&(cluster + &pairs));
    here.ready::<BrokerCluster>("shop").await;
    settled(&here).await;
    let streams = Streams::start(&here, &clients).await;
    streams.flow();
    let mut all_ms = Vec::new();
    for round in 0..rounds {
        let watch = wait::Stopwatch::start();
        roll(&here, round).await;
        let gaps = gaps_ms(&here).await;
        println!("round {round}: {} s, gaps of the hand-overs {gaps:?} ms", watch.elapsed().as_secs());
        all_ms.extend(gaps);
        streams.flow();
    }
    streams.finish();
    all_ms.sort_unstable();
    println!("{} changes of a leader, gaps {all_ms:?} ms", all_ms.len());
    assert!(all_ms.last().is_some_and(|longest| *longest < GAP_MS_MAX), "{all_ms:?}");
    here.remove().await;
}

/// Changes the template, and waits until every pod is another one and all copies are in sync.
async fn roll(here: &Place, round: usize) {
    let before = uids(here).await;
    let patch =
        format!("{{\"spec\":{{\"podTemplate\":{{\"annotations\":{{\"example.org/round\":\"{round}\"}}}}}}}}");
    let said = here.kubectl(&["patch", "brokercluster", "shop", "--type", "merge", "--patch", &patch]);
    assert!(said.ok, "{}", said.text);
    wait::eventually("every pod is another one", ROLLED_MAX, async || {
        let now = uids(here).await;
        let same = before.iter().filter(|(name, uid)| now.get(*name) == Some(uid)).count();
        if same == 0 && now.len() == GROUPS * COPIES { Ok(()) } else { Err(format!("{same} are not")) }
    })
    .await;
    settled(here).await;
}

async fn settled(here: &Place) {
    let clusters: kube::Api<BrokerCluster> = here.api();
    wait::eventually("all copies are in sync", ROLLED_MAX, async || {
        let cluster = clusters.get("shop").await.map_err(|error| error.to_string())?;
        let status = cluster.status.unwrap_or_default();
        let is_newest = status.observed_generation == cluster.metadata.generation;
        let is_settled =
            status.conditions.iter().any(|one| one.type_ == "Reconciling" && one.status == "False");
        let is_whole =
            status.in_sync == format!("{COPIES}/{COPIES}") && status.ready == format!("{GROUPS}/{GROUPS}");
        if is_newest && is_settled && is_whole { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
    })
    .await;
}

/// How long each group was without a leader when it changed last, as the leaders of now measured it.
async fn gaps_ms(here: &Place) -> Vec<i64> {
    let clusters: kube::Api<BrokerCluster> = here.api();
    wait::eventually("gaps are told", FLOW, async || {
        let cluster = clusters.get("shop").await.map_err(|error| error.to_string())?;
        let groups = cluster.status.unwrap_or_default().group_status;
        let told = groups.iter().filter_map(|group| group.last_transition.as_ref()?.gap_ms);
        let gaps_ms: Vec<i64> = told.collect();
        if gaps_ms.len() == GROUPS { Ok(gaps_ms) } else { Err(format!("{groups:?}")) }
    })
    .await
}

/// The pods of the cluster.
async fn uids(here: &Place) -> BTreeMap<String, String> {
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = here.api();
    let ours = kube::api::ListParams::default().labels("app.kubernetes.io/instance=shop");
    let list = pods.list(&ours).await.expect("the API server answers");
    let named = |pod: k8s_openapi::api::core::v1::Pod| Some((pod.metadata.name?, pod.metadata.uid?));
    list.items.into_iter().filter_map(named).collect()
}

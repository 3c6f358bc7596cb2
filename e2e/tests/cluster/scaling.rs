//! Groups come and go; messages do not move, and none is lost or read twice.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::broker_cluster::{GroupStatus, Leaving};
use crds::broker_config::GroupPhase;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::Sdk;
use e2e::{matrix, wait};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use crate::streams::Streams;

const POD: &str = "shop-g0-0";
const MESSAGES: usize = 40;
/// Two times 40 s for clients to learn the way, and as much again for a busy machine.
const LEFT_MAX: Duration = Duration::from_mins(4);

fn manifests() -> String {
    let mut yaml = super::shop("").replace("groups: 1", "groups: 2");
    matrix::object(&mut yaml, "Topic", "orders", "shop", "queues: {perGroup: 2}");
    matrix::object(&mut yaml, "Topic", "ledger", "shop", "type: FIFO");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "consumeFrom: Earliest");
    yaml
}

fn send(here: &Place, from: usize) {
    let numbers: Vec<_> = (from..from + MESSAGES).map(|number| format!("number {number}")).collect();
    let said =
        here.kubectl_with(&["exec", "-i", POD, "--", "millpond", "send", "orders"], &numbers.join("\n"));
    assert!(said.ok, "{}", said.text);
}

/// The numbers that the consumer group gets until nothing comes any more.
fn receive(here: &Place) -> Vec<usize> {
    let said = here.millpond(POD, &["receive", "orders", "--group", "billing", "--max", "1000"]);
    let number =
        |line: &str| line.split("number ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    said.text.lines().filter_map(number).collect()
}

fn scale(here: &Place, groups: usize) {
    let said = here.kubectl(&["scale", "brokercluster", "shop", &format!("--replicas={groups}")]);
    assert!(said.ok, "{}", said.text);
}

async fn groups(here: &Place) -> Vec<GroupStatus> {
    let clusters: kube::Api<BrokerCluster> = here.api();
    let status = clusters.get("shop").await.expect("the API server answers").status;
    status.map(|status| status.group_status).unwrap_or_default()
}

/// Waits until the second group has come so far.
async fn leaving(here: &Place, what: &str, is_so: impl Fn(&Leaving) -> bool) -> Leaving {
    wait::eventually(what, LEFT_MAX, async || {
        let groups = groups(here).await;
        let found = groups.get(1).and_then(|group| group.leaving.clone());
        found.filter(|leaving| is_so(leaving)).ok_or_else(|| format!("{groups:?}"))
    })
    .await
}

/// Waits until Stalled has this reason.
async fn stalled(here: &Place, reason: &str) {
    let clusters: kube::Api<BrokerCluster> = here.api();
    wait::eventually(&format!("Stalled has reason {reason}"), LEFT_MAX, async || {
        let cluster = clusters.get("shop").await.map_err(|error| error.to_string())?;
        let conditions = cluster.status.unwrap_or_default().conditions;
        let found = conditions.iter().find(|one| one.type_ == "Stalled").cloned();
        found.filter(|one| one.reason == reason).map(|_| ()).ok_or_else(|| format!("{conditions:?}"))
    })
    .await;
}

async fn uid(here: &Place, pod: &str) -> Option<String> {
    let pods: kube::Api<Pod> = here.api();
    pods.get_opt(pod).await.expect("the API server answers")?.metadata.uid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_leaves_when_its_messages_are_read_and_comes_back_with_its_disk() {
    let here = Place::new("scaling").await;
    here.apply(&manifests());
    here.ready::<BrokerCluster>("shop").await;
    for topic in ["orders", "ledger"] {
        let status = here.ready::<Topic>(topic).await.status.expect("a status");
        assert_eq!(status.groups, Some(2), "{topic}");
    }
    here.ready::<ConsumerGroup>("billing").await;
    let first = uid(&here, POD).await;
    send(&here, 0);

    // The order of `ledger` is kept in both groups, so none of them may go before the user says that it may.
    scale(&here, 1);
    stalled(&here, "TopicsStay").await;
    let spread = "{\"spec\":{\"queues\":{\"placement\":\"Spread\"}}}";
    let said = here.kubectl(&["patch", "topic", "ledger", "--type", "merge", "--patch", spread]);
    assert!(said.ok, "{}", said.text);
    stalled(&here, "Working").await;

    let held =
        leaving(&here, "g1 takes nothing any more", |leaving| leaving.phase == GroupPhase::Draining).await;
    let rest = held.remaining.expect("its leader answers");
    assert!(
        usize::try_from(rest).is_ok_and(|rest| (1..=MESSAGES).contains(&rest)),
        "g1 had some of the messages: {held:?}"
    );
    assert!(held.message.contains("of orders"), "{}", held.message);
    send(&here, MESSAGES);
    let same = leaving(&here, "nothing was sent to g1", |leaving| leaving.remaining == Some(rest)).await;
    assert_eq!(same.phase, GroupPhase::Draining);

    // Back while there is something in it, and out again.
    scale(&here, 2);
    wait::eventually("g1 stays", LEFT_MAX, async || {
        let groups = groups(&here).await;
        if groups.len() == 2 && groups[1].leaving.is_none() { Ok(()) } else { Err(format!("{groups:?}")) }
    })
    .await;
    scale(&here, 1);
    let read = receive(&here);
    assert_eq!(read.len(), 2 * MESSAGES, "{read:?}");
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), 2 * MESSAGES, "read twice: {read:?}");
    wait::eventually("g1 has left", LEFT_MAX, async || {
        let (groups, pod) = (groups(&here).await, uid(&here, "shop-g1-0").await);
        if groups.len() == 1 && pod.is_none() { Ok(()) } else { Err(format!("{groups:?}")) }
    })
    .await;
    wait::eventually("only the address of g1 is left, and leads to g0", LEFT_MAX, async || {
        let all = "all,configmaps,endpointslices";
        let said = here.kubectl(&["get", all, "-l", "millpond.io/group=g1", "-o", "name"]).text;
        let mut left: Vec<_> = said.lines().map(|line| line.rsplit('/').next().unwrap_or(line)).collect();
        left.retain(|name| !name.starts_with("shop-g1-leader"));
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let said = here.millpond(POD, &["send", "--endpoint", "shop-g1-leader:8081", "orders", "number 1000"]);
    assert!(said.ok, "a client that still has the address: {}", said.text);
    let claims: kube::Api<PersistentVolumeClaim> = here.api();
    let claim = claims.get("data-shop-g1-0").await.expect("the claim is retained").metadata.uid;

    send(&here, 2 * MESSAGES);
    scale(&here, 2);
    here.ready::<BrokerCluster>("shop").await;
    wait::eventually("g1 is back", LEFT_MAX, async || {
        let groups = groups(&here).await;
        let is_back = groups.len() == 2 && groups[1].state == "serving" && groups[1].joining.is_none();
        if is_back { Ok(()) } else { Err(format!("{groups:?}")) }
    })
    .await;
    assert_eq!(claims.get("data-shop-g1-0").await.expect("a claim").metadata.uid, claim, "its old disk");
    assert_eq!(receive(&here).len(), MESSAGES + 1, "what was read before is not read again");
    assert_eq!(uid(&here, POD).await, first, "g0 was restarted");
    here.remove().await;
}

/// Waits until the cluster has so many groups, all of them serve, and nothing is under way.
async fn settled(here: &Place, count: usize) {
    let clusters: kube::Api<BrokerCluster> = here.api();
    wait::eventually(&format!("{count} groups serve"), LEFT_MAX, async || {
        let status =
            clusters.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let is_busy = status.conditions.iter().any(|one| one.type_ == "Reconciling" && one.status == "True");
        let is_so = status.ready == format!("{count}/{count}") && status.group_status.len() == count;
        if is_so && !is_busy { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and wants the DNS of the cluster: `make scaling`"]
async fn two_groups_become_four_and_two_again_under_load_and_nothing_is_lost() {
    let here = Place::new("four").await;
    let clients = [("go", Sdk::Go), ("java", Sdk::Java), ("python", Sdk::Python), ("node", Sdk::Node)];
    let pairs: String = clients.iter().map(|(name, ..)| super::pair(name)).collect();
    here.apply(&(super::shop("").replace("groups: 1", "groups: 2") + &pairs));
    here.ready::<BrokerCluster>("shop").await;
    let streams = Streams::start(&here, &clients).await;
    for count in [2, 4, 2] {
        let watch = wait::Stopwatch::start();
        scale(&here, count);
        settled(&here, count).await;
        println!("{count} groups after {} s", watch.elapsed().as_secs());
        streams.flow();
    }
    streams.finish();
    here.remove().await;
}

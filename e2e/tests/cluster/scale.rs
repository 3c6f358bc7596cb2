//! One operator for a thousand topics and a thousand consumer groups in twenty clusters: what it costs when nothing happens,
//! and how soon a change is live.

use std::time::Duration;

use crds::object::ObjectState;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::wait::{self, Stopwatch};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const CLUSTERS: usize = 20;
const EACH: usize = 50;
/// Twenty brokers start on the nodes of a laptop.
const READY_MAX: Duration = Duration::from_mins(6);
/// Four rounds in which everything is compared although nothing changed.
const IDLE: Duration = Duration::from_mins(2);
const LIVE_MAX: Duration = Duration::from_secs(2);
const CPU_SHARE_MAX: f64 = 0.05;
const MEMORY_BYTES_MAX: f64 = 150.0 * 1024.0 * 1024.0;
const CHANGES: usize = 20;

/// A page of the metrics of the operator that leads.
struct Page(String);

impl Page {
    async fn of(here: &Place) -> Self {
        let pods: Api<Pod> = Api::namespaced(here.client.clone(), "millpond-system");
        let list = ListParams::default().labels("app.kubernetes.io/name=millpond-operator");
        for pod in pods.list(&list).await.expect("the operator's pods").items {
            let path =
                format!("/api/v1/namespaces/millpond-system/pods/{}:8080/proxy/metrics", pod.name_any());
            let said = here.kubectl(&["get", "--raw", &path]);
            let page = Self(said.text);
            if said.ok && page.0.contains("millpond_operator_leading 1") {
                return page;
            }
        }
        panic!("no operator leads");
    }

    fn value(&self, name: &str) -> f64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{}", self.0))
    }
}

fn named(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "millpond.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// Makes all of them, not with kubectl, which holds itself to some twenty objects a second.
async fn create<K>(here: &Place, objects: Vec<Value>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = here.api();
    let one = async |object: Value| {
        let object: K = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object).await
    };
    stream::iter(objects)
        .map(one)
        .buffer_unordered(32)
        .try_collect::<Vec<_>>()
        .await
        .expect("all are accepted");
}

async fn all_ready<K>(here: &Place, count: usize, is_ready: impl Fn(&K) -> bool)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = here.api();
    wait::eventually(&format!("{count} {} are Ready", K::plural(&())), READY_MAX, async || {
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let ready = list.items.iter().filter(|object| is_ready(object)).count();
        if ready == count { Ok(()) } else { Err(format!("{ready} of {count}")) }
    })
    .await;
}

fn queues(here: &Place, cluster: &str, topic: &str) -> Option<u64> {
    let said = here.millpond(&format!("{cluster}-g0-0"), &["topics", "describe", topic, "-o", "json"]);
    let described: Value = serde_json::from_str(&said.text).ok()?;
    Some(described["queues"].as_array()?.len() as u64)
}

/// Makes everything, and waits until all of it is Ready.
async fn fill(here: &Place) {
    let clusters = (0..CLUSTERS).map(|number| {
        let spec = json!({ "storage": { "size": "64Mi" }, "flush": "Async" });
        named("BrokerCluster", &format!("c{number}"), &spec)
    });
    let of_cluster = |kind: &'static str| {
        let one = move |number: usize| {
            let spec = json!({ "clusterRef": { "name": format!("c{}", number % CLUSTERS) } });
            named(kind, &format!("n{number}"), &spec)
        };
        (0..CLUSTERS * EACH).map(one).collect::<Vec<_>>()
    };
    let watch = Stopwatch::start();
    create::<BrokerCluster>(here, clusters.collect()).await;
    create::<Topic>(here, of_cluster("Topic")).await;
    create::<ConsumerGroup>(here, of_cluster("ConsumerGroup")).await;
    all_ready::<BrokerCluster>(here, CLUSTERS, |cluster| {
        cluster.status.as_ref().is_some_and(|status| status.ready == "1/1")
    })
    .await;
    let of = |state: Option<ObjectState>| state == Some(ObjectState::Ready);
    all_ready::<Topic>(here, CLUSTERS * EACH, |one| of(one.status.as_ref().map(|status| status.state))).await;
    all_ready::<ConsumerGroup>(here, CLUSTERS * EACH, |one| {
        of(one.status.as_ref().map(|status| status.state))
    })
    .await;
    println!("all Ready after {:.0?}", watch.elapsed());
}

/// What the operator uses and does while nothing happens.
async fn idle(here: &Place) {
    let (before, watch) = (Page::of(here).await, Stopwatch::start());
    tokio::time::sleep(IDLE).await;
    let (after, elapsed) = (Page::of(here).await, watch.elapsed());
    let grown = |name: &str| after.value(name) - before.value(name);
    let operator = |name: &str| grown(&format!("millpond_operator_{name}"));
    let share = grown("process_cpu_seconds_total") / elapsed.as_secs_f64();
    let memory = after.value("process_resident_memory_bytes");
    let (passes, calls) = (operator("object_passes_total"), operator("broker_calls_total"));
    println!(
        "idle for {elapsed:.0?}: {:.1} % of a core, {:.0} MiB, {} passes over clusters, {passes} over their objects, {calls} \
         calls to brokers, {} applied, {} statuses written",
        share * 100.0,
        memory / 1_048_576.0,
        operator("cluster_passes_total"),
        operator("applies_total"),
        operator("status_writes_total"),
    );
    assert!(share < CPU_SHARE_MAX, "{share}");
    assert!(memory < MEMORY_BYTES_MAX, "{memory}");
    assert!(passes >= CLUSTERS as f64, "{passes}: nothing was compared");
    assert!(calls <= 3.0 * passes, "{calls} calls for {passes} passes");
}

/// How soon a broker has what a topic was changed to.
async fn change(here: &Place) {
    let topics: Api<Topic> = here.api();
    let mut took = Vec::new();
    for number in 0..CHANGES {
        let (cluster, name) = (format!("c{}", number % CLUSTERS), format!("n{number}"));
        let before = queues(here, &cluster, &name).expect("the topic is there");
        let patch = Patch::Merge(json!({ "spec": { "queues": { "perGroup": before + 1 } } }));
        let watch = Stopwatch::start();
        topics.patch(&name, &PatchParams::default(), &patch).await.expect("it is changed");
        wait::until("the change is live", READY_MAX, || {
            queues(here, &cluster, &name).filter(|queues| *queues == before + 1)
        });
        took.push(watch.elapsed());
    }
    took.sort();
    println!(
        "a changed topic is live after {:.1?} (median), {:.1?} at most",
        took[CHANGES / 2],
        took[CHANGES - 1]
    );
    assert!(took[CHANGES - 1] < LIVE_MAX, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: `make scale`"]
async fn a_thousand_topics_and_groups_in_twenty_clusters() {
    let here = Place::new("scale").await;
    fill(&here).await;
    // What has just been made settles; then nothing happens.
    tokio::time::sleep(IDLE / 2).await;
    idle(&here).await;
    change(&here).await;
    here.remove().await;
}

//! Every field of every spec is changed, in random order: the cluster comes to what it asks for, or somebody says why not, and
//! then it can be set back; in the end everything is.
//!
//! Slow, so `make convergence` runs it and `make test` does not. `E2E_SEED` is the order.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::cluster::Place;
use e2e::{matrix, wait};
use kube::CustomResourceExt;
use serde_json::{Value, json};

/// A group that leaves waits for routes twice, and all brokers may have to be restarted meanwhile.
const SETTLED_MAX: Duration = Duration::from_mins(6);

/// A field of an object, and what it is set to.
struct Mutation {
    kind: &'static str,
    field: &'static str,
    value: Value,
}

/// What came of it.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The API server did not take it.
    Refused(String),
    /// Everything is as the specs say.
    Settled,
    /// A condition says what stands in the way.
    Reported(String),
}

fn base() -> String {
    let rest = ", rollout: {progressDeadline: 20s}";
    let mut yaml = super::shop(rest);
    matrix::object(&mut yaml, "Topic", "orders", "shop", "queues: {perGroup: 4}");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "retry: {backoff: {custom: [1s]}}");
    yaml
}

fn name_of(kind: &str) -> &'static str {
    match kind {
        "topic" => "orders",
        "consumergroup" => "billing",
        _ => "shop",
    }
}

fn mutations() -> Vec<Mutation> {
    let of = |kind, list: Vec<(&'static str, Value)>| {
        list.into_iter().map(move |(field, value)| Mutation { kind, field, value })
    };
    let (cluster, topic, group) = (of_cluster(), of_topic(), of_consumer_group());
    of("brokercluster", cluster).chain(of("topic", topic)).chain(of("consumergroup", group)).collect()
}

fn of_cluster() -> Vec<(&'static str, Value)> {
    let constraint = json!([{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway" }]);
    let election = json!([{ "group": "g0", "token": "never", "epoch": 0, "ordinal": 0 }]);
    vec![
        ("groups", json!(2)),
        ("groups", json!(99)),
        ("copies", json!(2)),
        ("minInSync", json!(1)),
        ("minInSync", json!(3)),
        ("replication", json!("Async")),
        ("version", json!("none")),
        ("image", json!("localhost/millpond:none")),
        ("flush", json!("Sync")),
        ("retention.maxAge", json!("24h")),
        ("retention.maxAge", json!("3d")),
        ("retention.maxSize", json!("512Mi")),
        ("retention.maxSize", json!("9Gi")),
        ("maxDelay", json!("48h")),
        ("maxDelay", json!("99999h")),
        ("transactions.checkAfter", json!("10s")),
        ("transactions.checkInterval", json!("10s")),
        ("transactions.maxChecks", json!(7)),
        ("tracing", json!({ "otlpEndpoint": "http://collector.monitoring.svc:4317" })),
        ("tracing", json!({ "otlpEndpoint": "https://collector" })),
        ("scaleIn.deadline", json!("1m")),
        ("storage.size", json!("2Gi")),
        ("storage.className", json!("other")),
        ("resources.requests", json!({ "cpu": "10m" })),
        ("resources.requests", json!({ "cpu": "1000" })),
        ("resources.limits", json!({ "memory": "1Gi" })),
        ("scheduling.nodeSelector", json!({ "nowhere": "true" })),
        ("scheduling.tolerations", json!([{ "key": "a", "operator": "Exists" }])),
        ("scheduling.topologySpread", constraint),
        ("scheduling.priorityClassName", json!("missing")),
        ("scheduling.copiesOnDifferentNodes", json!("Preferred")),
        ("podTemplate.labels", json!({ "team": "orders" })),
        ("podTemplate.annotations", json!({ "team": "orders" })),
        ("listeners", json!([{ "name": "public", "port": 9081, "type": "NodePort" }])),
        ("listeners", json!([{ "name": "public", "port": 9081, "type": "NodePort", "nodePort": 80 }])),
        ("listeners", json!([{ "name": "public", "port": 8081, "type": "NodePort" }])),
        ("deletionPolicy", json!("Delete")),
        ("deletionProtection", json!(true)),
        ("rollout.progressDeadline", json!("15s")),
        ("reconciliation", json!("Paused")),
        ("pausedUntil", json!("2020-01-01T00:00:00Z")),
        ("allowedNamespaces", json!(["*"])),
        ("uncleanElections", election),
    ]
}

fn of_topic() -> Vec<(&'static str, Value)> {
    vec![
        ("clusterRef", json!({ "name": "other" })),
        ("name", json!("other")),
        ("type", json!("FIFO")),
        ("queues.perGroup", json!(8)),
        ("queues.perGroup", json!(1)),
        ("queues.placement", json!("Stay")),
        ("retention.maxAge", json!("24h")),
        ("deletionPolicy", json!("Delete")),
        ("deletionProtection", json!(true)),
        ("adoptionPolicy", json!("Never")),
        ("management", json!("Observed")),
    ]
}

fn of_consumer_group() -> Vec<(&'static str, Value)> {
    vec![
        ("clusterRef", json!({ "name": "other" })),
        ("name", json!("other")),
        ("consumeFrom", json!("Latest")),
        ("consumeFromTimestamp", json!("2026-01-01T00:00:00Z")),
        ("delivery", json!("BroadcastByHost")),
        ("ordered", json!(true)),
        ("priority.policy", json!("Weighted")),
        ("priority.agingInterval", json!("10s")),
        ("reset", json!({ "id": "once", "to": "Earliest" })),
        ("retry.maxAttempts", json!(3)),
        ("retry.backoff", json!({ "custom": null, "exponential": { "initial": "1s", "max": "1m" } })),
        ("trace", json!(true)),
        ("deletionPolicy", json!("Delete")),
        ("deletionProtection", json!(true)),
        ("adoptionPolicy", json!("Never")),
        ("management", json!("Observed")),
    ]
}

/// The fields below a part of a schema that have none below them.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            for (name, below) in properties {
                leaves(below, &format!("{path}.{name}"), found);
            }
        }
        None => drop(found.insert(path.trim_start_matches('.').to_owned())),
    }
}

fn fields(definition: &impl serde::Serialize) -> BTreeSet<String> {
    let definition = serde_json::to_value(definition).expect("a definition is JSON");
    let mut found = BTreeSet::new();
    leaves(
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
        "",
        &mut found,
    );
    found
}

#[test]
fn every_field_has_a_mutation() {
    let kinds = [
        ("brokercluster", fields(&crds::BrokerCluster::crd())),
        ("topic", fields(&crds::Topic::crd())),
        ("consumergroup", fields(&crds::ConsumerGroup::crd())),
    ];
    let all = mutations();
    let is_changed = |kind: &str, field: &str| {
        let covers = |one: &&Mutation| field == one.field || field.starts_with(&format!("{}.", one.field));
        all.iter().filter(|one| one.kind == kind).any(|one| covers(&one))
    };
    for (kind, fields) in &kinds {
        assert!(!fields.is_empty(), "{kind}");
        let missing: Vec<_> = fields.iter().filter(|field| !is_changed(kind, field)).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?}");
    }
}

impl Mutation {
    fn patch(&self, value: &Value) -> String {
        let nested = self.field.rsplit('.').fold(value.clone(), |inner, name| json!({ name: inner }));
        json!({ "spec": nested }).to_string()
    }

    /// What the API server says.
    fn set(&self, here: &Place, value: &Value) -> Result<(), String> {
        let patch = self.patch(value);
        let said =
            here.kubectl(&["patch", self.kind, name_of(self.kind), "--type", "merge", "--patch", &patch]);
        if said.ok { Ok(()) } else { Err(said.text) }
    }

    /// What it is set to before.
    fn before(&self, here: &Place) -> Value {
        let object =
            objects(here).into_iter().find(|object| object["metadata"]["name"] == name_of(self.kind));
        let path = format!("/spec/{}", self.field.replace('.', "/"));
        object.and_then(|object| object.pointer(&path).cloned()).unwrap_or_default()
    }
}

fn objects(here: &Place) -> Vec<Value> {
    let said = here.kubectl(&["get", "brokerclusters,topics,consumergroups", "-o", "json"]);
    let list: Value = serde_json::from_str(&said.text).unwrap_or_default();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Everything is settled, or something is reported, about the newest generation of each object.
fn outcome(here: &Place) -> Result<Outcome, String> {
    let mut reported = Vec::new();
    let mut open = Vec::new();
    for object in objects(here) {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is = |kind: &str, status: &str| {
            conditions.iter().find(|one| {
                one["type"] == kind
                    && one["status"] == status
                    && one["observedGeneration"] == object["metadata"]["generation"]
            })
        };
        let name = &object["metadata"]["name"];
        // What a pause of the cluster does to its topics and consumer groups.
        let paused = is("Ready", "False").filter(|ready| ready["reason"] == "ClusterPaused");
        match (is("Stalled", "True").or(paused), is("Ready", "True"), is("Reconciling", "False")) {
            (Some(stalled), ..) => {
                reported.push(format!("{name} {}: {}", stalled["reason"], stalled["message"]));
            }
            (None, Some(_), Some(_)) => {}
            (None, ..) => open.push(format!("{name}: {}", object["status"]["conditions"])),
        }
    }
    match (reported.is_empty(), open.is_empty()) {
        (false, _) => Ok(Outcome::Reported(reported.join("; "))),
        (true, true) => Ok(Outcome::Settled),
        (true, false) => Err(open.join("; ")),
    }
}

async fn settle(what: &str, here: &Place) -> Outcome {
    wait::eventually(what, SETTLED_MAX, async || outcome(here)).await
}

/// Waits until nothing stands in the way any more.
async fn settled(what: &str, here: &Place) {
    wait::eventually(what, SETTLED_MAX, async || match outcome(here)? {
        Outcome::Settled => Ok(()),
        Outcome::Refused(why) | Outcome::Reported(why) => Err(why),
    })
    .await;
}

/// The list in another order; the same for the same seed.
fn shuffled<T>(mut list: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed;
    for last in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(last, (state >> 33) as usize % (last + 1));
    }
    list
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: `make convergence`"]
async fn every_field_is_changed_and_set_back() {
    let seed = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let here = Place::new("mutations").await;
    here.apply(&base());
    settled("the base", &here).await;
    let mut kept = Vec::new();
    for mutation in shuffled(mutations(), seed) {
        let what = format!("{} {} = {}", mutation.kind, mutation.field, mutation.value);
        let before = mutation.before(&here);
        let outcome = match mutation.set(&here, &mutation.value) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(()) => settle(&what, &here).await,
        };
        println!("{what}: {outcome:?}");
        match outcome {
            // A sentence that says what to do, and not only that the value is wrong.
            Outcome::Refused(text) => {
                assert!(text.contains("is invalid") && text.len() > 60, "{what}: {text}");
            }
            // While it is paused nothing else would happen.
            Outcome::Settled if mutation.field != "reconciliation" => kept.push((mutation, before)),
            Outcome::Settled | Outcome::Reported(_) => {
                mutation.set(&here, &before).unwrap_or_else(|refusal| panic!("{what} set back: {refusal}"));
                settled(&format!("{what} set back"), &here).await;
            }
        }
    }
    for (mutation, before) in kept.iter().rev() {
        let what = format!("{} {} set back to {before}", mutation.kind, mutation.field);
        match mutation.set(&here, before) {
            Ok(()) => settled(&what, &here).await,
            Err(refusal) => println!("{what}: {refusal}"),
        }
    }
    here.remove().await;
}

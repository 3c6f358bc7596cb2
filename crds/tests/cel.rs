//! The rules that the API server checks: each one lets right objects pass and refuses wrong ones with a sentence.
#![allow(clippy::unwrap_used, reason = "a test program: helpers fail as tests do")]

use crds::broker_config::FlushMode;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use kube::core::cel::{validate_cel, validate_cel_update};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<T: DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> T {
    let object = json!({
        "apiVersion": "millpond.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn refusals<T: kube::CustomResourceExt + Serialize>(object: &T, old: Option<&T>) -> Vec<String> {
    let outcome = match old {
        Some(old) => validate_cel_update(object, old),
        None => validate_cel(object),
    };
    match outcome {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

/// The base with a part of it replaced.
fn with(base: &Value, part: &Value) -> Value {
    let mut merged = base.clone();
    for (key, value) in part.as_object().unwrap() {
        merged[key] = value.clone();
    }
    merged
}

/// Every part is accepted on the base.
fn accepted<T: kube::CustomResourceExt + Serialize + DeserializeOwned>(
    kind: &str,
    base: &Value,
    parts: &[Value],
) {
    for part in parts {
        let object: T = object(kind, "some", &with(base, part));
        assert_eq!(refusals(&object, None), Vec::<String>::new(), "{part}");
    }
}

/// Every part is refused on the base, by exactly one rule, with this text in its message.
fn refused<T: kube::CustomResourceExt + Serialize + DeserializeOwned>(
    kind: &str,
    base: &Value,
    parts: &[(Value, &str)],
) {
    for (part, text) in parts {
        let object: T = object(kind, "some", &with(base, part));
        let found = refusals(&object, None);
        assert!(found.len() == 1 && found[0].contains(text), "{part}: {found:?} should be only `{text}`");
    }
}

/// Changes from one part to another: refused with a text, or accepted when there is none.
fn changes<T: kube::CustomResourceExt + Serialize + DeserializeOwned>(
    kind: &str,
    base: &Value,
    steps: &[(Value, Value, Option<&str>)],
) {
    for (from, to, text) in steps {
        let old: T = object(kind, "some", &with(base, from));
        let new: T = object(kind, "some", &with(base, to));
        let found = refusals(&new, Some(&old));
        match text {
            None => assert_eq!(found, Vec::<String>::new(), "{from} to {to}"),
            Some(text) => assert!(
                found.len() == 1 && found[0].contains(text),
                "{from} to {to}: {found:?} should be only `{text}`"
            ),
        }
    }
}

#[test]
fn clusters_that_can_work_are_accepted() {
    let base = json!({ "storage": { "size": "10Gi" } });
    accepted::<BrokerCluster>(
        "BrokerCluster",
        &base,
        &[
            json!({}),
            json!({ "groups": 32, "copies": 1, "flush": "Async", "version": "1.2.3" }),
            json!({ "storage": { "size": 1_073_741_824, "className": "fast" } }),
            json!({ "copies": 3 }),
            json!({ "copies": 2, "minInSync": 2, "replication": "Async", "flush": "Sync" }),
            json!({ "copies": 3, "minInSync": 1, "scheduling": { "copiesOnDifferentNodes": "Preferred" } }),
            json!({ "uncleanElections": [{ "group": "g0", "token": "2026-01-ada", "epoch": 7, "ordinal": 2 }] }),
            json!({ "retention": { "maxAge": "1m", "maxSize": "16Mi" } }),
            json!({ "allowedNamespaces": ["*"] }),
            json!({ "allowedNamespaces": ["a", "team-1"] }),
            json!({ "groups": 2, "listeners": [{ "name": "public", "port": 9081, "nodePort": 30081 }] }),
            json!({ "listeners": [
                { "name": "lb", "port": 9081, "type": "LoadBalancer" },
                { "name": "named", "port": 9082, "type": "NodePort", "advertised": "mq.example.com:{nodePort}" },
                { "name": "six", "port": 9083, "type": "NodePort", "advertised": "[2001:db8::7]:{nodePort}" },
                { "name": "tls", "port": 9084, "type": "ClusterIP",
                  "advertised": "{group}-{cluster}.{namespace}.mq.example.com:443" },
            ] }),
            json!({ "reconciliation": "Paused", "pausedUntil": "2026-12-24T18:00:00Z" }),
            json!({ "resources": { "requests": { "cpu": 1, "memory": "1Gi" } } }),
            json!({ "tracing": { "otlpEndpoint": "http://collector.monitoring.svc:4317" } }),
            json!({ "tracing": { "otlpEndpoint": "http://[fd00::1]:4317" } }),
        ],
    );
}

#[test]
fn clusters_that_cannot_work_are_refused_with_advice() {
    let base = json!({ "storage": { "size": "10Gi" } });
    refused::<BrokerCluster>(
        "BrokerCluster",
        &base,
        &[
            (json!({ "tracing": { "otlpEndpoint": "https://collector:4317" } }), "must be http://host:port"),
            (json!({ "tracing": { "otlpEndpoint": "collector:4317" } }), "must be http://host:port"),
            (json!({ "tracing": { "otlpEndpoint": "http://collector" } }), "must be http://host:port"),
            (json!({ "minInSync": 2 }), "lower minInSync or raise copies"),
            (json!({ "copies": 2, "minInSync": 3 }), "lower minInSync or raise copies"),
            (json!({ "pausedUntil": "2026-12-24T18:00:00Z" }), "set reconciliation to Paused"),
            (json!({ "version": "1", "image": "a/b:1" }), "give version or image, not both"),
            (json!({ "storage": { "size": "lots" } }), "for example 10Gi"),
            (json!({ "storage": { "size": "1Mi" } }), "at least 64Mi"),
            (json!({ "retention": { "maxAge": "3d" } }), "write days as hours"),
            (json!({ "retention": { "maxAge": "30s" } }), "must be at least 1m"),
            (json!({ "retention": { "maxSize": "1Ki" } }), "at least 16Mi"),
            (json!({ "allowedNamespaces": ["Team A"] }), "'*' for all of them"),
        ],
    );
}

#[test]
fn listeners_that_cannot_work_are_refused_with_advice() {
    let base = json!({ "storage": { "size": "10Gi" } });
    let one = |change: Value| {
        let mut listener = json!({ "name": "public", "port": 9081, "type": "NodePort" });
        listener.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "listeners": [listener] })
    };
    let ports = json!({ "listeners": [
        { "name": "a", "port": 9081, "type": "NodePort" }, { "name": "b", "port": 9081, "type": "NodePort" },
    ] });
    refused::<BrokerCluster>(
        "BrokerCluster",
        &base,
        &[
            (ports, "give each its own"),
            (one(json!({ "name": "leader" })), "neither 'leader' nor a group"),
            (one(json!({ "name": "g7" })), "neither 'leader' nor a group"),
            (one(json!({ "name": "a-b" })), "lower case letters and digits"),
            (one(json!({ "port": 8083 })), "9081 for example is free"),
            (one(json!({ "type": "LoadBalancer", "nodePort": 30081 })), "needs type NodePort"),
            (one(json!({ "type": "ClusterIP" })), "type ClusterIP needs advertised"),
            (one(json!({ "advertised": "mq.example.com:443" })), "the groups need addresses that differ"),
            (one(json!({ "advertised": "{group}.example.com" })), "advertised must be host:port"),
            (one(json!({ "advertised": "{pod}.example.com:{nodePort}" })), "advertised must be host:port"),
            (
                one(json!({ "advertised": "{loadBalancer}:443" })),
                "{loadBalancer} only with type LoadBalancer",
            ),
        ],
    );
}

#[test]
fn a_cluster_name_leaves_room_for_what_is_added_to_it() {
    let spec = json!({ "storage": { "size": "10Gi" } });
    for name in ["a", "shop", &"a".repeat(48)] {
        let cluster: BrokerCluster = object("BrokerCluster", name, &spec);
        assert_eq!(refusals(&cluster, None), Vec::<String>::new(), "{name}");
    }
    for name in ["1shop", "sh.op", &"a".repeat(49)] {
        let cluster: BrokerCluster = object("BrokerCluster", name, &spec);
        assert!(refusals(&cluster, None)[0].contains("choose a shorter name"), "{name}");
    }
}

#[test]
fn a_size_that_disks_could_not_grow_to_can_be_taken_back() {
    let sized = |size: &str, stalled: &Value| -> BrokerCluster {
        let mut cluster: BrokerCluster =
            object("BrokerCluster", "some", &json!({ "storage": { "size": size } }));
        let condition = json!({
            "type": "Stalled", "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "",
            "status": stalled["status"], "reason": stalled["reason"],
        });
        let status = json!({ "conditions": [condition] });
        cluster.status = Some(serde_json::from_value(status).unwrap());
        cluster
    };
    for (stalled, is_accepted) in [
        (json!({ "status": "True", "reason": "InvalidChange" }), true),
        (json!({ "status": "False", "reason": "InvalidChange" }), false),
        (json!({ "status": "True", "reason": "RolloutHalted" }), false),
    ] {
        let found = refusals(&sized("1Gi", &stalled), Some(&sized("2Gi", &stalled)));
        assert_eq!(found.is_empty(), is_accepted, "{stalled}: {found:?}");
    }
}

#[test]
fn a_cluster_grows_and_does_not_shrink() {
    let base = json!({ "storage": { "size": "10Gi" } });
    let storage = |size: &str, class: Option<&str>| match class {
        Some(class) => json!({ "storage": { "size": size, "className": class } }),
        None => json!({ "storage": { "size": size } }),
    };
    changes::<BrokerCluster>(
        "BrokerCluster",
        &base,
        &[
            (json!({ "groups": 1 }), json!({ "groups": 3 }), None),
            (json!({ "groups": 3 }), json!({ "groups": 2 }), None),
            (storage("10Gi", None), storage("20Gi", None), None),
            (storage("1Gi", None), storage("1024Mi", None), None),
            (storage("10Gi", None), storage("9Gi", None), Some("disks do not shrink")),
            (storage("10Gi", Some("a")), storage("10Gi", Some("a")), None),
            (storage("10Gi", Some("a")), storage("10Gi", Some("b")), Some("class cannot be changed")),
            (storage("10Gi", None), storage("10Gi", Some("b")), Some("class cannot be changed")),
            (json!({ "flush": "Sync" }), json!({ "flush": "Async" }), None),
            (json!({ "version": "1" }), json!({ "image": "a/b:2" }), None),
            (json!({ "copies": 1 }), json!({ "copies": 3 }), None),
            (json!({ "copies": 3 }), json!({ "copies": 1 }), None),
            (
                json!({ "copies": 3, "minInSync": 3 }),
                json!({ "copies": 2, "minInSync": 3 }),
                Some("lower minInSync"),
            ),
        ],
    );
}

#[test]
fn what_is_left_out_follows_from_the_number_of_copies() {
    let effective = |spec: Value| {
        let cluster: BrokerCluster =
            object("BrokerCluster", "some", &with(&json!({ "storage": { "size": "1Gi" } }), &spec));
        (cluster.spec.min_in_sync(), cluster.spec.flush())
    };
    assert_eq!(effective(json!({})), (1, FlushMode::Sync));
    assert_eq!(effective(json!({ "copies": 2 })), (1, FlushMode::Async));
    assert_eq!(effective(json!({ "copies": 3 })), (2, FlushMode::Async));
    assert_eq!(effective(json!({ "copies": 3, "minInSync": 3, "flush": "Sync" })), (3, FlushMode::Sync));
}

#[test]
fn numbers_of_copies_out_of_range_are_refused_by_the_schema() {
    let crd = serde_json::to_value(<BrokerCluster as kube::CustomResourceExt>::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    for field in ["copies", "minInSync"] {
        let range = (spec[field]["minimum"].as_f64(), spec[field]["maximum"].as_f64());
        assert_eq!(range, (Some(1.0), Some(3.0)), "{field}");
    }
}

#[test]
fn topics_that_can_work_are_accepted() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    accepted::<Topic>(
        "Topic",
        &base,
        &[
            json!({}),
            json!({ "name": "Orders_v2", "type": "NORMAL", "queues": { "perGroup": 1024 } }),
            json!({ "type": "FIFO" }),
            json!({ "type": "PRIORITY" }),
            json!({ "retention": { "maxAge": "168h" }, "deletionPolicy": "Delete", "adoptionPolicy": "Always" }),
            json!({ "clusterRef": { "name": "shop", "namespace": "other" }, "management": "Observed" }),
        ],
    );
}

#[test]
fn topics_that_cannot_work_are_refused_with_advice() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    refused::<Topic>(
        "Topic",
        &base,
        &[
            (json!({ "name": "%DLQ%x" }), "belong to the broker"),
            (json!({ "retention": { "maxAge": "1 day" } }), "write days as hours"),
            (json!({ "retention": { "maxAge": "0s" } }), "above zero"),
        ],
    );
    let dotted: Topic = object("Topic", "a.b", &base);
    assert!(refusals(&dotted, None)[0].contains("for another name set spec.name"));
    let named: Topic = object("Topic", "a.b", &with(&base, &json!({ "name": "a_b" })));
    assert_eq!(refusals(&named, None), Vec::<String>::new());
    let long: Topic = object("Topic", &"a".repeat(128), &base);
    assert!(refusals(&long, None)[0].contains("at most 127"));
}

#[test]
fn a_topic_keeps_name_type_and_cluster() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    changes::<Topic>(
        "Topic",
        &base,
        &[
            (json!({}), json!({ "queues": { "perGroup": 9 } }), None),
            (json!({}), json!({ "name": "some" }), None),
            (json!({}), json!({ "name": "other" }), Some("create another Topic and move")),
            (json!({ "name": "a" }), json!({ "name": "b" }), Some("create another Topic and move")),
            (
                json!({}),
                json!({ "clusterRef": { "name": "other" } }),
                Some("cannot be moved to another cluster"),
            ),
            (
                json!({ "type": "FIFO" }),
                json!({ "type": "NORMAL" }),
                Some("type of a topic cannot be changed"),
            ),
        ],
    );
}

#[test]
fn consumer_groups_that_can_work_are_accepted() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    let backoff = |backoff: Value| json!({ "retry": { "maxAttempts": 3, "backoff": backoff } });
    accepted::<ConsumerGroup>(
        "ConsumerGroup",
        &base,
        &[
            json!({}),
            json!({ "name": "Billing_1", "consumeFrom": "Latest" }),
            json!({ "consumeFrom": "Timestamp", "consumeFromTimestamp": "2026-11-22T08:00:00Z" }),
            json!({ "reset": { "id": "again", "to": "Earliest" } }),
            json!({ "reset": { "id": "2", "to": "Timestamp", "timestamp": "2026-11-22T08:00:00Z", "topics": ["a"] } }),
            json!({ "priority": {} }),
            json!({ "priority": { "policy": "Weighted" } }),
            json!({ "priority": { "policy": "Aging" } }),
            json!({ "priority": { "policy": "Aging", "agingInterval": "24h" } }),
            backoff(json!({ "custom": ["1s", "10s", "1m"] })),
            backoff(json!({ "exponential": { "initial": "1s", "max": "1s", "multiplier": 1.5 } })),
        ],
    );
}

#[test]
fn consumer_groups_that_cannot_work_are_refused_with_advice() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    let growth = json!({ "initial": "1s", "max": "1m" });
    let backoff = |backoff: Value| json!({ "retry": { "backoff": backoff } });
    refused::<ConsumerGroup>(
        "ConsumerGroup",
        &base,
        &[
            (json!({ "name": "a b" }), "letters, digits"),
            (json!({ "consumeFrom": "Timestamp" }), "both or neither"),
            (json!({ "consumeFromTimestamp": "2026-11-22T08:00:00Z" }), "both or neither"),
            (json!({ "reset": { "id": "x", "to": "Timestamp" } }), "both or neither"),
            (
                json!({ "reset": { "id": "x", "to": "Latest", "timestamp": "2026-11-22T08:00:00Z" } }),
                "both or neither",
            ),
            (json!({ "priority": { "agingInterval": "10s" } }), "set policy to Aging"),
            (json!({ "priority": { "policy": "Weighted", "agingInterval": "10s" } }), "set policy to Aging"),
            (json!({ "priority": { "policy": "Aging", "agingInterval": "0s" } }), "must be a duration"),
            (json!({ "priority": { "policy": "Aging", "agingInterval": "25h" } }), "at most 24h"),
            (backoff(json!({})), "exactly one of custom and exponential"),
            (backoff(json!({ "custom": ["1s"], "exponential": growth })), "exactly one"),
            (backoff(json!({ "custom": ["1s", "soon"] })), "must be a duration"),
            (
                backoff(json!({ "exponential": { "initial": "2m", "max": "1m" } })),
                "lower initial or raise max",
            ),
        ],
    );
    let dotted: ConsumerGroup = object("ConsumerGroup", "a.b", &base);
    assert!(refusals(&dotted, None)[0].contains("for another name set spec.name"));
}

#[test]
fn a_consumer_group_keeps_name_and_cluster() {
    let base = json!({ "clusterRef": { "name": "shop" } });
    changes::<ConsumerGroup>(
        "ConsumerGroup",
        &base,
        &[
            (json!({}), json!({ "retry": { "maxAttempts": 1000 } }), None),
            (json!({}), json!({ "name": "other" }), Some("name of a consumer group cannot be changed")),
            (json!({}), json!({ "clusterRef": { "name": "b" } }), Some("cannot be moved to another cluster")),
        ],
    );
}

//! A whole bundle, from an API server that answers in order.

use serde_json::{Value, json};

use super::archive::tests::unpack;
use super::*;
use crate::pods::tests::{pod, shop};
use crate::testing::{Expected, api, expect, refuse};

fn items(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn event(kind: &str, name: &str, message: &str) -> Value {
    json!({"metadata": {"name": message, "namespace": "mq"}, "message": message,
        "involvedObject": {"kind": kind, "name": name}})
}

/// The broker's pod, restarted once, with a variable that comes from a Secret.
fn broker() -> Value {
    let mut broker = pod("shop-g0-0", "g0", "True");
    broker["spec"]["containers"][0]["env"] =
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hunter2", "key": "k"}}}]);
    broker["status"]["containerStatuses"] =
        json!([{"name": "broker", "restartCount": 1, "ready": true, "image": "", "imageID": ""}]);
    broker
}

fn operator() -> Value {
    json!({"metadata": {"name": "millpond-operator-x", "namespace": "system"},
        "spec": {"containers": [{"name": "operator"}]}})
}

fn requests() -> Vec<Expected> {
    let here = |kind: &str| format!("GET /api/v1/namespaces/mq/{kind}");
    let events = [
        event("Pod", "shop-g0-0", "ours"),
        event("Pod", "other-0", "theirs"),
        event("Service", "shop-g0-0", "no"),
    ];
    vec![
        expect("GET /apis/millpond.io/v1alpha1/namespaces/mq/brokerclusters", items(&[shop(&["shop-g0-0"])])),
        expect("GET /apis/apps/v1/namespaces/mq/statefulsets", items(&[])),
        expect(&here("pods"), items(&[broker()])),
        expect(&here("services"), items(&[])),
        expect("GET /apis/discovery.k8s.io/v1/namespaces/mq/endpointslices", items(&[])),
        refuse(&here("persistentvolumeclaims"), 403, "Forbidden"),
        expect("GET /apis/coordination.k8s.io/v1/namespaces/mq/leases", items(&[])),
        expect("GET /apis/policy/v1/namespaces/mq/poddisruptionbudgets", items(&[])),
        expect(&here("configmaps"), items(&[])),
        refuse("GET /apis/millpond.io/v1alpha1/topics", 403, "Forbidden"),
        expect("GET /apis/millpond.io/v1alpha1/namespaces/mq/topics", items(&[])),
        expect("GET /apis/millpond.io/v1alpha1/consumergroups", items(&[])),
        expect("GET /api/v1/pods", items(&[operator()])),
        expect(&here("events"), items(&events)),
        expect(&here("pods/shop-g0-0/log"), json!("serving\n")),
        expect(&here("pods/shop-g0-0/log"), json!("dying\n")),
        expect("GET /api/v1/namespaces/system/pods/millpond-operator-x/log", json!("working\n")),
        refuse(&here("pods/shop-g0-0/exec"), 403, "Forbidden"),
    ]
}

#[tokio::test]
async fn a_bundle_has_objects_events_and_logs_and_names_what_was_forbidden() {
    let (client, server) = api(requests());
    let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
    let cluster = serde_json::from_value(shop(&["shop-g0-0"])).unwrap();
    let mut archive = Archive::new(Vec::new(), "b", Timestamp::UNIX_EPOCH);
    collect(&kubernetes, &cluster, &mut archive).await.unwrap();
    let files = unpack(&archive.finish().unwrap());
    drop(kubernetes);
    let sent = server.await.unwrap();

    assert_eq!(files["b/logs/mq/shop-g0-0/broker.log"], "serving\n");
    assert_eq!(files["b/logs/mq/shop-g0-0/broker.previous.log"], "dying\n");
    assert_eq!(files["b/logs/system/millpond-operator-x/operator.log"], "working\n");
    let pods = &files["b/objects/pods.yaml"];
    assert!(
        pods.contains("kind: Pod") && pods.contains("apiVersion: v1") && pods.contains("TOKEN"),
        "{pods}"
    );
    let events = &files["b/objects/events.yaml"];
    assert!(
        events.contains("ours") && !events.contains("theirs") && !events.contains("message: no"),
        "{events}"
    );
    let missing: Vec<_> =
        files["b/missing.txt"].lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        missing,
        ["persistentvolumeclaims", "topics of other namespaces", "`millpond status` of group g0"]
    );

    assert!(files.values().all(|text| !text.contains("hunter2")));
    assert!(sent.iter().all(|request| !request.contains("secrets")), "{sent:?}");
    assert!(sent[15].contains("previous=true"), "{}", sent[15]);
}

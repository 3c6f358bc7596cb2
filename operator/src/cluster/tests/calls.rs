//! Whole passes against an API that wants exact requests.

use std::sync::Arc;

use crds::group_record::RECORD_ANNOTATION;
use serde_json::json;

use super::*;
use crate::testing::{Expected, FakeBroker, api, context, expect, refuse};

const LISTS: [&str; 12] = [
    "GET /apis/apps/v1/namespaces/prod/statefulsets",
    "GET /api/v1/namespaces/prod/pods",
    "GET /api/v1/namespaces/prod/persistentvolumeclaims",
    "GET /apis/coordination.k8s.io/v1/namespaces/prod/leases",
    "GET /api/v1/namespaces/prod/serviceaccounts",
    "GET /apis/rbac.authorization.k8s.io/v1/namespaces/prod/roles",
    "GET /apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings",
    "GET /apis/networking.k8s.io/v1/namespaces/prod/networkpolicies",
    "GET /apis/policy/v1/namespaces/prod/poddisruptionbudgets",
    "GET /api/v1/namespaces/prod/configmaps",
    "GET /apis/discovery.k8s.io/v1/namespaces/prod/endpointslices",
    "GET /api/v1/namespaces/prod/services",
];

fn nothing_there() -> Vec<Expected> {
    LISTS.into_iter().map(|list| expect(list, json!({ "metadata": {}, "items": [] }))).collect()
}

const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/prod/leases";
const LEASE: &str = "PATCH /apis/coordination.k8s.io/v1/namespaces/prod/leases/shop-g0";

fn new_lease() -> [Expected; 2] {
    let made = json!({ "metadata": { "name": "shop-g0", "uid": "uid-lease" } });
    [expect(LEASES, made.clone()), expect(LEASE, made)]
}

/// Whether it exists, and the patch that applies it.
fn calls(child: &Child) -> (&'static str, &'static str) {
    macro_rules! both {
        ($path:literal) => {
            (concat!("GET ", $path), concat!("PATCH ", $path))
        };
    }
    match (child.kind(), child.name()) {
        ("ServiceAccount", _) => both!("/api/v1/namespaces/prod/serviceaccounts/shop"),
        ("Role", _) => both!("/apis/rbac.authorization.k8s.io/v1/namespaces/prod/roles/shop"),
        ("RoleBinding", _) => both!("/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings/shop"),
        ("NetworkPolicy", _) => both!("/apis/networking.k8s.io/v1/namespaces/prod/networkpolicies/shop"),
        ("PodDisruptionBudget", _) => both!("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/shop"),
        ("ConfigMap", _) => both!("/api/v1/namespaces/prod/configmaps/shop-g0"),
        ("Service", "shop") => both!("/api/v1/namespaces/prod/services/shop"),
        ("Service", "shop-g0-leader") => both!("/api/v1/namespaces/prod/services/shop-g0-leader"),
        ("EndpointSlice", _) => {
            both!("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices/shop-g0-leader")
        }
        ("Service", _) => both!("/api/v1/namespaces/prod/services/shop-g0"),
        _ => both!("/apis/apps/v1/namespaces/prod/statefulsets/shop-g0"),
    }
}

#[tokio::test]
async fn a_new_cluster_is_applied_in_order_and_reported() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    let children = planned(&cluster, &Observed::default()).children;
    expected.extend(new_lease());
    for child in &children {
        let (look, patch) = calls(child);
        expected.push(refuse(look, 404, "NotFound"));
        let mut answer = json!({ "metadata": { "name": child.name() }, "spec": {} });
        if child.kind() == "RoleBinding" {
            answer["roleRef"] =
                json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shop" });
        }
        expected.push(expect(patch, answer));
    }
    expected.push(expect(
        "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status",
        json!(cluster),
    ));
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&cluster, context.clone()).await.unwrap();
    drop(context);
    let sent = server.await.unwrap();
    let patches: Vec<_> = sent.iter().filter(|(line, _)| line.starts_with("PATCH")).collect();
    assert!(
        patches[..=children.len()]
            .iter()
            .all(|(line, _)| line.contains("fieldManager=millpond-operator&force=true")
                || line.contains("force=true&fieldManager=millpond-operator"))
    );
    assert_eq!(sent.last().unwrap().1["status"]["state"], "Starting");
    // The record is made in one step with the Lease, and never applied.
    let (_, made) = sent.iter().find(|(line, _)| line.starts_with("POST")).unwrap();
    let record = made["metadata"]["annotations"][RECORD_ANNOTATION].as_str().unwrap();
    assert_eq!(GroupRecord::from_json(record), Ok(GroupRecord::created(1)));
    let applied = &patches[0].1["metadata"];
    assert_eq!(applied["uid"], "uid-lease");
    assert_eq!(applied["annotations"].as_object().unwrap().keys().collect::<Vec<_>>(), [REQUEST_ANNOTATION]);
}

#[tokio::test]
async fn the_slice_of_the_leader_is_made_when_its_service_has_a_family_and_names_nobody() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    let labels = json!({ "millpond.io/group": "g0" });
    expected.pop();
    expected.push(expect(
        LISTS[11],
        json!({ "metadata": {}, "items": [
            { "metadata": { "name": "shop-g0", "labels": labels }, "spec": { "ipFamilies": ["IPv4"] } },
            { "metadata": { "name": "shop-g0-leader", "labels": labels }, "spec": { "ipFamilies": ["IPv6"] } },
        ] }),
    ));
    expected.extend(new_lease());
    let observed = Observed { families: [(0, "IPv6".to_owned())].into(), ..Observed::default() };
    for child in &planned(&cluster, &observed).children {
        let (look, patch) = calls(child);
        if !matches!((child.kind(), child.name()), ("Service", "shop-g0" | "shop-g0-leader")) {
            expected.push(refuse(look, 404, "NotFound"));
        }
        let mut answer = json!({ "metadata": { "name": child.name() }, "spec": {}, "addressType": "IPv6" });
        if child.kind() == "RoleBinding" {
            answer["roleRef"] = json!({ "apiGroup": "", "kind": "Role", "name": "shop" });
        }
        expected.push(expect(patch, answer));
    }
    let status = "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status";
    expected.push(expect(status, json!(cluster)));
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&cluster, context.clone()).await.unwrap();
    drop(context);
    let sent = server.await.unwrap();
    let is_slice = |line: &str| line.starts_with("PATCH") && line.contains("endpointslices/shop-g0-leader");
    let (_, applied) = sent.iter().find(|(line, _)| is_slice(line)).unwrap();
    assert_eq!(applied["addressType"], "IPv6");
    assert!(applied.get("endpoints").is_none() && applied.get("ports").is_none(), "{applied}");
}

/// What a list has of the children that were applied: their metadata, in the version that applying gave them.
fn listed(list: &str, children: &[Child]) -> Value {
    let is_its =
        |child: &&Child| format!("/{}s", child.kind().to_lowercase()) == list[list.rfind('/').unwrap()..];
    let item = |child: &Child| {
        let mut metadata = json!(child.metadata());
        metadata["resourceVersion"] = json!("7");
        json!({ "metadata": metadata })
    };
    json!({ "metadata": {}, "items": children.iter().filter(is_its).map(item).collect::<Vec<_>>() })
}

#[tokio::test]
async fn what_was_applied_is_not_applied_again_until_somebody_changes_it() {
    let cluster = cluster(&json!({}));
    let children = planned(&cluster, &Observed::default()).children;
    let status = "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status";
    // Only accounts are given back by the lists, so that the others are made anew in each pass.
    let lists = |version: &str| -> Vec<Expected> {
        let account = |list: &'static str| {
            let mut found = listed(list, &children);
            for item in found["items"].as_array_mut().unwrap() {
                item["metadata"]["resourceVersion"] = json!(version);
            }
            if list.ends_with("serviceaccounts") { found } else { json!({ "metadata": {}, "items": [] }) }
        };
        LISTS.into_iter().map(|list| expect(list, account(list))).collect()
    };
    let mut expected = Vec::new();
    for (version, is_applied) in [("7", true), ("7", false), ("8", true)] {
        expected.extend(lists(version));
        expected.extend(new_lease());
        for child in &children {
            let (look, patch) = calls(child);
            let is_account = child.kind() == "ServiceAccount";
            if is_account && !is_applied {
                continue;
            }
            if !is_account {
                expected.push(refuse(look, 404, "NotFound"));
            }
            let mut answer =
                json!({ "metadata": { "name": child.name(), "resourceVersion": version }, "spec": {} });
            if child.kind() == "RoleBinding" {
                answer["roleRef"] = json!({ "apiGroup": "", "kind": "Role", "name": "shop" });
            }
            expected.push(expect(patch, answer));
        }
        expected.push(expect(status, json!(cluster)));
    }
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    for _ in 0..3 {
        controller::reconcile(&cluster, context.clone()).await.unwrap();
    }
    drop(context);
    let sent = server.await.unwrap();
    let is_account = |line: &str| line.starts_with("PATCH") && line.contains("serviceaccounts/shop");
    assert_eq!(sent.iter().filter(|(line, _)| is_account(line)).count(), 2);
}

#[tokio::test]
async fn what_kubernetes_refuses_is_reported_with_its_words() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    expected.extend(new_lease());
    let account = "/api/v1/namespaces/prod/serviceaccounts/shop";
    expected.push(refuse("GET /api/v1/namespaces/prod/serviceaccounts/shop", 404, "NotFound"));
    expected.push(refuse("PATCH /api/v1/namespaces/prod/serviceaccounts/shop", 422, "Invalid"));
    let status = "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status";
    expected.push(expect(status, json!(cluster)));
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&cluster, context.clone()).await.unwrap();
    drop(context);
    let sent = server.await.unwrap();
    assert!(sent.iter().any(|(line, _)| line.contains(account)));
    let status = sent.last().unwrap().1["status"].clone();
    let stalled = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Stalled").unwrap();
    assert_eq!(stalled["reason"], "InvalidChange");
    assert!(
        stalled["message"].as_str().unwrap().contains("refuses ServiceAccount shop: Invalid"),
        "{stalled}"
    );
}

#[tokio::test]
async fn a_service_of_somebody_else_stops_the_pass_and_is_named() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    expected.extend(new_lease());
    expected.push(expect(
        "GET /api/v1/namespaces/prod/serviceaccounts/shop",
        json!({ "metadata": { "name": "shop" } }),
    ));
    expected.push(expect(
        "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status",
        json!(cluster),
    ));
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&cluster, context.clone()).await.unwrap();
    drop(context);
    let status = server.await.unwrap().pop().unwrap().1["status"].clone();
    assert_eq!(status["state"], "Invalid");
    let stalled = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Stalled").unwrap();
    assert!(stalled["message"].as_str().unwrap().contains("ServiceAccount shop exists"), "{stalled}");
}

#[tokio::test]
async fn a_cluster_that_is_leaving_is_not_touched() {
    let mut leaving = cluster(&json!({}));
    leaving.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(noon()));
    let (client, server) = api(Vec::new());
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&leaving, context.clone()).await.unwrap();
    drop(context);
    assert!(server.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_left_alone() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    expected.push(refuse(LEASES, 409, "AlreadyExists"));
    expected.push(expect(
        "PATCH /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop/status",
        json!(cluster),
    ));
    let (client, server) = api(expected);
    let context = Arc::new(context(client, FakeBroker::default()));
    controller::reconcile(&cluster, context.clone()).await.unwrap();
    drop(context);
    let status = server.await.unwrap().pop().unwrap().1["status"].clone();
    let stalled = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Stalled").unwrap();
    assert!(stalled["message"].as_str().unwrap().contains("Lease shop-g0 exists"), "{stalled}");
}

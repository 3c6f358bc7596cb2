//! Plans and reports, by table; and whole passes against an API that expects exact requests.

use std::sync::Arc;

use client::admin::GetBrokerResponse;
use crds::BrokerCluster;
use crds::broker_cluster::ClusterState;
use crds::conditions::{self, Kind};
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::*;
use crate::children::Child;
use crate::testing::{Expected, FakeBroker, api, context, expect, noon, refuse, settings};

fn cluster(spec: &Value) -> BrokerCluster {
    let mut all = json!({ "storage": { "size": "10Gi" } });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster",
        "metadata": { "name": "shop", "namespace": "prod", "uid": "uid-shop", "generation": 3 },
        "spec": all,
    }))
    .unwrap()
}

/// What there is after the cluster's plan was carried out and all pods came up.
fn settled(cluster: &BrokerCluster) -> Observed {
    let mut observed = Observed::default();
    for child in plan(cluster, &observed, &settings()).children {
        let Child::StatefulSet(set) = child else { continue };
        let group = crate::children::group_of(&set.metadata).unwrap();
        observed.stateful_sets.insert(group, seen(*set));
        observed.pods.insert(group, pod(group));
        observed.brokers.insert(group, BrokerView::Answered(Box::new(broker("serving"))));
        let name = format!("data-shop-g{group}-0");
        observed.claims.insert(group, ClaimView { name, requested: "10Gi".into(), capacity: None });
    }
    observed
}

fn seen(mut set: StatefulSet) -> StatefulSet {
    set.metadata.generation = Some(1);
    set.status = serde_json::from_value(json!({
        "replicas": 1, "observedGeneration": 1, "updateRevision": "new", "currentRevision": "new",
    }))
    .unwrap();
    set
}

fn pod(group: u32) -> PodView {
    PodView {
        name: format!("shop-g{group}-0"),
        uid: format!("pod-{group}"),
        revision: "new".into(),
        ready: true,
        ..PodView::default()
    }
}

fn broker(state: &str) -> GetBrokerResponse {
    GetBrokerResponse {
        state: state.into(),
        epoch: 4,
        version: "0.1.0".into(),
        ..GetBrokerResponse::default()
    }
}

fn planned(cluster: &BrokerCluster, observed: &Observed) -> Plan {
    plan(cluster, observed, &settings())
}

fn restarted(cluster: &BrokerCluster, observed: &Observed) -> Option<u32> {
    planned(cluster, observed).restart.map(|restart| restart.group)
}

#[test]
fn a_settled_cluster_is_left_alone() {
    let cluster = cluster(&json!({ "groups": 3 }));
    let plan = planned(&cluster, &settled(&cluster));
    assert_eq!((plan.restart, plan.growths, plan.problem), (None, Vec::new(), None));
}

#[test]
fn brokers_are_restarted_one_at_a_time_while_all_others_serve() {
    let cluster = cluster(&json!({ "groups": 3 }));
    let mut observed = settled(&cluster);
    for group in [1, 2] {
        observed.pods.get_mut(&group).unwrap().revision = "old".into();
    }
    assert_eq!(restarted(&cluster, &observed), Some(1));
    observed.pods.get_mut(&0).unwrap().ready = false;
    assert_eq!(restarted(&cluster, &observed), None, "g0 does not serve");
    observed.pods.get_mut(&0).unwrap().ready = true;
    observed.pods.remove(&0);
    assert_eq!(restarted(&cluster, &observed), None, "g0 has no pod");
}

#[test]
fn an_outdated_broker_that_does_not_serve_is_restarted_at_once() {
    let cluster = cluster(&json!({ "groups": 3 }));
    let mut observed = settled(&cluster);
    for group in [1, 2] {
        observed.pods.get_mut(&group).unwrap().revision = "old".into();
    }
    observed.pods.get_mut(&2).unwrap().ready = false;
    assert_eq!(restarted(&cluster, &observed), Some(2), "it is down already, and its template may be why");
    observed.pods.get_mut(&2).unwrap().deleting = true;
    assert_eq!(restarted(&cluster, &observed), None, "its restart is under way");
}

#[test]
fn nothing_is_restarted_before_kubernetes_has_seen_the_newest_template() {
    let old = cluster(&json!({ "groups": 1 }));
    let mut observed = settled(&old);
    observed.pods.get_mut(&0).unwrap().revision = "old".into();
    let new = cluster(&json!({ "groups": 1, "flush": "Async" }));
    assert_eq!(restarted(&new, &observed), None, "the template in Kubernetes is not the one of the spec");
    let set = observed.stateful_sets.get_mut(&0).unwrap();
    set.metadata.generation = Some(2);
    assert_eq!(restarted(&old, &observed), None, "Kubernetes has not looked at it");
}

#[test]
fn a_restart_names_the_very_pod_that_was_looked_at() {
    let cluster = cluster(&json!({}));
    let mut observed = settled(&cluster);
    observed.pods.get_mut(&0).unwrap().revision = "old".into();
    let restart = planned(&cluster, &observed).restart.unwrap();
    assert_eq!((restart.pod.as_str(), restart.uid.as_str()), ("shop-g0-0", "pod-0"));
}

#[test]
fn a_newer_operator_restarts_no_broker() {
    let cluster = cluster(&json!({}));
    let observed = settled(&cluster);
    let mut newer = settings();
    newer.broker_image = "example.org:5000/millpond:2".into();
    let plan = plan(&cluster, &observed, &newer);
    assert_eq!(plan.image, "example.org:5000/millpond:1");
    assert_eq!(plan.children, planned(&cluster, &observed).children);
}

#[test]
fn the_image_is_the_users_then_the_running_one_then_the_operators() {
    let image = |spec: &Value, observed: &Observed| planned(&cluster(spec), observed).image;
    let none = Observed::default();
    assert_eq!(image(&json!({}), &none), "example.org:5000/millpond:1");
    assert_eq!(image(&json!({ "version": "9" }), &none), "example.org:5000/millpond:9");
    assert_eq!(image(&json!({ "image": "a/b@sha256:1" }), &none), "a/b@sha256:1");
    let running = settled(&cluster(&json!({ "image": "c/d:3" })));
    assert_eq!(image(&json!({}), &running), "c/d:3");
}

#[test]
fn disks_grow_and_their_template_stays() {
    let observed = settled(&cluster(&json!({})));
    let plan = planned(&cluster(&json!({ "storage": { "size": "20Gi" } })), &observed);
    assert_eq!(plan.growths, [Growth { claim: "data-shop-g0-0".into(), size: "20Gi".into() }]);
    let set = plan.children.iter().find(|child| child.kind() == "StatefulSet").unwrap();
    let Child::StatefulSet(set) = set else { panic!("{set:?}") };
    let size =
        json!(set)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"].clone();
    assert_eq!(size, "10Gi");
}

#[test]
fn fewer_groups_are_refused_and_none_is_taken_away() {
    let observed = settled(&cluster(&json!({ "groups": 3 })));
    let plan = planned(&cluster(&json!({ "groups": 1 })), &observed);
    assert_eq!(plan.problem.as_ref().map(Problem::reason), Some("InvalidChange"));
    assert_eq!(plan.children.iter().filter(|child| child.kind() == "StatefulSet").count(), 3);
}

#[test]
fn a_paused_cluster_is_left_as_it_is() {
    let observed = settled(&cluster(&json!({})));
    let plan = planned(&cluster(&json!({ "reconciliation": "Paused", "flush": "Async" })), &observed);
    assert!(plan.children.is_empty() && plan.restart.is_none());
}

#[test]
fn objects_of_somebody_else_are_left_alone() {
    let wanted = cluster(&json!({}));
    let owned_by = |kind: &str, name: &str| {
        let meta = ChildMeta {
            owner_uid: Some("other".into()),
            owner_kind: Some(kind.into()),
            owner_name: Some(name.into()),
            ..ChildMeta::default()
        };
        let mut observed = Observed::default();
        observed.children.insert(("Service", "shop".into()), meta);
        let plan = planned(&wanted, &observed);
        assert!(plan.children.is_empty());
        plan.problem.unwrap()
    };
    assert_eq!(owned_by("Shop", "x").reason(), "NameTaken");
    assert_eq!(owned_by("BrokerCluster", "shop").reason(), "EarlierClusterLeaving");
}

fn reported(cluster: &BrokerCluster, observed: &Observed) -> crds::BrokerClusterStatus {
    report(cluster, observed, &planned(cluster, observed), noon()).status
}

#[test]
fn a_cluster_whose_groups_all_serve_is_ready() {
    let cluster = cluster(&json!({ "groups": 2 }));
    let status = reported(&cluster, &settled(&cluster));
    assert_eq!((status.state, status.ready.as_str()), (ClusterState::Serving, "2/2"));
    assert!(conditions::holds(&status.conditions, Kind::Ready));
    assert!(!conditions::holds(&status.conditions, Kind::Reconciling));
    assert!(!conditions::holds(&status.conditions, Kind::Stalled));
    assert_eq!(status.endpoint.as_deref(), Some("shop.prod.svc:8081"));
    assert_eq!((status.group_status[1].epoch, status.group_status[1].state.as_str()), (Some(4), "serving"));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn the_status_says_which_group_waits_and_for_what() {
    let cluster = cluster(&json!({ "groups": 2 }));
    let mut observed = settled(&cluster);
    let pod = observed.pods.get_mut(&1).unwrap();
    (pod.ready, pod.waiting) = (false, Some("ImagePullBackOff".into()));
    let status = reported(&cluster, &observed);
    assert_eq!((status.state, status.ready.as_str()), (ClusterState::Degraded, "1/2"));
    let ready = conditions::find(&status.conditions, Kind::Ready).unwrap();
    assert_eq!(ready.message, "1 of 2 groups serve: g1 waits: ImagePullBackOff");
}

#[test]
fn a_full_disk_is_named_with_what_to_do() {
    let cluster = cluster(&json!({}));
    let mut observed = settled(&cluster);
    observed.brokers.insert(0, BrokerView::Answered(Box::new(broker("disk-full"))));
    let status = reported(&cluster, &observed);
    let storage = conditions::find(&status.conditions, Kind::StorageHealthy).unwrap();
    assert_eq!((storage.status.as_str(), storage.reason.as_str()), ("False", "DiskFull"));
    assert!(storage.message.contains("raise storage.size"));
}

#[test]
fn a_new_look_at_an_unchanged_cluster_changes_no_status() {
    let mut cluster = cluster(&json!({ "groups": 2 }));
    let observed = settled(&cluster);
    let first = reported(&cluster, &observed);
    cluster.status = Some(first.clone());
    let later = noon() + jiff::SignedDuration::from_hours(1);
    let again = report(&cluster, &observed, &planned(&cluster, &observed), later).status;
    assert_eq!(again, first);
}

const LISTS: [&str; 8] = [
    "GET /apis/apps/v1/namespaces/prod/statefulsets",
    "GET /api/v1/namespaces/prod/pods",
    "GET /api/v1/namespaces/prod/persistentvolumeclaims",
    "GET /api/v1/namespaces/prod/serviceaccounts",
    "GET /apis/networking.k8s.io/v1/namespaces/prod/networkpolicies",
    "GET /apis/policy/v1/namespaces/prod/poddisruptionbudgets",
    "GET /api/v1/namespaces/prod/configmaps",
    "GET /api/v1/namespaces/prod/services",
];

fn nothing_there() -> Vec<Expected> {
    LISTS.into_iter().map(|list| expect(list, json!({ "metadata": {}, "items": [] }))).collect()
}

#[tokio::test]
async fn a_new_cluster_is_applied_in_order_and_reported() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
    let children = planned(&cluster, &Observed::default()).children;
    for child in &children {
        let (look, patch) = match (child.kind(), child.name()) {
            ("ServiceAccount", _) => (
                "GET /api/v1/namespaces/prod/serviceaccounts/shop",
                "PATCH /api/v1/namespaces/prod/serviceaccounts/shop",
            ),
            ("NetworkPolicy", _) => (
                "GET /apis/networking.k8s.io/v1/namespaces/prod/networkpolicies/shop",
                "PATCH /apis/networking.k8s.io/v1/namespaces/prod/networkpolicies/shop",
            ),
            ("PodDisruptionBudget", _) => (
                "GET /apis/policy/v1/namespaces/prod/poddisruptionbudgets/shop",
                "PATCH /apis/policy/v1/namespaces/prod/poddisruptionbudgets/shop",
            ),
            ("ConfigMap", _) => (
                "GET /api/v1/namespaces/prod/configmaps/shop-g0",
                "PATCH /api/v1/namespaces/prod/configmaps/shop-g0",
            ),
            ("Service", "shop") => {
                ("GET /api/v1/namespaces/prod/services/shop", "PATCH /api/v1/namespaces/prod/services/shop")
            }
            ("Service", _) => (
                "GET /api/v1/namespaces/prod/services/shop-g0",
                "PATCH /api/v1/namespaces/prod/services/shop-g0",
            ),
            _ => (
                "GET /apis/apps/v1/namespaces/prod/statefulsets/shop-g0",
                "PATCH /apis/apps/v1/namespaces/prod/statefulsets/shop-g0",
            ),
        };
        expected.push(refuse(look, 404, "NotFound"));
        expected.push(expect(patch, json!({ "metadata": { "name": child.name() }, "spec": {} })));
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
        patches[..children.len()]
            .iter()
            .all(|(line, _)| line.contains("fieldManager=millpond-operator&force=true")
                || line.contains("force=true&fieldManager=millpond-operator"))
    );
    assert_eq!(sent.last().unwrap().1["status"]["state"], "Starting");
}

#[tokio::test]
async fn a_service_of_somebody_else_stops_the_pass_and_is_named() {
    let cluster = cluster(&json!({}));
    let mut expected = nothing_there();
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

//! Decisions about single objects, and whole passes against an API that expects exact requests.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else it is, the test fails")]

mod placement;

use std::sync::Arc;

use client::admin::{Topic as Wire, TopicType};
use crds::Reason;
use crds::object::ObjectState;
use crds::{ConsumerGroup, Topic};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::decide::{FINALIZER, Scene};
use super::kind::Findings;
use super::*;
use crate::context::Scope;
use crate::testing::{FakeBroker, api, context, expect, refuse};

const OBJECT: &str = "PATCH /apis/millpond.io/v1alpha1/namespaces/default/topics/orders";
const STATUS: &str = "PATCH /apis/millpond.io/v1alpha1/namespaces/default/topics/orders/status";

fn cluster() -> ClusterKey {
    ClusterKey { namespace: "default".into(), name: "shop".into() }
}

fn present() -> ClusterView {
    ClusterView::Present { leaders: vec![0], staying: vec![0], allowed: Vec::new() }
}

/// A Topic of the cluster `default/shop`, with parts of its metadata and spec replaced.
fn topic(name: &str, metadata: &Value, spec: &Value) -> Arc<Topic> {
    let mut object = json!({
        "apiVersion": "millpond.io/v1alpha1", "kind": "Topic",
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "7",
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "clusterRef": { "name": "shop", "namespace": "default" } },
    });
    for (part, changes) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in changes.as_object().unwrap() {
            object[part][key] = value.clone();
        }
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn orders(spec: &Value) -> Arc<Topic> {
    topic("orders", &json!({}), spec)
}

fn held(name: &str, queues: u32, owner: &str) -> Wire {
    let kind = TopicType::Normal.into();
    Wire { name: name.into(), r#type: kind, queues, owner: owner.into(), ..Wire::default() }
}

fn decision(view: &ClusterView, wires: &[Wire], objects: &[Arc<Topic>]) -> Decision<Wire> {
    let key = cluster();
    let held = wires.iter().map(|wire| (wire.name.clone(), wire.clone())).collect();
    let scene = Scene::<Topics>::new(&key, view, vec![held], objects);
    decide::<Topics>(&scene, &objects[0])
}

fn refusal(decision: &Decision<Wire>) -> (ObjectState, &'static str, &str) {
    match decision {
        Decision::Refuse(verdict) => (verdict.state, verdict.reason.word(), &verdict.message),
        other => panic!("not a refusal: {other:?}"),
    }
}

fn applied(decision: &Decision<Wire>) -> Why {
    match decision {
        Decision::Apply { why, .. } => *why,
        other => panic!("not applied: {other:?}"),
    }
}

#[test]
fn a_new_topic_is_created_and_an_equal_one_left_alone() {
    let objects = [orders(&json!({}))];
    assert_eq!(applied(&decision(&present(), &[], &objects)), Why::Create);
    assert_eq!(decision(&present(), &[held("orders", 4, "default/orders")], &objects), Decision::Fits);
}

#[test]
fn a_cluster_that_is_not_there_makes_objects_wait() {
    let objects = [orders(&json!({}))];
    for (view, reason) in [
        (ClusterView::Missing, "ClusterMissing"),
        (ClusterView::Starting, "ClusterStarting"),
        (ClusterView::Leaving, "ClusterLeaving"),
    ] {
        let decision = decision(&view, &[], &objects);
        let (state, found, message) = refusal(&decision);
        assert_eq!((state, found), (ObjectState::Waiting, reason));
        assert!(message.contains("default/shop"), "{message}");
    }
}

#[test]
fn fewer_queues_are_an_invalid_change_that_says_what_to_do() {
    let objects = [orders(&json!({ "queues": { "perGroup": 2 } }))];
    let decision = decision(&present(), &[held("orders", 4, "default/orders")], &objects);
    let (state, _, message) = refusal(&decision);
    assert_eq!(state, ObjectState::InvalidChange);
    assert!(message.ends_with("set queues.perGroup to 4 or more"), "{message}");
}

#[test]
fn the_queues_of_a_priority_topic_are_the_brokers_and_no_drift() {
    let wire = Wire { r#type: TopicType::Priority.into(), ..held("orders", 10, "default/orders") };
    for queues in [1, 4, 10, 64] {
        let objects = [orders(&json!({ "type": "PRIORITY", "queues": { "perGroup": queues } }))];
        assert_eq!(decision(&present(), std::slice::from_ref(&wire), &objects), Decision::Fits, "{queues}");
    }
}

#[test]
fn of_two_objects_with_one_name_the_older_wins_whatever_the_broker_holds() {
    let old = topic("orders", &json!({}), &json!({}));
    let young =
        topic("later", &json!({ "creationTimestamp": "2026-01-02T00:00:00Z" }), &json!({ "name": "orders" }));
    let wires = [held("orders", 4, "default/later")];
    let lost = decision(&present(), &wires, &[young.clone(), old.clone()]);
    let (state, reason, message) = refusal(&lost);
    assert_eq!((state, reason), (ObjectState::Conflict, "NameTaken"));
    assert!(message.contains("default/orders, which is older"), "{message}");
    assert_eq!(applied(&decision(&present(), &wires, &[old, young])), Why::Adopt);
}

#[test]
fn what_exists_is_taken_over_as_the_policy_says() {
    let verdict = |policy: &str, wire: Wire| {
        let decision = decision(&present(), &[wire], &[orders(&json!({ "adoptionPolicy": policy }))]);
        match decision {
            Decision::Apply { why, .. } => format!("{why:?}"),
            Decision::Refuse(verdict) => verdict.message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(verdict("IfCompatible", held("orders", 4, "")), "Adopt");
    assert!(verdict("IfCompatible", held("orders", 2, "")).contains("queues.perGroup 2 instead of 4"));
    assert!(verdict("IfCompatible", held("orders", 4, "x/y")).contains("belongs to x/y"));
    assert!(verdict("Never", held("orders", 4, "")).contains("set adoptionPolicy to IfCompatible"));
    assert_eq!(verdict("Always", held("orders", 2, "x/y")), "Adopt");
    // A Topic that was deleted and created again under its name has what it had.
    assert_eq!(
        decision(&present(), &[held("orders", 4, "default/orders")], &[orders(&json!({}))]),
        Decision::Fits
    );
}

#[test]
fn a_difference_without_a_change_of_the_spec_is_drift() {
    let mut object = Topic::clone(&orders(&json!({})));
    let ready = |generation| crds::TopicStatus {
        observed_generation: Some(generation),
        state: ObjectState::Ready,
        ..Default::default()
    };
    object.status = Some(ready(1));
    assert_eq!(applied(&decision(&present(), &[], &[Arc::new(object.clone())])), Why::Drift);
    object.metadata.generation = Some(2);
    assert_eq!(applied(&decision(&present(), &[], &[Arc::new(object)])), Why::Change);
}

#[test]
fn another_namespace_has_to_be_let_in() {
    let other = topic("orders", &json!({ "namespace": "team" }), &json!({}));
    let view = |allowed: &[&str]| ClusterView::Present {
        staying: vec![0],
        leaders: vec![0],
        allowed: allowed.iter().map(|name| (*name).to_owned()).collect(),
    };
    let kept_out = decision(&view(&[]), &[], std::slice::from_ref(&other));
    assert_eq!(refusal(&kept_out).1, "NamespaceNotAllowed");
    for allowed in ["team", "*"] {
        assert_eq!(applied(&decision(&view(&[allowed]), &[], std::slice::from_ref(&other))), Why::Create);
    }
}

#[test]
fn an_observed_topic_is_never_written_and_takes_no_name() {
    let watcher = orders(&json!({ "management": "Observed" }));
    let owner =
        topic("real", &json!({ "creationTimestamp": "2026-02-01T00:00:00Z" }), &json!({ "name": "orders" }));
    let seen = decision(&present(), &[held("orders", 9, "default/real")], &[watcher.clone(), owner.clone()]);
    assert!(matches!(seen, Decision::Observed(verdict) if verdict.state == ObjectState::Ready));
    assert_eq!(applied(&decision(&present(), &[], &[owner, watcher])), Why::Create);
}

fn leaving(spec: &Value) -> Arc<Topic> {
    let metadata = json!({ "finalizers": [FINALIZER], "deletionTimestamp": "2026-03-01T00:00:00Z" });
    topic("orders", &metadata, spec)
}

#[test]
fn a_leaving_topic_is_held_back_only_while_there_is_something_to_delete() {
    let delete = [leaving(&json!({ "deletionPolicy": "Delete" }))];
    assert_eq!(decision(&present(), &[], &delete), Decision::Delete);
    assert_eq!(decision(&ClusterView::Missing, &[], &delete), Decision::Release);
    assert_eq!(decision(&ClusterView::Leaving, &[], &delete), Decision::Release);
    assert_eq!(refusal(&decision(&ClusterView::Starting, &[], &delete)).1, "ClusterNotReady");
    let retain = [leaving(&json!({}))];
    for view in [present(), ClusterView::Missing, ClusterView::Starting, ClusterView::Paused] {
        assert_eq!(decision(&view, &[], &retain), Decision::Release, "{view:?}");
    }
}

#[test]
fn the_younger_of_two_deletes_nothing_when_it_goes() {
    let young = topic(
        "later",
        &json!({
            "finalizers": [FINALIZER], "deletionTimestamp": "2026-03-01T00:00:00Z",
            "creationTimestamp": "2026-02-01T00:00:00Z",
        }),
        &json!({ "name": "orders", "deletionPolicy": "Delete" }),
    );
    assert_eq!(decision(&present(), &[], &[young, orders(&json!({}))]), Decision::Release);
}

#[test]
fn a_status_wakes_nobody_and_a_change_of_the_spec_does() {
    let key =
        |topic: &Topic| ClusterKey { namespace: "default".into(), name: topic.spec.cluster_ref.name.clone() };
    let mut index = Index::<Topic>::new(key, |_| String::new());
    let mut object = Topic::clone(&orders(&json!({})));
    assert_eq!(index.take(&Scope::All, Event::Apply(object.clone())), [cluster()]);
    object.status = Some(crds::TopicStatus::default());
    assert!(index.take(&Scope::All, Event::Apply(object.clone())).is_empty());
    object.metadata.generation = Some(2);
    assert_eq!(index.take(&Scope::All, Event::Apply(object.clone())), [cluster()]);
    assert_eq!(index.take(&Scope::All, Event::Delete(object)), [cluster()]);
    assert!(index.of_cluster(&cluster()).is_empty());
}

#[test]
fn what_a_new_list_lacks_is_gone_in_its_namespace_only() {
    let mut index = Index::<Topic>::new(|_| cluster(), |_| String::new());
    let here = Topic::clone(&topic("a", &json!({}), &json!({})));
    let there = Topic::clone(&topic("b", &json!({ "namespace": "other" }), &json!({})));
    for object in [here, there] {
        index.take(&Scope::All, Event::Apply(object));
    }
    let scope = Scope::Namespace("default".into());
    assert!(index.take(&scope, Event::Init).is_empty());
    assert_eq!(index.take(&scope, Event::InitDone), [cluster()]);
    assert_eq!(index.of_cluster(&cluster()).len(), 1);
}

#[tokio::test]
async fn a_topic_is_created_and_reported_with_one_list_one_apply_and_one_write() {
    let (client, server) = api(vec![expect(STATUS, json!(*orders(&json!({}))))]);
    let context = context(client, FakeBroker::default());
    let pass = pass::<Topics, _>(&context, &cluster(), &present(), vec![orders(&json!({}))], true).await;
    assert_eq!((pass.failed, pass.states.get("Ready")), (None, Some(&1)));
    assert_eq!(*context.admin.calls.lock(), ["topics", "apply 1 topics"]);
    assert_eq!(context.admin.topics.lock()["orders"].owner, "default/orders");
    drop(context);
    let (line, body) = server.await.unwrap().remove(0);
    assert!(line.contains("fieldManager=millpond-operator-status") && line.contains("force=true"), "{line}");
    assert_eq!(body["metadata"]["uid"], "uid-orders");
    assert_eq!(body["status"]["state"], "Ready");
    assert_eq!(body["status"]["queues"], 4);
    assert_eq!(body["status"]["conditions"][0]["type"], "Ready");
    assert_eq!(body["status"]["conditions"][0]["observedGeneration"], 1);
}

#[tokio::test]
async fn a_pass_that_finds_all_as_it_should_be_lists_once_and_writes_nothing() {
    let (client, server) = api(vec![expect(STATUS, json!(*orders(&json!({}))))]);
    let context = context(client, FakeBroker::default());
    let mut object = orders(&json!({}));
    pass::<Topics, _>(&context, &cluster(), &present(), vec![object.clone()], false).await;
    context.admin.calls.lock().clear();
    let sent = {
        // What the first pass wrote comes back with the next event of the watch.
        let held = vec![context.admin.topics.lock()["orders"].clone()];
        let verdict =
            Verdict::new(ObjectState::Ready, Reason::Applied, "brokers hold the topic as the spec says");
        let conditions = super::condition::conditions_after(&[], &verdict, Some(1), crate::testing::noon());
        let findings = super::kind::Findings { verdict: &verdict, conditions, held, progress: None };
        Topics::status(&object, findings).unwrap()
    };
    Arc::make_mut(&mut object).status = Some(serde_json::from_value(sent).unwrap());
    let pass = pass::<Topics, _>(&context, &cluster(), &present(), vec![object], false).await;
    assert_eq!(pass.failed, None);
    assert_eq!(*context.admin.calls.lock(), ["topics"]);
    drop(context);
    assert_eq!(server.await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_finalizer_is_there_before_the_topic_is() {
    let object = orders(&json!({ "deletionPolicy": "Delete" }));
    let (client, server) = api(vec![expect(OBJECT, json!(*object)), expect(STATUS, json!(*object))]);
    let context = context(client, FakeBroker::default());
    pass::<Topics, _>(&context, &cluster(), &present(), vec![object], false).await;
    assert_eq!(context.admin.topics.lock().len(), 1);
    drop(context);
    let sent = server.await.unwrap();
    assert_eq!(sent[0].1["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(sent[0].1["metadata"]["resourceVersion"], "7");
}

#[tokio::test]
async fn without_its_finalizer_nothing_is_created() {
    let object = orders(&json!({ "deletionPolicy": "Delete" }));
    let (client, server) = api(vec![refuse(OBJECT, 409, "Conflict"), expect(STATUS, json!(*object))]);
    let context = context(client, FakeBroker::default());
    let pass = pass::<Topics, _>(&context, &cluster(), &present(), vec![object], false).await;
    assert!(pass.failed.is_some_and(|error| error.contains("409")));
    assert!(context.admin.topics.lock().is_empty());
    drop(context);
    server.await.unwrap();
}

#[tokio::test]
async fn a_leaving_topic_is_deleted_at_the_broker_and_then_let_go() {
    let object = leaving(&json!({ "deletionPolicy": "Delete" }));
    let (client, server) = api(vec![expect(OBJECT, json!(*object))]);
    let broker = FakeBroker::with_topics([held("orders", 4, "default/orders")]);
    let context = context(client, broker);
    pass::<Topics, _>(&context, &cluster(), &present(), vec![object], false).await;
    assert_eq!(*context.admin.calls.lock(), ["topics", "delete orders of default/orders"]);
    drop(context);
    assert_eq!(server.await.unwrap()[0].1["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn a_leaving_topic_of_a_cluster_that_is_gone_is_let_go_and_may_be_gone_already() {
    let (client, server) = api(vec![refuse(OBJECT, 404, "NotFound")]);
    let context = context(client, FakeBroker { down: true, ..FakeBroker::default() });
    let object = leaving(&json!({ "deletionPolicy": "Delete" }));
    let pass = pass::<Topics, _>(&context, &cluster(), &ClusterView::Missing, vec![object], false).await;
    assert_eq!(pass.failed, None);
    assert!(context.admin.calls.lock().is_empty());
    drop(context);
    server.await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_down_makes_no_ready_topic_flap() {
    let (client, server) = api(Vec::new());
    let context = context(client, FakeBroker { down: true, ..FakeBroker::default() });
    let mut object = Topic::clone(&orders(&json!({})));
    object.status = Some(crds::TopicStatus {
        observed_generation: Some(1),
        state: ObjectState::Ready,
        ..Default::default()
    });
    let pass = pass::<Topics, _>(&context, &cluster(), &present(), vec![Arc::new(object)], false).await;
    assert_eq!(pass.failed.as_deref(), Some("broker is down"));
    drop(context);
    assert!(server.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_consumer_group_shows_its_lag_over_all_topics() {
    let object: ConsumerGroup = serde_json::from_value(json!({
        "apiVersion": "millpond.io/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": "billing", "namespace": "default", "uid": "u", "generation": 1 },
        "spec": { "clusterRef": { "name": "shop" } },
    }))
    .unwrap();
    let path = "PATCH /apis/millpond.io/v1alpha1/namespaces/default/consumergroups/billing/status";
    let (client, server) = api(vec![expect(path, json!(object))]);
    let context = context(client, FakeBroker::default());
    pass::<ConsumerGroups, _>(&context, &cluster(), &present(), vec![Arc::new(object)], true).await;
    assert_eq!(*context.admin.calls.lock(), ["groups", "apply 1 groups", "describe billing"]);
    drop(context);
    let status = server.await.unwrap().remove(0).1["status"].clone();
    assert_eq!(status["lag"], json!({ "messages": 12, "inFlight": 3, "topics": 2 }));
}

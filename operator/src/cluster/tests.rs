//! Plans, by table. What there is comes from `settled`, and each test changes a part of it.

mod calls;
mod copies;
mod disks;
mod join;
mod leave;
mod listener;
mod record;
mod status;

use std::collections::BTreeSet;

use client::admin::GetBrokerResponse;
use crds::conditions::{self, Kind};
use crds::group_record::{GroupRecord, GroupRequest, MemberId, REQUEST_ANNOTATION};
use crds::{BrokerCluster, Reason};
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::*;
use crate::children::Child;
use crate::testing::{noon, settings};

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
    for child in plan(cluster, &observed, &settings(), noon()).children {
        let Child::StatefulSet(set) = child else { continue };
        let group = crate::children::group_of(&set.metadata).unwrap();
        let copies = cluster.spec.copies();
        observed.stateful_sets.insert(group, seen(*set));
        observed.leases.insert(group, lease(&in_sync(copies), copies));
        for ordinal in 0..copies {
            come_up(&mut observed, (group, ordinal));
        }
    }
    observed
}

/// The pod is ready, its broker serves, and its disk is there.
fn come_up(observed: &mut Observed, member @ (group, ordinal): Member) {
    observed.pods.insert(member, pod(member));
    observed.brokers.insert(member, BrokerView::Answered(Box::new(broker("serving"))));
    let name = format!("data-shop-g{group}-{ordinal}");
    let uid = format!("uid-{name}");
    observed.claims.insert(member, ClaimView { name, uid, requested: "10Gi".into(), ..ClaimView::default() });
}

fn member(ordinal: u32) -> MemberId {
    MemberId { ordinal, store: 7 }
}

/// Member 0 leads, and this many are in sync.
fn in_sync(copies: u32) -> GroupRecord {
    let members: BTreeSet<_> = (0..copies).map(member).collect();
    GroupRecord {
        epoch: 4,
        revision: 9,
        leader: Some(member(0)),
        in_sync: members.clone(),
        members,
        ..GroupRecord::created(1)
    }
}

fn lease(record: &GroupRecord, asked: u32) -> LeaseView {
    LeaseView {
        uid: "uid-lease".into(),
        resource_version: "70".into(),
        record: Some(Ok(record.clone())),
        request: Some(GroupRequest { copies: asked, ..GroupRequest::default() }),
        is_deleted: false,
    }
}

fn seen(mut set: StatefulSet) -> StatefulSet {
    set.metadata.generation = Some(1);
    set.status = serde_json::from_value(json!({
        "replicas": 1, "observedGeneration": 1, "updateRevision": "new", "currentRevision": "new",
    }))
    .unwrap();
    set
}

fn pod((group, ordinal): Member) -> PodView {
    PodView {
        name: format!("shop-g{group}-{ordinal}"),
        uid: format!("pod-{group}-{ordinal}"),
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
    plan(cluster, observed, &settings(), noon())
}

fn restarted(cluster: &BrokerCluster, observed: &Observed) -> Option<u32> {
    planned(cluster, observed).restart.map(|restart| restart.member.0)
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
        observed.pods.get_mut(&(group, 0)).unwrap().revision = "old".into();
    }
    assert_eq!(restarted(&cluster, &observed), Some(1));
    observed.pods.get_mut(&(0, 0)).unwrap().ready = false;
    assert_eq!(restarted(&cluster, &observed), None, "g0 does not serve");
    observed.pods.get_mut(&(0, 0)).unwrap().ready = true;
    observed.pods.remove(&(0, 0));
    assert_eq!(restarted(&cluster, &observed), None, "g0 has no pod");
}

#[test]
fn an_outdated_broker_that_does_not_serve_is_restarted_at_once() {
    let cluster = cluster(&json!({ "groups": 3 }));
    let mut observed = settled(&cluster);
    for group in [1, 2] {
        observed.pods.get_mut(&(group, 0)).unwrap().revision = "old".into();
    }
    observed.pods.get_mut(&(2, 0)).unwrap().ready = false;
    assert_eq!(restarted(&cluster, &observed), Some(2), "it is down already, and its template may be why");
    observed.pods.get_mut(&(2, 0)).unwrap().deleting = true;
    assert_eq!(restarted(&cluster, &observed), None, "its restart is under way");
}

#[test]
fn a_roll_out_stops_at_the_first_broker_that_does_not_serve_with_the_newest_template() {
    let cluster = cluster(&json!({ "groups": 2, "copies": 3, "rollout": { "progressDeadline": "1m" } }));
    let mut observed = settled(&cluster);
    for (_, pod) in observed.pods.iter_mut().filter(|(member, _)| **member != (0, 1)) {
        pod.revision = "old".into();
    }
    let halted = |observed: &Observed, seconds: i64| {
        let at = noon() + jiff::Span::new().seconds(seconds);
        let conditions = report(&cluster, observed, &planned(&cluster, observed), at).status.conditions;
        let holds = |kind| conditions::find(&conditions, kind).is_some_and(|one| one.status == "True");
        let why = conditions::find(&conditions, Kind::Stalled).unwrap();
        (holds(Kind::Stalled), holds(Kind::Reconciling), why.reason.clone(), why.message.clone())
    };
    let next = |observed: &Observed| planned(&cluster, observed).restart.map(|restart| restart.member);
    let pod = observed.pods.get_mut(&(0, 1)).unwrap();
    (pod.ready, pod.since, pod.waiting) = (false, Some(noon()), Some("ImagePullBackOff".into()));
    assert_eq!(next(&observed), None);
    let (stalled, reconciling, ..) = halted(&observed, 59);
    assert_eq!((stalled, reconciling), (false, true), "it may still come up");
    let (stalled, reconciling, reason, message) = halted(&observed, 60);
    assert_eq!((stalled, reconciling, reason.as_str()), (true, false, "RolloutHalted"));
    assert_eq!(
        message,
        "pod shop-g0-1 got the newest template and does not serve with it (ImagePullBackOff); the 5 with an older one \
         are left as they are: mend what keeps it from serving, or set the spec back"
    );
    // Another one goes down by itself: the newest template would not help it.
    observed.pods.get_mut(&(1, 2)).unwrap().ready = false;
    assert_eq!(next(&observed), None, "its group does without it");
    observed.pods.get_mut(&(1, 0)).unwrap().ready = false;
    assert_eq!(next(&observed), Some((1, 0)), "its group serves nobody as it is");
    observed.pods.get_mut(&(1, 0)).unwrap().ready = true;
    // The spec is set back: what the others run is the newest again, and the one that does not serve is outdated.
    for pod in observed.pods.values_mut() {
        pod.revision = if pod.revision == "old" { "new".into() } else { "tried".into() };
    }
    observed.pods.get_mut(&(1, 2)).unwrap().ready = true;
    assert_eq!(next(&observed), Some((0, 1)), "it gets what the others have");
    assert_eq!(halted(&observed, 600).2, "Working");
}

#[test]
fn nothing_is_restarted_before_kubernetes_has_seen_the_newest_template() {
    let old = cluster(&json!({ "groups": 1 }));
    let mut observed = settled(&old);
    observed.pods.get_mut(&(0, 0)).unwrap().revision = "old".into();
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
    observed.pods.get_mut(&(0, 0)).unwrap().revision = "old".into();
    let restart = planned(&cluster, &observed).restart.unwrap();
    assert_eq!((restart.pod.as_str(), restart.uid.as_str()), ("shop-g0-0", "pod-0-0"));
}

#[test]
fn a_newer_operator_restarts_no_broker() {
    let cluster = cluster(&json!({}));
    let observed = settled(&cluster);
    let mut newer = settings();
    newer.broker_image = "example.org:5000/millpond:2".into();
    let plan = plan(&cluster, &observed, &newer, noon());
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
fn an_image_with_which_nobody_ever_served_is_left_behind_as_well() {
    let (plain, named) = (cluster(&json!({})), cluster(&json!({ "image": "c/d:bad" })));
    let mut observed = settled(&named);
    observed.leases.insert(0, lease(&GroupRecord::created(1), 1));
    observed.pods.get_mut(&(0, 0)).unwrap().ready = false;
    let told = report(&named, &observed, &planned(&named, &observed), noon()).status;
    let again = |status: crds::BrokerClusterStatus| {
        let cluster = BrokerCluster { status: Some(status), ..plain.clone() };
        planned(&cluster, &observed).image
    };
    assert_eq!(again(told.clone()), "example.org:5000/millpond:1");
    let mut served = told;
    served.group_status[0].epoch = Some(1);
    assert_eq!(again(served), "c/d:bad", "what runs, before there was a proven image");
}

#[test]
fn an_image_tried_in_vain_is_left_behind_when_its_name_is_taken_out() {
    let (plain, named) = (cluster(&json!({})), cluster(&json!({ "image": "c/d:bad" })));
    let mut observed = settled(&plain);
    let proven = |cluster: &BrokerCluster, observed: &Observed| {
        report(cluster, observed, &planned(cluster, observed), noon()).status.proven_image
    };
    let good = proven(&plain, &observed);
    assert_eq!(good.as_deref(), Some("example.org:5000/millpond:1"));
    let with_status = |mut cluster: BrokerCluster| {
        cluster.status = Some(crds::BrokerClusterStatus { proven_image: good.clone(), ..Default::default() });
        cluster
    };
    let (plain, named) = (with_status(plain), with_status(named));
    assert_eq!(proven(&named, &observed), good, "nothing runs with it yet");
    for child in planned(&named, &observed).children {
        let Child::StatefulSet(set) = child else { continue };
        observed.stateful_sets.insert(0, seen(*set));
    }
    observed.pods.get_mut(&(0, 0)).unwrap().ready = false;
    assert_eq!(proven(&named, &observed), good, "it does not serve with it");
    assert_eq!(planned(&plain, &observed).image, "example.org:5000/millpond:1");
    observed.pods.get_mut(&(0, 0)).unwrap().ready = true;
    assert_eq!(proven(&named, &observed).as_deref(), Some("c/d:bad"), "it serves with it");
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
fn a_changed_configuration_is_brought_to_each_pod_once() {
    let before = cluster(&json!({ "groups": 2, "copies": 2 }));
    let mut observed = settled(&before);
    let stale = |cluster: &BrokerCluster, observed: &Observed| planned(cluster, observed).refreshes;
    for refresh in stale(&before, &observed) {
        let pod = observed.pods.values_mut().find(|pod| pod.uid == refresh.uid).unwrap();
        pod.config = Some(refresh.config);
    }
    assert_eq!(stale(&before, &observed), []);
    let longer = cluster(&json!({ "groups": 2, "copies": 2, "maxDelay": "40h" }));
    assert_eq!(stale(&longer, &observed).len(), 4);
}

#[test]
fn a_paused_cluster_is_left_as_it_is() {
    let observed = settled(&cluster(&json!({})));
    let plan = planned(&cluster(&json!({ "reconciliation": "Paused", "flush": "Async" })), &observed);
    assert!(plan.children.is_empty() && plan.restart.is_none());
}

#[test]
fn a_pause_ends_at_its_time() {
    for (until, is_paused) in [("2027-01-15T08:00:01Z", true), ("2027-01-15T08:00:00Z", false)] {
        let paused = cluster(&json!({ "reconciliation": "Paused", "pausedUntil": until }));
        let observed = settled(&paused);
        let plan = planned(&paused, &observed);
        assert_eq!(plan.children.is_empty(), is_paused, "{until}");
        let conditions = report(&paused, &observed, &plan, noon()).status.conditions;
        let told = conditions::find(&conditions, Kind::Paused).map(|paused| paused.message.contains(until));
        assert_eq!(told, is_paused.then_some(true), "{until}");
        let view = crate::objects::ClusterView::of(Some(&paused), noon());
        assert_eq!(view == crate::objects::ClusterView::Paused, is_paused, "{until}");
    }
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
    assert_eq!(owned_by("Shop", "x").reason(), Reason::NameTaken);
    assert_eq!(owned_by("BrokerCluster", "shop").reason(), Reason::EarlierClusterLeaving);
}

//! What is told about a cluster.

use crds::broker_cluster::ClusterState;
use crds::conditions::{self, Kind};
use crds::group_record::Cause;
use serde_json::json;

use super::*;

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
fn a_cluster_that_waits_for_others_says_for_which() {
    let cluster = cluster(&json!({}));
    let observed = settled(&cluster);
    let plan = Plan { waits_for: vec!["prod/bank".into()], ..planned(&cluster, &observed) };
    let status = report(&cluster, &observed, &plan, noon()).status;
    let reconciling = conditions::find(&status.conditions, Kind::Reconciling).unwrap();
    assert_eq!((reconciling.status.as_str(), reconciling.reason.as_str()), ("True", "WaitsForTurn"));
    assert!(reconciling.message.ends_with("after those of prod/bank"), "{}", reconciling.message);
}

#[test]
fn the_status_says_which_group_waits_and_for_what() {
    let cluster = cluster(&json!({ "groups": 2 }));
    let mut observed = settled(&cluster);
    let pod = observed.pods.get_mut(&(1, 0)).unwrap();
    (pod.ready, pod.waiting) = (false, Some("ImagePullBackOff".into()));
    let status = reported(&cluster, &observed);
    assert_eq!((status.state, status.ready.as_str()), (ClusterState::Degraded, "1/2"));
    let ready = conditions::find(&status.conditions, Kind::Ready).unwrap();
    assert_eq!(ready.message, "1 of 2 groups serve: g1: shop-g1-0 waits: ImagePullBackOff");
}

#[test]
fn one_line_answers_whether_the_data_is_safe() {
    let mut cluster = cluster(&json!({ "copies": 3, "groups": 2 }));
    let mut observed = settled(&cluster);
    cluster.status = Some(reported(&cluster, &observed));
    let safe = |observed: &Observed| {
        let status = reported(&cluster, observed);
        let condition = conditions::find(&status.conditions, Kind::DataSafe).unwrap().clone();
        (status.in_sync, status.state, condition.status == "True", condition.message)
    };
    let (in_sync, state, holds, message) = safe(&observed);
    assert_eq!((in_sync.as_str(), state, holds), ("3/3", ClusterState::Serving, true));
    assert_eq!(message, "every acknowledged message is on 3 copies");
    // A copy is lost: its leader goes on without it.
    let mut record = super::in_sync(3);
    record.in_sync.remove(&member(2));
    observed.leases.insert(1, lease(&record, 3));
    observed.pods.get_mut(&(1, 2)).unwrap().ready = false;
    let behind = |written| {
        BrokerView::Answered(Box::new(GetBrokerResponse { log_written: written, ..broker("serving") }))
    };
    observed.brokers.insert((1, 0), behind(5000));
    observed.brokers.insert((1, 2), behind(1000));
    let (in_sync, state, holds, message) = safe(&observed);
    assert_eq!((in_sync.as_str(), state, holds), ("2/3", ClusterState::Degraded, false));
    assert_eq!(message, "2 of 3 copies are in sync: g1: shop-g1-2 is catching up (4000 bytes behind)");
    // The whole group is gone.
    for ordinal in 0..3 {
        observed.pods.remove(&(1, ordinal));
    }
    let (in_sync, state, holds, _) = safe(&observed);
    assert_eq!((in_sync.as_str(), state, holds), ("0/3", ClusterState::Degraded, false));
}

#[test]
fn a_group_without_enough_copies_in_sync_does_not_serve_and_says_why() {
    let cluster = cluster(&json!({ "copies": 2, "minInSync": 2 }));
    let mut observed = settled(&cluster);
    let mut record = super::in_sync(2);
    (record.min_in_sync, record.in_sync) = (2, [member(0)].into());
    observed.leases.insert(0, lease(&record, 2));
    let ready = reported(&cluster, &observed).conditions;
    let ready = conditions::find(&ready, Kind::Ready).unwrap();
    assert_eq!(ready.status, "False");
    assert!(ready.message.contains("sends are refused until 2 copies are in sync"), "{}", ready.message);
}

#[test]
fn the_record_of_each_group_is_mirrored_and_its_last_change_is_kept() {
    let mut cluster = cluster(&json!({ "copies": 2 }));
    let mut observed = settled(&cluster);
    let mut record = super::in_sync(2);
    (record.cause, record.leader, record.epoch) = (Cause::LeaderLost, Some(member(1)), 8);
    record.in_sync.remove(&member(0));
    observed.leases.insert(0, lease(&record, 2));
    let status = reported(&cluster, &observed);
    let group = &status.group_status[0];
    assert_eq!((group.leader.as_deref(), group.epoch, group.revision), (Some("shop-g0-1"), Some(8), Some(9)));
    assert_eq!(
        (group.in_sync.as_slice(), group.learning.as_slice()),
        (&["shop-g0-1".to_owned()][..], &["shop-g0-0".to_owned()][..])
    );
    let change = group.last_transition.clone().unwrap();
    assert_eq!((change.cause, change.at.0), (Cause::LeaderLost, noon()));
    // Later passes do not move the time, a later change does.
    cluster.status = Some(status);
    let later = noon() + jiff::SignedDuration::from_secs(90);
    let again = |observed: &Observed| {
        let status = report(&cluster, observed, &planned(&cluster, observed), later).status;
        status.group_status[0].last_transition.clone().unwrap().at.0
    };
    assert_eq!(again(&observed), noon());
    record.revision += 1;
    observed.leases.insert(0, lease(&record, 2));
    assert_eq!(again(&observed), later);
}

/// Says how it began to lead in an epoch.
fn began(epoch: u32, gap_ms: u64) -> BrokerView {
    let transition = client::admin::Transition { epoch, gap_ms, ..Default::default() };
    let member = client::admin::Member { transition: Some(transition), ..Default::default() };
    BrokerView::Answered(Box::new(GetBrokerResponse { member: Some(member), ..broker("serving") }))
}

#[test]
fn the_gap_is_told_once_the_leader_of_the_epoch_has_measured_it() {
    let mut cluster = cluster(&json!({ "copies": 2 }));
    let mut observed = settled(&cluster);
    let mut record = GroupRecord { leader: Some(member(1)), cause: Cause::LeaderLost, ..super::in_sync(2) };
    let mut gap = |observed: &Observed| {
        let status = reported(&cluster, observed);
        let gap_ms = status.group_status[0].last_transition.as_ref().unwrap().gap_ms;
        cluster.status = Some(status);
        gap_ms
    };
    (record.epoch, record.revision) = (8, 10);
    observed.leases.insert(0, lease(&record, 2));
    observed.brokers.insert((0, 1), began(5, 70));
    assert_eq!(gap(&observed), None, "it led before, and does not serve yet");
    observed.brokers.insert((0, 1), began(8, 1620));
    assert_eq!(gap(&observed), Some(1620));
    observed.brokers.insert((0, 1), BrokerView::Unreachable("no answer".into()));
    record.revision += 1;
    observed.leases.insert(0, lease(&record, 2));
    assert_eq!(gap(&observed), Some(1620), "another change in the same epoch");
    (record.epoch, record.revision) = (9, 12);
    observed.leases.insert(0, lease(&record, 2));
    assert_eq!(gap(&observed), None);
}

#[test]
fn a_full_disk_is_named_with_what_to_do() {
    let cluster = cluster(&json!({}));
    let mut observed = settled(&cluster);
    observed.brokers.insert((0, 0), BrokerView::Answered(Box::new(broker("disk-full"))));
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

/// `Reconciling` after a pass over what there is.
fn reconciling(cluster: &BrokerCluster, observed: &Observed) -> String {
    let told = report(cluster, observed, &planned(cluster, observed), noon()).status.conditions;
    let found = conditions::find(&told, Kind::Reconciling).unwrap();
    format!("{} {}", found.status, found.reason)
}

#[test]
fn a_change_is_under_way_before_anything_of_it_can_be_seen() {
    let before = cluster(&json!({ "copies": 2 }));
    let observed = settled(&before);
    assert_eq!(reconciling(&before, &observed), "False Settled");
    // The pass that tells Kubernetes of it sees only what was before.
    for changed in
        [json!({ "copies": 2, "podTemplate": { "labels": { "team": "a" } } }), json!({ "copies": 3 })]
    {
        assert_eq!(reconciling(&cluster(&changed), &observed), "True Updating", "{changed}");
    }
}

#[test]
fn a_copy_that_is_not_a_member_yet_is_being_added() {
    let wanted = cluster(&json!({ "copies": 3 }));
    let mut observed = settled(&wanted);
    observed.leases.insert(0, lease(&in_sync(2), 3));
    assert_eq!(reconciling(&wanted, &observed), "True ChangingCopies");
}

#[test]
fn the_only_broker_that_does_not_serve_since_the_spec_changed_is_told_of_and_one_that_went_down_by_itself_is_not()
 {
    let mut cluster = cluster(&json!({ "rollout": { "progressDeadline": "1m" } }));
    let mut observed = settled(&cluster);
    cluster.status = Some(reported(&cluster, &observed));
    assert_eq!(cluster.status.as_ref().unwrap().proven_generation, Some(3));
    let pod = observed.pods.get_mut(&(0, 0)).unwrap();
    (pod.ready, pod.since, pod.waiting) = (false, Some(noon()), Some("no node fits".into()));
    let stalled = |cluster: &BrokerCluster, seconds: i64| {
        let at = noon() + jiff::Span::new().seconds(seconds);
        let told = report(cluster, &observed, &planned(cluster, &observed), at).status.conditions;
        let found = conditions::find(&told, Kind::Stalled).unwrap();
        (found.reason.clone(), found.message.clone())
    };
    assert_eq!(stalled(&cluster, 600).0, "Working", "it went down by itself");
    cluster.metadata.generation = Some(4);
    assert_eq!(stalled(&cluster, 59).0, "Working", "it may still come up");
    let message = "pod shop-g0-0 got the newest template and does not serve with it (no node fits): mend what keeps it \
                   from serving, or set the spec back";
    assert_eq!(stalled(&cluster, 60), ("RolloutHalted".to_owned(), message.to_owned()));
}

#[test]
fn a_broker_whose_pod_kubernetes_does_not_make_is_told_of() {
    let mut cluster = cluster(&json!({ "copies": 3, "rollout": { "progressDeadline": "1m" } }));
    let mut observed = settled(&cluster);
    cluster.status = Some(reported(&cluster, &observed));
    cluster.metadata.generation = Some(4);
    observed.pods.remove(&(0, 2));
    for pod in observed.pods.values_mut() {
        pod.revision = "old".into();
    }
    cluster.status = Some(reported(&cluster, &observed));
    for (seconds, told) in [(59, "Reconciling"), (60, "Stalled")] {
        let at = noon() + jiff::Span::new().seconds(seconds);
        let conditions = report(&cluster, &observed, &planned(&cluster, &observed), at).status.conditions;
        let holds = |kind| conditions::holds(&conditions, kind);
        let found = if holds(Kind::Stalled) { "Stalled" } else { "Reconciling" };
        assert_eq!((found, holds(Kind::Reconciling)), (told, told == "Reconciling"), "after {seconds} s");
    }
}

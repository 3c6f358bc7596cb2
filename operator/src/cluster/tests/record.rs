//! Records that are lost, and who must not lead.

use serde_json::json;

use super::*;

#[test]
fn a_lost_record_is_told_and_nothing_is_taken_away() {
    let mut cluster = cluster(&json!({ "copies": 2 }));
    let mut observed = settled(&cluster);
    cluster.status = Some(report(&cluster, &observed, &planned(&cluster, &observed), noon()).status);
    observed.leases.clear();
    cluster.spec.copies = 1;
    let plan = planned(&cluster, &observed);
    assert_eq!((plan.leases.len(), plan.replicas[&0], plan.removals.len()), (0, 2, 0));
    let status = report(&cluster, &observed, &plan, noon()).status;
    for kind in [crds::conditions::Kind::Stalled, crds::conditions::Kind::DataSafe] {
        let condition = crds::conditions::find(&status.conditions, kind).unwrap();
        assert_eq!(condition.reason, "RecordLost");
    }
    assert_eq!(status.group_status[0].revision, Some(9), "what remains of the record");
    // The next pass knows from the status alone.
    cluster.status = Some(status);
    observed.claims.clear();
    assert_eq!(
        planned(&cluster, &observed).problem.as_ref().map(Problem::reason),
        Some(crds::Reason::RecordLost)
    );
    // All members tell what they saw.
    for ordinal in 0..2 {
        tell(&mut observed, ordinal, &in_sync(2), true);
    }
    let record = reseeded(&cluster, &mut observed).unwrap();
    assert_eq!((record.epoch, record.leader, &record.in_sync), (4, Some(member(0)), &in_sync(2).in_sync));
    assert!(record.revision > 9);
    tell(&mut observed, 1, &in_sync(2), false);
    assert_eq!(reseeded(&cluster, &mut observed), None, "it may have won an election");
    observed.brokers.insert((0, 1), BrokerView::Unreachable("timeout".into()));
    assert_eq!(reseeded(&cluster, &mut observed), None, "it may lead");
    observed.pods.remove(&(0, 1));
    observed.brokers.remove(&(0, 1));
    assert_eq!(reseeded(&cluster, &mut observed), None, "it may run although its pod is gone");
}

/// The member answers with what it knows of the record.
fn tell(observed: &mut Observed, ordinal: u32, record: &GroupRecord, decided: bool) {
    let said = client::admin::Member {
        id: member(ordinal).to_string(),
        record: record.to_json(),
        decided,
        ..client::admin::Member::default()
    };
    let answer = GetBrokerResponse { member: Some(said), ..broker("serving") };
    observed.brokers.insert((0, ordinal), BrokerView::Answered(Box::new(answer)));
}

/// The record that the operator makes out of what members say.
fn reseeded(cluster: &BrokerCluster, observed: &mut Observed) -> Option<GroupRecord> {
    observed.reports = observe::reports(observed);
    planned(cluster, observed).leases.first().and_then(|step| step.record.clone())
}

#[test]
fn a_record_that_is_there_is_never_made_out_of_what_members_say() {
    let cluster = cluster(&json!({ "copies": 2 }));
    let mut observed = settled(&cluster);
    let later = GroupRecord { epoch: 5, revision: 12, ..in_sync(2) };
    for ordinal in 0..2 {
        tell(&mut observed, ordinal, &later, true);
    }
    assert_eq!(reseeded(&cluster, &mut observed), None);
    assert!(observed.reports.is_empty());
}

#[test]
fn a_lease_that_somebody_deleted_is_told_as_long_as_it_stays() {
    let cluster = cluster(&json!({ "copies": 2 }));
    let mut observed = settled(&cluster);
    let safe = |observed: &Observed| {
        let status = report(&cluster, observed, &planned(&cluster, observed), noon()).status;
        let condition = crds::conditions::find(&status.conditions, crds::conditions::Kind::DataSafe).unwrap();
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    };
    assert_eq!(safe(&observed).1, "InSync");
    observed.leases.get_mut(&0).unwrap().is_deleted = true;
    let (status, reason, message) = safe(&observed);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "LeaseDeleted"));
    assert!(message.contains("Lease shop-g0") && message.contains("finalizer"), "{message}");
}

#[test]
fn a_leader_on_a_cordoned_node_is_fenced_and_stays_so_while_nodes_are_not_known() {
    let cluster = cluster(&json!({ "copies": 3, "groups": 2 }));
    let mut observed = settled(&cluster);
    let asked = |observed: &Observed, group: usize| {
        let annotations = planned(&cluster, observed).leases[group].wanted.metadata.annotations.clone();
        GroupRequest::from_json(&annotations.unwrap()[REQUEST_ANNOTATION]).unwrap()
    };
    observed.leaving = Some(BTreeSet::from([(0, 0)]));
    let request = asked(&observed, 0);
    assert_eq!((request.fenced.clone(), asked(&observed, 1).fenced), (BTreeSet::from([0]), BTreeSet::new()));
    // The operator starts anew.
    observed.leases.get_mut(&0).unwrap().request = Some(request.clone());
    observed.leaving = None;
    assert_eq!(asked(&observed, 0), request);
    observed.leaving = Some(BTreeSet::new());
    assert_eq!(asked(&observed, 0).fenced, BTreeSet::new(), "uncordoned");
    // Whoever could take over is on its way out, too.
    observed.leaving = Some(BTreeSet::from([(0, 0)]));
    for ordinal in [1, 2] {
        observed.pods.get_mut(&(0, ordinal)).unwrap().deleting = true;
    }
    assert_eq!(asked(&observed, 0).fenced, BTreeSet::new());
}

//! More copies, fewer copies, and a record that somebody deletes: all of it under load.

use std::time::Duration;

use crds::BrokerCluster;
use crds::group_record::GroupRecord;
use e2e::cluster::copies::Copies;
use e2e::traffic::{Targets, Traffic};
use e2e::wait;
use k8s_openapi::api::core::v1::Pod;

use crate::copies::{assert_sound, plan};

const CHANGE_MAX: Duration = Duration::from_mins(3);

#[test]
fn copies_go_up_and_down_under_load_and_the_status_tells_the_truth() {
    let group = Copies::start("steps", 1);
    let mut traffic = Traffic::start(&group, plan());
    let mut before = 1;
    for copies in [2, 3, 2, 1] {
        traffic.disturb();
        group.set_copies(copies);
        watch_change(&group, before, copies);
        group.converge(copies);
        let row = group.kubectl(&["get", "brokerclusters", "--no-headers"]);
        let columns: Vec<&str> = row.split_whitespace().collect();
        let in_sync = format!("{copies}/{copies}");
        assert_eq!(columns[3..5], ["True", in_sync.as_str()], "{row}");
        traffic.calm();
        before = copies;
    }
    assert_sound("1, 2, 3, 2 and 1 copies", traffic, group, 1);
}

/// Looks on until there are so many pods: none goes while the record names it, and nothing is called safe that is not.
fn watch_change(group: &Copies, before: usize, copies: usize) {
    wait::until("as many pods as copies", CHANGE_MAX, || {
        let pods: Vec<Option<Pod>> = (0..before.max(copies)).map(|member| group.pod(member)).collect();
        let cluster = group.cluster();
        let record = group.record().expect("a record");
        for (member, pod) in pods.iter().enumerate() {
            let goes = pod.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
            let went = member < before && goes;
            assert!(!went || !names(&record, member), "pod {member} went while it was named: {record:?}");
        }
        assert_is_true(&cluster, &record, copies);
        let there = pods.iter().filter(|pod| pod.is_some()).count();
        (there == copies && record.members.len() == copies && record.in_sync.len() == copies).then_some(())
    });
}

/// What the status says of the newest spec must not be more than what the record says a moment later.
fn assert_is_true(cluster: &BrokerCluster, record: &GroupRecord, copies: usize) {
    let status = cluster.status.clone().unwrap_or_default();
    let is_newest = status.observed_generation == cluster.metadata.generation;
    let is_safe = status.conditions.iter().any(|one| one.type_ == "DataSafe" && one.status == "True");
    if is_newest && is_safe {
        assert!(record.in_sync.len() >= copies, "called safe with {record:?}: {:?}", status.group_status);
    }
}

fn names(record: &GroupRecord, member: usize) -> bool {
    record.members.iter().any(|id| id.ordinal as usize == member)
}

#[test]
fn lease_deleted_by_hand_stays_and_the_group_goes_on() {
    let group = Copies::start("record", 3);
    let mut traffic = Traffic::start(&group, plan());
    let before = group.record().expect("a record");
    traffic.disturb();
    let said = group.place().kubectl(&["delete", "lease", "record-g0", "--wait=false"]);
    println!("kubectl delete lease: {}", said.text.trim());
    traffic.flows(200);
    let after = group.record().expect("the Lease stays, and the record in it");
    assert_eq!((after.leader, after.epoch), (before.leader, before.epoch), "nobody had to lead anew");
    let leader = group.leader();
    group.delete(leader);
    traffic.flows(200);
    group.status_names_leader_after(before.epoch);
    group.converge(3);
    traffic.calm();
    assert_sound("Lease deleted", traffic, group, 3);
}

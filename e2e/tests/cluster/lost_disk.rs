//! A disk that is gone for good: its member begins anew and learns everything, whichever number it has.

use std::time::Duration;

use crds::group_record::GroupRecord;
use e2e::cluster::copies::Copies;
use e2e::traffic::{Targets, Traffic};
use e2e::wait;

use crate::copies::{assert_sound, plan};

/// Kubernetes makes a new claim and a new pod, and the member learns the log.
const REPLACED_MAX: Duration = Duration::from_mins(2);

/// The disk that the record knows a member by.
fn store(group: &Copies, member: usize) -> Option<u64> {
    let of = |record: GroupRecord| {
        record.in_sync.iter().find(|id| id.ordinal as usize == member).map(|id| id.store)
    };
    group.record().and_then(of)
}

#[test]
fn a_lost_disk_is_replaced_while_the_group_serves() {
    let group = Copies::start("disk", 3);
    let mut traffic = Traffic::start(&group, plan());
    // The first one, which is as any other, and then whoever leads.
    for member in [0, group.leader()] {
        let before = store(&group, member).expect("it is in sync");
        traffic.disturb();
        let claim = format!("pvc/data-{}", group.pod_name(member));
        group.kubectl(&["delete", &claim, "--wait=false"]);
        group.delete(member);
        traffic.flows(100);
        wait::until("another disk is in sync", REPLACED_MAX, || {
            store(&group, member).filter(|found| *found != before)
        });
        group.converge(3);
        traffic.calm();
    }
    assert_sound("two disks lost, one after the other", traffic, group, 3);
}

//! Somebody deletes the Lease of a group, and then forces it.

use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::traffic::{Targets, Traffic};
use e2e::wait;

use crate::copies::{assert_sound, plan};

const SOON: Duration = Duration::from_mins(1);

#[test]
fn record_that_somebody_deleted_is_made_again_from_what_all_members_know() {
    let group = Copies::start("lostrecord", 3);
    let mut traffic = Traffic::start(&group, plan());
    let (leader, known) = (group.leader(), group.record().expect("a record"));
    let begin_ms = traffic.disturb();
    group.kubectl(&["delete", "lease", "lostrecord-g0", "--wait=false"]);
    wait::until("the status says that it was deleted", SOON, || {
        let conditions = group.status().conditions;
        conditions.iter().any(|one| one.type_ == "DataSafe" && one.reason == "LeaseDeleted").then_some(())
    });
    assert_eq!(group.record(), Some(known.clone()), "its finalizer keeps it");
    let forced =
        ["patch", "lease", "lostrecord-g0", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"];
    group.kubectl(&forced);
    let again = wait::until("there is a record again", SOON, || {
        group.record().filter(|record| record.revision > known.revision)
    });
    let lost_ms = traffic.now_ms() - begin_ms;
    assert_eq!((again.epoch, again.leader, &again.in_sync), (known.epoch, known.leader, &known.in_sync));
    group.converge(3);
    let gap_ms = traffic.so_far().longest_gap_ms(&(begin_ms..traffic.now_ms()));
    println!("record made again within {lost_ms} ms, at most {gap_ms} ms without an acknowledged send");

    // Members believe it: they elect another leader by it.
    group.process(leader).kill();
    traffic.flows(100);
    group.status_names_leader_after(known.epoch);
    group.converge(3);
    traffic.calm();
    assert_sound("record deleted", traffic, group, 3);
}

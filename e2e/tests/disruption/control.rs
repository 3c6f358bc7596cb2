//! The operator and the API server are away: brokers decide by themselves.

use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::cluster::nodes::Disturbance;
use e2e::traffic::{Plan, Targets, Traffic};
use e2e::wait;

use super::{assert_sound, pass, plan};

/// No API server for this long.
const WITHOUT_API: Duration = Duration::from_mins(1);
/// After each send: as much as could be sent in that time takes longer to read again.
const PAUSE: Duration = Duration::from_millis(15);
/// The longest time without an acknowledged send meanwhile: nothing happens to the group.
const UNDISTURBED_MS_MAX: u64 = 2_000;

#[test]
fn leader_dies_without_an_operator_and_another_leads() {
    let group = Copies::start("unattended", 3);
    let mut traffic = Traffic::start(&group, plan());
    let away = Disturbance::without_operator();
    let leader = group.leader();
    let blow_ms = traffic.disturb();
    group.delete(leader);
    traffic.flows(100);
    let silence_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));
    assert_ne!(group.leader(), leader, "its pod was gone, and it leads");
    // Without the operator: the brokers alone count it again.
    wait::until("all are in sync", Duration::from_mins(2), || {
        (group.record()?.in_sync.len() == 3).then_some(())
    });
    away.end();
    group.converge(3);
    traffic.calm();
    println!("no operator: at most {silence_ms} ms without an acknowledged send");
    assert_sound("leader deleted without an operator", traffic, group);
}

#[test]
fn healthy_group_serves_without_an_api_server() {
    let group = Copies::start("noapi", 3);
    let mut traffic = Traffic::start(&group, Plan { pause: PAUSE, ..plan() });
    let epoch = group.record().expect("a record").epoch;
    let begin_ms = traffic.disturb();
    let away = Disturbance::without_api();
    pass(&traffic, WITHOUT_API);
    let gap_ms = traffic.so_far().longest_gap_ms(&(begin_ms..traffic.now_ms()));
    println!("no API server for {WITHOUT_API:?}: at most {gap_ms} ms without an acknowledged send");
    away.end();
    assert!(gap_ms < UNDISTURBED_MS_MAX, "nothing was acknowledged for {gap_ms} ms");
    assert_eq!(group.record().expect("a record").epoch, epoch, "somebody else was elected");
    group.converge(3);
    traffic.calm();
    assert_sound("no API server", traffic, group);
}

#[test]
fn leader_that_dies_without_an_api_server_is_replaced_when_it_is_back() {
    let group = Copies::start("noapikill", 3);
    let mut traffic = Traffic::start(&group, plan());
    let leader = group.leader();
    let process = group.process(leader);
    traffic.disturb();
    let away = Disturbance::without_api();
    process.kill();
    pass(&traffic, Duration::from_secs(10));
    away.end();
    traffic.flows(100);
    group.converge(3);
    traffic.calm();
    assert_sound("leader killed without an API server", traffic, group);
}

#[test]
fn leader_that_alone_loses_the_api_server_goes_on_and_changes_the_record_through_another() {
    let group = Copies::start("noapileader", 3);
    let mut traffic = Traffic::start(&group, plan());
    let (leader, follower) = (group.leader(), group.followers()[0]);
    let epoch = group.record().expect("a record").epoch;
    let begin_ms = traffic.disturb();
    let away = Disturbance::without_api_for(&group.node(leader), &group.pod_address(leader));
    let renewed = group.renewed();
    pass(&traffic, Duration::from_secs(10));
    assert_eq!(group.renewed(), renewed, "it still reaches the API server");
    let healthy_ms = traffic.so_far().longest_gap_ms(&(begin_ms..traffic.now_ms()));
    let process = group.process(follower);
    let blow_ms = traffic.now_ms();
    process.pause();
    let in_sync = |count: usize| group.record().filter(|record| record.in_sync.len() == count);
    let shrunk = wait::until("the set shrinks", Duration::from_secs(20), || in_sync(2));
    traffic.flows(100);
    let shrink_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));
    process.resume();
    let grown = wait::until("the set grows", Duration::from_secs(30), || in_sync(3));
    println!(
        "leader without the API server: at most {healthy_ms} ms without an acknowledged send, {shrink_ms} ms while a \
         follower slept"
    );
    for record in [shrunk, grown] {
        assert_eq!((record.epoch, record.leader.map(|it| it.ordinal as usize)), (epoch, Some(leader)));
    }
    assert!(healthy_ms < UNDISTURBED_MS_MAX, "nothing was acknowledged for {healthy_ms} ms");
    away.end();
    group.converge(3);
    traffic.calm();
    assert_sound("leader without the API server", traffic, group);
}

//! Nodes are cordoned: leaders move before anybody is evicted.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::group_record::Cause;
use e2e::cluster::copies::Copies;
use e2e::cluster::nodes::Disturbance;
use e2e::traffic::{Targets, Traffic};
use e2e::wait;

use super::{assert_sound, plan};

/// The leader has moved within this time after its node was cordoned.
const MOVES_WITHIN: Duration = Duration::from_secs(10);
/// The longest time without an acknowledged send meanwhile: a hand-over.
const HAND_OVER_MS_MAX: u64 = 2_000;

#[test]
fn leader_moves_when_its_node_is_cordoned_and_nobody_is_evicted() {
    let group = Copies::start("cordoned", 3);
    let mut traffic = Traffic::start(&group, plan());
    let leader = group.leader();
    let pods = || (0..3).map(|member| group.pod(member).and_then(|pod| pod.metadata.uid)).collect::<Vec<_>>();
    let before = pods();
    let begin_ms = traffic.disturb();
    let cordon = Disturbance::cordoned(&group.node(leader));
    let record = wait::until("another one leads", MOVES_WITHIN, || {
        group.record().filter(|record| record.leader.is_some_and(|other| other.ordinal as usize != leader))
    });
    let moved_ms = traffic.now_ms() - begin_ms;
    traffic.flows(100);
    let gap_ms = traffic.so_far().longest_gap_ms(&(begin_ms..traffic.now_ms()));
    println!(
        "leader's node cordoned: moved after {moved_ms} ms, at most {gap_ms} ms without an acknowledged send"
    );
    assert_eq!(record.cause, Cause::HandOver);
    assert!(gap_ms < HAND_OVER_MS_MAX, "nothing was acknowledged for {gap_ms} ms");
    assert_eq!(group.request().fenced, BTreeSet::from([leader as u32]));

    // With no node left somebody has to lead all the same.
    let others = group.followers().into_iter().chain([group.leader()]).filter(|member| *member != leader);
    let others: Vec<_> = others.map(|member| Disturbance::cordoned(&group.node(member))).collect();
    wait::until("nobody is fenced", MOVES_WITHIN, || group.request().fenced.is_empty().then_some(()));
    traffic.flows(100);
    group.converge(3);
    drop(others);
    cordon.end();
    wait::until("nobody is fenced", MOVES_WITHIN, || group.request().fenced.is_empty().then_some(()));
    assert_eq!(pods(), before, "a pod was replaced");
    traffic.calm();
    assert_sound("leader's node cordoned", traffic, group);
}

//! Nodes are drained and cut off, and a leader sleeps.

use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::cluster::nodes::Disturbance;
use e2e::network::Cut;
use e2e::traffic::{Targets, Traffic};

use super::{assert_sound, pass, plan};

/// The leader is cut off: a send is acknowledged again within this time.
const CUT_OFF_MS_MAX: u64 = 5_000;
/// So long a node is cut off: shorter than Kubernetes waits before it gives its pods up, longer than until it is `NotReady`.
const CUT_FOR: Duration = Duration::from_secs(20);
const ASLEEP_FOR: Duration = Duration::from_secs(5);

#[test]
fn nodes_drained_one_after_another_lose_nothing() {
    let group = Copies::start("drained", 3);
    let mut traffic = Traffic::start(&group, plan());
    let ours = format!("app.kubernetes.io/instance={}", group.name());
    for member in 0..3 {
        let node = group.node(member);
        let begin_ms = traffic.disturb();
        let cordon = Disturbance::cordoned(&node);
        group.kubectl(&["drain", &node, "--pod-selector", &ours, "--delete-emptydir-data", "--timeout=120s"]);
        traffic.flows(100);
        cordon.end();
        group.converge(3);
        traffic.calm();
        let gap_ms = traffic.so_far().longest_gap_ms(&(begin_ms..traffic.now_ms()));
        println!("{node} drained: at most {gap_ms} ms without an acknowledged send");
    }
    assert_sound("every node drained", traffic, group);
}

#[test]
fn leader_on_a_node_that_is_cut_off_is_replaced() {
    cut_off("cutboth", Cut::Both);
}

#[test]
fn leader_on_a_node_that_hears_nobody_is_replaced() {
    cut_off("cutin", Cut::In);
}

#[test]
fn leader_on_a_node_that_nobody_hears_is_replaced() {
    cut_off("cutout", Cut::Out);
}

fn cut_off(name: &str, cut: Cut) {
    let group = Copies::start(name, 3);
    let mut traffic = Traffic::start(&group, plan());
    let leader = group.leader();
    let blow_ms = traffic.disturb();
    let disturbance = Disturbance::cut(&group.node(leader), cut);
    traffic.flows(100);
    assert_ne!(group.leader(), leader, "it is cut off, and leads");
    pass(&traffic, CUT_FOR);
    disturbance.end();
    group.converge(3);
    traffic.calm();
    let silence_ms = traffic.so_far().longest_gap_ms(&(blow_ms..blow_ms + CUT_OFF_MS_MAX));
    println!("leader's node cut off ({cut:?}): at most {silence_ms} ms without an acknowledged send");
    assert!(silence_ms < CUT_OFF_MS_MAX, "nothing was acknowledged for {silence_ms} ms");
    assert_sound(&format!("leader's node cut off ({cut:?})"), traffic, group);
}

#[test]
fn leader_that_sleeps_is_replaced_and_follows_when_it_wakes() {
    let group = Copies::start("asleep", 3);
    let mut traffic = Traffic::start(&group, plan());
    let sleeper = group.leader();
    let process = group.process(sleeper);
    let blow_ms = traffic.disturb();
    process.pause();
    pass(&traffic, ASLEEP_FOR);
    // It still sleeps.
    traffic.flows(100);
    let silence_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));
    process.resume();
    assert_ne!(group.leader(), sleeper, "it slept, and leads");
    group.converge(3);
    traffic.calm();
    println!("leader asleep for {ASLEEP_FOR:?}: at most {silence_ms} ms without an acknowledged send");
    assert_sound("leader slept", traffic, group);
}

//! A member is cut off under load, both ways or one: whoever is cut off acknowledges nothing that the others do not hold.

use std::time::Duration;

use e2e::members::Members;
use e2e::network::Cut;
use e2e::traffic::{self, Plan, Traffic};

use crate::failover::{CUT_OFF_MS_MAX, assert_sound};

/// Whoever asks a member that is cut off hears nothing, and asks the next one after a second.
const PLAN: Plan = Plan {
    senders: 3,
    library: false,
    request_timeout: Duration::from_secs(1),
    pause: Duration::from_millis(3),
};

fn leader_is_cut_off(cut: Cut) {
    let members = Members::start_apart(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, PLAN);
    let leader = members.leader();
    traffic.disturb();
    members.cut(leader, cut);
    // What came through until now was sent in time.
    let blow_ms = traffic.now_ms();
    assert_ne!(members.leader(), leader);
    traffic.flows(100);
    members.heal();
    members.converge();
    traffic.calm();
    let history = assert_sound(&format!("leader cut off, {cut:?}"), traffic, &members);
    let gap_ms = history.first_acknowledged_after(blow_ms).unwrap_or(u64::MAX);
    println!("leader cut off, {cut:?}: a send is acknowledged after {gap_ms} ms");
    assert!(gap_ms < CUT_OFF_MS_MAX, "took {gap_ms} ms");
}

#[test]
fn leader_that_is_cut_off_is_replaced() {
    leader_is_cut_off(Cut::Both);
}

#[test]
fn leader_that_hears_nobody_is_replaced() {
    leader_is_cut_off(Cut::In);
}

#[test]
fn leader_that_nobody_hears_is_replaced() {
    leader_is_cut_off(Cut::Out);
}

#[test]
fn follower_that_is_cut_off_is_counted_no_more_and_later_again() {
    let members = Members::start_apart(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, PLAN);
    for (follower, cut) in members.followers().into_iter().zip([Cut::In, Cut::Out]) {
        let leader = members.leader();
        traffic.disturb();
        members.cut(follower, cut);
        let blow_ms = traffic.now_ms();
        let rest: Vec<usize> = (0..3).filter(|member| *member != follower).collect();
        members.settle(&rest);
        traffic.flows(100);
        assert_eq!(members.leader(), leader, "a follower's trouble is none of the leader's");
        let gap_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));
        println!("follower cut off, {cut:?}: {gap_ms} ms without an acknowledged send");
        assert!(gap_ms < CUT_OFF_MS_MAX, "took {gap_ms} ms");
        members.heal();
        members.converge();
        traffic.calm();
    }
    assert_sound("followers cut off", traffic, &members);
}

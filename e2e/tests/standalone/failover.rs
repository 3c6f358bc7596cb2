//! Members of a group die and come back under load: nothing that was acknowledged is lost, and the rest goes on in time.

use e2e::history::History;
use e2e::members::Members;
use e2e::traffic::{self, Plan, Traffic};

/// A leader is killed: the first send is acknowledged again within this time.
const LEADER_KILLED_MS_MAX: u64 = 3_000;
/// A follower is killed: no send takes longer.
const FOLLOWER_KILLED_MS_MAX: u64 = 1_500;

/// All that happened is sound; said, so that the figures are in the test's output.
fn assert_sound(what: &str, traffic: Traffic, members: &Members) -> History {
    members.converge();
    let history = traffic.finish(members);
    let findings = history.check();
    println!("{what}: {findings}");
    findings.assert_sound();
    history
}

#[test]
fn leader_killed_again_and_again_loses_nothing() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    let mut blows = Vec::new();
    for _ in 0..5 {
        let leader = members.leader();
        blows.push(traffic.disturb());
        members.kill(leader);
        traffic.flows(100);
        members.launch(leader);
        members.converge();
        traffic.calm();
    }
    let history = assert_sound("leader killed 5 times", traffic, &members);
    for blow_ms in blows {
        let gap_ms = history.first_acknowledged_after(blow_ms).unwrap_or(u64::MAX);
        println!("leader killed: first send acknowledged after {gap_ms} ms");
        assert!(gap_ms < LEADER_KILLED_MS_MAX, "took {gap_ms} ms");
    }
}

#[test]
fn follower_killed_delays_no_send_for_long() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    for follower in members.followers() {
        let blow_ms = traffic.disturb();
        members.kill(follower);
        traffic.flows(200);
        let slowest_ms = traffic.so_far().slowest_message_ms(&(blow_ms..traffic.now_ms()));
        println!("follower killed: slowest send {slowest_ms} ms");
        assert!(slowest_ms < FOLLOWER_KILLED_MS_MAX, "a send took {slowest_ms} ms");
        members.launch(follower);
        members.converge();
        traffic.calm();
    }
    assert_sound("followers killed", traffic, &members);
}

//! Members of a group die, sleep, leave and come back under load: nothing that was acknowledged is lost, and the rest goes
//! on in time.

use std::time::Duration;

use e2e::history::History;
use e2e::members::Members;
use e2e::traffic::{self, Plan, Traffic};
use e2e::wait;

/// A leader is killed: a send is acknowledged again within this time.
const LEADER_KILLED_MS_MAX: u64 = 3_000;
/// A follower is killed: no send takes longer.
const FOLLOWER_KILLED_MS_MAX: u64 = 1_500;
/// A node is cut off, or a leader says nothing: a send is acknowledged again within this time.
pub(crate) const CUT_OFF_MS_MAX: u64 = 5_000;
/// A leader hands over: the longest time without an acknowledged send.
const HAND_OVER_MS_MAX: u64 = 250;
const WAIT_MAX: Duration = Duration::from_secs(20);

/// All are in sync again, and all that happened is sound.
pub(crate) fn assert_sound(what: &str, traffic: Traffic, members: &Members) -> History {
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
        println!("leader killed: a send is acknowledged after {gap_ms} ms");
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

#[test]
fn leader_without_followers_refuses_until_one_is_back() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    let followers = members.followers();
    traffic.disturb();
    for follower in &followers {
        members.kill(*follower);
    }
    let refused = |more: usize| {
        let goal = traffic.refused("HA_NOT_AVAILABLE") + more;
        wait::until("refused, to be tried again", WAIT_MAX, || {
            (traffic.refused("HA_NOT_AVAILABLE") >= goal).then_some(())
        });
    };
    refused(1);
    let acknowledged = traffic.acknowledged();
    refused(5);
    assert_eq!(traffic.acknowledged(), acknowledged, "acknowledged with one copy of three");
    members.launch(followers[0]);
    traffic.flows(100);
    members.launch(followers[1]);
    members.converge();
    traffic.calm();
    assert_sound("both followers killed", traffic, &members);
}

#[test]
fn leader_and_follower_killed_together_lose_nothing() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    let (leader, followers) = (members.leader(), members.followers());
    traffic.disturb();
    members.kill(leader);
    members.kill(followers[0]);
    members.launch(followers[0]);
    traffic.flows(100);
    members.launch(leader);
    members.converge();
    traffic.calm();
    assert_sound("leader and follower killed", traffic, &members);
}

#[test]
fn leader_that_slept_finds_itself_replaced_and_follows() {
    let mut members = Members::start(3, &traffic::manifests());
    let plan = Plan { request_timeout: Duration::from_secs(1), ..Plan::default() };
    let mut traffic = Traffic::start(&members, plan);
    let sleeper = members.leader();
    traffic.disturb();
    members.pause(sleeper);
    let blow_ms = traffic.now_ms();
    assert_ne!(members.leader(), sleeper);
    wait::until("5 s of sleep", WAIT_MAX, || (traffic.now_ms() > blow_ms + 5_000).then_some(()));
    traffic.flows(100);
    members.resume(sleeper);
    members.converge();
    assert!(!members.leads(sleeper), "the former leader leads");
    traffic.calm();
    let history = assert_sound("leader slept for 5 s", traffic, &members);
    let gap_ms = history.first_acknowledged_after(blow_ms).unwrap_or(u64::MAX);
    println!("leader slept: a send is acknowledged after {gap_ms} ms");
    assert!(gap_ms < CUT_OFF_MS_MAX, "took {gap_ms} ms");
}

#[test]
fn leader_that_is_stopped_hands_over_without_a_pause() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan { pause: Duration::from_millis(1), ..Plan::default() });
    let mut windows = Vec::new();
    for _ in 0..3 {
        let leader = members.leader();
        let blow_ms = traffic.disturb();
        members.terminate(leader);
        traffic.flows(100);
        windows.push(blow_ms..traffic.now_ms());
        members.launch(leader);
        members.converge();
        traffic.calm();
    }
    let history = assert_sound("leader handed over 3 times", traffic, &members);
    for window_ms in windows {
        let gap_ms = history.longest_gap_ms(&window_ms);
        println!("hand-over: {gap_ms} ms without an acknowledged send");
        assert!(gap_ms < HAND_OVER_MS_MAX, "took {gap_ms} ms");
    }
}

#[test]
fn member_with_a_new_volume_is_another_member_with_the_same_log() {
    let mut members = Members::start(3, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    let (leader, follower) = (members.leader(), members.followers()[0]);
    let before = members.store(follower);
    traffic.disturb();
    members.kill(follower);
    traffic.flows(100);
    members.wipe(follower);
    members.launch(follower);
    members.converge();
    assert_ne!(members.store(follower), before);
    // It holds everything: it is made the only one to have been there all the time.
    let other = members.followers().into_iter().find(|member| *member != follower).expect("a third member");
    members.kill(other);
    members.kill(leader);
    members.launch(other);
    traffic.flows(100);
    members.launch(leader);
    members.converge();
    traffic.calm();
    assert_sound("volume of a follower wiped", traffic, &members);
}

#[test]
fn one_of_two_serves_alone_until_the_other_is_back() {
    let mut members = Members::start(2, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    for _ in 0..2 {
        let leader = members.leader();
        let blow_ms = traffic.disturb();
        members.kill(leader);
        traffic.flows(100);
        members.settle(&[1 - leader]);
        let gap_ms = traffic.so_far().first_acknowledged_after(blow_ms).unwrap_or(u64::MAX);
        println!("leader of two killed: a send is acknowledged after {gap_ms} ms");
        assert!(gap_ms < LEADER_KILLED_MS_MAX, "took {gap_ms} ms");
        members.launch(leader);
        members.converge();
        traffic.calm();
    }
    assert_sound("one of two killed", traffic, &members);
}

#[test]
fn group_of_one_survives_its_death() {
    let mut members = Members::start(1, &traffic::manifests());
    let mut traffic = Traffic::start(&members, Plan::default());
    for _ in 0..2 {
        traffic.disturb();
        members.kill(0);
        members.launch(0);
        members.converge();
        traffic.calm();
    }
    assert_sound("the only member killed", traffic, &members);
}

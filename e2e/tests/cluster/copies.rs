//! Several copies: what `kubectl` says about them, pods and processes that die, more and fewer of them.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::traffic::{Plan, Targets, Traffic};
use e2e::wait;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;

/// A send is acknowledged again within this time after a leader died.
const LEADER_KILLED_MS_MAX: u64 = 5_000;

pub(crate) fn plan() -> Plan {
    Plan { request_timeout: Duration::from_secs(1), ..Plan::default() }
}

/// All copies are in sync again, and all that happened is sound.
pub(crate) fn assert_sound(what: &str, traffic: Traffic, group: Copies, copies: usize) {
    group.converge(copies);
    let findings = traffic.finish(&group).check();
    println!("{what}: {findings}");
    findings.assert_sound();
    group.remove();
}

#[test]
fn three_copies_are_told_in_columns_and_in_the_status() {
    let group = Copies::start("copies", 3);
    let said = group.kubectl(&["get", "brokerclusters"]);
    let mut lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (head, row) = (lines.next().expect("a head"), lines.next().expect("a row"));
    assert_eq!(head[..6], ["NAME", "READY", "STATE", "SAFE", "COPIES", "FLUSH"]);
    assert_eq!(row[..6], ["copies", "1/1", "Serving", "True", "3/3", "Async"]);
    let (leader, epoch) = (group.leader(), group.record().expect("a record").epoch);
    let status = group.status();
    let told = &status.group_status[0];
    assert_eq!(told.leader, Some(group.pod_name(leader)));
    assert_eq!(told.epoch, Some(i64::from(epoch)));
    assert_eq!(told.in_sync, (0..3).map(|member| group.pod_name(member)).collect::<Vec<_>>());
    assert_eq!(status.min_in_sync, Some(2));
    let nodes: BTreeSet<String> = (0..3).map(|member| group.node(member)).collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    let budgets: Api<PodDisruptionBudget> = group.place().api();
    group.on(wait::eventually("one pod may go", Duration::from_secs(30), async || {
        let budget = budgets.get("copies-g0").await.map_err(|error| error.to_string())?;
        let allowed = budget.status.map(|status| status.disruptions_allowed);
        if allowed == Some(1) { Ok(()) } else { Err(format!("{allowed:?}")) }
    }));
    group.remove();
}

#[test]
fn leader_and_followers_killed_lose_nothing_that_was_acknowledged() {
    let group = Copies::start("killed", 3);
    let mut traffic = Traffic::start(&group, plan());
    let (leader, epoch) = (group.leader(), group.record().expect("a record").epoch);
    let mut windows_ms = Vec::new();
    let blow_ms = traffic.disturb();
    group.process(leader).kill();
    traffic.flows(100);
    windows_ms.push(blow_ms..traffic.now_ms());
    group.status_names_leader_after(epoch);
    group.converge(3);
    traffic.calm();

    traffic.disturb();
    group.process(group.followers()[0]).kill();
    traffic.flows(100);
    group.converge(3);
    traffic.calm();

    let (leader, epoch) = (group.leader(), group.record().expect("a record").epoch);
    let blow_ms = traffic.disturb();
    group.delete(leader);
    traffic.flows(100);
    windows_ms.push(blow_ms..traffic.now_ms());
    group.status_names_leader_after(epoch);
    assert_ne!(group.leader(), leader, "its pod was gone, and it leads");
    group.delete(group.followers()[0]);
    traffic.flows(100);
    group.converge(3);
    traffic.calm();
    for window_ms in windows_ms {
        let silence_ms = traffic.so_far().longest_gap_ms(&window_ms);
        println!("leader killed: at most {silence_ms} ms without an acknowledged send");
        assert!(silence_ms < LEADER_KILLED_MS_MAX, "nothing was acknowledged for {silence_ms} ms");
    }
    assert_sound("leader and followers killed", traffic, group, 3);
}

#[test]
fn one_of_two_copies_killed_loses_nothing_that_was_acknowledged() {
    let group = Copies::start("two", 2);
    let mut traffic = Traffic::start(&group, plan());
    let leader = group.leader();
    traffic.disturb();
    group.delete(leader);
    traffic.flows(100);
    assert_ne!(group.leader(), leader, "its pod was gone, and it leads");
    group.converge(2);
    traffic.calm();
    assert_sound("leader of two deleted", traffic, group, 2);
}

#[test]
fn both_copies_of_a_pair_killed_at_once_lose_nothing_that_was_acknowledged() {
    let group = Copies::start("pair", 2);
    let mut traffic = Traffic::start(&group, plan());
    let blow_ms = traffic.disturb();
    for process in [0, 1].map(|member| group.process(member)) {
        process.kill();
    }
    traffic.flows(100);
    group.converge(2);
    traffic.calm();
    let killed_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));

    let blow_ms = traffic.disturb();
    for member in [0, 1] {
        group.delete(member);
    }
    traffic.flows(100);
    group.converge(2);
    traffic.calm();
    let deleted_ms = traffic.so_far().longest_gap_ms(&(blow_ms..traffic.now_ms()));
    println!(
        "both of a pair: killed {killed_ms} ms, pods deleted {deleted_ms} ms without an acknowledged send"
    );
    assert_sound("both of a pair killed", traffic, group, 2);
}

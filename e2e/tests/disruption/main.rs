//! What disturbs the whole Kubernetes: nodes, the control plane, the operator. One test after the other, and alone.
//!
//! Each test has a namespace of its own and leaves it behind when it fails; what it disturbed is put right also then.
//! `make test` brings the cluster.

mod control;
mod cordon;
mod fleet;
mod nodes;
mod operators;
mod uninstall;

use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::traffic::{Plan, Traffic};
use e2e::wait;

/// A member that is cut off says nothing; then another is asked.
fn plan() -> Plan {
    Plan { request_timeout: Duration::from_secs(1), ..Plan::default() }
}

/// All copies are in sync again, and all that happened is sound.
fn assert_sound(what: &str, traffic: Traffic, group: Copies) {
    group.converge(3);
    let findings = traffic.finish(&group).check();
    println!("{what}: {findings}");
    findings.assert_sound();
    group.remove();
}

/// Lets so much time pass under load.
fn pass(traffic: &Traffic, span: Duration) {
    let end_ms = traffic.now_ms() + span.as_millis() as u64;
    wait::until("time passes", span * 2, || (traffic.now_ms() >= end_ms).then_some(()));
}

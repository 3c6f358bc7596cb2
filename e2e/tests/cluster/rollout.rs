//! A new template reaches broker after broker while clients go on; one that does not work stops there and is taken back.

use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::traffic::{self, Targets, Traffic};
use e2e::wait;

use crate::copies::{assert_sound, plan};

const COPIES: usize = 3;
/// Three brokers restart one after the other within this time, or something is wrong.
const ROLLED_MAX: Duration = Duration::from_mins(5);
/// Nodes look for changed configurations every minute or so by themselves.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(20);
/// What a planned change of the leader may cost, as the next leader measures it.
pub(crate) const GAP_MS_MAX: i64 = 250;
const MORE: &str = ", rollout: {progressDeadline: 20s}";
/// An image that is nowhere.
const MISSING: &str = "localhost/millpond:missing";

#[test]
fn an_image_that_does_not_start_stops_at_one_follower_and_a_good_template_reaches_all() {
    let group = Copies::start_with("rollout", COPIES, MORE, &traffic::manifests_of("rollout"));
    let mut traffic = Traffic::start(&group, plan());
    let (before, leader) = (uids(&group), group.leader());
    let watch = wait::Stopwatch::start();
    let told = |what: &str| println!("{what} after {} s", watch.elapsed().as_secs());

    traffic.disturb();
    patch(&group, &format!("{{\"image\":\"{MISSING}\"}}"));
    let why = wait::until("the roll-out is halted", ROLLED_MAX, || stalled(&group));
    assert!(why.starts_with("RolloutHalted") && why.contains("the 2 with an older one"), "{why}");
    told("halted");
    let tried = uids(&group);
    let changed: Vec<usize> = (0..COPIES).filter(|member| before[*member] != tried[*member]).collect();
    assert_eq!(changed.len(), 1, "{before:?} {tried:?}");
    assert_ne!(changed[0], leader, "the leader was the first to be restarted");
    traffic.flows(200);

    let image =
        std::env::var("E2E_BROKER_IMAGE").map_or_else(|_| "null".to_owned(), |image| format!("\"{image}\""));
    patch(&group, &format!("{{\"image\":{image}}}"));
    group.converge(COPIES);
    told("taken back");
    assert_eq!(stalled(&group), None);
    let after = uids(&group);
    let kept = (0..COPIES).filter(|member| !changed.contains(member));
    kept.for_each(|member| assert_eq!(before[member], after[member], "a broker that served was restarted"));
    traffic.calm();

    let epoch = group.record().expect("a record").epoch;
    traffic.disturb();
    patch(&group, "{\"podTemplate\":{\"annotations\":{\"example.org/release\":\"2\"}}}");
    let rolled =
        || uids(&group).iter().zip(&after).all(|(new, old)| new != old && new.is_some()).then_some(());
    wait::until("all brokers have the new template", ROLLED_MAX, rolled);
    group.converge(COPIES);
    told("rolled");
    assert_eq!(group.record().expect("a record").epoch, epoch + 1, "a group changes its leader once");
    traffic.flows(200);
    traffic.calm();
    group.status_names_leader_after(epoch);
    let moved = group.status().group_status[0].last_transition.clone();
    let gap_ms = moved.as_ref().and_then(|moved| moved.gap_ms);
    assert!(gap_ms.is_some_and(|gap_ms| gap_ms < GAP_MS_MAX), "the leader handed over: {moved:?}");
    assert_sound("roll-out halted, taken back, and another one", traffic, group, COPIES);
}

#[test]
fn what_a_broker_takes_over_while_it_runs_restarts_nobody() {
    let group = Copies::start_with("hot", 1, "", &traffic::manifests_of("hot"));
    let before = group.pod(0).expect("a pod").metadata.uid;
    assert!(group.says(0, "millpond_groups 1"));
    patch(&group, "{\"groups\":2,\"retention\":{\"maxAge\":\"1h\"},\"maxDelay\":\"48h\"}");
    let joined = || {
        group.status().group_status.get(1).is_some_and(|one| one.state == "serving" && one.joining.is_none())
    };
    wait::until("the new group has joined", ROLLED_MAX, || joined().then_some(()));
    let taken_over = || group.says(0, "millpond_groups 2").then_some(());
    wait::until("the broker knows the new group", TAKEN_OVER_MAX, taken_over);
    group.converge(1);
    assert_eq!(group.status().ready, "2/2");
    assert_eq!(group.pod(0).expect("a pod").metadata.uid, before, "its pod was restarted");
    group.remove();
}

fn patch(group: &Copies, spec: &str) {
    let patch = format!("{{\"spec\":{spec}}}");
    group.kubectl(&["patch", "brokercluster", group.name(), "--type", "merge", "--patch", &patch]);
}

/// Reason and message of `Stalled`, when it holds.
fn stalled(group: &Copies) -> Option<String> {
    let conditions = group.status().conditions;
    let one = conditions.iter().find(|one| one.type_ == "Stalled" && one.status == "True")?;
    Some(format!("{}: {}", one.reason, one.message))
}

/// Which pod each member is.
fn uids(group: &Copies) -> Vec<Option<String>> {
    (0..COPIES).map(|member| group.pod(member)?.metadata.uid).collect()
}

//! A chart of the previous release is upgraded with data in place, and brokers of two releases work together.
//!
//! `make upgrade` builds the previous release; `E2E_PREVIOUS_CHART` is its chart, and both images are in every node.

use std::process::Command;
use std::time::Duration;

use e2e::cluster::copies::Copies;
use e2e::traffic::{self, Traffic};
use e2e::{place, wait};

use super::{assert_sound, pass, plan};

const COPIES: usize = 3;
const PREVIOUS: &str = "localhost/millpond:previous";
const CURRENT: &str = "localhost/millpond:dev";
/// Three brokers restart one after the other within this time, or something is wrong.
const ROLLED_MAX: Duration = Duration::from_mins(5);
/// Longer than the new operator takes to have looked at everything once.
const LOOKED_AT: Duration = Duration::from_secs(45);

/// The current chart is installed again at the end, also after a panic.
struct Chart;

impl Chart {
    fn previous() -> Self {
        let chart = std::env::var("E2E_PREVIOUS_CHART").expect("E2E_PREVIOUS_CHART: run `make upgrade`");
        install(&chart, PREVIOUS);
        Self
    }

    fn upgrade() {
        install(&place::root().join("charts/millpond").display().to_string(), CURRENT);
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        Self::upgrade();
    }
}

fn install(chart: &str, image: &str) {
    let (repository, tag) = image.rsplit_once(':').expect("an image with a tag");
    let set = [format!("image.repository={repository}"), format!("image.tag={tag}")];
    let status = Command::new("helm")
        .args(["upgrade", "--install", "millpond", chart, "--namespace", "millpond-system"])
        .args(["--set", &set[0], "--set", &set[1], "--wait", "--timeout", "120s"])
        .status()
        .expect("helm runs");
    assert!(status.success(), "{chart}: {status}");
}

fn uids(group: &Copies) -> Vec<Option<String>> {
    (0..COPIES).map(|member| group.pod(member)?.metadata.uid).collect()
}

/// Brings an image to all brokers, one after the other.
fn roll(group: &Copies, traffic: &mut Traffic, image: &str) {
    let before = uids(group);
    traffic.disturb();
    let patch = format!("{{\"spec\":{{\"image\":\"{image}\"}}}}");
    group.kubectl(&["patch", "brokercluster", group.name(), "--type", "merge", "--patch", &patch]);
    let is_rolled = || uids(group).iter().zip(&before).all(|(new, old)| new != old && new.is_some());
    wait::until(&format!("all brokers have {image}"), ROLLED_MAX, || is_rolled().then_some(()));
    group.converge(COPIES);
    traffic.flows(200);
    traffic.calm();
}

#[test]
#[ignore = "needs the previous release: `make upgrade`"]
fn an_upgrade_restarts_nobody_and_two_releases_work_together() {
    let _chart = Chart::previous();
    let group = Copies::start_with("upgrade", COPIES, "", &traffic::manifests_of("upgrade"));
    let mut traffic = Traffic::start(&group, plan());
    traffic.flows(200);
    let before = uids(&group);
    Chart::upgrade();
    pass(&traffic, LOOKED_AT);
    group.converge(COPIES);
    assert_eq!(uids(&group), before, "the new operator restarted brokers");
    println!("upgraded: nobody was restarted");
    for image in [CURRENT, PREVIOUS, CURRENT] {
        roll(&group, &mut traffic, image);
        println!("rolled to {image}");
    }
    assert_sound("chart upgraded, brokers rolled forward, back and forward", traffic, group);
}

//! `kubectl millpond` beside a real Kubernetes: what it says, and that what it exports can be applied again.

use std::fs;
use std::path::Path;
use std::process::Command;

use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::{matrix, place, wait};

const POD: &str = "shop-g0-0";
/// In a Secret of the namespace: must not leave it.
const PASSWORD: &str = "correct-horse-battery-staple";

/// What the plugin writes to standard output, when it has to succeed.
fn plugin(here: &Place, args: &[&str]) -> String {
    let mut command = Command::new(place::program("kubectl-millpond"));
    let output =
        command.args(["--namespace", &here.namespace]).args(args).output().expect("the plugin starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl millpond {args:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_says_what_the_status_says_and_runs_the_command_line() {
    let here = Place::new("plugin").await;
    here.apply(&(super::shop("") + &super::pair("orders")));
    here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    here.ready::<ConsumerGroup>("orders").await;
    let status = plugin(&here, &["status", "shop"]);
    assert!(status.starts_with("shop: Serving, clients at shop."), "{status}");
    let group: Vec<&str> =
        status.lines().find(|line| line.starts_with("g0 ")).expect("a group").split_whitespace().collect();
    assert_eq!((group[1], group[2], &group[4..6]), ("serving", POD, &["1", "1"][..]), "{status}");
    assert!(plugin(&here, &["status"]).lines().any(|line| line.starts_with("shop ")));
    let explained = plugin(&here, &["explain", "mpt", "orders"]);
    assert!(explained.starts_with("Topic orders: Ready\n"), "{explained}");
    assert!(explained.contains("Ready: True since "), "{explained}");
    assert!(plugin(&here, &["topics", "shop"]).contains("orders"));
    let sent = plugin(&here, &["run", "shop", "--", "send", "orders", "hello"]);
    assert!(!sent.is_empty());
    assert!(plugin(&here, &["tail", "shop", "orders", "--from-start", "--max", "1"]).contains("hello"));
    let mut missing = Command::new(place::program("kubectl-millpond"));
    missing.args(["-n", &here.namespace, "run", "shop", "--", "topics", "describe", "nothing"]);
    assert_eq!(missing.output().expect("the plugin starts").status.code(), Some(4), "not found");
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_applied_again_is_the_same() {
    let here = Place::new("export").await;
    let mut yaml = super::shop("");
    matrix::object(
        &mut yaml,
        "Topic",
        "ledger",
        "shop",
        "name: Ledger_1\n  type: FIFO\n  retention: {maxAge: 90m}",
    );
    let spec = "ordered: true\n  retry: {maxAttempts: 3, backoff: {custom: [1s, 1m]}}\n  trace: true";
    matrix::object(&mut yaml, "ConsumerGroup", "audit", "shop", spec);
    here.apply(&yaml);
    here.ready::<BrokerCluster>("shop").await;
    let topic = here.ready::<Topic>("ledger").await;
    let group = here.ready::<ConsumerGroup>("audit").await;
    let made = here.millpond(POD, &["topics", "apply", "by-hand", "--queues", "3"]);
    assert!(made.ok, "{}", made.text);
    let exported = plugin(&here, &["export", "shop"]);
    for object in ["topic/ledger", "consumergroup/audit"] {
        let said = here.kubectl(&["delete", object]);
        assert!(said.ok, "{}", said.text);
    }
    here.apply(&exported);
    assert_eq!(here.ready::<Topic>("ledger").await.spec, topic.spec);
    assert_eq!(here.ready::<ConsumerGroup>("audit").await.spec, group.spec);
    assert_eq!(here.ready::<Topic>("by-hand").await.spec.queues.per_group, 3);
    assert_eq!(plugin(&here, &["export", "shop"]), exported);
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_has_logs_and_no_secret() {
    let here = Place::new("bundle").await;
    here.apply(&super::shop(""));
    here.ready::<BrokerCluster>("shop").await;
    let said = here.kubectl(&[
        "create",
        "secret",
        "generic",
        "shop",
        &format!("--from-literal=password={PASSWORD}"),
    ]);
    assert!(said.ok, "{}", said.text);
    // So that there is something about it to be left out.
    here.kubectl(&[
        "label",
        "secret",
        "shop",
        "app.kubernetes.io/name=millpond",
        "app.kubernetes.io/component=broker",
    ]);
    here.kubectl(&["label", "secret", "shop", "app.kubernetes.io/instance=shop"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bundle.tar.gz");
    plugin(&here, &["support-bundle", "shop", "-o", &file.display().to_string()]);
    let unpacked = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar starts").success());
    let bundle = folder.path().join(format!("millpond-{}-shop", here.namespace));
    let read =
        |path: &str| fs::read_to_string(bundle.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(!read(&format!("logs/{}/{POD}/broker.log", here.namespace)).is_empty());
    assert!(read("objects/brokerclusters.yaml").contains("state: Serving"));
    assert!(read("objects/pods.yaml").contains(POD));
    assert!(read("objects/events.yaml").contains(POD), "scheduling a pod makes an event");
    assert!(read("status/g0.txt").contains("exit code 0"));
    assert!(!bundle.join("missing.txt").exists(), "{}", read("missing.txt"));
    let mut texts = Vec::new();
    gather(&bundle, &mut texts);
    // `cGFzc3dvcmQ` and the like: a Secret has its values in base64, which has no fixed form, so look for its kind too.
    assert!(texts.iter().all(|text| !text.contains(PASSWORD) && !text.contains("kind: Secret")));
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_interrupted_leaves_no_consumer_group_behind() {
    let here = Place::new("tail").await;
    here.apply(&(super::shop("") + &super::pair("orders")));
    here.ready::<Topic>("orders").await;
    let groups = || here.millpond(POD, &["groups", "list", "millpond-tail-", "-o", "json"]).text;
    let mut tail = Command::new(place::program("kubectl-millpond"))
        .args(["--namespace", &here.namespace, "tail", "shop", "orders"])
        .spawn()
        .expect("the plugin starts");
    let within = std::time::Duration::from_secs(30);
    wait::eventually("the tail has its group", within, async || {
        let text = groups();
        if text.contains("millpond-tail-") { Ok(()) } else { Err(text) }
    })
    .await;
    let said = Command::new("kill").args(["-INT", &tail.id().to_string()]).status();
    assert!(said.expect("kill starts").success());
    assert!(tail.wait().expect("the plugin ends").success());
    let text = groups();
    assert!(!text.contains("millpond-tail-"), "{text}");
    here.remove().await;
}

/// The text of every file below a folder.
fn gather(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, texts);
        } else {
            texts.push(fs::read_to_string(&path).expect("text"));
        }
    }
}

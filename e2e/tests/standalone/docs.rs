//! What the documentation shows works: the YAML of a page is applied to a broker, and its blocks marked `sh test` run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::broker::Broker;
use e2e::{place, promql, wait};

use crate::usage::Usage;

/// A page of a broker has everything within this time, or something is wrong.
const PAGE_MAX: Duration = Duration::from_secs(10);
/// Pages that explain, and show nothing to try without a Kubernetes.
const EXPLANATIONS: [&str; 13] = [
    "README",
    "architecture",
    "autoscaling",
    "benchmarks-features",
    "benchmarks",
    "copies",
    "disaster-recovery",
    "gitops",
    "kubectl",
    "listeners",
    "replication",
    "scaling",
    "upgrade",
];

#[test]
fn every_command_of_the_documentation_that_is_marked_works() {
    let entries = fs::read_dir(place::root().join("docs")).expect("the documentation");
    let mut pages: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    pages.sort();
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "md"));
    let (ran, shown): (Vec<_>, Vec<_>) = pages.into_iter().partition(|page| runs(page));
    assert!(!ran.is_empty());
    let shown: Vec<_> = shown.iter().filter_map(|page| page.file_stem()?.to_str()).collect();
    assert_eq!(shown, EXPLANATIONS, "pages without blocks marked `sh test`");
}

/// Whether the page has anything to run.
fn runs(page: &Path) -> bool {
    let text = fs::read_to_string(page).expect("a page");
    let script = blocks(&text, "sh test").join("\n");
    if script.is_empty() {
        return false;
    }
    let broker = Broker::start(&blocks(&text, "yaml").join("---\n"));
    let programs = place::program("millpond").parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)));
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &script])
        .env("PATH", path.expect("folders"))
        .env("MILLPOND_ENDPOINT", broker.endpoint())
        .env("MILLPOND_ADMIN", broker.admin())
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", page.display());
    let log = broker.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{}: {log}", page.display());
    true
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let root = place::root();
    let mut links = 0;
    for folder in ["", "docs", "docs/runbook", "docs/reference"] {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        for page in entries.map(|entry| entry.expect("an entry").path()) {
            if page.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            let text = fs::read_to_string(&page).expect("a page");
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = link.split('#').next().unwrap_or_default();
                if path.is_empty() || path.contains("://") || path.contains(' ') {
                    continue;
                }
                links += 1;
                assert!(page.with_file_name(path).exists(), "{} leads to {link}", page.display());
            }
        }
    }
    assert!(links > 0);
}

#[test]
fn every_metric_of_a_broker_is_in_the_reference() {
    let usage = Usage::start();
    // A member can be in sync by the record a moment before the page of the leader tells of it.
    let page = wait::until("a leader that tells of its follower", PAGE_MAX, || {
        Some(usage.page()).filter(|page| page.contains("millpond_replica_lag_bytes{"))
    });
    let names = promql::names_on(&page);
    let kinds: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let helps = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let mut rows: Vec<String> =
        helps.map(|(name, help)| format!("| `{}` | {} | {help} |", names[name], kinds[name])).collect();
    rows.sort();
    let reference = place::root().join("docs/reference/metrics.md");
    let text = fs::read_to_string(&reference).expect("the reference");
    for start in ["| `millpond_", "| `rocketmq_"] {
        let is_said = |line: &&str| line.starts_with(start) && !line.contains("_operator_");
        let documented: Vec<&str> = text.lines().filter(is_said).collect();
        let said: Vec<&str> = rows.iter().map(String::as_str).filter(is_said).collect();
        assert_eq!(documented, said, "the rows of {} should be\n{}", reference.display(), said.join("\n"));
    }
    assert!(rows.iter().all(|row| row.starts_with("| `millpond_") || row.starts_with("| `rocketmq_")));
}

#[test]
fn every_alert_has_a_page_in_the_runbook() {
    let read = |path: &str| fs::read_to_string(place::root().join(path)).expect("a file");
    let (alerts, contents) = (read("charts/millpond/templates/alerts.yaml"), read("docs/runbook/README.md"));
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(!names.is_empty());
    for name in names {
        let row = contents.lines().find(|line| line.starts_with(&format!("| `{name}` | [")));
        let page = row.and_then(|row| row.split_once("](")?.1.split_once(')')).map(|(page, _)| page);
        let page = page.unwrap_or_else(|| panic!("{name} is not in docs/runbook/README.md"));
        assert!(alerts.contains(&format!("/{page}")), "{name} does not lead to {page}");
        assert!(!read(&format!("docs/runbook/{page}")).is_empty());
    }
}

/// The fenced blocks of this kind, each with its lines' ends.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: String = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .flat_map(|line| [line, "\n"])
                .collect();
            if fence == kind {
                blocks.push(block);
            }
        }
    }
    blocks
}

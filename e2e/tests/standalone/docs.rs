//! What the documentation shows works: the YAML of a page is applied to a broker, and its blocks marked `sh test` run.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::broker::Broker;
use e2e::place;

/// Pages that explain, and show nothing to try without a Kubernetes.
const EXPLANATIONS: [&str; 4] = ["architecture", "benchmarks", "copies", "replication"];

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

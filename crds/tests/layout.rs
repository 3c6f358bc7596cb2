//! The shape of the workspace: who may depend on whom, and how long a file may be.
//! The length of functions is held by clippy (`too-many-lines-threshold` in `clippy.toml`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our crates that a crate may depend on, its tests apart. A crate that is missing here fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("crds", &[]),
    ("store", &[]),
    ("engine", &["store"]),
    ("replica", &["crds", "store"]),
    ("arbiter", &["crds"]),
    ("peer", &["arbiter", "crds", "engine", "replica", "store"]),
    ("wire", &[]),
    ("filter", &[]),
    ("gateway-grpc", &["engine", "filter", "store", "wire"]),
    ("client", &["wire"]),
    ("cli", &["client", "crds", "wire"]),
    ("sim", &["crds", "engine", "peer", "replica", "store"]),
    ("broker", &["crds", "engine", "gateway-grpc", "peer", "replica", "store", "wire", "client"]),
    ("operator", &["crds", "client"]),
    ("kubectl-millpond", &["crds"]),
    ("e2e", &["crds", "client", "wire"]),
];
const FILE_LINES_MAX: usize = 400;

fn root() -> PathBuf {
    // Tests run in the folder of their crate; where it was compiled may be another clone.
    Path::new("..").canonicalize().expect("crds lies in the workspace")
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |package: &Value| package["name"].as_str().expect("name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages {
        let from = name(package);
        let Some(allowed) = allowed.get(from.as_str()) else {
            wrong.push(format!("{from} is not in the table of this test"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = name(dependency);
            // Tests may drive a real part instead of imitating it.
            let is_for_tests = dependency["kind"] == "dev";
            if !is_for_tests && ours.contains(&to) && to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{from} must not depend on {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let mut long = Vec::new();
    for folder in ["broker", "crds", "e2e", "operator"] {
        visit(&root().join(folder), &mut |path, text| {
            let lines = text.lines().count();
            if lines > FILE_LINES_MAX {
                long.push(format!("{}: {lines} lines, split it by idea", path.display()));
            }
        });
    }
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines: {long:#?}");
}

fn visit(folder: &Path, check: &mut impl FnMut(&Path, &str)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') && name != "node_modules" {
            visit(&path, check);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path, &std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

//! The nodes and the control plane of `e2e/k8s/cluster.sh`, disturbed for as long as a value lives.
//!
//! Promise: what was disturbed is put right when the value is dropped, also after a panic.
//! Not here: pods and processes (`copies`).

use std::process::{Command, Stdio};

use crate::network::Cut;
use crate::place;

/// Calls `undo` at its end.
#[derive(Debug)]
#[must_use = "the disturbance ends when this is dropped"]
pub struct Disturbance {
    undo: (&'static str, Vec<String>),
}

impl Disturbance {
    /// A node whose packets are dropped.
    pub fn cut(node: &str, cut: Cut) -> Self {
        let way = match cut {
            Cut::Both => "both",
            Cut::In => "in",
            Cut::Out => "out",
        };
        run(SCRIPT, &["cut", node, way]);
        Self::undone_by(SCRIPT, &["heal", node])
    }

    /// No API server.
    pub fn without_api() -> Self {
        run(SCRIPT, &["stop-api"]);
        Self::undone_by(SCRIPT, &["start-api"])
    }

    /// A pod, by its node and address, that cannot reach the API server; everybody else can, and it reaches them.
    pub fn without_api_for(node: &str, address: &str) -> Self {
        run(SCRIPT, &["cut-api", node, address]);
        Self::undone_by(SCRIPT, &["heal", node])
    }

    /// No operator.
    pub fn without_operator() -> Self {
        scale_operator("0");
        run(
            "kubectl",
            &["-n", OPERATOR_NAMESPACE, "wait", "--for=delete", "pod", "-l", OPERATOR, "--timeout=60s"],
        );
        let scale = ["-n", OPERATOR_NAMESPACE, "scale", "deployment", "-l", OPERATOR, "--replicas=1"];
        Self::undone_by("kubectl", &scale)
    }

    /// No release of the chart; it is installed again with the values that it had.
    pub fn without_chart() -> Self {
        let get = ["get", "values", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--output", "yaml"];
        let values = Command::new("helm").args(get).output().expect("helm runs").stdout;
        let file = std::env::temp_dir().join(format!("millpond-values-{}.yaml", std::process::id()));
        std::fs::write(&file, values).expect("a file is written");
        run("helm", &["uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "60s"]);
        let chart = place::root().join("charts/millpond").display().to_string();
        let file = file.display().to_string();
        let install = ["install", RELEASE, &chart, "--namespace", OPERATOR_NAMESPACE, "--values", &file];
        Self::undone_by("helm", &[&install[..], &["--wait", "--timeout", "120s"]].concat())
    }

    /// A node that takes no new pods.
    pub fn cordoned(node: &str) -> Self {
        run("kubectl", &["cordon", node]);
        Self::undone_by("kubectl", &["uncordon", node])
    }

    /// Puts it right now.
    pub fn end(self) {}

    fn undone_by(program: &'static str, args: &[&str]) -> Self {
        Self { undo: (program, args.iter().map(|arg| (*arg).to_owned()).collect()) }
    }
}

const SCRIPT: &str = "k8s/cluster.sh";
const OPERATOR_NAMESPACE: &str = "millpond-system";
const RELEASE: &str = "millpond";
const OPERATOR: &str = "app.kubernetes.io/name=millpond-operator";

impl Drop for Disturbance {
    fn drop(&mut self) {
        let (program, args) = &self.undo;
        run(program, &args.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn scale_operator(replicas: &str) {
    run(
        "kubectl",
        &["-n", OPERATOR_NAMESPACE, "scale", "deployment", "-l", OPERATOR, "--replicas", replicas],
    );
}

fn run(program: &str, args: &[&str]) {
    let mut command =
        if program == SCRIPT { Command::new(place::e2e(SCRIPT)) } else { Command::new(program) };
    let status = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{program} {args:?}: {status}");
}

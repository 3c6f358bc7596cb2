//! A broker's process in a pod, as this machine sees it.
//!
//! Limit: needs the nodes of `e2e/k8s/cluster.sh`, whose processes run on this machine; elsewhere it says so.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::wait;

/// It starts within this time, or something is wrong.
const START_MAX: Duration = Duration::from_mins(1);

/// One process; another one of the same pod is another process.
#[derive(Debug)]
pub struct Process {
    id: String,
}

impl Process {
    /// The broker in the pod with this identity. Waits for it.
    pub(super) fn in_pod(uid: &str) -> Self {
        let is_broker = |id: &str| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
            read("cgroup").contains(&format!("pod{uid}")) && read("cmdline").contains("millpond-broker")
        };
        let id = wait::until("the broker's process on a node of e2e/k8s/cluster.sh", START_MAX, || {
            let folder = fs::read_dir("/proc").expect("Linux");
            let mut ids = folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            ids.find(|id| is_broker(id))
        });
        Self { id }
    }

    /// `kill -9`; the kubelet starts another in the same pod.
    pub fn kill(&self) {
        self.signal("-KILL");
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id]).status().expect("`kill` is installed");
        assert!(sent.success(), "kill {signal} {}", self.id);
    }
}

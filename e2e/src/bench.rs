//! `millpond bench send` against a member, and what it found.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::members::Members;
use crate::place;

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    /// Requests under way at once.
    pub callers: u32,
    /// Connections that they share.
    pub connections: u32,
    /// Messages of one request.
    pub batch: u32,
    /// Bytes of a body.
    pub body_bytes: u32,
    /// Messages a second, by the clock; none: as many as the callers manage.
    pub rate: Option<u32>,
    /// For how long.
    pub duration: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Deserialize)]
pub struct Figures {
    /// Messages a second that were acknowledged.
    pub messages_per_s: f64,
    /// Requests that failed.
    pub errors: u64,
    /// CPU time of all members for 100,000 messages.
    pub server_cpu_s_per_100k: f64,
    /// Of one request.
    pub latency: Latency,
}

/// How long a request took.
#[derive(Debug, Clone, Deserialize)]
pub struct Latency {
    /// Half of them were faster.
    pub p50_ms: f64,
    /// All but one of a hundred were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// A load under way.
#[derive(Debug)]
pub struct Running(Child);

impl Default for Load {
    fn default() -> Self {
        Self {
            callers: 32,
            connections: 1,
            batch: 1,
            body_bytes: 1024,
            rate: None,
            duration: Duration::from_secs(10),
        }
    }
}

impl Load {
    /// Sends to the leader, and waits for the end.
    pub fn run(&self, members: &Members) -> Figures {
        self.start(members).finish()
    }

    /// Begins to send to the leader, into a topic of eight queues.
    pub fn start(&self, members: &Members) -> Running {
        let leader = members.leader();
        let pids: Vec<String> = members.pids().iter().map(u32::to_string).collect();
        let mut command = Command::new(place::program("millpond"));
        command.args(["--endpoint", &members.endpoint(leader), "--admin", &members.admins()[leader]]);
        command.args(["-o", "json", "bench", "send", "bench", "--create", "--warmup", "2s"]);
        command.arg("--pinned");
        let numbers = [
            ("--callers", self.callers),
            ("--connections", self.connections),
            ("--batch", self.batch),
            ("--size", self.body_bytes),
        ];
        for (name, value) in numbers {
            command.args([name, &value.to_string()]);
        }
        command.args(["--duration", &format!("{}ms", self.duration.as_millis()), "--pid", &pids.join(",")]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running(child.expect("`millpond bench` starts"))
    }
}

impl Running {
    /// Ends it; nobody wants to know what it found.
    pub fn abandon(mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When nothing could be sent.
    pub fn finish(self) -> Figures {
        let output = self.0.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`millpond bench`: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

//! What a benchmark found.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::Load;
use super::measure::{Cpu, Latency, Tally, Window, resident_mib};
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::progress::Progress;

/// The figures of one run, as JSON has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) struct Report {
    pub(crate) mode: &'static str,
    pub(crate) topic: String,
    pub(crate) callers: u32,
    pub(crate) connections: u16,
    pub(crate) size_bytes: u32,
    pub(crate) batch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_per_s: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) messages: u64,
    pub(crate) messages_per_s: f64,
    pub(crate) errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
    /// Of one request; in `e2e` from the send of a message to its receipt.
    pub(crate) latency: Latency,
    /// Of sends, where `latency` is of something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) send_latency: Option<Latency>,
    /// Sent and never received, and received more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duplicates: Option<u64>,
    pub(crate) client_cpu_s_per_100k: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_s_per_100k: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_resident_mib: Option<f64>,
}

impl Report {
    pub(crate) fn new(
        mode: &'static str,
        load: &Load,
        batch: u32,
        seconds: f64,
        tally: &Tally,
        cpu: Cpu,
    ) -> Self {
        let per_100k = |s: f64| round(s / (tally.messages.max(1) as f64) * 100_000.0);
        let with_server = |value: f64| (!load.pids.is_empty()).then_some(value);
        Self {
            mode,
            topic: load.topic.clone(),
            callers: load.callers,
            connections: load.connections,
            size_bytes: load.size,
            batch,
            rate_per_s: None,
            seconds: round(seconds),
            messages: tally.messages,
            messages_per_s: round(tally.messages as f64 / seconds),
            errors: tally.errors,
            first_error: tally.first_error.clone(),
            latency: tally.latency(),
            send_latency: None,
            lost: None,
            duplicates: None,
            client_cpu_s_per_100k: per_100k(cpu.own_s),
            server_cpu_s_per_100k: with_server(per_100k(cpu.server_s)),
            server_resident_mib: with_server(round(resident_mib(&load.pids))),
        }
    }

    /// Prints the figures; a run in which nothing worked fails.
    pub(crate) fn print(&self, format: Format) -> Result<(), Failure> {
        print(format, self, || self.table())?;
        match &self.first_error {
            Some(error) if self.messages == 0 => Err(Failure::Refused(error.clone())),
            _ => Ok(()),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["FIGURE", "VALUE"]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("messages", format!("{} in {} s", self.messages, self.seconds));
        row("messages/s", self.messages_per_s.to_string());
        row("latency p50 p90 p99 p99.9 max", milliseconds(&self.latency));
        if let Some(latency) = &self.send_latency {
            row("  of sends", milliseconds(latency));
        }
        row("errors", self.errors.to_string());
        if let Some(error) = &self.first_error {
            row("  first", error.clone());
        }
        if let (Some(lost), Some(duplicates)) = (self.lost, self.duplicates) {
            row("lost, duplicates", format!("{lost}, {duplicates}"));
        }
        row("client CPU-s per 100k", self.client_cpu_s_per_100k.to_string());
        if let (Some(cpu), Some(memory)) = (self.server_cpu_s_per_100k, self.server_resident_mib) {
            row("server CPU-s per 100k", cpu.to_string());
            row("server resident", format!("{memory} MiB"));
        }
        table
    }
}

/// Shows progress until the window ends; answers the CPU time that was used in it.
pub(crate) async fn watch(window: Window, pids: &[u32], done: &AtomicU64) -> Cpu {
    let mut progress = Progress::new();
    let mut before = Cpu::now(pids);
    let mut warming = true;
    let mut last = (Instant::now(), done.load(Ordering::Relaxed));
    loop {
        let now = Instant::now();
        let next = (now + std::time::Duration::from_secs(1)).min(window.end);
        let next = if warming { next.min(window.begin) } else { next };
        sleep_until(next).await;
        let now = Instant::now();
        if warming && now >= window.begin {
            before = Cpu::now(pids);
            warming = false;
        }
        if now >= window.end {
            return Cpu::now(pids).since(before);
        }
        let count = done.load(Ordering::Relaxed);
        let rate = (count - last.1) as f64 / (now - last.0).as_secs_f64();
        last = (now, count);
        let stage = if warming { "warm-up" } else { "measuring" };
        let left = (window.end - now).as_secs();
        progress.show(|| format!("{stage}: {rate:.0} messages/s, {left} s left"));
    }
}

fn milliseconds(latency: &Latency) -> String {
    let Latency { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, mean_ms: _ } = latency;
    format!("{p50_ms} {p90_ms} {p99_ms} {p999_ms} {max_ms} ms")
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

//! Latencies, counts, and CPU time from `/proc`.

use std::fs;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// The longest latency that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Clock ticks of `/proc/<pid>/stat`; 100 on every Linux that this runs on.
const TICKS_PER_S: f64 = 100.0;

/// When what happens counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

impl Window {
    pub(crate) fn after(warmup: Duration, duration: Duration) -> Self {
        let begin = Instant::now() + warmup;
        Self { begin, end: begin + duration }
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.begin).as_secs_f64()
    }

    pub(crate) fn holds(&self, at: Instant) -> bool {
        self.begin <= at && at < self.end
    }
}

/// What one caller saw; callers are added up at the end.
pub(crate) struct Tally {
    latency: Histogram<u64>,
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order");
        Self { latency, messages: 0, errors: 0, first_error: None }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.latency.saturating_record(latency.as_nanos().max(1) as u64);
    }

    pub(crate) fn fail(&mut self, error: &impl ToString) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.latency.add(other.latency).expect("both have the same bounds");
        self.messages += other.messages;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    pub(crate) fn latency(&self) -> Latency {
        let ms = |ns: f64| (ns / 1000.0).round() / 1000.0;
        let quantile = |share| ms(self.latency.value_at_quantile(share) as f64);
        Latency {
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: ms(self.latency.max() as f64),
            mean_ms: ms(self.latency.mean()),
        }
    }
}

/// Percentiles of a latency.
#[expect(clippy::struct_field_names, reason = "the names of the JSON, where each states its unit")]
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) mean_ms: f64,
}

/// CPU time that processes have used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) own_s: f64,
    pub(crate) server_s: f64,
}

impl Cpu {
    pub(crate) fn now(pids: &[u32]) -> Self {
        Self { own_s: cpu_s("self"), server_s: pids.iter().map(|pid| cpu_s(&pid.to_string())).sum() }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { own_s: self.own_s - before.own_s, server_s: self.server_s - before.server_s }
    }
}

/// Resident memory of processes.
pub(crate) fn resident_mib(pids: &[u32]) -> f64 {
    let kib = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    pids.iter().map(kib).sum::<f64>() / 1024.0
}

/// 0 for a process that is not there, or where there is no `/proc`.
fn cpu_s(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold blanks; what follows does not.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks =
        |at: usize| fields.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_callers() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        (1..=50).for_each(|ms| one.record(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| other.record(Duration::from_millis(ms)));
        one.add(other);
        let latency = one.latency();
        assert!((latency.p50_ms - 50.0).abs() < 0.1, "{latency:?}");
        assert!((latency.p99_ms - 99.0).abs() < 0.1, "{latency:?}");
    }

    #[test]
    fn a_process_that_is_not_there_used_nothing() {
        assert!(Cpu::now(&[u32::MAX]).server_s.abs() < f64::EPSILON);
    }
}

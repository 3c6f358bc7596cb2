//! Metrics in the text form that Prometheus reads.
//!
//! Promise: the set of series is fixed by the enums and words in the code, never by names of objects.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::process;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Passes over clusters.
    ClusterPasses,
    /// Passes over the topics and consumer groups of a cluster.
    ObjectPasses,
    /// Objects of Kubernetes that somebody else had changed.
    DriftCorrectedChild,
    /// Topics and consumer groups that a broker had lost or that were changed there.
    DriftCorrectedBroker,
    /// Statuses written.
    StatusWrites,
    /// Objects of Kubernetes applied.
    Applies,
    /// Calls to the admin API of brokers.
    BrokerCalls,
    /// Objects that could not be read because they are of another shape.
    MalformedObjects,
}

/// All counters with their names, in the order of the enum.
const COUNTERS: [(Counter, &str, &str); 8] = [
    (Counter::ClusterPasses, "cluster_passes_total", "Passes over clusters."),
    (
        Counter::ObjectPasses,
        "object_passes_total",
        "Passes over the topics and consumer groups of a cluster.",
    ),
    (Counter::DriftCorrectedChild, "drift_corrected_kubernetes_total", "Kubernetes objects put back."),
    (Counter::DriftCorrectedBroker, "drift_corrected_broker_total", "Topics and consumer groups put back."),
    (Counter::StatusWrites, "status_writes_total", "Statuses of topics and consumer groups written."),
    (Counter::Applies, "applies_total", "Kubernetes objects of clusters applied."),
    (Counter::BrokerCalls, "broker_calls_total", "Calls to the admin API of brokers."),
    (Counter::MalformedObjects, "malformed_objects_total", "Objects that could not be read."),
];

/// A kind and a state, in words.
type KindAndState = (&'static str, &'static str);

/// All metrics of the operator.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: [AtomicU64; COUNTERS.len()],
    errors: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    leading: AtomicI64,
    objects: Mutex<BTreeMap<KindAndState, BTreeMap<String, i64>>>,
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.count_many(counter, 1);
    }

    /// Counts several.
    pub fn count_many(&self, counter: Counter, number: u64) {
        self.counters[counter as usize].fetch_add(number, Ordering::Relaxed);
    }

    /// Counts an error of a part of the operator.
    pub fn count_error(&self, part: &'static str, class: &'static str) {
        *self.errors.lock().entry((part, class)).or_insert(0) += 1;
    }

    /// Notes whether this operator leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.store(i64::from(leading), Ordering::Relaxed);
    }

    /// Notes how many objects of a cluster are in each state.
    pub fn set_objects(&self, cluster: &str, kind: &'static str, states: &BTreeMap<&'static str, i64>) {
        let mut objects = self.objects.lock();
        for ((known_kind, _), clusters) in objects.iter_mut() {
            if *known_kind == kind {
                clusters.remove(cluster);
            }
        }
        for (state, number) in states {
            objects.entry((kind, state)).or_default().insert(cluster.to_owned(), *number);
        }
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (counter, name, help) in COUNTERS {
            let value = self.counters[counter as usize].load(Ordering::Relaxed);
            head(&mut text, name, "counter", help);
            line(&mut text, format_args!("millpond_operator_{name} {value}"));
        }
        head(&mut text, "errors_total", "counter", "Errors by part and class.");
        for ((part, class), value) in self.errors.lock().iter() {
            line(
                &mut text,
                format_args!("millpond_operator_errors_total{{part=\"{part}\",class=\"{class}\"}} {value}"),
            );
        }
        head(&mut text, "objects", "gauge", "Topics and consumer groups by kind and state.");
        for ((kind, state), clusters) in self.objects.lock().iter() {
            let value: i64 = clusters.values().sum();
            line(
                &mut text,
                format_args!("millpond_operator_objects{{kind=\"{kind}\",state=\"{state}\"}} {value}"),
            );
        }
        head(&mut text, "leading", "gauge", "Whether this operator leads.");
        line(&mut text, format_args!("millpond_operator_leading {}", self.leading.load(Ordering::Relaxed)));
        process::series(&mut text);
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP millpond_operator_{name} {help}"));
    line(text, format_args!("# TYPE millpond_operator_{name} {kind}"));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["millpond_operator_", "process_"];

    #[test]
    fn the_names_are_in_the_order_of_the_counters() {
        for (at, (counter, _, _)) in COUNTERS.iter().enumerate() {
            assert_eq!(*counter as usize, at);
        }
    }

    #[test]
    fn every_metric_is_in_the_reference() {
        let metrics = Metrics::default();
        metrics.count_error("cluster", "timeout");
        metrics.set_objects("a/b", "Topic", &BTreeMap::from([("Ready", 1)]));
        let page = metrics.text();
        let kinds: BTreeMap<_, _> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let helps = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
        let mut rows: Vec<String> = helps
            .map(|(name, help)| format!("| `{name}{}` | {} | {help} |", labels(&page, name), kinds[name]))
            .collect();
        rows.sort();
        let text = std::fs::read_to_string("../docs/reference/metrics.md").unwrap();
        let documented: Vec<_> = text
            .lines()
            .filter(|line| OWN.iter().any(|own| line.starts_with(&format!("| `{own}"))))
            .collect();
        assert_eq!(documented, rows, "the rows should be\n{}", rows.join("\n"));
    }

    /// Labels of a series on the page, as the reference writes them: `{label,label}`.
    fn labels(page: &str, name: &str) -> String {
        let pairs = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once('}'));
        let Some((pairs, _)) = pairs else { return String::new() };
        let mut labels: Vec<_> = pairs.split(',').filter_map(|pair| pair.split('=').next()).collect();
        labels.sort_unstable();
        format!("{{{}}}", labels.join(","))
    }

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.count_many(Counter::StatusWrites, 3);
        metrics.count_error("cluster", "timeout");
        metrics.set_leading(true);
        metrics.set_objects("a/b", "Topic", &BTreeMap::from([("Ready", 5)]));
        metrics.set_objects("c/d", "Topic", &BTreeMap::from([("Ready", 2)]));
        metrics.set_objects("a/b", "Topic", &BTreeMap::from([("Waiting", 1)]));
        let text = metrics.text();
        for line in [
            "millpond_operator_status_writes_total 3",
            "millpond_operator_errors_total{part=\"cluster\",class=\"timeout\"} 1",
            "millpond_operator_objects{kind=\"Topic\",state=\"Ready\"} 2",
            "millpond_operator_objects{kind=\"Topic\",state=\"Waiting\"} 1",
            "millpond_operator_leading 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}

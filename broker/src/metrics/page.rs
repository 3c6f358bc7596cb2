//! A page in Prometheus' text format.

use std::fmt::{Display, Write};

/// Series, one after the other. Labels must hold nothing that has to be escaped.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family("gauge", name, help);
        self.labelled(name, &[], value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family("counter", name, help);
        self.labelled(name, &[], value);
    }

    /// Times in seconds. `buckets`: a bound in milliseconds, and how many were at most as long.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl Iterator<Item = (u64, u64)>,
        (count, sum_ms): (u64, u64),
    ) {
        self.family("histogram", name, help);
        let bucket = format!("{name}_bucket");
        for (bound_ms, within) in buckets {
            self.labelled(&bucket, &[("le", &seconds(bound_ms).to_string())], within);
        }
        self.labelled(&bucket, &[("le", "+Inf")], count);
        self.labelled(&format!("{name}_sum"), &[], seconds(sum_ms));
        self.labelled(&format!("{name}_count"), &[], count);
    }

    /// What the next series are about.
    pub(super) fn family(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One series of a family.
    pub(super) fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

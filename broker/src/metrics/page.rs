//! A page in Prometheus' text format.

use std::fmt::{Display, Write};

/// Series, one after the other. Values of labels may hold anything, names of labels and series are ours.
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
        self.series(name, &[], labels, value);
    }

    /// As `labelled`, with labels that many series share before the others.
    pub(super) fn series(
        &mut self,
        name: &str,
        shared: &[(&str, &str)],
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.text.push_str(name);
        let mut before = '{';
        for (label, value) in shared.iter().chain(labels) {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.escaped(value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, " {value}");
    }

    /// What the format says of values of labels: a backslash before backslashes, quotes and ends of lines.
    fn escaped(&mut self, value: &str) {
        for part in value.split_inclusive(['\\', '"', '\n']) {
            match part.as_bytes().last() {
                Some(b'\n') => {
                    self.text.push_str(&part[..part.len() - 1]);
                    self.text.push_str("\\n");
                }
                Some(&escaped @ (b'\\' | b'"')) => {
                    self.text.push_str(&part[..part.len() - 1]);
                    self.text.push('\\');
                    self.text.push(char::from(escaped));
                }
                Some(_) | None => self.text.push_str(part),
            }
        }
    }
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader of the format makes of the value of the only label.
    fn read(line: &str) -> Option<String> {
        let mut letters = line.strip_prefix("x{l=\"")?.strip_suffix("\"} 1\n")?.chars();
        let mut value = String::new();
        while let Some(letter) = letters.next() {
            value.push(match letter {
                '\\' => match letters.next()? {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                },
                '"' | '\n' => return None,
                letter => letter,
            });
        }
        Some(value)
    }

    proptest! {
        #[test]
        fn any_value_of_a_label_is_read_as_it_was(value in r#"([\\\\"\na-c{},=]|\PC)*"#) {
            let mut page = Page::default();
            page.labelled("x", &[("l", &value)], 1);
            prop_assert_eq!(read(&page.into_text()), Some(value));
        }
    }

    #[test]
    fn labels_are_set_apart_and_a_series_without_any_has_no_brackets() {
        let mut page = Page::default();
        page.labelled("x", &[], 1);
        page.labelled("x", &[("a", "1"), ("b", "%DLQ%\"q\"")], 2.5);
        assert_eq!(page.into_text(), "x 1\nx{a=\"1\",b=\"%DLQ%\\\"q\\\"\"} 2.5\n");
    }
}

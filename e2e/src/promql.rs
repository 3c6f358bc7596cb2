//! What expressions of Prometheus ask for, held against what there is: names of series, labels and their values.
//!
//! Limits: as much of the language as the chart uses. Whether an expression means something, only Prometheus knows.

use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus gives the series of a pod, as the chart's `PodMonitor`s have it scraped.
const TARGET: [&str; 4] = ["instance", "job", "namespace", "pod"];
/// What a word before labels in brackets is.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are no series, although no bracket follows.
const WORDS: [&str; 8] = ["and", "or", "unless", "sum", "max", "min", "avg", "count"];

/// Series by name, each with its labels.
#[derive(Debug)]
pub struct Reference(BTreeMap<String, BTreeSet<String>>);

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Series, each as often as it is named.
    pub series: Vec<Selector>,
    /// Labels by which series are joined or added up.
    pub labels: BTreeSet<String>,
    /// Those of them that the answer has.
    pub kept: BTreeSet<String>,
}

/// A series with what its labels have to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// Labels with values, which may name variables of a dashboard.
    pub matchers: Vec<(String, String)>,
}

impl Reference {
    /// From the tables of `docs/reference/metrics.md`.
    pub fn parse(page: &str) -> Self {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        Self(rows.map(|(series, _)| name_and_labels(series)).collect())
    }

    /// What an expression asks for that nobody has, in words.
    pub fn lacks(&self, asked: &Asked) -> Vec<String> {
        let mut lacks = Vec::new();
        let mut known = BTreeSet::from(TARGET);
        for series in &asked.series {
            let Some(labels) = self.labels(&series.name) else {
                lacks.push(format!("nobody has {}", series.name));
                continue;
            };
            known.extend(&labels);
            for (label, _) in &series.matchers {
                if !labels.contains(&**label) && !TARGET.contains(&&**label) {
                    lacks.push(format!("{} has no label {label}", series.name));
                }
            }
        }
        let strange = asked.labels.iter().filter(|label| !known.contains(&***label));
        lacks.extend(strange.map(|label| format!("no series asked for has a label {label}")));
        lacks
    }

    /// Of a histogram, buckets alone have `le`.
    fn labels(&self, series: &str) -> Option<BTreeSet<&str>> {
        let labels = |name: &str| Some(self.0.get(name)?.iter().map(String::as_str).collect());
        let part = |end: &str| labels(series.strip_suffix(end)?);
        let without_le = |mut labels: BTreeSet<_>| labels.remove("le").then_some(labels);
        if let Some(labels) = part("_bucket").filter(|labels: &BTreeSet<_>| labels.contains("le")) {
            return Some(labels);
        }
        let rest = part("_sum").or_else(|| part("_count")).and_then(without_le);
        rest.or_else(|| labels(series).filter(|labels: &BTreeSet<_>| !labels.contains("le")))
    }
}

/// Names and labels of the series on a page of metrics, as the reference writes them: `name{label,label}`.
pub fn names_on(page: &str) -> BTreeMap<String, String> {
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut found = BTreeMap::new();
    for (family, kind) in families {
        let of_family = |name: &str| match kind {
            "histogram" => name.strip_suffix("_bucket") == Some(family),
            _ => name == family,
        };
        let series = page.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (name, labels) = name_and_labels(line.rsplit_once(' ')?.0);
            of_family(&name).then_some(labels)
        });
        let labels: Vec<String> = series.into_iter().flatten().collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        found.insert(family.to_owned(), format!("{family}{labels}"));
    }
    found
}

/// Of `name{label="value",…}` or `name{label,…}`.
fn name_and_labels(series: &str) -> (String, BTreeSet<String>) {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let labels = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split('=').next());
    (name.to_owned(), labels.filter(|label| !label.is_empty()).map(str::to_owned).collect())
}

/// What an expression asks for.
pub fn asked(expression: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(letter) = rest.chars().next() {
        let word = &rest[..rest.find(|letter: char| !is_of_word(letter)).unwrap_or(rest.len())];
        if word.is_empty() {
            rest = match letter {
                '"' => after(&rest[1..], '"'),
                '[' => after(rest, ']'),
                _ => &rest[letter.len_utf8()..],
            };
            continue;
        }
        rest = rest[word.len()..].trim_start();
        if word.starts_with(|letter: char| letter.is_ascii_digit()) || WORDS.contains(&word) {
            continue;
        }
        if let Some(list) = rest.strip_prefix('(') {
            if LISTS.contains(&word) {
                let (labels, after) = list.split_once(')').unwrap_or((list, ""));
                let labels = labels.split(',').map(|label| label.trim().to_owned());
                asked.kept.extend(labels.clone().filter(|_| word == "by"));
                asked.labels.extend(labels);
                rest = after;
            }
            continue;
        }
        let mut series = Selector { name: word.to_owned(), matchers: Vec::new() };
        if let Some(matchers) = rest.strip_prefix('{') {
            let (matchers, after) = matchers.split_once('}').unwrap_or((matchers, ""));
            series.matchers = matchers.split(',').filter_map(matcher).collect();
            rest = after;
        }
        asked.series.push(series);
    }
    asked
}

/// `label="value"`, `label!="value"` and the same with `~`.
fn matcher(text: &str) -> Option<(String, String)> {
    let (label, value) = text.split_once('"')?;
    let label = label.trim().trim_end_matches(['=', '!', '~']).trim();
    Some((label.to_owned(), value.trim_end().trim_end_matches('"').to_owned()))
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total About a.\n# TYPE a_total counter\na_total 1\n# TYPE b gauge\nb{x=\"1\",y=\"2\"} 3\n\
        # TYPE h_seconds histogram\nh_seconds_bucket{le=\"1\"} 0\nh_seconds_sum 0\nh_seconds_count 0\n";

    fn reference() -> Reference {
        let rows = names_on(PAGE).into_values().map(|name| format!("| `{name}` | gauge | |\n"));
        Reference::parse(&rows.collect::<String>())
    }

    fn lacks(expression: &str) -> Vec<String> {
        reference().lacks(&asked(expression))
    }

    #[test]
    fn a_page_is_written_as_in_the_reference() {
        assert_eq!(names_on(PAGE).into_values().collect::<Vec<_>>(), ["a_total", "b{x,y}", "h_seconds{le}"]);
    }

    #[test]
    fn what_is_there_may_be_asked_for() {
        for expression in [
            "sum by (x) (rate(a_total[5m]) * on (job, instance) group_left (x) b{namespace=\"n\", y!=\"2\"}) > 1e3",
            "histogram_quantile(0.9, sum by (le) (increase(h_seconds_bucket[1h])))",
            "h_seconds_sum / h_seconds_count or vector(0)",
            "max by (pod, y) (b) unless on (y) (b == 1)",
        ] {
            assert_eq!(lacks(expression), [""; 0], "{expression}");
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        for (expression, lack) in [
            ("rate(c_total[5m])", "nobody has c_total"),
            ("sum by (x) (b) / b_total", "nobody has b_total"),
            ("h_seconds", "nobody has h_seconds"),
            ("b_bucket", "nobody has b_bucket"),
            ("sum(a_total{x=\"1\"})", "a_total has no label x"),
            ("h_seconds_sum{le=\"1\"}", "h_seconds_sum has no label le"),
            ("sum by (y) (a_total)", "no series asked for has a label y"),
            ("a_total * on (job) group_left (z) b", "no series asked for has a label z"),
        ] {
            assert_eq!(lacks(expression), [lack], "{expression}");
        }
    }

    #[test]
    fn values_are_told() {
        let asked = asked("b{x=\"1\", y=~\"$y\"} + sum(b)");
        let pair = |label: &str, value: &str| (label.to_owned(), value.to_owned());
        assert_eq!(asked.series[0].matchers, [pair("x", "1"), pair("y", "$y")]);
        assert_eq!(asked.series.len(), 2);
    }

    #[test]
    fn an_answer_has_the_labels_by_which_it_was_added_up() {
        let asked = asked("sum by (x, pod) (a_total * on (job) b)");
        assert_eq!(asked.kept, BTreeSet::from(["pod".to_owned(), "x".to_owned()]));
        assert_eq!(asked.labels, BTreeSet::from(["job".to_owned(), "pod".to_owned(), "x".to_owned()]));
    }
}

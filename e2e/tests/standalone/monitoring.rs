//! Dashboards and alerts of the chart ask for what there is. `docs/reference/metrics.md` is what they are held against:
//! other tests compare it with the pages of a broker and of the operator.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use client::admin::GroupProgress;
use crds::object::ObjectState;
use e2e::members::Members;
use e2e::promql::{Asked, Reference, asked};
use e2e::traffic::{LIVE, TOPIC};
use e2e::{place, traffic, wait};
use serde_json::Value;

use crate::usage::{DONE, HELD, SENT, Usage};

/// Figures of a copy are on the page so soon after it was opened.
const SHOWN_MAX: Duration = Duration::from_secs(10);

/// One expression.
struct Question {
    /// Whose it is.
    of: String,
    asked: Asked,
    /// Labels that are shown of the answer.
    shown: Vec<String>,
}

#[test]
fn dashboards_and_alerts_ask_for_series_and_labels_that_exist() {
    let reference = Reference::parse(&read("docs/reference/metrics.md"));
    for question in questions() {
        let Question { of, asked, shown } = question;
        assert_eq!(reference.lacks(&asked), [""; 0], "{of}");
        for label in shown {
            assert!(asked.kept.contains(&label), "{of} shows {label}, which its answer does not have");
        }
    }
}

#[test]
fn values_that_dashboards_and_alerts_ask_for_are_those_of_a_broker_or_the_operator() {
    let page = Usage::start().page();
    let mut compared = 0;
    for question in questions() {
        for series in question.asked.series {
            let literal = series.matchers.into_iter().filter(|(_, value)| !value.starts_with('$'));
            for (label, value) in literal {
                let there = if series.name == "millpond_operator_objects" && label == "state" {
                    serde_json::from_value::<ObjectState>(value.clone().into()).is_ok()
                } else {
                    let (start, pair) = (format!("{}{{", series.name), format!("{label}=\"{value}\""));
                    page.lines().any(|line| line.starts_with(&start) && line.contains(&pair))
                };
                assert!(there, "{}: nobody has {}{{{label}=\"{value}\"}}", question.of, series.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}

/// Otherwise a follower's disk fills up unseen.
#[test]
fn a_follower_shows_its_disk_and_its_log() {
    let members = Members::start(3, &traffic::manifests());
    for member in members.followers() {
        for series in ["millpond_disk_free_bytes", "millpond_log_written_bytes"] {
            wait::until(&format!("{series} of member {member}"), SHOWN_MAX, || {
                let page = members.page(member, "/metrics")?;
                page.lines().any(|line| line.starts_with(series)).then_some(())
            });
        }
    }
}

/// Otherwise copies would be counted twice.
#[test]
fn the_leader_alone_tells_how_far_a_consumer_group_is_behind_and_agrees_with_the_admin_api() {
    let usage = Usage::start();
    let page = usage.page();
    let value = |name: &str, labels: &str| -> u64 {
        let wanted = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(labels);
        let found: Vec<&str> = page.lines().filter(wanted).collect();
        let [line] = found[..] else { panic!("{name} {labels}: {found:?}\n{page}") };
        line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
    };
    let pair = format!("topic=\"{TOPIC}\",consumer_group=\"{LIVE}\"");
    let of_pair = |name: &str| value(&format!("rocketmq_consumer_{name}"), &pair);
    assert_eq!(of_pair("lag_messages"), SENT - DONE);
    assert_eq!(of_pair("inflight_messages"), HELD);
    assert_eq!(of_pair("ready_messages"), SENT - DONE - HELD);
    assert!(of_pair("lag_latency") >= of_pair("queueing_latency"));
    let described = usage.described().progress;
    let sum = |of: fn(&GroupProgress) -> u64| described.iter().map(of).sum::<u64>();
    assert_eq!(of_pair("lag_messages"), sum(|queue| queue.lag));
    assert_eq!(of_pair("inflight_messages"), sum(|queue| queue.in_flight));
    assert_eq!(value("rocketmq_messages_in_total", &format!("topic=\"{TOPIC}\"")), SENT);
    assert_eq!(value("rocketmq_messages_out_total", &pair), DONE + HELD);
    for decided in ["commit", "rollback"] {
        assert_eq!(value(&format!("rocketmq_{decided}_messages_total"), "topic=\"paid\""), 1);
    }
    let clients = [("producer", ""), ("consumer", &*format!("consumer_group=\"{LIVE}\""))];
    for (kind, labels) in clients {
        assert_eq!(value(&format!("rocketmq_{kind}_connections"), labels), 1);
    }
    for member in usage.members.followers() {
        let page = wait::until("a page", SHOWN_MAX, || usage.members.page(member, "/metrics"));
        let tells = |line: &&str| line.starts_with("rocketmq_") && !line.starts_with("rocketmq_storage_");
        assert_eq!(page.lines().filter(tells).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_what() {
    let mut known = BTreeSet::new();
    for (file, board) in boards() {
        assert!(known.insert(text(&board["uid"])), "{file}: another dashboard has its uid");
        let names: BTreeSet<String> = list(&board["templating"]["list"], "name").into_iter().collect();
        let mut ids = BTreeSet::new();
        for panel in panels(&board) {
            let of = format!("{file}, {}", text(&panel["title"]));
            assert!(ids.insert(panel["id"].to_string()), "{of}: another panel has its id");
            if panel["type"] == "row" {
                continue;
            }
            assert!(text(&panel["description"]).ends_with('.'), "{of} has no description");
            assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{of} has no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{of}");
            let expressions = list(&panel["targets"], "expr");
            assert!(!expressions.is_empty(), "{of} asks for nothing");
            for expression in expressions {
                let used =
                    expression.split('$').skip(1).map(first_word).filter(|word| !word.starts_with("__"));
                let unknown: Vec<&str> = used.filter(|word| !names.contains(*word)).collect();
                assert_eq!(unknown, [""; 0], "{of} uses variables that the dashboard lacks");
            }
        }
    }
    assert!(!known.is_empty());
}

fn questions() -> Vec<Question> {
    let mut questions = of_alerts();
    for (file, board) in boards() {
        let variables = board["templating"]["list"].as_array().expect("variables");
        for variable in variables.iter().filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]["query"]);
            let (series, label) = variable_query(&query).expect("label_values(series, label)");
            let mut asked = asked(series);
            asked.labels.insert(label.to_owned());
            questions.push(Question { of: format!("{file}, {query}"), asked, shown: Vec::new() });
        }
        for panel in panels(&board) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let shown = text(&target["legendFormat"]);
                let shown = shown.split("{{").skip(1).map(|rest| first_word(rest.trim()).to_owned());
                questions.push(Question {
                    of: format!("{file}, {}", text(&panel["title"])),
                    asked: asked(&text(&target["expr"])),
                    shown: shown.collect(),
                });
            }
        }
    }
    questions
}

/// `label_values(series, label)`.
fn variable_query(query: &str) -> Option<(&str, &str)> {
    let (series, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?;
    Some((series, label.trim()))
}

/// The template of the chart, with what it puts in more than one place.
fn of_alerts() -> Vec<Question> {
    let template = read("charts/millpond/templates/alerts.yaml");
    let mut alerts = template.clone();
    for line in template.lines() {
        let definition = line.strip_prefix("{{- $").and_then(|line| line.split_once(" := \""));
        if let Some((name, value)) = definition {
            alerts = alerts.replace(&format!("{{{{ ${name} }}}}"), value.trim_end_matches("\" }}"));
        }
    }
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(!rules.is_empty());
    rules.into_iter().map(of_alert).collect()
}

fn of_alert(rule: &str) -> Question {
    let (_, expression) = rule.split_once(" expr:").expect("an expression");
    let expression = expression.split("\n          ").take_while(|line| !is_another_field(line));
    let expression = expression.map(|line| line.trim_start_matches(" >-")).collect::<Vec<_>>().join(" ");
    let mut plain = String::new();
    for (at, part) in expression.split("{{").enumerate() {
        plain += if at == 0 { part } else { part.split_once("}}").map_or("", |(_, rest)| rest) };
    }
    let shown = rule.split("$labels.").skip(1).map(|rest| first_word(rest).to_owned());
    Question { of: first_word(rule).to_owned(), asked: asked(&plain), shown: shown.collect() }
}

fn is_another_field(line: &str) -> bool {
    ["for:", "labels:", "annotations:"].iter().any(|field| line.starts_with(field))
}

fn boards() -> Vec<(String, Value)> {
    let folder = place::root().join("charts/millpond/dashboards");
    let files = fs::read_dir(&folder).expect("the dashboards").map(|entry| entry.expect("an entry").path());
    let mut boards: Vec<(String, Value)> = files
        .map(|file| {
            let board = fs::read_to_string(&file).expect("a dashboard");
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&board).expect("JSON"))
        })
        .collect();
    boards.sort_by(|(one, _), (other, _)| one.cmp(other));
    boards
}

fn panels(board: &Value) -> &[Value] {
    board["panels"].as_array().expect("panels")
}

/// This field of each, as text.
fn list(values: &Value, field: &str) -> Vec<String> {
    values.as_array().into_iter().flatten().map(|value| text(&value[field])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len())]
}

fn read(path: &str) -> String {
    fs::read_to_string(place::root().join(path)).expect("a file")
}

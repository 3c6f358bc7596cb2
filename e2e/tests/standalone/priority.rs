//! Topics of type PRIORITY, seen by the official SDKs.

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::Mode;
use e2e::sdk::report::Report;

use crate::cells::{self, Cell};

const COUNT: usize = 54;
/// Message `index` has priority 1 plus `index` modulo this.
const PRIORITIES: usize = 9;

fn priority_of(index: usize) -> usize {
    1 + index % PRIORITIES
}

fn topics() -> String {
    let mut yaml = String::new();
    for cell in cells::all() {
        matrix::object(&mut yaml, "Topic", &cells::name(cell), "local", "type: PRIORITY");
        let group = "priority: {policy: Strict}";
        matrix::object(&mut yaml, "ConsumerGroup", &cells::name(cell), "local", group);
    }
    yaml
}

#[test]
fn a_backlog_is_read_from_the_highest_priority_down() {
    let broker = Broker::start(&topics());
    let (count, priorities) = (COUNT.to_string(), PRIORITIES.to_string());
    cells::play(&cells::all(), |cell| {
        let call = cells::call(cell, &broker.endpoint());
        let options = ["--count", &count, "--priorities", &priorities, "--largest", "2048"];
        let sent = call.play("send", &options);
        let received = sent.and_then(|_| call.play("receive", &options));
        received.map_or_else(|error| vec![format!("{error:#}")], |report| wrong(cell, &report))
    });
}

fn wrong((_, mode): Cell, report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    let got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
    let mut indices = got.clone();
    indices.sort_unstable();
    if !report.ok || !indices.into_iter().eq(0..COUNT) {
        wrong.push(format!("ok: {}, got {got:?}; {:?}", report.ok, report.errors));
    }
    let told = report.received.iter().filter_map(|delivery| Some((delivery.index, delivery.priority?)));
    wrong.extend(
        told.filter(|(index, priority)| *priority != priority_of(*index))
            .map(|(index, priority)| format!("message {index} came with priority {priority}")),
    );
    // A push consumer works on several at a time.
    let priorities: Vec<usize> = got.into_iter().map(priority_of).collect();
    if mode == Mode::Simple && !priorities.is_sorted_by(|one, next| one >= next) {
        wrong.push(format!("priorities came as {priorities:?}"));
    }
    wrong
}

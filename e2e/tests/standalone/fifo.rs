//! Topics of type FIFO and ordered consumer groups, seen by the official SDKs.

use std::thread::ScopedJoinHandle;
use std::time::Duration;

use e2e::broker::Broker;
use e2e::matrix;
use e2e::order;
use e2e::sdk::report::{Report, Verdict};
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::wait;

use crate::cells::{self, Cell};

const FLOW: Duration = Duration::from_mins(1);
/// Message groups and messages of the stuck scenario; the third message of the first group is the stuck one.
const STUCK: (usize, usize, usize) = (4, 24, 8);

/// A FIFO topic and an ordered group for each cell. The waiting times are of the form that the cell's SDK does not know, so
/// that the broker has to tell it another.
fn manifests(attempts: u32) -> String {
    let mut yaml = String::new();
    for cell in cells::all() {
        let name = cells::name(cell);
        let exponential = "exponential: {initial: 1s, max: 1s, multiplier: 1}";
        let wait = if cell.0 == Sdk::Python { exponential } else { "custom: [1s]" };
        let group = format!("ordered: true\n  retry: {{maxAttempts: {attempts}, backoff: {{{wait}}}}}");
        matrix::object(&mut yaml, "Topic", &name, "local", "type: FIFO\n  queues: {perGroup: 2}");
        matrix::object(&mut yaml, "ConsumerGroup", &name, "local", &group);
        matrix::object(&mut yaml, "ConsumerGroup", &format!("{name}-dlq"), "local", "consumeFrom: Earliest");
    }
    yaml
}

/// The Go SDK's push consumer goes on with the next message while a failed one waits for its next attempt.
fn retries_in_order(cell: Cell) -> bool {
    cell != (Sdk::Go, Mode::Push)
}

#[test]
fn each_message_group_is_finished_in_order_by_consumers_that_share_the_work() {
    let broker = Broker::start(&manifests(10));
    let options = ["--groups", "6", "--producers", "3", "--consumers", "2", "--count", "60"];
    cells::play(&cells::all(), |cell| {
        let scenario = if retries_in_order(cell) { "fifo-retry" } else { "fifo" };
        match cells::call(cell, &broker.endpoint()).play(scenario, &options) {
            Ok(report) => [order::problems(&report, 6, None), unshared(&report, 2)].concat(),
            Err(error) => vec![format!("{error:#}")],
        }
    });
}

/// Consumers that got nothing.
fn unshared(report: &Report, consumers: usize) -> Vec<String> {
    let idle = |consumer: &usize| report.received.iter().all(|delivery| delivery.consumer != *consumer);
    (0..consumers).filter(idle).map(|consumer| format!("consumer {consumer} got nothing")).collect()
}

#[test]
fn a_message_that_always_fails_holds_up_its_own_group_only_and_ends_as_a_dead_letter() {
    let broker = Broker::start(&manifests(2));
    let options = ["--groups", "4", "--consumers", "2", "--count", "24"];
    cells::play(&cells::all(), |cell| match cells::call(cell, &broker.endpoint()).play("stuck", &options) {
        Ok(report) => [order::problems(&report, STUCK.0, Some(STUCK.2)), stuck_wrong(cell, &report)].concat(),
        Err(error) => vec![format!("{error:#}")],
    });
}

/// The program keeps the first delivery of the stuck message until all other groups are done: that they flow is why it
/// comes to an end. Here: two attempts, one dead letter, and the rest of the group after that.
fn stuck_wrong(cell: Cell, report: &Report) -> Vec<String> {
    let (groups, _, stuck) = STUCK;
    let failures: Vec<usize> = (0..report.received.len())
        .filter(|at| report.received[*at].verdict == Verdict::Fail && report.received[*at].index == stuck)
        .collect();
    let dead: Vec<usize> =
        report.received.iter().filter(|delivery| order::is_dead(delivery)).map(|dead| dead.index).collect();
    let mut wrong = Vec::new();
    if failures.len() != 2 || dead != [stuck] {
        wrong.push(format!("{} deliveries of {stuck} failed, dead letters are {dead:?}", failures.len()));
    }
    let follows = report.received.iter().position(|delivery| delivery.index == stuck + groups);
    if retries_in_order(cell) && follows < failures.last().copied() {
        wrong.push(format!("message {} did not wait for {stuck} to be given up", stuck + groups));
    }
    wrong
}

#[test]
fn killed_broker_keeps_the_order_of_every_message_group() {
    let mut broker = Broker::start(&manifests(17));
    let running: Vec<_> = cells::all()
        .into_iter()
        .map(|cell| {
            let call = cells::call(cell, &broker.endpoint());
            let options = ["--groups", "6", "--consumers", "2", "--work", "30"];
            (cell, call.stream_with(50, 600, &options).expect("the stream starts"))
        })
        .collect();
    let mut kills_ms = Vec::new();
    for _ in 0..2 {
        all_flow(&running);
        kills_ms.push(wait::epoch_ms());
        broker.kill_and_restart();
    }
    all_flow(&running);
    // Each drains for some seconds: all at once.
    let reports: Vec<(Cell, Report)> = std::thread::scope(|scope| {
        let ending = running.into_iter().map(|(cell, stream)| (cell, scope.spawn(|| stream.finish())));
        let ending: Vec<_> = ending.collect();
        let report = |end: ScopedJoinHandle<'_, anyhow::Result<Report>>| end.join().expect("it ends");
        ending.into_iter().map(|(cell, end)| (cell, report(end).expect("a report"))).collect()
    });
    let mut wrong = Vec::new();
    for (cell, report) in reports {
        let (name, known) = (cells::name(cell), report.confirmed.len());
        println!("{name}: {} acknowledged, {} copies, {known} confirmed", report.acknowledged, report.copies);
        let found = [order::problems(&report, 6, None), order::came_back(&report, &kills_ms)].concat();
        wrong.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Until each has received 50 more messages.
fn all_flow(running: &[(Cell, Stream)]) {
    let goals: Vec<u64> = running.iter().map(|(_, stream)| stream.received() + 50).collect();
    for ((_, stream), goal) in running.iter().zip(goals) {
        stream.reaches(goal, FLOW);
    }
}

#[test]
fn a_message_of_the_wrong_type_is_refused_and_the_sdk_says_why() {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "plain", "local", "type: NORMAL");
    matrix::object(&mut yaml, "Topic", "ledger", "local", "type: FIFO");
    let broker = Broker::start(&yaml);
    cells::play(&Sdk::ALL.map(|sdk| (sdk, Mode::Simple)), |cell| {
        let tried = [("plain", "1"), ("ledger", "0")].map(|(topic, groups)| {
            let call = Call { topic: topic.to_owned(), ..cells::call(cell, &broker.endpoint()) };
            call.play("send", &["--count", "1", "--groups", groups])
        });
        let wrong = tried.into_iter().filter_map(|report| match report {
            Ok(report) if report.sent.is_empty() && report.errors.iter().any(|text| names_type(text)) => None,
            Ok(report) => Some(format!("sent {:?}, errors {:?}", report.sent, report.errors)),
            Err(error) => Some(format!("{error:#}")),
        });
        wrong.collect()
    });
}

/// The SDKs compare with the types that the route told them; only who is not told hears it from the broker.
fn names_type(text: &str) -> bool {
    text.to_lowercase().contains("message type not match")
        || text.contains("MESSAGE_PROPERTY_CONFLICT_WITH_TYPE")
}

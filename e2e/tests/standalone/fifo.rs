//! Topics of type FIFO and ordered consumer groups, seen by the official SDKs.

use std::thread::ScopedJoinHandle;
use std::time::Duration;

use e2e::blows::Blows;
use e2e::broker::Broker;
use e2e::cells::{self, Cell};
use e2e::matrix;
use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature, Play, order};
use e2e::sdk::report::{Report, Verdict};
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::wait;

const FLOW: Duration = Duration::from_mins(1);
/// Message groups and messages of the stuck scenario; the third message of the first group is the stuck one.
const STUCK: (usize, usize, usize) = (4, 24, 8);

fn plays() -> Vec<Play> {
    scenarios::plays(&[Feature::Order], &cells::all())
}

fn broker(attempts: u32) -> Broker {
    let mut yaml = String::new();
    for play in plays() {
        order::objects(play, attempts, &mut yaml, "local");
    }
    Broker::start(&yaml)
}

#[test]
fn each_message_group_is_finished_in_order_by_consumers_that_share_the_work() {
    scenarios::assert_kept(&mut Site::standalone(&plays()), &plays(), 0);
}

#[test]
fn a_message_that_always_fails_holds_up_its_own_group_only_and_ends_as_a_dead_letter() {
    let broker = broker(2);
    let options = ["--groups", "4", "--consumers", "2", "--count", "24"];
    cells::play(&cells::all(), |cell| {
        match Feature::Order.by(cell).call(&broker.endpoint()).play("stuck", &options) {
            Ok(report) => {
                let found = order::problems(&report, STUCK.0, Some(STUCK.2));
                [found, stuck_wrong(cell, &report)].concat()
            }
            Err(error) => vec![format!("{error:#}")],
        }
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
    if order::retries_in_order(cell) && follows < failures.last().copied() {
        wrong.push(format!("message {} did not wait for {stuck} to be given up", stuck + groups));
    }
    wrong
}

#[test]
fn killed_broker_keeps_the_order_of_every_message_group() {
    let mut broker = broker(17);
    let running: Vec<_> = plays()
        .into_iter()
        .map(|play| {
            let options = ["--groups", "6", "--consumers", "2", "--work", "30"];
            let stream = play.call(&broker.endpoint()).stream_with(50, 600, &options);
            (play, stream.expect("the stream starts"))
        })
        .collect();
    let mut blows = Blows::default();
    for _ in 0..2 {
        all_flow(&running);
        let began_ms = wait::epoch_ms();
        broker.kill_and_restart();
        blows.add(began_ms..wait::epoch_ms());
    }
    all_flow(&running);
    // Each drains for some seconds: all at once.
    let reports: Vec<(Play, Report)> = std::thread::scope(|scope| {
        let ending = running.into_iter().map(|(play, stream)| (play, scope.spawn(|| stream.finish())));
        let ending: Vec<_> = ending.collect();
        let report = |end: ScopedJoinHandle<'_, anyhow::Result<Report>>| end.join().expect("it ends");
        ending.into_iter().map(|(play, end)| (play, report(end).expect("a report"))).collect()
    });
    let mut wrong = Vec::new();
    for (play, report) in reports {
        let (name, known) = (play.name(), report.confirmed.len());
        println!("{name}: {} acknowledged, {} copies, {known} confirmed", report.acknowledged, report.copies);
        let found = [order::problems(&report, 6, None), order::came_back(&report, &blows)].concat();
        wrong.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Until each has received 50 more messages.
fn all_flow(running: &[(Play, Stream)]) {
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
            let call = Call { topic: topic.to_owned(), ..Feature::Order.by(cell).call(&broker.endpoint()) };
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

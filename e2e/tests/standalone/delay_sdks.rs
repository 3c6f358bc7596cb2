//! Topics of type DELAY, seen by the official SDKs.

use std::time::Duration;

use e2e::broker::Broker;
use e2e::delays::{self, Copies};
use e2e::matrix;
use e2e::sdk::report::Report;
use e2e::sdk::stream::Stream;

use crate::cells::{self, Cell};

const COUNT: usize = 20;
/// Until all programs have started and sent.
const START: Duration = Duration::from_mins(1);

fn broker() -> Broker {
    let mut yaml = String::new();
    for cell in cells::all() {
        let name = cells::name(cell);
        matrix::object(&mut yaml, "Topic", &name, "local", "type: DELAY\n  queues: {perGroup: 2}");
        matrix::object(&mut yaml, "ConsumerGroup", &name, "local", "consumeFrom: Earliest");
    }
    Broker::start(&yaml)
}

#[test]
fn each_message_comes_once_and_not_before_its_time_unless_it_was_taken_back() {
    let broker = broker();
    cells::play(&cells::all(), |cell| {
        let options = ["--count", &COUNT.to_string(), "--seconds", "5"];
        match cells::call(cell, &broker.endpoint()).play("delay", &options) {
            Ok(report) => {
                println!("{}: at most {} ms late", cells::name(cell), delays::latest_ms(&report));
                let found = [delays::problems(&report, COUNT, Copies::None), kept(&report)];
                [found.concat(), unrefused(&report)].concat()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    });
}

/// Messages that could not be taken back, though it was in time: every fifth was tried.
fn kept(report: &Report) -> Vec<String> {
    let tried = (0..COUNT).filter(|index| index % 5 == 3);
    let kept: Vec<usize> = tried.filter(|index| !report.recalled.contains(index)).collect();
    (!kept.is_empty())
        .then(|| format!("{kept:?} were not taken back: {:?}", report.errors))
        .into_iter()
        .collect()
}

/// Messages that the SDK took back a second time, or whose sender it does not tell why it is too late.
fn unrefused(report: &Report) -> Vec<String> {
    let is_told = |text: &String| text.contains("it was delivered or recalled");
    let told = report.refusals.iter().filter(|text| is_told(text)).count();
    let text = || format!("taken back twice: {:?}, {:?}", report.refusals, report.errors);
    (told != report.recalled.len()).then(text).into_iter().collect()
}

#[test]
fn killed_broker_delivers_at_their_times_what_waited() {
    let mut broker = broker();
    let start = |cell: Cell| {
        let options = ["--count", &COUNT.to_string(), "--seconds", "6"];
        (cell, cells::call(cell, &broker.endpoint()).start("delay", &options).expect("the program starts"))
    };
    let running: Vec<(Cell, Stream)> = cells::one_each().into_iter().map(start).collect();
    for (_, stream) in &running {
        stream.sends(COUNT as u64, START);
    }
    println!("serves again {} ms after kill -9", broker.kill_and_restart().as_millis());
    let mut wrong = Vec::new();
    for (cell, mut stream) in running {
        let report = stream.join().expect("a report");
        println!("{}: at most {} ms late", cells::name(cell), delays::latest_ms(&report));
        let found = delays::problems(&report, COUNT, Copies::Some);
        wrong.extend(found.into_iter().map(|text| format!("{}: {text}", cells::name(cell))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

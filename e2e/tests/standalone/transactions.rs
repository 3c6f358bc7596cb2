//! Topics of type TRANSACTION, seen by the official SDKs: who decides, and who is asked.

use std::time::Duration;

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::report::{Report, Verdict};
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::transactions;
use e2e::wait;

use crate::cells::{self, Cell};

const COUNT: usize = 24;
/// Until all programs have started and sent.
const START: Duration = Duration::from_mins(1);
/// The first question comes soon, and more of them than any of these tests needs.
const CHECKS: &str = "transactions: {checkAfterMs: 1000, checkIntervalMs: 1000, maxChecks: 100}";
const OPEN: &str = "millpond_open_transactions";

fn broker(cells: &[Cell]) -> Broker {
    let mut yaml = String::new();
    for cell in cells {
        let name = cells::name(*cell);
        matrix::object(&mut yaml, "Topic", &name, "local", "type: TRANSACTION\n  queues: {perGroup: 2}");
        matrix::object(&mut yaml, "ConsumerGroup", &name, "local", "consumeFrom: Earliest");
    }
    Broker::start_configured(&yaml, CHECKS)
}

/// What the programs decided last may still be on its way.
fn all_decided(broker: &Broker) {
    let none_open = || (broker.figure(OPEN)? == 0.0).then_some(());
    wait::until("no transaction is open", Duration::from_secs(10), none_open);
}

#[test]
fn what_is_committed_comes_once_whoever_decides() {
    let broker = broker(&cells::all());
    cells::play(&cells::all(), |cell| {
        let options = ["--count", &COUNT.to_string()];
        match cells::call(cell, &broker.endpoint()).play("transaction", &options) {
            Ok(report) => {
                let found = [transactions::problems(&report, COUNT), transactions::unasked(&report, COUNT)];
                [found.concat(), unanswered(&report)].concat()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    });
    all_decided(&broker);
}

/// Decisions of the sender that the broker did not answer.
fn unanswered(report: &Report) -> Vec<String> {
    let all = (0..COUNT).filter(|index| !transactions::is_left(*index));
    let is_answered = all.clone().eq(report.decided.iter().copied());
    (!is_answered)
        .then(|| format!("decided only {:?}: {:?}", report.decided, report.errors))
        .into_iter()
        .collect()
}

#[test]
fn what_a_killed_producer_left_behind_is_decided_by_a_producer_of_another_sdk() {
    let heirs = cells::one_each();
    let broker = broker(&heirs);
    cells::play(&heirs, |heir| {
        let next = Sdk::ALL.into_iter().cycle().skip_while(|sdk| *sdk != heir.0).nth(1).expect("a cycle");
        let (call, count) = (cells::call(heir, &broker.endpoint()), COUNT.to_string());
        let options = ["--count", &count, "--run", "inherited", "--consumers", "0"];
        let dying = Call { sdk: next, ..call.clone() }.start("transaction-held", &options);
        let dying = dying.expect("the producer starts");
        dying.sends(COUNT as u64, START);
        dying.kill();
        match call.play("transaction-heir", &["--count", &count, "--run", "inherited"]) {
            Ok(report) => [transactions::problems(&report, COUNT), undecided(&report)].concat(),
            Err(error) => vec![format!("{error:#}")],
        }
    });
    all_decided(&broker);
}

/// Messages that the checker was not asked about until it knew.
fn undecided(report: &Report) -> Vec<String> {
    let is_decided = |index: usize| {
        report.checks.iter().any(|check| check.index == index && check.verdict != Verdict::Unknown)
    };
    let open = (0..COUNT).filter(|index| !is_decided(*index));
    open.map(|index| format!("nobody asked the heir about message {index}")).collect()
}

#[test]
fn killed_broker_knows_what_was_sent_and_not_decided() {
    let mut broker = broker(&cells::all());
    let running = start(&broker, &cells::all());
    println!("serves again {} ms after kill -9", broker.kill_and_restart().as_millis());
    assert_eq!(broker.figure(OPEN), Some((running.len() * COUNT) as f64));
    for (_, stream) in &running {
        stream.stop().expect("it decides");
    }
    let wrong: Vec<String> = ended(running)
        .into_iter()
        .flat_map(|(cell, report)| {
            let found = [transactions::problems(&report, COUNT), refused(&report)].concat();
            found.into_iter().map(move |text| format!("{}: {text}", cells::name(cell)))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_decided(&broker);
}

/// Programs that have sent all messages and wait to decide.
fn start(broker: &Broker, cells: &[Cell]) -> Vec<(Cell, Stream)> {
    let start = |cell: Cell| {
        // Only a new producer of these is asked soon after the broker was: theirs come back after up to 5 minutes.
        let producers = if matches!(cell.0, Sdk::Go | Sdk::Python) { "2" } else { "1" };
        let options = ["--count", &COUNT.to_string(), "--producers", producers, "--work", "50"];
        let stream = cells::call(cell, &broker.endpoint()).start("transaction-held", &options);
        (cell, stream.expect("the producer starts"))
    };
    let running: Vec<_> = cells.iter().copied().map(start).collect();
    for (_, stream) in &running {
        stream.sends(COUNT as u64, START);
    }
    running
}

fn ended(running: Vec<(Cell, Stream)>) -> Vec<(Cell, Report)> {
    let end = |(cell, mut stream): (Cell, Stream)| {
        let report = stream.join().expect("a report");
        let (decided, asked) = (report.decided.len(), report.checks.len());
        println!("{}: {decided} decided by the sender, {asked} questions", cells::name(cell));
        (cell, report)
    };
    running.into_iter().map(end).collect()
}

/// Decisions that the broker refused: all of them agree, so it may refuse none.
fn refused(report: &Report) -> Vec<String> {
    let is_refused = |text: &&String| text.contains("transaction is") || text.contains("transaction was");
    report.errors.iter().filter(is_refused).cloned().collect()
}

/// Java and Node: what the others are told of a broker that is killed again comes minutes later.
#[test]
fn decisions_whose_answers_a_killed_broker_did_not_give_are_made_once() {
    let cells = [(Sdk::Java, Mode::Simple), (Sdk::Node, Mode::Push)];
    let mut broker = broker(&cells);
    let running = start(&broker, &cells);
    let all = (running.len() * COUNT) as f64;
    for (_, stream) in &running {
        stream.stop().expect("it decides");
    }
    let some = || broker.figure(OPEN).filter(|open| *open < all * 0.8);
    let open = wait::until("a fifth of the decisions", START, some);
    println!(
        "{open} of {all} are open; serves again {} ms after kill -9",
        broker.kill_and_restart().as_millis()
    );
    let mut wrong = Vec::new();
    for (cell, mut report) in ended(running) {
        // What was delivered and not acknowledged comes again; what was stored twice has another place.
        report.received.sort_by_key(|delivery| (delivery.index, delivery.offset));
        report.received.dedup_by_key(|delivery| (delivery.index, delivery.offset));
        let found = [transactions::problems(&report, COUNT), refused(&report)].concat();
        wrong.extend(found.into_iter().map(|text| format!("{}: {text}", cells::name(cell))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_decided(&broker);
}

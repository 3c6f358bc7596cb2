//! Topics of type TRANSACTION, seen by the official SDKs: who decides, and who is asked.

use std::time::Duration;

use e2e::blows::Blows;
use e2e::broker::Broker;
use e2e::cells;
use e2e::scenarios::site::Site;
use e2e::scenarios::transactions::{self, COUNT};
use e2e::scenarios::{self, Feature, Play};
use e2e::sdk::report::{Report, Verdict};
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::wait;

/// Until all programs have started and sent.
const START: Duration = Duration::from_mins(1);
const OPEN: &str = "millpond_open_transactions";

/// What the programs decided last may still be on its way.
fn all_decided(broker: &Broker) {
    let none_open = || (broker.figure(OPEN)? == 0.0).then_some(());
    wait::until("no transaction is open", Duration::from_secs(10), none_open);
}

#[test]
fn what_is_committed_comes_once_whoever_decides() {
    let plays = scenarios::plays(&[Feature::Transactions], &cells::all());
    let mut site = Site::standalone(&plays);
    scenarios::assert_kept(&mut site, &plays, 0);
    all_decided(site.broker());
}

#[test]
fn what_a_killed_producer_left_behind_is_decided_by_a_producer_of_another_sdk() {
    let heirs = cells::one_each();
    let site = Site::standalone(&scenarios::plays(&[Feature::Transactions], &heirs));
    cells::play(&heirs, |heir| {
        let next = Sdk::ALL.into_iter().cycle().skip_while(|sdk| *sdk != heir.0).nth(1).expect("a cycle");
        let (call, count) = (Feature::Transactions.by(heir).call(&site.endpoint(0)), COUNT.to_string());
        let options = ["--count", &count, "--run", "inherited", "--consumers", "0"];
        let dying = Call { sdk: next, ..call.clone() }.start("transaction-held", &options);
        let dying = dying.expect("the producer starts");
        dying.sends(COUNT as u64, START);
        dying.kill();
        match call.play("transaction-heir", &["--count", &count, "--run", "inherited"]) {
            Ok(report) => {
                [transactions::problems(&report, COUNT, &Blows::default()), undecided(&report)].concat()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    });
    all_decided(site.broker());
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
    let plays = scenarios::plays(&[Feature::Transactions], &cells::all());
    let mut site = Site::standalone(&plays);
    let running = start(&site, plays);
    let mut blows = Blows::default();
    blows.add(site.strike());
    assert_eq!(site.broker().figure(OPEN), Some((running.len() * COUNT) as f64));
    for (_, stream) in &running {
        stream.stop().expect("it decides");
    }
    let wrong: Vec<String> = ended(running)
        .into_iter()
        .flat_map(|(play, report)| {
            let found = transactions::problems(&report, COUNT, &blows);
            let found = [found, transactions::refused(&report)].concat();
            found.into_iter().map(move |text| format!("{}: {text}", play.name()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_decided(site.broker());
}

/// Programs that have sent all messages and wait to decide.
fn start(site: &Site, plays: Vec<Play>) -> Vec<(Play, Stream)> {
    let start = |play: Play| {
        let producers = transactions::producers(play.cell);
        let options = ["--count", &COUNT.to_string(), "--producers", producers, "--work", "50"];
        let stream = play.call(&site.endpoint(0)).start("transaction-held", &options);
        (play, stream.expect("the producer starts"))
    };
    let running: Vec<_> = plays.into_iter().map(start).collect();
    for (_, stream) in &running {
        stream.sends(COUNT as u64, START);
    }
    running
}

fn ended(running: Vec<(Play, Stream)>) -> Vec<(Play, Report)> {
    let end = |(play, mut stream): (Play, Stream)| {
        let report = stream.join().expect("a report");
        let (decided, asked) = (report.decided.len(), report.checks.len());
        println!("{}: {decided} decided by the sender, {asked} questions", play.name());
        (play, report)
    };
    running.into_iter().map(end).collect()
}

/// Java and Node: what the others are told of a broker that is killed again comes minutes later.
#[test]
fn decisions_whose_answers_a_killed_broker_did_not_give_are_made_once() {
    let cells = [(Sdk::Java, Mode::Simple), (Sdk::Node, Mode::Push)];
    let plays = scenarios::plays(&[Feature::Transactions], &cells);
    let mut site = Site::standalone(&plays);
    let running = start(&site, plays);
    let all = (running.len() * COUNT) as f64;
    for (_, stream) in &running {
        stream.stop().expect("it decides");
    }
    let some = || site.broker().figure(OPEN).filter(|open| *open < all * 0.8);
    let open = wait::until("a fifth of the decisions", START, some);
    site.strike();
    println!("{open} of {all} were open");
    let mut wrong = Vec::new();
    for (play, mut report) in ended(running) {
        // What was delivered and not acknowledged comes again; what was stored twice has another place.
        report.received.sort_by_key(|delivery| (delivery.index, delivery.offset));
        report.received.dedup_by_key(|delivery| (delivery.index, delivery.offset));
        let found = transactions::problems(&report, COUNT, &Blows::default());
        let found = [found, transactions::refused(&report)].concat();
        wrong.extend(found.into_iter().map(|text| format!("{}: {text}", play.name())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_decided(site.broker());
}

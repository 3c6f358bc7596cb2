//! What each feature promises, seen by the official SDKs: the same programs and the same judges wherever brokers run, and
//! also while their leader is killed.
//!
//! ```text
//!   Feature × Cell = Play ── objects ──▶ Site: one broker, three copies, pods of Kubernetes
//!                     │                    ▲
//!                     └── run, in a Seat ──┴── strike, when messages of all plays are on their way
//! ```
//!
//! Promise: where nobody is killed everything comes once. Otherwise a message may come again, and what was under way at a blow
//! may be stored twice; nothing that was acknowledged is lost, overtaken within its message group, early, or comes though it
//! was taken back, rolled back or not let through.

pub mod delay;
pub mod failing;
pub mod filters;
pub mod order;
pub mod priority;
mod rendezvous;
pub mod site;
pub mod transactions;

use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::blows::Blows;
use crate::cells::{self, Cell};
use crate::matrix;
use crate::scenarios::rendezvous::{Rendezvous, Seat};
use crate::scenarios::site::Site;
use crate::sdk::report::Report;
use crate::sdk::{Call, Scenario};

/// Messages of a play that are acknowledged before each blow, and after the last.
const SOME: u64 = 20;
/// They are within this time, start of the program and death of the leader included, or something is wrong.
const FLOW: Duration = Duration::from_mins(2);
/// Seconds that a program waits for what is still to come.
const PATIENCE: &str = "120";

/// What is promised to users of SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Message groups are finished in order.
    Order,
    /// Messages come at their time, or not at all when they were taken back.
    Delay,
    /// What is committed comes.
    Transactions,
    /// What is more important comes first.
    Priority,
    /// What has one of the wanted tags comes.
    Tags,
    /// What matches an expression comes.
    Sql,
    /// What failed comes again.
    Retry,
    /// What always fails ends in a topic of its own.
    DeadLetters,
}

impl Feature {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Order,
        Self::Delay,
        Self::Transactions,
        Self::Priority,
        Self::Tags,
        Self::Sql,
        Self::Retry,
        Self::DeadLetters,
    ];

    /// Seen by this cell.
    pub fn by(self, cell: Cell) -> Play {
        Play { feature: self, cell }
    }

    /// Its name in topics and groups.
    pub fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Delay => "delay",
            Self::Transactions => "transactions",
            Self::Priority => "priority",
            Self::Tags => "tags",
            Self::Sql => "sql",
            Self::Retry => "retry",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A feature seen by one cell, on a topic and a group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Play {
    /// The feature.
    pub feature: Feature,
    /// The SDK and the kind of consumer.
    pub cell: Cell,
}

/// Each of these features for each of these cells.
pub fn plays(features: &[Feature], cells: &[Cell]) -> Vec<Play> {
    features.iter().flat_map(|feature| cells.iter().map(|cell| feature.by(*cell))).collect()
}

impl Play {
    /// The name of its topic and group.
    pub fn name(self) -> String {
        format!("{}-{}", self.feature.word(), cells::name(self.cell))
    }

    /// The call of its program.
    pub fn call(self, endpoint: &str) -> Call {
        Call::new(self.cell.0, self.cell.1, endpoint, &self.name(), &self.name())
    }

    /// Appends the topic and the groups that it needs.
    pub fn objects(self, yaml: &mut String, cluster: &str) {
        match self.feature {
            Feature::Order => order::objects(self, order::ATTEMPTS, yaml, cluster),
            Feature::Delay => pair(self, "type: DELAY\n  queues: {perGroup: 2}", EARLIEST, yaml, cluster),
            Feature::Transactions => {
                pair(self, "type: TRANSACTION\n  queues: {perGroup: 2}", EARLIEST, yaml, cluster);
            }
            Feature::Priority => pair(self, "type: PRIORITY", "priority: {policy: Strict}", yaml, cluster),
            // One queue: when its last message comes, all others were looked at.
            Feature::Sql => pair(self, "queues: {perGroup: 1}", EARLIEST, yaml, cluster),
            Feature::Tags => failing::objects(self, Scenario::Tagfilter, yaml, cluster),
            Feature::Retry => failing::objects(self, Scenario::Redeliver, yaml, cluster),
            Feature::DeadLetters => failing::objects(self, Scenario::Dlq, yaml, cluster),
        }
    }
}

const EARLIEST: &str = "consumeFrom: Earliest";

fn pair(play: Play, topic: &str, group: &str, yaml: &mut String, cluster: &str) {
    matrix::object(yaml, "Topic", &play.name(), cluster, topic);
    matrix::object(yaml, "ConsumerGroup", &play.name(), cluster, group);
}

/// As `problems`.
///
/// # Panics
/// With everything that is wrong.
pub fn assert_kept(site: &mut Site, plays: &[Play], blows: usize) {
    let wrong = problems(site, plays, blows);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays all at once, because most of their time is waiting, and kills the leader so many times meanwhile. Returns everything
/// that is wrong.
pub fn problems(site: &mut Site, plays: &[Play], blows: usize) -> Vec<String> {
    let rendezvous = Rendezvous::new(plays.len(), blows);
    thread::scope(|scope| {
        let start = |(number, play): (usize, &Play)| {
            let call = play.call(&site.endpoint(number));
            let stage = Stage { play: *play, call, seat: rendezvous.seat() };
            (play.name(), scope.spawn(move || stage.problems()))
        };
        let running: Vec<_> = plays.iter().enumerate().map(start).collect();
        rendezvous.strike(|| site.strike());
        all_wrong(running)
    })
}

/// What is wrong with each, a panic among it.
fn all_wrong(running: Vec<(String, ScopedJoinHandle<'_, Vec<String>>)>) -> Vec<String> {
    let end = |(name, thread): (String, ScopedJoinHandle<'_, Vec<String>>)| {
        let wrong = thread.join().unwrap_or_else(|panic| vec![text_of(&*panic)]);
        wrong.into_iter().map(move |text| format!("{name}: {text}"))
    };
    running.into_iter().flat_map(end).collect()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// A play under way.
struct Stage<'a> {
    play: Play,
    call: Call,
    seat: Seat<'a>,
}

impl Stage<'_> {
    fn problems(&self) -> Vec<String> {
        let found = match self.play.feature {
            Feature::Order => order::play(self),
            Feature::Delay => delay::play(self),
            Feature::Transactions => transactions::play(self),
            Feature::Priority => priority::play(self),
            Feature::Sql => filters::play(self),
            Feature::Tags => failing::play(self, Scenario::Tagfilter),
            Feature::Retry => failing::play(self, Scenario::Redeliver),
            Feature::DeadLetters => failing::play(self, Scenario::Dlq),
        };
        found.unwrap_or_else(|error| vec![format!("{error:#}")])
    }

    /// Whether leaders are killed meanwhile.
    fn is_disturbed(&self) -> bool {
        self.seat.expects_blow()
    }

    /// Runs the program to its end. Where leaders are killed it sends with this `pace` between messages, in milliseconds,
    /// until all blows have fallen.
    fn run(&self, scenario: &str, options: &[&str], pace: &str) -> Result<(Report, Blows)> {
        if !self.is_disturbed() {
            return Ok((self.call.play(scenario, options)?, Blows::default()));
        }
        let options = [options, &["--pace", pace, "--timeout", PATIENCE]].concat();
        let mut stream = self.call.start(scenario, &options)?;
        stream.sends_more(SOME, FLOW);
        while self.seat.take_blow() {
            stream.sends_more(SOME, FLOW);
        }
        stream.stop()?;
        let report = stream.join()?;
        let (sent, received) = (report.sent.len(), report.received.len());
        println!("{}: {sent} sent, {received} deliveries, {} failures", self.play.name(), report.failures);
        Ok((report, self.seat.blows()))
    }
}

//! How long clients wait when the leader changes, measured again and again: `make failover`.

use std::time::Duration;

use e2e::matrix;
use e2e::members::Members;
use e2e::network::Cut;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::traffic::{self, Plan, Traffic};

use crate::failover::assert_sound;

const SDK_TOPIC: &str = "figures-sdk";
const FLOW: Duration = Duration::from_mins(2);

/// What happens to the leader.
#[derive(Debug, Clone, Copy)]
enum Event {
    Killed,
    HandOver,
    CutOff,
}

/// One figure of each round, in milliseconds.
#[derive(Debug, Default)]
struct Figures {
    ours_ms: Vec<u64>,
    sdk_ms: Vec<u64>,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Killed => "leader killed",
            Self::HandOver => "hand-over",
            Self::CutOff => "leader's node cut off",
        }
    }

    fn happens(self, members: &mut Members, leader: usize) {
        match self {
            Self::Killed => members.kill(leader),
            Self::HandOver => members.terminate(leader),
            Self::CutOff => members.cut(leader, Cut::Both),
        }
    }

    fn is_over(self, members: &mut Members, leader: usize) {
        match self {
            Self::Killed | Self::HandOver => members.launch(leader),
            Self::CutOff => members.heal(),
        }
        members.converge();
    }
}

#[test]
#[ignore = "takes many minutes: `make failover`"]
fn figures_of_every_change_of_the_leader() {
    let rounds = std::env::var("E2E_FAILOVER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut table = String::from(
        "| Event | Client | Rounds | min ms | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|\n",
    );
    for event in [Event::Killed, Event::HandOver, Event::CutOff] {
        let figures = measure(event, rounds);
        table += &line(event, "millpond's, next member after an error", figures.ours_ms);
        table += &line(event, "Java SDK, all addresses", figures.sdk_ms);
    }
    println!("\n{table}");
}

fn measure(event: Event, rounds: usize) -> Figures {
    let mut yaml = traffic::manifests();
    matrix::object(&mut yaml, "Topic", SDK_TOPIC, "local", "queues: {perGroup: 4}");
    matrix::object(&mut yaml, "ConsumerGroup", SDK_TOPIC, "local", "retry: {backoff: {custom: [1s]}}");
    let mut members = Members::start_apart(3, &yaml);
    let plan = Plan { library: false, request_timeout: Duration::from_secs(1), ..Plan::default() };
    let mut traffic = Traffic::start(&members, plan);
    let mut figures = Figures::default();
    for round in 0..rounds {
        let sdk = Call::new(Sdk::Java, Mode::Simple, &members.endpoints().join(";"), SDK_TOPIC, SDK_TOPIC);
        let sdk = sdk.stream(200, 600).expect("the stream starts");
        sdk.flows(100, FLOW);
        let leader = members.leader();
        let before_ms = traffic.disturb();
        event.happens(&mut members, leader);
        let blow_ms = if matches!(event, Event::CutOff) { traffic.now_ms() } else { before_ms };
        traffic.flows(100);
        sdk.flows(100, FLOW);
        event.is_over(&mut members, leader);
        traffic.calm();
        let report = sdk.finish().expect("a report");
        assert!(report.ok && report.missing.is_empty(), "lost {:?}: {:?}", report.missing, report.errors);
        let ours_ms = traffic.so_far().first_acknowledged_after(blow_ms).expect("messages flow");
        println!("{} {round}: {ours_ms} ms, Java {} ms", event.word(), report.longest_gap_ms);
        figures.ours_ms.push(ours_ms);
        figures.sdk_ms.push(report.longest_gap_ms);
    }
    assert_sound(event.word(), traffic, &members);
    figures
}

fn line(event: Event, client: &str, mut times_ms: Vec<u64>) -> String {
    times_ms.sort_unstable();
    let rank = |percent: usize| times_ms[(times_ms.len() * percent).div_ceil(100).max(1) - 1];
    format!(
        "| {} | {client} | {} | {} | {} | {} | {} |\n",
        event.word(),
        times_ms.len(),
        rank(0),
        rank(50),
        rank(99),
        rank(100)
    )
}

//! How long clients wait when the leader changes, measured again and again: `make failover`.

use std::time::Duration;

use e2e::matrix;
use e2e::members::Members;
use e2e::network::Cut;
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::traffic::{self, Plan, Traffic};

use crate::failover::assert_sound;

const FLOW: Duration = Duration::from_mins(2);

/// What happens in a round.
#[derive(Debug, Clone, Copy)]
enum Event {
    LeaderKilled,
    HandOver,
    LeaderCutOff,
    FollowerKilled,
}

/// An SDK, and how much of the group it is told.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// Of several addresses, the other SDKs make one `:authority` that is none.
    JavaAllAddresses,
    GoOneAddress,
}

/// One figure of each round, in milliseconds.
#[derive(Debug, Default)]
struct Figures {
    ours_ms: Vec<u64>,
    sdks_ms: [Vec<u64>; Client::ALL.len()],
}

impl Event {
    const ALL: [Self; 4] = [Self::LeaderKilled, Self::HandOver, Self::LeaderCutOff, Self::FollowerKilled];

    fn word(self) -> &'static str {
        match self {
            Self::LeaderKilled => "leader killed",
            Self::HandOver => "hand-over",
            Self::LeaderCutOff => "leader's node cut off",
            Self::FollowerKilled => "follower killed",
        }
    }

    /// The member that it happens to.
    fn happens(self, members: &mut Members) -> usize {
        let leader = members.leader();
        match self {
            Self::LeaderKilled => members.kill(leader),
            Self::HandOver => members.terminate(leader),
            Self::LeaderCutOff => members.cut(leader, Cut::Both),
            Self::FollowerKilled => {
                let follower = members.followers()[0];
                members.kill(follower);
                return follower;
            }
        }
        leader
    }

    fn is_over(self, members: &mut Members, whom: usize) {
        match self {
            Self::LeaderKilled | Self::HandOver | Self::FollowerKilled => members.launch(whom),
            Self::LeaderCutOff => members.heal(),
        }
        members.converge();
    }

    /// The figure of our own client: the slowest send, or when the first one is acknowledged.
    fn ours_ms(self, traffic: &Traffic, blow_ms: u64) -> u64 {
        let history = traffic.so_far();
        match self {
            Self::FollowerKilled => history.slowest_message_ms(&(blow_ms..traffic.now_ms())),
            Self::LeaderKilled | Self::HandOver | Self::LeaderCutOff => {
                history.first_acknowledged_after(blow_ms).expect("messages flow")
            }
        }
    }
}

impl Client {
    const ALL: [Self; 2] = [Self::JavaAllAddresses, Self::GoOneAddress];

    fn word(self) -> &'static str {
        match self {
            Self::JavaAllAddresses => "Java SDK, all addresses",
            Self::GoOneAddress => "Go SDK, the address of a follower",
        }
    }

    fn topic(self) -> &'static str {
        match self {
            Self::JavaAllAddresses => "java",
            Self::GoOneAddress => "go",
        }
    }

    fn start(self, members: &Members) -> Stream {
        let (sdk, endpoint) = match self {
            Self::JavaAllAddresses => (Sdk::Java, members.endpoints().join(";")),
            Self::GoOneAddress => (Sdk::Go, members.endpoint(members.followers()[1])),
        };
        let call = Call::new(sdk, Mode::Simple, &endpoint, self.topic(), self.topic());
        call.stream(200, 600).expect("the stream starts")
    }
}

#[test]
#[ignore = "takes many minutes: `make failover`"]
fn figures_of_every_change_of_the_leader() {
    let rounds = std::env::var("E2E_FAILOVER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut table = String::from(
        "| Event | Client | Rounds | min ms | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|\n",
    );
    // A part of an event's name chooses it.
    let wanted = std::env::var("E2E_FAILOVER_EVENT").unwrap_or_default();
    for event in Event::ALL.into_iter().filter(|event| event.word().contains(&wanted)) {
        let figures = measure(event, rounds);
        table += &line(event, "millpond's client, all addresses", figures.ours_ms);
        for (client, sdk_ms) in Client::ALL.into_iter().zip(figures.sdks_ms) {
            table += &line(event, client.word(), sdk_ms);
        }
    }
    println!("\n{table}");
}

fn measure(event: Event, rounds: usize) -> Figures {
    let mut yaml = traffic::manifests();
    for client in Client::ALL {
        matrix::object(&mut yaml, "Topic", client.topic(), "local", "queues: {perGroup: 4}");
        matrix::object(
            &mut yaml,
            "ConsumerGroup",
            client.topic(),
            "local",
            "retry: {backoff: {custom: [1s]}}",
        );
    }
    let mut members = Members::start_apart(3, &yaml);
    let plan = Plan { senders: 0, request_timeout: Duration::from_secs(1), ..Plan::default() };
    let mut traffic = Traffic::start(&members, plan);
    let mut figures = Figures::default();
    for round in 0..rounds {
        let streams = Client::ALL.map(|client| client.start(&members));
        flow(&streams);
        let before_ms = traffic.disturb();
        let whom = event.happens(&mut members);
        // What came through until a cut was made was sent in time.
        let blow_ms = if matches!(event, Event::LeaderCutOff) { traffic.now_ms() } else { before_ms };
        traffic.flows(100);
        flow(&streams);
        let ours_ms = event.ours_ms(&traffic, blow_ms);
        event.is_over(&mut members, whom);
        traffic.calm();
        println!("{} {round}: {ours_ms} ms", event.word());
        figures.ours_ms.push(ours_ms);
        for ((stream, client), all_ms) in streams.into_iter().zip(Client::ALL).zip(&mut figures.sdks_ms) {
            let report = stream.finish().expect("a report");
            assert!(report.ok && report.missing.is_empty(), "lost {:?}: {:?}", report.missing, report.errors);
            println!("    {}: longest gap {} ms", client.word(), report.longest_gap_ms);
            all_ms.push(report.longest_gap_ms);
        }
    }
    assert_sound(event.word(), traffic, &members);
    figures
}

fn flow(streams: &[Stream]) {
    for stream in streams {
        stream.flows(100, FLOW);
    }
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

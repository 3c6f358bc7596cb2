//! `kill -9` under load: nothing that was acknowledged is lost, and the SDKs go on by themselves.

use std::time::Duration;

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::wait::Stopwatch;

const FLOW: Duration = Duration::from_mins(1);

fn manifests(names: &[&str]) -> String {
    let mut yaml = String::new();
    for name in names {
        matrix::object(&mut yaml, "Topic", name, "local", "queues: {perGroup: 4}");
        matrix::object(&mut yaml, "ConsumerGroup", name, "local", "retry: {backoff: {custom: [1s]}}");
    }
    yaml
}

#[test]
fn killed_broker_loses_nothing_that_was_acknowledged() {
    let streams =
        [("go", Sdk::Go, Mode::Simple), ("java", Sdk::Java, Mode::Push), ("node", Sdk::Node, Mode::Push)];
    let mut broker = Broker::start(&manifests(&["go", "java", "node"]));
    let running: Vec<(&str, Stream)> = streams
        .into_iter()
        .map(|(name, sdk, mode)| {
            let call = Call::new(sdk, mode, &broker.endpoint(), name, name);
            (name, call.stream(200, 600).expect("the stream starts"))
        })
        .collect();
    for (_, stream) in &running {
        stream.flows(100, FLOW);
    }
    for _ in 0..3 {
        let back = broker.kill_and_restart();
        println!("serves again {} ms after kill -9", back.as_millis());
        for (_, stream) in &running {
            stream.flows(100, FLOW);
        }
    }
    for (name, stream) in running {
        let report = stream.finish().expect("a report");
        println!(
            "{name}: {} acknowledged, {} copies, {} failures, longest gap {} ms",
            report.acknowledged, report.copies, report.failures, report.longest_gap_ms
        );
        assert!(
            report.ok && report.missing.is_empty(),
            "{name} lost {:?}: {:?}",
            report.missing,
            report.errors
        );
    }
}

/// As long as `E2E_SOAK_SECONDS` says (`make soak`); otherwise one short round.
#[test]
fn killed_again_and_again_nothing_is_lost() {
    let seconds = std::env::var("E2E_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let mut broker = Broker::start(&manifests(&["soak"]));
    let stream = Call::new(Sdk::Go, Mode::Push, &broker.endpoint(), "soak", "soak")
        .stream(500, 1 << 20)
        .expect("a stream");
    let watch = Stopwatch::start();
    while watch.elapsed() < Duration::from_secs(seconds) {
        stream.flows(500, FLOW);
        broker.kill_and_restart();
    }
    let report = stream.finish().expect("a report");
    println!(
        "{} acknowledged, {} copies, longest gap {} ms",
        report.acknowledged, report.copies, report.longest_gap_ms
    );
    assert!(report.ok && report.missing.is_empty(), "lost {:?}: {:?}", report.missing, report.errors);
}

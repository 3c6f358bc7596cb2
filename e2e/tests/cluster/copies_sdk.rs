//! Official SDKs, unmodified, against three copies whose leaders die.

use std::time::Duration;

use crds::{ConsumerGroup, Topic};
use e2e::cluster::copies::Copies;
use e2e::matrix;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::traffic::Targets;

const FLOW: Duration = Duration::from_secs(90);
/// A client waits no longer than this for its next acknowledged message.
const GAP_MS_MAX: u64 = 15_000;

#[test]
fn sdks_go_on_when_the_leader_is_killed() {
    let group = Copies::start("sdks", 3);
    let streams = [("go", Sdk::Go, Mode::Push), ("java", Sdk::Java, Mode::Simple)];
    let mut yaml = String::new();
    for (name, ..) in streams {
        matrix::object(&mut yaml, "Topic", name, "sdks", "queues: {perGroup: 4}");
        matrix::object(&mut yaml, "ConsumerGroup", name, "sdks", "retry: {backoff: {custom: [1s]}}");
    }
    group.place().apply(&yaml);
    for (name, ..) in streams {
        group.on(group.place().ready::<Topic>(name));
        group.on(group.place().ready::<ConsumerGroup>(name));
    }
    let reach = group.on(group.place().reach("sdks"));
    let running = streams.map(|(name, sdk, mode)| {
        let call = Call::new(sdk, mode, reach.endpoint(), name, name);
        (name, call.stream(100, 600).expect("the stream starts"))
    });
    for (_, stream) in &running {
        stream.flows(200, FLOW);
    }
    let leader = group.leader();
    group.process(leader).kill();
    for (_, stream) in &running {
        stream.flows(300, FLOW);
    }
    group.converge(3);
    group.delete(group.leader());
    for (_, stream) in &running {
        stream.flows(300, FLOW);
    }
    group.converge(3);
    for (name, stream) in running {
        let report = stream.finish().expect("a report");
        println!(
            "{name}: {} acknowledged, {} copies, {} failures, longest gap {} ms",
            report.acknowledged, report.copies, report.failures, report.longest_gap_ms
        );
        let (missing, errors) = (&report.missing, &report.errors);
        assert!(report.ok && missing.is_empty(), "{name} lost {missing:?}: {errors:?}");
        assert!(report.longest_gap_ms < GAP_MS_MAX, "{name} waited {} ms", report.longest_gap_ms);
    }
    group.remove();
}

//! An official SDK, unmodified, while members of the group die.

use std::time::Duration;

use e2e::matrix;
use e2e::members::Members;
use e2e::sdk::{Call, Mode, Sdk};
use e2e::wait;

const FLOW: Duration = Duration::from_mins(1);

fn manifests() -> String {
    let mut yaml = String::new();
    for name in ["one", "all"] {
        matrix::object(&mut yaml, "Topic", name, "local", "queues: {perGroup: 4}");
        matrix::object(&mut yaml, "ConsumerGroup", name, "local", "retry: {backoff: {custom: [1s]}}");
    }
    yaml
}

/// One SDK dials a follower and stays with it; another is given all addresses, the leader's first, which then dies.
#[test]
fn sdk_goes_on_when_the_leader_is_killed() {
    let mut members = Members::start(3, &manifests());
    let (leader, follower) = (members.leader(), members.followers()[0]);
    let mut order: Vec<usize> = (0..members.count()).collect();
    order.sort_by_key(|member| *member != leader);
    let all: Vec<String> = order.into_iter().map(|member| members.endpoint(member)).collect();
    wait::until("there are topics", Duration::from_secs(20), || {
        members.log(leader).contains("name=\"all\" outcome=Created").then_some(())
    });
    // Of several addresses, the other SDKs make one `:authority` that is none.
    let dialled = [("one", Sdk::Go, members.endpoint(follower)), ("all", Sdk::Java, all.join(";"))];
    let streams = dialled.map(|(name, sdk, endpoint)| {
        let call = Call::new(sdk, Mode::Simple, &endpoint, name, name);
        (name, call.stream(200, 600).expect("the stream starts"))
    });
    for (_, stream) in &streams {
        stream.flows(100, FLOW);
    }
    members.kill(leader);
    for (_, stream) in &streams {
        stream.flows(300, FLOW);
    }
    members.launch(leader);
    members.converge();
    for (name, stream) in streams {
        let report = stream.finish().expect("a report");
        println!(
            "{name}: {} acknowledged, {} copies, {} failures, longest gap {} ms",
            report.acknowledged, report.copies, report.failures, report.longest_gap_ms
        );
        let (missing, errors) = (&report.missing, &report.errors);
        assert!(report.ok && missing.is_empty(), "{name} lost {missing:?}: {errors:?}");
    }
}

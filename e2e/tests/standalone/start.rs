//! Starting, and the folder of manifests.

use std::time::Duration;

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::verify;
use e2e::wait::{self, Stopwatch};

#[test]
fn a_new_broker_serves_within_a_second() {
    let watch = Stopwatch::start();
    let broker = Broker::start("");
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}: {}", broker.log());
}

#[test]
fn a_topic_written_into_the_folder_can_be_used_without_a_restart() {
    let broker = Broker::start("");
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "late", "local", "queues: {perGroup: 2}");
    matrix::object(&mut yaml, "ConsumerGroup", "late", "local", "consumeFrom: Earliest");
    std::fs::write(broker.manifests(), yaml).expect("written");
    let call = Call::new(Sdk::Go, Mode::Simple, &broker.endpoint(), "late", "late");
    let report = wait::until("the topic is there", Duration::from_secs(20), || {
        call.run(Scenario::Send, 1).ok().filter(|report| report.ok)
    });
    let received = call.run(Scenario::Receive, 1).expect("a report");
    assert_eq!(verify::problems(&call, Scenario::Send, 1, &report), Vec::<String>::new());
    assert_eq!(verify::problems(&call, Scenario::Receive, 1, &received), Vec::<String>::new());
}

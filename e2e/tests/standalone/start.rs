//! Starting, and the folder of manifests.

use std::time::Duration;

use client::{Message, Producer};
use e2e::broker::Broker;
use e2e::matrix;
use e2e::members::Members;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_takes_over_what_may_change_and_leaves_the_rest_for_a_restart() {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "later", "local", "type: DELAY");
    let members = Members::start_configured(1, &yaml, "maxDelayMs: 60000\n");
    let pids = members.pids();
    let producer = Producer::builder(members.endpoint(0)).start().await.expect("a producer starts");
    let send = async || {
        let message = Message::new("later", "in an hour").delay(Duration::from_hours(1));
        producer.send(message).await.map(drop).map_err(|error| error.to_string())
    };
    wait::eventually("an hour is too long", Duration::from_secs(20), async || match send().await {
        Err(error) if error.contains("ILLEGAL_DELIVERY_TIME") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    members.configure(0, "maxDelayMs: 7200000\n");
    wait::eventually("an hour is not too long", Duration::from_secs(20), &send).await;
    members.configure(0, "maxDelayMs: 60000\nnobody: knows this\n");
    let warned = |what: &str| {
        wait::until(what, Duration::from_secs(20), || members.log(0).contains(what).then_some(()));
    };
    warned("the changed configuration is wrong");
    send().await.expect("nothing of a wrong file is taken over");
    members.configure(0, "maxDelayMs: 7200000\ntls: {certFile: a, keyFile: b}\n");
    warned("parts of the changed configuration wait for a restart");
    send().await.expect("it serves on");
    assert_eq!(members.pids(), pids);
}

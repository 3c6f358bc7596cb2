//! Configurations that cannot be: all that is wrong is told at once, and nothing is connected to.

use std::time::Duration;

use client::{
    ClientBuilder, Consumed, Endpoint, InvalidConfig, Problem, Producer, PullConsumer, PushConsumer,
    SimpleConsumer, StartError,
};

const NOWHERE: &str = "127.0.0.1:1";

fn problems<T: std::fmt::Debug>(built: Result<T, InvalidConfig>) -> Vec<String> {
    built.unwrap_err().problems.iter().map(ToString::to_string).collect()
}

fn has(problems: &[String], words: &[&str]) {
    assert_eq!(problems.len(), words.len(), "{problems:?}");
    for (problem, word) in problems.iter().zip(words) {
        assert!(problem.contains(word), "`{problem}` does not say `{word}`");
    }
}

#[test]
fn a_push_consumer_is_told_everything_that_is_wrong() {
    let client = ClientBuilder::new("nowhere").request_timeout(Duration::ZERO).connections(0);
    let builder = PushConsumer::builder(client, "")
        .subscribe("a b", "*")
        .concurrency(0)
        .cache_messages(0)
        .cache_bytes(0)
        .close_within(Duration::from_hours(1));
    let words = [
        "request_timeout is 0ns",
        "connections is 0",
        "`nowhere` is no endpoint",
        "consumer group",
        "a b",
        "concurrency is 0, and goes from 1 to 100000",
        "cache_messages",
        "cache_bytes",
        "close_within",
        "no listener",
    ];
    has(&problems(builder.build()), &words);
}

#[test]
fn consumers_need_a_topic_and_read_it_once() {
    let push = PushConsumer::builder(NOWHERE, "g").listener(|_| async { Consumed::Done });
    assert_eq!(push.build().unwrap_err().problems, [Problem::NoTopic]);
    assert_eq!(SimpleConsumer::builder(NOWHERE, "g").build().unwrap_err().problems, [Problem::NoTopic]);
    assert_eq!(PullConsumer::builder(NOWHERE, "g").build().unwrap_err().problems, [Problem::NoTopic]);
    let twice = SimpleConsumer::builder(NOWHERE, "g").subscribe("a", "*").subscribe("a", "x");
    assert_eq!(twice.build().unwrap_err().problems, [Problem::TopicTwice("a".into())]);
}

#[test]
fn a_producer_is_told_what_is_wrong_with_its_topics_and_attempts() {
    let builder = Producer::builder(NOWHERE).topic("fine").topic("not fine").attempts_max(0);
    has(&problems(builder.build()), &["not fine", "attempts_max is 0, and goes from 1 to 1000"]);
    has(&problems(Producer::builder(Vec::<Endpoint>::new()).build()), &["no endpoint"]);
}

#[test]
fn a_simple_consumer_waits_for_10_minutes_at_most() {
    let builder = |wait| SimpleConsumer::builder(NOWHERE, "g").subscribe("a", "*").wait(wait);
    assert!(builder(Duration::from_mins(10)).build().is_ok());
    has(&problems(builder(Duration::from_mins(11)).build()), &["wait is 660s, and goes from 0ns to 600s"]);
}

#[tokio::test]
async fn what_cannot_be_does_not_start() {
    let error = SimpleConsumer::builder("", "g").start().await.unwrap_err();
    let StartError::Config(invalid) = &error else { panic!("{error:?}") };
    assert_eq!(invalid.problems.len(), 2);
    assert!(error.to_string().contains("; "), "{error}");
}

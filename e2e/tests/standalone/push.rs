//! The push consumer of our own client against a real broker: retries, order, crashes, farewells, long work.

mod log;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use client::{Consumed, Delivered, Filter, Message, Producer, PushBuilder, PushConsumer, SimpleConsumer};
use e2e::broker::Broker;
use e2e::matrix;
use e2e::wait::{self, Stopwatch};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use log::Log;

const ATTEMPTS: i32 = 4;
const SOON: Duration = Duration::from_mins(2);

fn broker(topic: &str, group: &str) -> Broker {
    let retry = format!("retry: {{maxAttempts: {ATTEMPTS}, backoff: {{custom: [200ms]}}}}");
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "work", "local", topic);
    matrix::object(&mut yaml, "ConsumerGroup", "workers", "local", &format!("{group}\n  {retry}"));
    matrix::object(&mut yaml, "ConsumerGroup", "undertaker", "local", "consumeFrom: Earliest");
    Broker::start(&yaml)
}

fn ordered() -> Broker {
    broker("type: FIFO", "ordered: true")
}

fn unordered() -> Broker {
    broker("type: NORMAL", "consumeFrom: Earliest")
}

fn workers(broker: &Broker) -> PushBuilder {
    PushConsumer::builder(broker.endpoint(), "workers").subscribe("work", Filter::all())
}

/// Notes when the work on each delivery begins and ends.
fn noted<W, R>(log: &Arc<Log>, work: W) -> impl Fn(Delivered) -> Handling + use<W, R>
where
    W: Fn(Delivered) -> R,
    R: Future<Output = Consumed> + Send + 'static,
{
    let log = log.clone();
    move |message| {
        let (log, work) = (log.clone(), work(message.clone()));
        Box::pin(async move {
            let number = log.begin(&message);
            let consumed = work.await;
            log.end(number, consumed);
            consumed
        })
    }
}

/// Retries those that `fails` says.
fn failing(log: &Arc<Log>, fails: fn(&Delivered) -> bool) -> impl Fn(Delivered) -> Handling + use<> {
    noted(log, move |message| async move {
        tokio::task::yield_now().await;
        if fails(&message) { Consumed::Retry } else { Consumed::Done }
    })
}

type Handling = Pin<Box<dyn Future<Output = Consumed> + Send>>;

async fn send(broker: &Broker, messages: impl Iterator<Item = Message>) {
    let producer =
        Producer::builder(broker.endpoint()).topic("work").start().await.expect("a producer starts");
    for message in messages {
        producer.send(message).await.expect("stored");
    }
    producer.close().await;
}

/// Bodies of the dead letters, which are as many as `wanted`.
async fn dead_letters(broker: &Broker, wanted: usize) -> BTreeSet<String> {
    let builder =
        SimpleConsumer::builder(broker.endpoint(), "undertaker").subscribe("%DLQ%workers", Filter::all());
    // The topic is made with the first dead letter.
    let start = async || builder.clone().start().await.map_err(|error| error.to_string());
    let consumer = wait::eventually("dead letters are there", SOON, start).await;
    let (mut bodies, watch) = (BTreeSet::new(), Stopwatch::start());
    while bodies.len() < wanted {
        assert!(watch.elapsed() < SOON, "{} of {wanted} dead letters", bodies.len());
        let received = consumer.receive(32, Duration::from_mins(1)).await.expect("dead letters are received");
        bodies.extend(received.iter().map(log::text));
    }
    consumer.close().await;
    bodies
}

fn number(message: &Delivered) -> usize {
    log::text(message).parse().expect("a number")
}

#[tokio::test]
async fn each_message_is_delivered_as_often_as_its_listener_wants_and_the_policy_allows() {
    const MESSAGES: usize = 1000;
    let broker = unordered();
    send(&broker, (0..MESSAGES).map(|number| Message::new("work", number.to_string()))).await;
    let log = Arc::new(Log::default());
    // One in ten needs three attempts, one in a hundred more than there are.
    let fails = |message: &Delivered| {
        let number = number(message);
        number % 100 == 7 || (number % 10 == 3 && message.attempt < 3)
    };
    let consumer = workers(&broker).listener(failing(&log, fails)).start().await.expect("it starts");
    let done = MESSAGES - MESSAGES / 100;
    log.wait_for("all messages are done", SOON, |handled| log::done(handled).len() == done).await;
    let dead = dead_letters(&broker, MESSAGES / 100).await;
    consumer.close().await;
    assert!(dead.iter().all(|body| body.ends_with('7')), "{dead:?}");
    for number in 0..MESSAGES {
        let attempts = log.attempts(&number.to_string());
        let wanted = if number % 100 == 7 {
            ATTEMPTS
        } else if number % 10 == 3 {
            3
        } else {
            1
        };
        assert_eq!(attempts, (1..=wanted).collect::<Vec<_>>(), "message {number}");
    }
}

#[tokio::test]
async fn a_message_group_is_worked_through_in_order_with_retries_and_past_a_dead_letter() {
    const GROUPS: usize = 6;
    const EACH: usize = 25;
    let broker = ordered();
    let message = |number: usize| {
        let group = format!("group-{}", number % GROUPS);
        Message::new("work", number.to_string()).message_group(group)
    };
    send(&broker, (0..GROUPS * EACH).map(message)).await;
    let log = Arc::new(Log::default());
    let fails = |message: &Delivered| {
        let number = number(message);
        number == 40 || (number % 10 == 3 && message.attempt < 3)
    };
    let first = workers(&broker).listener(failing(&log, fails)).start().await.expect("it starts");
    let second = workers(&broker).listener(failing(&log, fails)).start().await.expect("it starts");
    let done = GROUPS * EACH - 1;
    log.wait_for("all messages are done", SOON, |handled| log::done(handled).len() == done).await;
    assert_eq!(dead_letters(&broker, 1).await, BTreeSet::from(["40".to_owned()]));
    assert_eq!(log.attempts("40"), (1..=ATTEMPTS).collect::<Vec<_>>());
    first.close().await;
    second.close().await;
    for group in 0..GROUPS {
        let handled = log.of(|body| body.parse::<usize>().expect("a number") % GROUPS == group);
        log::assert_one_at_a_time(&handled);
        let order: Vec<usize> = handled.iter().map(|one| one.body.parse().expect("a number")).collect();
        assert!(order.is_sorted(), "group {group}: {order:?}");
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_in_the_middle() {
    const MESSAGES: usize = 600;
    let mut broker = unordered();
    send(&broker, (0..MESSAGES).map(|number| Message::new("work", number.to_string()))).await;
    let log = Arc::new(Log::default());
    let slowly = noted(&log, |_| async {
        sleep(Duration::from_millis(20)).await;
        Consumed::Done
    });
    let consumer = workers(&broker).concurrency(4).cache_messages(64).listener(slowly);
    let consumer = consumer.start().await.expect("it starts");
    log.wait_for("a third is done", SOON, |handled| log::done(handled).len() > MESSAGES / 3).await;
    broker = tokio::task::spawn_blocking(move || {
        println!("serves again {} ms after kill -9", broker.kill_and_restart().as_millis());
        broker
    })
    .await
    .expect("the broker starts again");
    log.wait_for("all messages are done", SOON, |handled| log::done(handled).len() == MESSAGES).await;
    consumer.close().await;
    drop(broker);
}

#[tokio::test]
async fn a_closed_consumer_finishes_what_it_began_and_gives_the_rest_to_others_at_once() {
    const MESSAGES: usize = 30;
    let broker = unordered();
    send(&broker, (0..MESSAGES).map(|number| Message::new("work", number.to_string()))).await;
    let (log, gate) = (Arc::new(Log::default()), Arc::new(Semaphore::new(0)));
    let opened = gate.clone();
    let held_up = noted(&log, move |_| {
        let gate = opened.clone();
        async move {
            gate.acquire().await.expect("the gate stays").forget();
            Consumed::Done
        }
    });
    let first = workers(&broker).concurrency(2).listener(held_up).start().await.expect("it starts");
    log.wait_for("two are begun", SOON, |handled| handled.len() == 2).await;
    let later = Arc::new(Log::default());
    let closing = tokio::spawn(first.close());
    let second = workers(&broker).listener(failing(&later, |_| false)).start().await.expect("it starts");
    let watch = Stopwatch::start();
    later.wait_for("the others are done", SOON, |handled| log::done(handled).len() == MESSAGES - 2).await;
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(10), "given back only after {took:?}");
    gate.add_permits(2);
    closing.await.expect("it closes");
    second.close().await;
    let (mine, theirs) = (log.bodies(), later.bodies());
    assert_eq!((mine.len(), mine.intersection(&theirs).count()), (2, 0), "{mine:?} {theirs:?}");
}

#[tokio::test]
async fn a_message_that_takes_longer_than_a_lease_is_delivered_once() {
    // A lease is of 60 s.
    const WORK: Duration = Duration::from_secs(75);
    let broker = unordered();
    send(&broker, std::iter::once(Message::new("work", "long"))).await;
    let log = Arc::new(Log::default());
    let slowly = noted(&log, |_| async {
        sleep(WORK).await;
        Consumed::Done
    });
    let consumer = workers(&broker).listener(slowly).start().await.expect("it starts");
    log.wait_for("it is done", SOON, |handled| log::done(handled).len() == 1).await;
    consumer.close().await;
    assert_eq!(log.attempts("long"), [1]);
}

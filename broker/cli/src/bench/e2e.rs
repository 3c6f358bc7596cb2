//! `millpond bench e2e`: how long a message takes from its sender to a consumer, at a given rate.
//!
//! A body begins with the run's number, the message's number and when it was sent, so that sender and consumer agree on one
//! clock, messages of earlier runs do not count, and losses and duplicates are seen. With --delay a latency counts from the time
//! of delivery that the message asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use client::admin::TopicType;
use client::{Filter, Message, Producer, RECEIVE_MAX, SimpleConsumer};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Load;
use super::measure::{Tally, Window};
use super::pace::Pace;
use super::report::{Report, watch};
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::Format;
use crate::values::duration;

const INVISIBLE: Duration = Duration::from_mins(1);
const STAMP_BYTES: usize = 24;
/// How long to wait for messages that are still under way at the end.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Measure the way from sender to consumer
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) load: Load,
    /// The consumer group
    #[arg(long, default_value = "bench-e2e-group")]
    group: String,
    /// Messages a second, by the clock
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Send each message for so much later; the topic must be of type DELAY
    #[arg(long, value_parser = duration)]
    delay: Option<Duration>,
    /// Receives under way at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,
}

/// What senders and consumers share.
struct Run {
    id: u64,
    begin: Instant,
    window: Window,
    size: usize,
    delay: Option<Duration>,
    topic: String,
    pace: Pace,
    next: AtomicU64,
    /// Messages that were confirmed, by number.
    confirmed: Mutex<Vec<bool>>,
    /// How often each message was received, by number.
    received: Mutex<Vec<u8>>,
    arrived: AtomicU64,
    over: AtomicBool,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let load = &args.load;
    let topic_type = if args.delay.is_some() { TopicType::Delay } else { TopicType::Normal };
    load.prepare(connect, topic_type, Some(&args.group)).await?;
    let producer = Producer::builder(load.client(connect)?).topic(&load.topic).attempts_max(1);
    let producer = Arc::new(producer.start().await?);
    let consumer = SimpleConsumer::builder(load.client(connect)?, &args.group)
        .subscribe(&load.topic, Filter::all())
        .wait(Duration::from_secs(5));
    let consumer = Arc::new(consumer.start().await?);
    let run = Arc::new(Run::new(load, args.delay));
    let mut consumers = JoinSet::new();
    for _ in 0..args.consumers {
        consumers.spawn(run.clone().consume(consumer.clone()));
    }
    let mut senders = JoinSet::new();
    for _ in 0..load.callers {
        senders.spawn(run.clone().send(producer.clone()));
    }
    let (pacer, rate) = (run.clone(), args.rate);
    tokio::spawn(async move { pacer.pace.run(rate, pacer.window.end).await });
    let cpu = watch(run.window, &load.pids, &run.arrived).await;
    let mut sent = Tally::new();
    for one in senders.join_all().await {
        sent.add(one);
    }
    run.drain().await;
    let mut arrived = Tally::new();
    while let Some(joined) = consumers.join_next().await {
        arrived.add(joined.map_err(|error| Failure::Refused(error.to_string()))?);
    }
    let (lost, duplicates) = run.losses();
    arrived.errors += sent.errors;
    arrived.first_error = arrived.first_error.take().or_else(|| sent.first_error.take());
    let report = Report::new("e2e", load, 1, run.window.seconds(), &arrived, cpu);
    Report {
        rate_per_s: Some(args.rate),
        send_latency: Some(sent.latency()),
        lost: Some(lost),
        duplicates: Some(duplicates),
        ..report
    }
    .print(format)
}

impl Run {
    fn new(load: &Load, delay: Option<Duration>) -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Self {
            id: RandomState::new().build_hasher().finish(),
            begin: Instant::now(),
            window: Window::after(load.warmup, load.duration),
            size: (load.size as usize).max(STAMP_BYTES),
            delay,
            topic: load.topic.clone(),
            pace: Pace::new(),
            next: AtomicU64::new(0),
            confirmed: Mutex::default(),
            received: Mutex::default(),
            arrived: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    async fn send(self: Arc<Self>, producer: Arc<Producer>) -> Tally {
        let mut tally = Tally::new();
        while let Some(due) = self.pace.next().await {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let result = producer.send(self.message(number, due)).await;
            let now = Instant::now();
            match result {
                Ok(_) => mark(&mut self.confirmed.lock(), number, |seen| *seen = true),
                Err(error) => tally.fail(&error),
            }
            if self.window.holds(due) {
                tally.record(now - due);
            }
        }
        tally
    }

    async fn consume(self: Arc<Self>, consumer: Arc<SimpleConsumer>) -> Tally {
        let mut tally = Tally::new();
        while !self.over.load(Ordering::Relaxed) {
            let delivered = match consumer.receive(RECEIVE_MAX, INVISIBLE).await {
                Ok(delivered) => delivered,
                Err(error) => {
                    tally.fail(&error);
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let now = Instant::now();
            for message in &delivered {
                self.arrive(&message.body, now, &mut tally);
            }
            if let Err(error) = consumer.ack_all(&delivered).await {
                tally.fail(&error);
            }
        }
        tally
    }

    fn message(&self, number: u64, due: Instant) -> Message {
        let message = Message::new(self.topic.clone(), self.body(number, due));
        match self.delay {
            Some(delay) => message.delay((due + delay).saturating_duration_since(Instant::now())),
            None => message,
        }
    }

    fn body(&self, number: u64, due: Instant) -> Bytes {
        let mut body = BytesMut::with_capacity(self.size);
        body.put_u64(self.id);
        body.put_u64(number);
        body.put_u64((due - self.begin).as_nanos() as u64);
        body.resize(self.size, b'm');
        body.freeze()
    }

    fn arrive(&self, mut body: &[u8], now: Instant, tally: &mut Tally) {
        if body.len() < STAMP_BYTES || body.get_u64() != self.id {
            return;
        }
        let (number, due) = (body.get_u64(), self.begin + Duration::from_nanos(body.get_u64()));
        let mut first = false;
        mark(&mut self.received.lock(), number, |count| {
            first = *count == 0;
            *count = count.saturating_add(1);
        });
        if first {
            self.arrived.fetch_add(1, Ordering::Relaxed);
            if self.window.holds(due) {
                tally.messages += 1;
                tally.record(now.saturating_duration_since(due + self.delay.unwrap_or_default()));
            }
        }
    }

    /// Waits for what is under way, then ends the consumers.
    async fn drain(&self) {
        let confirmed = self.confirmed.lock().iter().filter(|seen| **seen).count() as u64;
        let end = Instant::now() + self.delay.unwrap_or_default() + DRAIN_MAX;
        while self.arrived.load(Ordering::Relaxed) < confirmed && Instant::now() < end {
            sleep(Duration::from_millis(20)).await;
        }
        self.over.store(true, Ordering::Relaxed);
    }

    /// Confirmed and not received; received again.
    fn losses(&self) -> (u64, u64) {
        let (confirmed, received) = (self.confirmed.lock(), self.received.lock());
        let times = |number: usize| received.get(number).copied().unwrap_or(0);
        let lost =
            confirmed.iter().enumerate().filter(|(number, seen)| **seen && times(*number) == 0).count();
        let duplicates = received.iter().map(|times| u64::from(times.saturating_sub(1))).sum();
        (lost as u64, duplicates)
    }
}

/// Changes one element of a list that grows as needed.
fn mark<T: Clone + Default>(list: &mut Vec<T>, number: u64, change: impl FnOnce(&mut T)) {
    let at = number as usize;
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    change(&mut list[at]);
}

//! `millpond bench send`: how many messages a second a server stores, and how fast it confirms them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::admin::TopicType;
use client::{Message, Producer, SendError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Load;
use super::measure::{Tally, Window};
use super::pace::Pace;
use super::report::{Report, watch};
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::Format;
use crate::values::duration;

/// Measure sending
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) load: Load,
    /// Messages of one request
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Send each message in a transaction, and commit it
    #[arg(long, conflicts_with = "batch")]
    transaction: bool,
    /// Let each message be delivered so much later; the topic must be of type DELAY
    #[arg(long, value_parser = duration, conflicts_with = "transaction")]
    delay: Option<Duration>,
    /// Messages a second, by the clock [default: as many as the callers manage]
    #[arg(long)]
    rate: Option<f64>,
}

struct Caller {
    producer: Arc<Producer>,
    topic: String,
    body: Bytes,
    batch: u32,
    in_transaction: bool,
    delay: Option<Duration>,
    window: Window,
    pace: Option<Arc<Pace>>,
    done: Arc<AtomicU64>,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let load = &args.load;
    let topic_type = match args.delay {
        Some(_) => TopicType::Delay,
        None if args.transaction => TopicType::Transaction,
        None => TopicType::Normal,
    };
    load.prepare(connect, topic_type, None).await?;
    let producer = Producer::builder(load.client(connect)?).topic(&load.topic).attempts_max(1);
    let producer = Arc::new(producer.start().await?);
    let window = Window::after(load.warmup, load.duration);
    let done = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let pace = args.rate.map(|_| Arc::new(Pace::new()));
    for _ in 0..load.callers {
        let caller = Caller {
            producer: producer.clone(),
            topic: load.topic.clone(),
            body: Bytes::from(vec![b'm'; load.size as usize]),
            batch: args.batch,
            in_transaction: args.transaction,
            delay: args.delay,
            window,
            pace: pace.clone(),
            done: done.clone(),
        };
        callers.spawn(caller.run());
    }
    if let (Some(pace), Some(rate)) = (pace, args.rate) {
        let requests_per_s = rate / f64::from(args.batch);
        tokio::spawn(async move { pace.run(requests_per_s, window.end).await });
    }
    let cpu = watch(window, &load.pids, &done).await;
    let mut tally = Tally::new();
    for one in callers.join_all().await {
        tally.add(one);
    }
    let name = if args.transaction { "send and commit" } else { "send" };
    let report = Report::new(name, load, args.batch, window.seconds(), &tally, cpu);
    Report { rate_per_s: args.rate, ..report }.print(format)
}

impl Caller {
    async fn run(self) -> Tally {
        let mut tally = Tally::new();
        while let Some(due) = self.next().await {
            let results = self.request().await;
            let now = Instant::now();
            self.done.fetch_add(u64::from(self.batch), Ordering::Relaxed);
            if !self.window.holds(now) || due < self.window.begin {
                continue;
            }
            match results {
                Ok(results) => {
                    tally.record(now - due);
                    for result in results {
                        match result {
                            Ok(()) => tally.messages += 1,
                            Err(error) => tally.fail(&error),
                        }
                    }
                }
                Err(error) => tally.fail(&error),
            }
        }
        tally
    }

    /// Sends, and tells what became of each message.
    async fn request(&self) -> Result<Vec<Result<(), Failure>>, SendError> {
        let message = || {
            let message = Message::new(self.topic.clone(), self.body.clone());
            match self.delay {
                Some(delay) => message.delay(delay),
                None => message,
            }
        };
        if self.in_transaction {
            let decided = self.producer.begin(message()).await?.commit().await;
            return Ok(vec![decided.map_err(Failure::from)]);
        }
        let results = self.producer.send_all((0..self.batch).map(|_| message()).collect()).await?;
        Ok(results.into_iter().map(|result| result.map(drop).map_err(Failure::from)).collect())
    }

    /// When the next request counts from; none after the end.
    async fn next(&self) -> Option<Instant> {
        match &self.pace {
            Some(pace) => pace.next().await,
            None => Some(Instant::now()).filter(|now| *now < self.window.end),
        }
    }
}

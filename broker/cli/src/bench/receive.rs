//! `millpond bench receive`: how many messages a second a server gives out and takes back as done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use client::admin::TopicType;
use client::{Delivered, Filter, Message, Producer, RECEIVE_MAX, SimpleConsumer};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Load;
use super::measure::{Cpu, Tally};
use super::report::Report;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::Format;
use crate::progress::Progress;

const INVISIBLE: Duration = Duration::from_mins(5);
const PREFILL_CALLERS: u64 = 8;
const PREFILL_BATCH: u64 = 32;

/// Measure receiving and acknowledging what is there
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) load: Load,
    /// The consumer group
    #[arg(long, default_value = "bench-group")]
    group: String,
    /// Messages to send before the measurement
    #[arg(long, default_value_t = 0)]
    prefill: u64,
    /// End after this many messages [default: those of --prefill]
    #[arg(long)]
    count: Option<u64>,
    /// Messages of one receive at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=32))]
    batch: u32,
    /// Message groups that the messages are spread over: the topic is of type FIFO, and the consumer group reads in order
    #[arg(long, default_value_t = 0)]
    message_groups: u32,
    /// Nobody acknowledges the messages of the first so many of them, and they do not count
    #[arg(long, default_value_t = 0, requires = "message_groups")]
    stuck: u32,
    /// How messages are acknowledged
    #[arg(long, value_enum, default_value = "each")]
    ack: Ack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// One request for each message
    Each,
    /// One request for each receive
    Batch,
    /// Not at all
    None,
}

struct Caller {
    consumer: Arc<SimpleConsumer>,
    batch: usize,
    ack: Ack,
    stuck: u32,
    wanted: u64,
    end: Instant,
    done: Arc<AtomicU64>,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let load = &args.load;
    let topic_type = if args.message_groups > 0 { TopicType::Fifo } else { TopicType::Normal };
    load.prepare(connect, topic_type, Some(&args.group)).await?;
    let consumer = SimpleConsumer::builder(load.client(connect)?, &args.group)
        .subscribe(&load.topic, Filter::all())
        .wait(Duration::from_secs(5));
    let consumer = Arc::new(consumer.start().await?);
    prefill(&args, connect).await?;
    let wanted = args.count.unwrap_or_else(|| args.flowing());
    if wanted == 0 {
        return Err(Failure::Usage("give --prefill or --count".to_owned()));
    }
    let (begin, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let end = begin + load.duration.max(Duration::from_mins(2));
    let before = Cpu::now(&load.pids);
    let mut callers = JoinSet::new();
    for _ in 0..load.callers {
        let (consumer, done) = (consumer.clone(), done.clone());
        let (batch, ack, stuck) = (args.batch as usize, args.ack, args.stuck);
        let caller = Caller { consumer, batch, ack, stuck, wanted, end, done };
        callers.spawn(caller.run());
    }
    let (mut tally, mut last, mut progress) = (Tally::new(), begin, Progress::new());
    while let Some(joined) = callers.join_next().await {
        let (one, ended) = joined.map_err(|error| Failure::Refused(error.to_string()))?;
        tally.add(one);
        last = last.max(ended);
        progress.show(|| format!("{} of {wanted} messages", done.load(Ordering::Relaxed)));
    }
    drop(progress);
    let cpu = Cpu::now(&load.pids).since(before);
    let seconds = (last - begin).as_secs_f64().max(0.001);
    Report::new("receive", load, args.batch, seconds, &tally, cpu).print(format)
}

impl Args {
    /// Messages of the prefill that somebody acknowledges.
    fn flowing(&self) -> u64 {
        let groups = u64::from(self.message_groups.max(1));
        let stuck = u64::from(self.stuck.min(self.message_groups));
        let (rounds, rest) = (self.prefill / groups, self.prefill % groups);
        self.prefill - rounds * stuck - rest.min(stuck)
    }
}

impl Caller {
    /// Answers also when its last message was done: waiting for more after that is not part of the rate.
    async fn run(self) -> (Tally, Instant) {
        let (mut tally, mut last) = (Tally::new(), Instant::now());
        while self.done.load(Ordering::Relaxed) < self.wanted && Instant::now() < self.end {
            let begin = Instant::now();
            let mut delivered = match self.consumer.receive(self.batch.min(RECEIVE_MAX), INVISIBLE).await {
                Ok(delivered) => delivered,
                Err(error) => {
                    tally.fail(&error);
                    break;
                }
            };
            if delivered.is_empty() {
                break;
            }
            tally.record(begin.elapsed());
            delivered.retain(|message| !is_stuck(message, self.stuck));
            if delivered.is_empty() {
                continue;
            }
            self.done.fetch_add(delivered.len() as u64, Ordering::Relaxed);
            self.acknowledge(&delivered, &mut tally).await;
            last = Instant::now();
        }
        (tally, last)
    }

    async fn acknowledge(&self, delivered: &[Delivered], tally: &mut Tally) {
        match self.ack {
            Ack::None => tally.messages += delivered.len() as u64,
            Ack::Each => {
                for message in delivered {
                    match self.consumer.ack(message).await {
                        Ok(()) => tally.messages += 1,
                        Err(error) => tally.fail(&error),
                    }
                }
            }
            Ack::Batch => match self.consumer.ack_all(delivered).await {
                Ok(results) => {
                    for result in results {
                        match result {
                            Ok(()) => tally.messages += 1,
                            Err(refused) => tally.fail(&refused),
                        }
                    }
                }
                Err(error) => tally.fail(&error),
            },
        }
    }
}

/// Whether it is of one of the first message groups, which go by number.
fn is_stuck(message: &Delivered, stuck: u32) -> bool {
    let group = message.message_group.as_ref().and_then(|group| group.parse::<u32>().ok());
    group.is_some_and(|group| group < stuck)
}

/// Sends what will be received.
async fn prefill(args: &Args, connect: &Connect) -> Result<(), Failure> {
    if args.prefill == 0 {
        return Ok(());
    }
    let load = &args.load;
    let producer = Arc::new(Producer::builder(load.client(connect)?).topic(&load.topic).start().await?);
    let body = Bytes::from(vec![b'm'; load.size as usize]);
    let left = Arc::new(AtomicU64::new(args.prefill));
    let mut senders = JoinSet::new();
    for _ in 0..PREFILL_CALLERS {
        let (producer, left, body, topic) =
            (producer.clone(), left.clone(), body.clone(), load.topic.clone());
        let groups = u64::from(args.message_groups);
        // The peer takes one message a request where there is an order.
        let batch = if groups > 0 { 1 } else { PREFILL_BATCH };
        senders.spawn(async move {
            let take = |left: u64| (left > 0).then(|| left - left.min(batch));
            while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                let message = |number: u64| {
                    let message = Message::new(topic.clone(), body.clone());
                    if groups > 0 { message.message_group((number % groups).to_string()) } else { message }
                };
                let messages = (before - before.min(batch)..before).map(message).collect();
                for result in producer.send_all(messages).await? {
                    result?;
                }
            }
            Ok::<(), Failure>(())
        });
    }
    let mut progress = Progress::new();
    while let Some(joined) = senders.join_next().await {
        joined.map_err(|error| Failure::Refused(error.to_string()))??;
        progress.show(|| format!("prefill: {} messages left", left.load(Ordering::Relaxed)));
    }
    Ok(())
}

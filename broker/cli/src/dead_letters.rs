//! `millpond dead-letters`: what a consumer group gave up on.
//!
//! ```text
//!   %DLQ%<group> ──list, export──▶ read by a consumer group of this command alone, which goes when it ends
//!                ──resend────────▶ read by `millpond-resend-<group>`, which remembers what was sent again
//! ```
//!
//! Promise: a dead letter is sent again at least once, and not again once it was acknowledged to be. It stays in its topic for as long
//! as the log keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::admin::{Adopt, ConsumeFrom, TopicType};
use client::{Delivered, Filter, Message, Producer, RECEIVE_MAX, SimpleConsumer, now_ms};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::groups::{group, policy};
use crate::output::Format;
use crate::receive::print_message;
use crate::tail::with_own_group;

const WAIT: Duration = Duration::from_secs(5);
const INVISIBLE: Duration = Duration::from_mins(1);
/// Of a transaction that is over.
const TRANSACTION_KEY: &str = "__transactionId__";
/// A dead letter that cannot be sent again may be tried so often.
const ATTEMPTS: u32 = 1000;

const EXAMPLES: &str = "\
Examples:
  millpond dead-letters list billing             what was not sent again yet
  millpond dead-letters resend billing --max 1   try it with one
  millpond dead-letters export billing           all that are kept, as JSON, one a line";

/// Look at what a consumer group gave up on, send it again, keep a copy
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show dead letters that were not sent again yet
    List(Args),
    /// Send dead letters to the topics they came from, as new messages for all their consumer groups
    Resend(Args),
    /// Print all dead letters that are kept, as JSON, one a line
    Export(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The consumer group that gave them up
    group: String,
    /// At most so many, oldest first
    #[arg(long)]
    max: Option<usize>,
}

/// Queue and offset.
type Place = (i32, i64);

/// The dead letters of a consumer group.
struct Letters<'a> {
    connect: &'a Connect,
    topic: String,
    /// Who sends them again.
    resender: String,
    max: usize,
}

pub(crate) async fn run(command: Command, connect: &Connect, format: Format) -> Result<(), Failure> {
    let letters = |args: &Args| Letters {
        connect,
        topic: format!("%DLQ%{}", args.group),
        resender: format!("millpond-resend-{}", args.group),
        max: args.max.unwrap_or(usize::MAX),
    };
    match command {
        Command::List(args) => {
            let letters = letters(&args);
            letters.print(letters.waiting().await?, format).await
        }
        Command::Export(args) => {
            let letters = letters(&args);
            letters.print(letters.kept().await?, Format::Json).await
        }
        Command::Resend(args) => letters(&args).resend(format).await,
    }
}

impl Letters<'_> {
    /// All that are kept.
    async fn kept(&self) -> Result<BTreeSet<Place>, Failure> {
        let topic = match self.connect.admin()?.topic(&self.topic).await {
            Err(error) if error.is_not_found() => {
                let text =
                    format!("no dead letters: there is no topic `{}`, nothing was given up", self.topic);
                return Err(Failure::NotFound(text));
            }
            topic => topic?,
        };
        let of_queue = |queue: &client::admin::QueueStatus| {
            let number = queue.queue.cast_signed();
            (queue.head..queue.tail).map(move |offset| (number, offset.cast_signed()))
        };
        Ok(topic.queues.iter().flat_map(of_queue).collect())
    }

    /// Those that were not sent again.
    async fn waiting(&self) -> Result<BTreeSet<Place>, Failure> {
        let mut kept = self.kept().await?;
        match self.connect.admin()?.consumer_group(&self.resender).await {
            Ok(resender) => {
                for at in resender.progress.iter().filter(|at| at.topic == self.topic) {
                    let (number, floor) = (at.queue.cast_signed(), at.floor.cast_signed());
                    kept.retain(|(queue, offset)| *queue != number || *offset >= floor);
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(kept)
    }

    async fn print(&self, mut places: BTreeSet<Place>, format: Format) -> Result<(), Failure> {
        while places.len() > self.max {
            places.pop_last();
        }
        with_own_group(self.connect, ConsumeFrom::Earliest, std::future::pending(), async |group| {
            let consumer = self.consumer(group).await?;
            while !places.is_empty() {
                let delivered = consumer.receive(RECEIVE_MAX, INVISIBLE).await?;
                // The rest was removed by retention meanwhile.
                if delivered.is_empty() {
                    break;
                }
                for letter in delivered.iter().filter(|one| places.remove(&(one.queue, one.offset))) {
                    print_message(letter, format)?;
                }
                consumer.ack_all(&delivered).await?;
            }
            consumer.close().await;
            Ok(())
        })
        .await
    }

    async fn resend(&self, format: Format) -> Result<(), Failure> {
        let mut left = self.waiting().await?.len().min(self.max);
        let resender = group(self.resender.clone(), policy(ATTEMPTS, &[]), ConsumeFrom::Earliest);
        for outcome in
            self.connect.admin()?.apply_consumer_groups(vec![resender], Adopt::IfCompatible).await?
        {
            outcome.result.map_err(|refusal| Failure::Refused(format!("`{}`: {refusal}", outcome.name)))?;
        }
        let consumer = self.consumer(&self.resender).await?;
        let mut ways = BTreeMap::new();
        while left > 0 {
            let mut delivered = consumer.receive(left.min(RECEIVE_MAX), INVISIBLE).await?;
            if delivered.is_empty() {
                break;
            }
            left = left.saturating_sub(delivered.len());
            for at in 0..delivered.len() {
                if let Err(failure) = self.send(&delivered[at], &mut ways).await {
                    for letter in &mut delivered[at..] {
                        consumer.change_invisible(letter, Duration::ZERO).await?;
                    }
                    return Err(failure);
                }
                print_message(&delivered[at], format)?;
                consumer.ack_all(&delivered[at..=at]).await?;
            }
        }
        consumer.close().await;
        Ok(())
    }

    async fn consumer(&self, group: &str) -> Result<SimpleConsumer, Failure> {
        let builder = SimpleConsumer::builder(self.connect.messaging()?, group);
        Ok(builder.subscribe(&self.topic, Filter::all()).wait(WAIT).start().await?)
    }

    /// Sends a dead letter to where it came from, in the way that the topic wants.
    async fn send(
        &self,
        letter: &Delivered,
        ways: &mut BTreeMap<String, (Producer, TopicType)>,
    ) -> Result<(), Failure> {
        let Some((origin, _)) = &letter.dead_letter_of else {
            return Err(Failure::Refused(format!("{} does not say where it came from", letter.message_id)));
        };
        if !ways.contains_key(origin) {
            let topic = self.connect.admin()?.topic(origin).await?.topic.unwrap_or_default();
            let producer = Producer::builder(self.connect.messaging()?).topic(origin).start().await?;
            ways.insert(origin.clone(), (producer, topic.r#type()));
        }
        let (producer, topic_type) = &ways[origin];
        let properties = letter.properties.clone().into_iter();
        let message = Message {
            topic: origin.clone(),
            body: letter.body.clone(),
            tag: letter.tag.clone(),
            keys: letter.keys.clone(),
            properties: properties.filter(|(key, _)| key != TRANSACTION_KEY).collect(),
            message_group: letter.message_group.clone(),
            priority: letter.priority.and_then(|priority| u32::try_from(priority).ok()),
            // Its time has come before.
            delivery_ms: (*topic_type == TopicType::Delay).then(now_ms),
            check_after: None,
            // The same message, again.
            trace_context: letter.trace_context.clone(),
        };
        if *topic_type == TopicType::Transaction {
            producer.begin(message).await?.commit().await?;
        } else {
            producer.send(message).await?;
        }
        Ok(())
    }
}

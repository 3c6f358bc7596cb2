//! `millpond send`: messages from the command line.

use std::io::{BufRead, IsTerminal, stdin};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use client::{Message, Producer, SendError, SendReceipt, Transaction};
use serde_json::json;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, print_line};
use crate::progress::Progress;
use crate::values::{duration, key_value, traceparent};

/// Messages of one request that repeats a body, if nothing else is said.
const BATCH: u32 = 32;
/// Bodies of one request; a server takes at least this much.
const BATCH_BYTES_MAX: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  millpond send orders 'hello' --tag new --key 4711 --property source=shop
  millpond send ledger 'debit 5' --group account-17
  millpond send reminders 'call back' --delay 30m
  millpond send payments 'paid 4711' --transaction commit
  millpond send alerts 'disk is full' --priority 9
  millpond send orders 'hello' --trace-context 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
  millpond send orders --file order.json
  cat lines.txt | millpond send orders            one message a line
  cat lines.txt | millpond send orders --batch 64 the same with 64 lines in each request
  millpond send orders 'hello' --count 1000";

/// Send messages to a topic
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// The body; without one and without --file, each line of standard input is a message
    body: Option<String>,
    /// Take the body from a file
    #[arg(long, conflicts_with = "body")]
    file: Option<PathBuf>,
    /// What consumers can filter by
    #[arg(long)]
    tag: Option<String>,
    /// What the message can be found by; may be given several times
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A property, key=value; may be given several times
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = key_value)]
    properties: Vec<(String, String)>,
    /// Keep messages of this group in order; the topic must be of type FIFO
    #[arg(long = "group", value_name = "MESSAGE GROUP")]
    message_group: Option<String>,
    /// Deliver the message so much later; the topic must be of type DELAY
    #[arg(long, value_parser = duration, conflicts_with = "message_group")]
    delay: Option<Duration>,
    /// Send each message in a transaction, and then do this; the topic must be of type TRANSACTION
    #[arg(long, value_enum, value_name = "OUTCOME", conflicts_with_all = ["message_group", "delay", "priority"])]
    transaction: Option<Outcome>,
    /// How urgent it is, from 0 to 9 for the highest; the topic must be of type PRIORITY
    #[arg(long, conflicts_with_all = ["message_group", "delay"])]
    priority: Option<u32>,
    /// The trace the message belongs to, as W3C `traceparent`: 00-<32 hex digits>-<16 hex digits>-01
    #[arg(long, value_name = "TRACEPARENT", value_parser = traceparent)]
    trace_context: Option<String>,
    /// Send the message this often
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Messages of one request [default: 32 with --count, each line of standard input alone]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), conflicts_with = "transaction")]
    batch: Option<u32>,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Outcome {
    /// Consumers get the message
    Commit,
    /// Nobody gets it
    Rollback,
    /// Nothing: the broker asks producers, and puts the message aside in the end
    Leave,
}

impl Args {
    fn message(&self, body: Bytes) -> Message {
        let message = Message {
            topic: self.topic.clone(),
            body,
            tag: self.tag.clone(),
            keys: self.keys.clone(),
            properties: self.properties.clone(),
            message_group: self.message_group.clone(),
            delivery_ms: None,
            check_after: None,
            priority: self.priority,
            trace_context: self.trace_context.clone(),
        };
        match self.delay {
            Some(delay) => message.delay(delay),
            None => message,
        }
    }

    /// One body to repeat, or none to read lines.
    fn body(&self) -> Result<Option<Bytes>, Failure> {
        if let Some(file) = &self.file {
            let named = |error| Failure::Usage(format!("{}: {error}", file.display()));
            return Ok(Some(std::fs::read(file).map_err(named)?.into()));
        }
        if self.body.is_none() && stdin().is_terminal() {
            return Err(Failure::Usage("give a body, --file, or lines on standard input".to_owned()));
        }
        Ok(self.body.clone().map(Bytes::from))
    }
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let body = args.body()?;
    let producer = Producer::builder(connect.messaging()?).topic(&args.topic).start().await?;
    let mut sender = Sender {
        producer: &producer,
        transaction: args.transaction,
        format,
        sent: 0,
        refused: None,
        progress: Progress::new(),
    };
    match body {
        Some(body) => {
            let most = args.batch.unwrap_or(BATCH) as usize;
            let batch = (BATCH_BYTES_MAX / body.len().max(1)).clamp(1, most) as u64;
            let mut left = args.count;
            while left > 0 {
                let now = left.min(batch);
                sender.send((0..now).map(|_| args.message(body.clone())).collect()).await?;
                left -= now;
            }
        }
        None => sender.send_lines(&args).await?,
    }
    let (sent, refused) = (sender.sent, sender.refused.take());
    drop(sender);
    producer.close().await;
    match refused {
        None => Ok(()),
        Some(first) => Err(Failure::Refused(format!("{sent} sent, others refused, first: {first}"))),
    }
}

struct Sender<'a> {
    producer: &'a Producer,
    transaction: Option<Outcome>,
    format: Format,
    sent: u64,
    refused: Option<String>,
    progress: Progress,
}

impl Sender<'_> {
    /// Sends what standard input says, a message a line.
    async fn send_lines(&mut self, args: &Args) -> Result<(), Failure> {
        let most = args.batch.unwrap_or(1) as usize;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for line in stdin().lock().lines() {
            let message = args.message(Bytes::from(line?));
            if bytes + message.body.len() > BATCH_BYTES_MAX && !batch.is_empty() {
                self.send(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += message.body.len();
            batch.push(message);
            if batch.len() >= most {
                self.send(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.send(batch).await }
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Failure> {
        if let Some(outcome) = self.transaction {
            for message in messages {
                self.send_in_transaction(message, outcome).await?;
            }
            return Ok(());
        }
        for result in self.producer.send_all(messages).await? {
            match result {
                Ok(receipt) => {
                    self.sent += 1;
                    let SendReceipt { message_id, offset, recall_handle, .. } = receipt;
                    let mut value = json!({"messageId": message_id, "offset": offset});
                    if !recall_handle.is_empty() {
                        value = json!({"messageId": message_id, "recallHandle": recall_handle});
                    }
                    print_line(self.format, &value, || {
                        // One that waits has no place in a queue yet.
                        if recall_handle.is_empty() {
                            format!("{message_id}  {offset}")
                        } else {
                            format!("{message_id}  {recall_handle}")
                        }
                    })?;
                }
                Err(refused) => self.refused = self.refused.take().or_else(|| Some(refused.to_string())),
            }
        }
        self.progress.show(|| format!("{} sent", self.sent));
        Ok(())
    }

    async fn send_in_transaction(&mut self, message: Message, outcome: Outcome) -> Result<(), Failure> {
        let transaction = match self.producer.begin(message).await {
            Ok(transaction) => transaction,
            Err(SendError::Refused(refused)) => {
                self.refused = self.refused.take().or_else(|| Some(refused.to_string()));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Transaction { message_id, transaction_id, .. } = &transaction;
        let value = json!({"messageId": message_id, "transactionId": transaction_id});
        let line = format!("{message_id}  {transaction_id}");
        match outcome {
            Outcome::Commit => transaction.commit().await?,
            Outcome::Rollback => transaction.roll_back().await?,
            Outcome::Leave => drop(transaction),
        }
        self.sent += 1;
        print_line(self.format, &value, || line)?;
        self.progress.show(|| format!("{} sent", self.sent));
        Ok(())
    }
}

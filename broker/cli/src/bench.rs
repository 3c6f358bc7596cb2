//! `millpond bench`: loads a server of the RocketMQ 5 protocol and measures it.
//!
//! ```text
//!   warm-up ──▶ window: requests that begin and end in it count ──▶ report
//! ```
//!
//! Closed loop (no --rate): each caller sends its next request when the last one was answered. Open loop (--rate): requests fall due
//! by the clock, and a latency counts from when a request was due, so that a server that stalls cannot hide it.

mod e2e;
mod measure;
mod pace;
mod receive;
mod report;
mod send;

use std::time::Duration;

use clap::{Args, Subcommand};
use client::ClientBuilder;
use client::admin::{Adopt, ConsumeFrom, ConsumerGroup, Topic, TopicType};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::groups::{group, policy};
use crate::output::Format;
use crate::values::duration;

const EXAMPLES: &str = "\
Examples:
  millpond bench send bench --create --callers 32 --size 1024
  millpond bench send bench --callers 256 --rate 20000 --duration 30s -o json
  millpond bench send paid --create --transaction
  millpond bench send later --create --delay 12h --batch 32
  millpond bench receive bench --create --prefill 200000 --callers 32 --ack batch
  millpond bench receive ledger --create --prefill 200000 --message-groups 1000 --stuck 1
  millpond bench e2e bench --create --rate 1000
  millpond bench e2e later --create --rate 10000 --delay 5s
  millpond bench send bench --endpoint peer:8081 --pid $(pidof java)      also the server's CPU time

A server without this admin API: make topic and group yourself and leave out --create.";

/// Measure a server of the RocketMQ 5 protocol
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    Send(send::Args),
    Receive(receive::Args),
    E2e(e2e::Args),
}

/// What every benchmark needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// The topic
    topic: String,
    /// Make the topic (and the consumer group) first, through the admin API
    #[arg(long)]
    create: bool,
    /// Queues of the topic that --create makes
    #[arg(long, default_value_t = 8, requires = "create")]
    queues: u32,
    /// Requests under way at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,
    /// Connections to each server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Bytes of a body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    size: u32,
    /// How long to measure
    #[arg(long, value_parser = duration, default_value = "15s")]
    duration: Duration,
    /// How long to load the server before
    #[arg(long, value_parser = duration, default_value = "3s")]
    warmup: Duration,
    /// Processes of the server on this machine, whose CPU time and memory are reported
    #[arg(long = "pid", value_delimiter = ',')]
    pids: Vec<u32>,
}

impl Command {
    pub(crate) fn threads(&self) -> usize {
        let load = match self {
            Self::Send(args) => &args.load,
            Self::Receive(args) => &args.load,
            Self::E2e(args) => &args.load,
        };
        usize::from(load.threads)
    }
}

impl Load {
    fn client(&self, connect: &Connect) -> Result<ClientBuilder, Failure> {
        Ok(connect.messaging()?.connections(usize::from(self.connections)))
    }

    /// Makes what `--create` asks for.
    async fn prepare(
        &self,
        connect: &Connect,
        topic_type: TopicType,
        consumer_group: Option<&str>,
    ) -> Result<(), Failure> {
        if !self.create {
            return Ok(());
        }
        let admin = connect.admin()?;
        let topic = Topic {
            name: self.topic.clone(),
            r#type: topic_type.into(),
            queues: self.queues,
            ..Topic::default()
        };
        let mut outcomes = admin.apply_topics(vec![topic], Adopt::Always).await?;
        if let Some(name) = consumer_group {
            let group = ConsumerGroup {
                ordered: topic_type == TopicType::Fifo,
                ..group(name.to_owned(), policy(16, &[]), ConsumeFrom::Earliest)
            };
            outcomes.extend(admin.apply_consumer_groups(vec![group], Adopt::Always).await?);
        }
        for outcome in outcomes {
            outcome.result.map_err(|refusal| Failure::Refused(format!("`{}`: {refusal}", outcome.name)))?;
        }
        Ok(())
    }
}

pub(crate) async fn run(command: Command, connect: &Connect, format: Format) -> Result<(), Failure> {
    match command {
        Command::Send(args) => send::run(args, connect, format).await,
        Command::Receive(args) => receive::run(args, connect, format).await,
        Command::E2e(args) => e2e::run(args, connect, format).await,
    }
}

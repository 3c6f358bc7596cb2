//! `millpond groups`: consumer groups of a broker.

mod reset;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use client::admin::{
    Adopt, Broadcast, ConsumeFrom, ConsumerGroup, DescribeConsumerGroupResponse, PriorityPolicy, RetryPolicy,
};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::topics::{Names, report};
use crate::values::{Place, duration, place, show_ms, show_time};

const APPLY_EXAMPLES: &str = "\
Examples:
  millpond groups apply billing --max-attempts 5
  millpond groups apply ledger --ordered
  millpond groups apply prices --broadcast
  millpond groups apply helpdesk --priority aging=30s
  millpond groups apply audit --from latest --retry 1s,10s,1m
  millpond groups apply replay --from 2026-11-22T08:00:00Z";

/// Consumer groups: who reads, how far, and what happens to messages that fail
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show consumer groups in name order
    List {
        /// Only names that begin like this
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show the progress of one consumer group, and its clients
    Describe {
        /// The consumer group
        name: String,
    },
    /// Create or change consumer groups
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(ApplyArgs),
    /// Go on at another place: what lies before is done, what lies behind is delivered again
    #[command(after_help = reset::EXAMPLES)]
    Reset(reset::ResetArgs),
    /// Delete consumer groups with their progress
    Delete {
        #[command(flatten)]
        names: Names,
    },
}

/// Consumer groups to create or change.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    names: Names,
    /// Deliveries of one message before it becomes a dead letter
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: u32,
    /// Waiting times before the next deliveries, the last one repeats: 1s,10s,1m [default: 5s, doubling up to 2h]
    #[arg(long, value_delimiter = ',', value_parser = duration)]
    retry: Vec<Duration>,
    /// Where the group starts on a topic that it never read: earliest, latest, a time, or an age (90m: so long ago)
    #[arg(long, value_parser = place, default_value = "earliest")]
    from: Place,
    /// Every consumer gets all messages: one for each host, or for each client id
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "by-host")]
    broadcast: Option<Identity>,
    /// Deliver the messages of a message group in order
    #[arg(long)]
    ordered: bool,
    /// Which levels of a topic of type priority come first: strict (the highest), weighted (level n in n + 1 parts), or aging
    /// (the highest, where one that waits rises by one each 10s, or each other time: aging=30s)
    #[arg(long, value_parser = priority, default_value = "strict")]
    priority: Priority,
    /// Record when each delivery was and which client got it, for `millpond trace`
    #[arg(long)]
    trace: bool,
    /// Take over groups that belong to another owner
    #[arg(long)]
    adopt: bool,
}

/// What tells the consumers of a broadcast apart.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Identity {
    ByHost,
    ByClient,
}

/// A policy and its aging interval, 0 for the usual one.
type Priority = (PriorityPolicy, u64);

pub(crate) async fn run(command: Command, connect: &Connect, format: Format) -> Result<(), Failure> {
    let admin = connect.admin()?;
    match command {
        Command::List { prefix } => {
            let groups = admin.consumer_groups(&prefix).await?;
            let values: Vec<Value> = groups.iter().map(group_json).collect();
            print(format, &values, || list_table(&groups))?;
            Ok(())
        }
        Command::Describe { name } => {
            let answer = admin.consumer_group(&name).await?;
            print(format, &describe_json(&answer), || progress_table(&answer))?;
            if format == Format::Table && !answer.clients.is_empty() {
                println!();
                print(format, &(), || clients_table(&answer))?;
            }
            Ok(())
        }
        Command::Apply(args) => {
            let adopt = if args.adopt { Adopt::Always } else { Adopt::IfCompatible };
            let retry = policy(args.max_attempts, &args.retry);
            let (from, consume_from_ms) = match args.from {
                Place::Earliest => (ConsumeFrom::Earliest, 0),
                Place::Latest => (ConsumeFrom::Latest, 0),
                Place::TimeMs(ms) => (ConsumeFrom::Timestamp, ms),
                Place::Offset(_) => {
                    return Err(Failure::Usage("a group starts at a time, not at an offset".to_owned()));
                }
            };
            let broadcast = match args.broadcast {
                None => Broadcast::No,
                Some(Identity::ByHost) => Broadcast::ByHost,
                Some(Identity::ByClient) => Broadcast::ByClient,
            };
            let trace = args.trace;
            let (ordered, (priority, aging_interval_ms)) = (args.ordered, args.priority);
            let group = |name| ConsumerGroup {
                ordered,
                trace,
                priority: priority.into(),
                aging_interval_ms,
                consume_from_ms,
                broadcast: broadcast.into(),
                ..group(name, retry.clone(), from)
            };
            let groups = args.names.all()?.into_iter().map(group).collect();
            report(&admin.apply_consumer_groups(groups, adopt).await?, format)
        }
        Command::Reset(args) => reset::run(args, connect, format).await,
        Command::Delete { names } => report(&admin.delete_consumer_groups(names.all()?, None).await?, format),
    }
}

/// A consumer group of nobody in particular.
pub(crate) fn group(name: String, retry: RetryPolicy, from: ConsumeFrom) -> ConsumerGroup {
    ConsumerGroup { name, retry: Some(retry), consume_from: from.into(), ..ConsumerGroup::default() }
}

/// Reads `strict`, `weighted`, `aging` or `aging=30s`.
fn priority(text: &str) -> Result<Priority, String> {
    let (policy, interval) = text.split_once('=').map_or((text, None), |(policy, time)| (policy, Some(time)));
    match (policy.to_lowercase().as_str(), interval) {
        ("strict", None) => Ok((PriorityPolicy::Strict, 0)),
        ("weighted", None) => Ok((PriorityPolicy::Weighted, 0)),
        ("aging", None) => Ok((PriorityPolicy::Aging, 0)),
        ("aging", Some(time)) => match duration(time)?.as_millis() as u64 {
            0 => Err("an aging interval must be above zero".to_owned()),
            interval_ms => Ok((PriorityPolicy::Aging, interval_ms)),
        },
        _ => Err("write strict, weighted, aging, or aging and its interval, such as `aging=30s`".to_owned()),
    }
}

/// Waiting times as given, or doubling from 5 s to 2 h.
pub(crate) fn policy(max_attempts: u32, waits: &[Duration]) -> RetryPolicy {
    RetryPolicy {
        max_attempts,
        custom_ms: waits.iter().map(|wait| wait.as_millis() as u64).collect(),
        initial_ms: 5_000,
        max_ms: 7_200_000,
        multiplier: 2.0,
    }
}

fn group_json(group: &ConsumerGroup) -> Value {
    let retry = group.retry.as_ref().map(|retry| {
        json!({
            "maxAttempts": retry.max_attempts, "customMs": retry.custom_ms, "initialMs": retry.initial_ms,
            "maxMs": retry.max_ms, "multiplier": retry.multiplier,
        })
    });
    let reset = group.reset.as_ref().map(|reset| {
        json!({
            "id": reset.id, "topics": reset.topics, "to": reset.to().as_str_name(), "toMs": reset.to_ms,
        })
    });
    json!({
        "name": group.name, "broadcast": group.broadcast().as_str_name(), "ordered": group.ordered, "retry": retry,
        "priority": {"policy": group.priority().as_str_name(), "agingIntervalMs": group.aging_interval_ms},
        "trace": group.trace,
        "consumeFrom": group.consume_from().as_str_name(), "consumeFromMs": group.consume_from_ms,
        "reset": reset, "owner": group.owner,
    })
}

fn list_table(groups: &[ConsumerGroup]) -> Table {
    let mut table = Table::new(&["NAME", "ORDERED", "PRIORITY", "ATTEMPTS", "RETRY", "FROM", "OWNER"]);
    for group in groups {
        let retry = group.retry.clone().unwrap_or_default();
        let waits = if retry.custom_ms.is_empty() {
            format!("{} to {}, x{}", show_ms(retry.initial_ms), show_ms(retry.max_ms), retry.multiplier)
        } else {
            retry.custom_ms.iter().map(|ms| show_ms(*ms)).collect::<Vec<_>>().join(",")
        };
        table.row([
            group.name.clone(),
            if group.ordered { "yes" } else { "no" }.to_owned(),
            show_priority(group),
            retry.max_attempts.to_string(),
            waits,
            show_start(group),
            group.owner.clone(),
        ]);
    }
    table
}

fn show_start(group: &ConsumerGroup) -> String {
    match group.consume_from() {
        ConsumeFrom::Timestamp => show_time(group.consume_from_ms),
        from @ (ConsumeFrom::Earliest | ConsumeFrom::Latest) => from.as_str_name().to_lowercase(),
    }
}

fn show_priority(group: &ConsumerGroup) -> String {
    let policy = group.priority().as_str_name().to_lowercase();
    if group.aging_interval_ms == 0 {
        policy
    } else {
        format!("{policy} {}", show_ms(group.aging_interval_ms))
    }
}

fn describe_json(answer: &DescribeConsumerGroupResponse) -> Value {
    let progress: Vec<Value> = answer
        .progress
        .iter()
        .map(|p| {
            json!({
                "member": p.member, "topic": p.topic, "queue": p.queue, "tail": p.tail, "floor": p.floor, "next": p.next,
                "inFlight": p.in_flight, "lag": p.lag,
            })
        })
        .collect();
    let clients: Vec<Value> = answer
        .clients
        .iter()
        .map(|c| json!({"clientId": c.client_id, "language": c.language, "version": c.version, "remote": c.remote}))
        .collect();
    json!({"group": answer.group.as_ref().map(group_json), "progress": progress, "clients": clients})
}

fn progress_table(answer: &DescribeConsumerGroupResponse) -> Table {
    let mut table = Table::new(&["MEMBER", "TOPIC", "QUEUE", "FLOOR", "NEXT", "TAIL", "IN-FLIGHT", "LAG"]);
    for p in &answer.progress {
        let member = if p.member.is_empty() { "-" } else { &p.member };
        let numbers = [u64::from(p.queue), p.floor, p.next, p.tail, p.in_flight, p.lag];
        let names = [member.to_owned(), p.topic.clone()].into_iter();
        table.row(names.chain(numbers.map(|n| n.to_string())));
    }
    table
}

fn clients_table(answer: &DescribeConsumerGroupResponse) -> Table {
    let mut table = Table::new(&["CLIENT", "LANGUAGE", "VERSION", "ADDRESS"]);
    for c in &answer.clients {
        table.row([c.client_id.clone(), c.language.clone(), c.version.clone(), c.remote.clone()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use client::admin::Reset;

    use super::*;

    #[test]
    fn json_has_every_field_of_a_consumer_group() {
        let reset = Reset {
            id: "monday".to_owned(),
            topics: vec!["orders".to_owned()],
            to: ConsumeFrom::Timestamp.into(),
            to_ms: 1500,
        };
        let group = ConsumerGroup {
            name: "billing".to_owned(),
            retry: Some(policy(5, &[Duration::from_secs(1)])),
            consume_from: ConsumeFrom::Timestamp.into(),
            owner: "mq/billing".to_owned(),
            ordered: true,
            priority: PriorityPolicy::Aging.into(),
            aging_interval_ms: 30_000,
            consume_from_ms: 2500,
            reset: Some(reset),
            broadcast: Broadcast::ByHost.into(),
            trace: true,
        };
        let expected = json!({
            "name": "billing", "broadcast": "BY_HOST", "ordered": true, "trace": true, "owner": "mq/billing",
            "retry": {"maxAttempts": 5, "customMs": [1000], "initialMs": 5000, "maxMs": 7_200_000, "multiplier": 2.0},
            "priority": {"policy": "AGING", "agingIntervalMs": 30_000},
            "consumeFrom": "TIMESTAMP", "consumeFromMs": 2500,
            "reset": {"id": "monday", "topics": ["orders"], "to": "TIMESTAMP", "toMs": 1500},
        });
        assert_eq!(group_json(&group), expected);
    }
}

//! `millpond topics`: topics of a broker.

use std::time::Duration;

use clap::{Args, Subcommand};
use client::admin::{Adopt, BULK_MAX, DescribeTopicResponse, Outcome, Topic, TopicType};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::progress::Progress;
use crate::values::{duration, expand, show_ms};

const APPLY_EXAMPLES: &str = "\
Examples:
  millpond topics apply orders payments --queues 16 --retention 72h
  millpond topics apply ledger --type fifo
  millpond topics apply --pattern 'bench-%05d' --count 10000 --queues 8";

/// Topics: what messages are sent to
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show topics in name order
    List {
        /// Only names that begin like this
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show one topic and its queues
    Describe {
        /// The topic
        name: String,
    },
    /// Create or change topics
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(ApplyArgs),
    /// Delete topics with all their messages
    Delete {
        #[command(flatten)]
        names: Names,
    },
}

/// Topics to create or change.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    names: Names,
    /// Queues in this broker group; may grow, never shrink. Topics of type priority have one for each of 10 levels
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    queues: u32,
    /// What kind of messages they take; cannot be changed
    #[arg(long = "type", value_enum, default_value = "normal", ignore_case = true)]
    topic_type: Type,
    /// How long messages are kept at least [default: as long as the log keeps them]
    #[arg(long, value_parser = duration)]
    retention: Option<Duration>,
    /// Take over topics that belong to another owner
    #[arg(long)]
    adopt: bool,
}

/// What kind of messages a topic takes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Type {
    /// Without order
    Normal,
    /// In order within a message group
    Fifo,
    /// Delivered at a time of their own
    Delay,
    /// Delivered once their sender commits them
    Transaction,
    /// The urgent ones first
    Priority,
    /// All of these but those with a priority
    Mixed,
}

impl Type {
    fn wire(self) -> TopicType {
        match self {
            Self::Normal => TopicType::Normal,
            Self::Fifo => TopicType::Fifo,
            Self::Delay => TopicType::Delay,
            Self::Transaction => TopicType::Transaction,
            Self::Priority => TopicType::Priority,
            Self::Mixed => TopicType::Mixed,
        }
    }
}

/// Names, or a pattern that makes them.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// The names
    #[arg(value_name = "NAME", required_unless_present = "pattern")]
    given: Vec<String>,
    /// Makes names: `bench-%05d` with --count 3 is bench-00000, bench-00001, bench-00002
    #[arg(long, requires = "count", conflicts_with = "given")]
    pattern: Option<String>,
    /// How many names the pattern makes
    #[arg(long, requires = "pattern")]
    count: Option<u32>,
    /// Number of the pattern's first name
    #[arg(long, requires = "pattern", default_value_t = 0)]
    first: u32,
}

impl Names {
    pub(crate) fn all(self) -> Result<Vec<String>, Failure> {
        match self.pattern {
            Some(pattern) => expand(&pattern, self.first, self.count.unwrap_or(0)).map_err(Failure::Usage),
            None => Ok(self.given),
        }
    }
}

pub(crate) async fn run(command: Command, connect: &Connect, format: Format) -> Result<(), Failure> {
    let admin = connect.admin()?;
    match command {
        Command::List { prefix } => {
            let topics = admin.topics(&prefix).await?;
            let values: Vec<Value> = topics.iter().map(topic_json).collect();
            print(format, &values, || list_table(&topics))?;
            Ok(())
        }
        Command::Describe { name } => {
            let answer = admin.topic(&name).await?;
            print(format, &describe_json(&answer), || describe_table(&answer))?;
            Ok(())
        }
        Command::Apply(args) => {
            let adopt = if args.adopt { Adopt::Always } else { Adopt::IfCompatible };
            let (queues, retention_ms) =
                (args.queues, args.retention.map_or(0, |time| time.as_millis() as u64));
            let topic = |name| Topic {
                name,
                r#type: args.topic_type.wire().into(),
                queues,
                retention_ms,
                owner: String::new(),
                groups: Vec::new(),
            };
            let topics: Vec<Topic> = args.names.all()?.into_iter().map(topic).collect();
            let (mut outcomes, mut progress) = (Vec::with_capacity(topics.len()), Progress::new());
            for part in topics.chunks(BULK_MAX) {
                outcomes.extend(admin.apply_topics(part.to_vec(), adopt).await?);
                progress.show(|| format!("{} of {} topics", outcomes.len(), topics.len()));
            }
            drop(progress);
            report(&outcomes, format)
        }
        Command::Delete { names } => {
            let outcomes = admin.delete_topics(names.all()?, None).await?;
            report(&outcomes, format)
        }
    }
}

/// Prints what became of each item; up to this many by name, more as a count.
const NAMED_MAX: usize = 20;

/// Prints outcomes; fails if one of them is a refusal.
pub(crate) fn report(outcomes: &[Outcome], format: Format) -> Result<(), Failure> {
    let word = |outcome: &Outcome| match &outcome.result {
        Ok(change) => format!("{change:?}").to_lowercase(),
        Err(refusal) => refusal.to_string(),
    };
    let values: Vec<Value> = outcomes
        .iter()
        .map(|outcome| json!({"name": outcome.name, "ok": outcome.is_ok(), "result": word(outcome)}))
        .collect();
    print(format, &values, || {
        if outcomes.len() > NAMED_MAX {
            return counts(outcomes.iter().map(word));
        }
        let mut table = Table::new(&["NAME", "RESULT"]);
        for outcome in outcomes {
            table.row([outcome.name.clone(), word(outcome)]);
        }
        table
    })?;
    let refused: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_ok()).collect();
    match refused.first() {
        None => Ok(()),
        Some(first) => Err(Failure::Refused(format!(
            "{} of {} refused, first `{}`: {}",
            refused.len(),
            outcomes.len(),
            first.name,
            word(first)
        ))),
    }
}

fn counts(words: impl Iterator<Item = String>) -> Table {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut table = Table::new(&["RESULT", "COUNT"]);
    for (word, count) in counts {
        table.row([word, count.to_string()]);
    }
    table
}

fn topic_json(topic: &Topic) -> Value {
    json!({
        "name": topic.name, "type": topic.r#type().as_str_name(), "queues": topic.queues,
        "retentionMs": topic.retention_ms, "owner": topic.owner, "groups": topic.groups,
    })
}

fn list_table(topics: &[Topic]) -> Table {
    let mut table = Table::new(&["NAME", "TYPE", "QUEUES", "RETENTION", "OWNER"]);
    for topic in topics {
        table.row([
            topic.name.clone(),
            topic.r#type().as_str_name().to_owned(),
            topic.queues.to_string(),
            retention(topic),
            topic.owner.clone(),
        ]);
    }
    table
}

fn retention(topic: &Topic) -> String {
    if topic.retention_ms == 0 { "-".to_owned() } else { show_ms(topic.retention_ms) }
}

fn describe_json(answer: &DescribeTopicResponse) -> Value {
    let queue = |queue: &client::admin::QueueStatus| json!({"queue": queue.queue, "head": queue.head, "tail": queue.tail});
    let queues: Vec<Value> = answer.queues.iter().map(queue).collect();
    json!({"topic": answer.topic.as_ref().map(topic_json), "queues": queues})
}

fn describe_table(answer: &DescribeTopicResponse) -> Table {
    let mut table = Table::new(&["QUEUE", "HEAD", "TAIL", "MESSAGES"]);
    for queue in &answer.queues {
        let messages = queue.tail.saturating_sub(queue.head);
        table.row([
            queue.queue.to_string(),
            queue.head.to_string(),
            queue.tail.to_string(),
            messages.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_every_field_of_a_topic() {
        let topic = Topic {
            name: "Orders_1".to_owned(),
            r#type: TopicType::Fifo.into(),
            queues: 4,
            retention_ms: 3_600_000,
            owner: "mq/orders".to_owned(),
            groups: vec!["g0".to_owned(), "g1".to_owned()],
        };
        let expected = json!({
            "name": "Orders_1", "type": "FIFO", "queues": 4, "retentionMs": 3_600_000, "owner": "mq/orders",
            "groups": ["g0", "g1"],
        });
        assert_eq!(topic_json(&topic), expected);
    }
}

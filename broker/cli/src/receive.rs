//! `millpond receive`: takes messages of a consumer group.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use client::{Delivered, Filter, RECEIVE_MAX, SimpleConsumer};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, print_line};
use crate::values::duration;

const EXAMPLES: &str = "\
Examples:
  millpond receive orders --group billing --max 10
  millpond receive orders --group billing --filter 'new || paid' --no-ack
  millpond receive orders --group audit --sql 'price > 10'
  millpond receive %DLQ%billing --group repair -o json";

/// Receive messages and acknowledge them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// The consumer group
    #[arg(short, long)]
    group: String,
    /// Stop after this many messages
    #[arg(long, default_value_t = 1)]
    max: usize,
    /// Which tags: `*`, or tags with `||` between them
    #[arg(long, default_value = "*")]
    filter: String,
    /// Which messages, by an SQL condition on properties: `price > 10 AND region IS NOT NULL`
    #[arg(long, value_name = "CONDITION", conflicts_with = "filter")]
    sql: Option<String>,
    /// Stop when nothing has come for this long from any place that has the topic
    #[arg(long, value_parser = duration, default_value = "5s")]
    wait: Duration,
    /// Acknowledge each message after it was printed (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Leave the messages: they come again after --invisible
    #[arg(long)]
    no_ack: bool,
    /// How long others do not see a message that was received
    #[arg(long, value_parser = duration, default_value = "30s")]
    invisible: Duration,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let filter = args.sql.clone().map_or_else(|| Filter::Tags(args.filter.clone()), Filter::Sql);
    let consumer = SimpleConsumer::builder(connect.messaging()?, &args.group)
        .subscribe(&args.topic, filter)
        .wait(args.wait)
        .start()
        .await?;
    let mut left = args.max;
    // Each receive is from one place, and the others may have something.
    let places = consumer.places().await?;
    let mut empty = 0;
    while left > 0 && empty < places {
        let delivered = consumer.receive(left.min(RECEIVE_MAX), args.invisible).await?;
        empty = if delivered.is_empty() { empty + 1 } else { 0 };
        left = left.saturating_sub(delivered.len());
        for message in &delivered {
            print_message(message, format)?;
        }
        if args.ack || !args.no_ack {
            for result in consumer.ack_all(&delivered).await? {
                result?;
            }
        }
    }
    consumer.close().await;
    if left == args.max && args.max > 0 {
        return Err(Failure::NotFound(format!("no message within {} ms", args.wait.as_millis())));
    }
    Ok(())
}

/// Prints one message: its place, what it is called, and its body on one line.
pub(crate) fn print_message(message: &Delivered, format: Format) -> Result<(), Failure> {
    let text = std::str::from_utf8(&message.body);
    let shown = || {
        let tag = message.tag.as_deref().unwrap_or("-");
        let attempt =
            if message.attempt > 1 { format!(" attempt {}", message.attempt) } else { String::new() };
        let body = text.map_or_else(|_| format!("<{} bytes>", message.body.len()), one_line);
        let place = format!("{}/{}", message.queue, message.offset);
        format!("{place:<12} {} {tag}{attempt}  {body}", message.message_id)
    };
    print_line(format, &message_json(message), shown)?;
    if !message.is_intact() {
        eprintln!("millpond: body of {} does not match its digest", message.message_id);
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

fn message_json(message: &Delivered) -> Value {
    let mut value = json!({
        "topic": message.topic, "messageId": message.message_id, "queue": message.queue, "offset": message.offset,
        "attempt": message.attempt, "tag": message.tag, "keys": message.keys, "properties": message.properties,
        "bornMs": message.born_ms, "bornHost": message.born_host, "storedMs": message.stored_ms,
        "receiptHandle": message.receipt_handle,
    });
    match std::str::from_utf8(&message.body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["bodyBase64"] = STANDARD.encode(&message.body).into(),
    }
    if let Some(priority) = message.priority {
        value["priority"] = priority.into();
    }
    if let Some(context) = &message.trace_context {
        value["traceContext"] = context.as_str().into();
    }
    if let Some((topic, id)) = &message.dead_letter_of {
        value["deadLetterOf"] = json!({"topic": topic, "messageId": id});
    }
    value
}

//! `millpond recall`: takes back a message before its time.

use client::Producer;
use serde_json::json;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, print_line};

const EXAMPLES: &str = "\
Examples:
  millpond recall reminders 1-19aa-2b0-01A2B3C4     the handle that `millpond send --delay` printed";

/// Take back a message that waits for its time
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// The handle that came with sending it
    handle: String,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let producer = Producer::builder(connect.messaging()?).topic(&args.topic).start().await?;
    let recalled = producer.recall(&args.topic, &args.handle).await;
    producer.close().await;
    let message_id = recalled.map_err(|error| Failure::Refused(error.to_string()))?;
    let value = json!({"messageId": message_id});
    print_line(format, &value, || format!("{message_id}  recalled"))?;
    Ok(())
}

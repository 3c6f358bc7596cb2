//! `millpond groups reset`: a consumer group goes on at another place.

use clap::Args;
use client::admin::{ConsumeFrom, MoveOffsets, MoveTo, MovedOffset};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::values::{Place, place};

pub(super) const EXAMPLES: &str = "\
Examples:
  millpond groups reset billing --to earliest --dry-run
  millpond groups reset billing --topic orders --to 2h
  millpond groups reset billing --topic orders --to 2026-11-22T08:00:00Z
  millpond groups reset billing --topic orders --queue 3 --to offset=1200";

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The consumer group
    name: String,
    /// Only these topics [default: all that the group reads]
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// Only this queue of each topic
    #[arg(long)]
    queue: Option<u32>,
    /// `earliest`, `latest`, a time (2026-11-22T08:00:00Z), an age (90m: so long ago), or `offset=1200`
    #[arg(long, value_parser = place)]
    to: Place,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: ResetArgs, connect: &Connect, format: Format) -> Result<(), Failure> {
    let to = match args.to {
        Place::Earliest => MoveTo::Place(ConsumeFrom::Earliest.into()),
        Place::Latest => MoveTo::Place(ConsumeFrom::Latest.into()),
        Place::TimeMs(ms) => MoveTo::TimeMs(ms),
        Place::Offset(offset) => MoveTo::Offset(offset),
    };
    let request = MoveOffsets {
        group: args.name,
        topics: args.topics,
        to: Some(to),
        queue: args.queue,
        dry_run: args.dry_run,
    };
    let moves = connect.admin()?.move_offsets(request).await?;
    let values: Vec<Value> = moves
        .iter()
        .map(|moved| json!({"topic": moved.topic, "queue": moved.queue, "from": moved.from, "to": moved.to}))
        .collect();
    print(format, &values, || table(&moves))?;
    Ok(())
}

fn table(moves: &[MovedOffset]) -> Table {
    let mut table = Table::new(&["TOPIC", "QUEUE", "FROM", "TO"]);
    for moved in moves {
        let from = moved.from.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        table.row([moved.topic.clone(), moved.queue.to_string(), from, moved.to.to_string()]);
    }
    table
}

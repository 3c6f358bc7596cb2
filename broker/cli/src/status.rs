//! `millpond status`: is the data safe, and who keeps it.
//!
//! ```text
//!   endpoint's broker ──► the other members' admin addresses ──► ask all ──► verdict (one line), table
//! ```
//!
//! A broker that is alone is shown as it is. Limit: one group, that of the broker that is asked.

mod members;
mod survey;
mod verdict;

use std::process::ExitCode;

use client::admin::GetBrokerResponse;
use serde_json::json;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::values::{show_bytes, show_ms};
use survey::Survey;
use verdict::{Level, judge};

const CODES: &str = "\
The first line says whether acknowledged messages are safe, the table shows the members of the group.

Exit codes: 0 safe, 1 safe with less than was asked for, or sends are refused, 2 no leader or no answer";

/// Show whether the data is safe, and the state of the broker
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, connect: &Connect, format: Format) -> Result<ExitCode, Failure> {
    let asked = match connect.admin()?.broker().await {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("millpond: {error}");
            return Ok(exit_code(Level::Down));
        }
    };
    if asked.member.is_none() {
        print_alone(asked, format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let survey = Survey::take(asked, connect).await;
    let verdict = judge(&survey);
    if format == Format::Table {
        println!("{}\n", verdict.line);
    }
    print(format, &members::json(&survey, &verdict), || members::table(&survey, client::clock::now_ms()))?;
    Ok(exit_code(verdict.level))
}

fn exit_code(level: Level) -> ExitCode {
    match level {
        Level::Safe => ExitCode::SUCCESS,
        Level::Degraded => ExitCode::from(1),
        Level::Down => ExitCode::from(2),
    }
}

fn print_alone(b: GetBrokerResponse, format: Format) -> std::io::Result<()> {
    let value = json!({
        "cluster": b.cluster, "group": b.group, "version": b.version, "logId": b.log_id, "epoch": b.epoch,
        "state": b.state, "logHead": b.log_head, "logWritten": b.log_written, "logDurable": b.log_durable,
        "diskFreeBytes": b.disk_free_bytes, "topics": b.topics, "consumerGroups": b.consumer_groups,
        "connections": b.connections, "uptimeMs": b.uptime_ms, "flush": b.flush,
    });
    let kept = b.log_written.saturating_sub(b.log_head);
    let volatile = b.log_written.saturating_sub(b.log_durable);
    print(format, &value, || {
        let mut table = Table::new(&["BROKER", ""]);
        let lines = [
            ("cluster", b.cluster),
            ("group", b.group),
            ("state", b.state),
            ("version", b.version),
            ("up for", show_ms(b.uptime_ms / 1000 * 1000)),
            ("epoch", b.epoch.to_string()),
            ("log", format!("{} ({})", show_bytes(kept), b.log_id)),
            ("not yet durable", show_bytes(volatile)),
            ("flush", b.flush),
            ("disk free", show_bytes(b.disk_free_bytes)),
            ("topics", b.topics.to_string()),
            ("consumer groups", b.consumer_groups.to_string()),
            ("connections", b.connections.to_string()),
        ];
        for (name, value) in lines {
            table.row([name.to_owned(), value]);
        }
        table
    })
}

//! `millpond status`: the state of a broker.

use serde_json::json;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::values::{show_bytes, show_ms};

/// Show the state of the broker
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let b = connect.admin()?.broker().await?;
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
    })?;
    Ok(())
}

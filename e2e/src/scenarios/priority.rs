//! Topics of type PRIORITY: a backlog is read from the highest priority down.

use anyhow::Result;

use crate::blows::Blows;
use crate::cells::Cell;
use crate::scenarios::Stage;
use crate::sdk::Mode;
use crate::sdk::report::Report;

const COUNT: usize = 54;
/// Message `index` has priority 1 plus `index` modulo this.
const PRIORITIES: usize = 9;

fn priority_of(index: usize) -> usize {
    1 + index % PRIORITIES
}

/// Leaders are killed while the backlog grows: what is handed out then and lost would come later, in no order.
pub(super) fn play(stage: &Stage<'_>) -> Result<Vec<String>> {
    let (count, priorities) = (COUNT.to_string(), PRIORITIES.to_string());
    let options = ["--count", &count, "--priorities", &priorities, "--largest", "2048"];
    let (sent, blows) = stage.run("send", &options, "50")?;
    let count = if blows.is_none() { COUNT } else { sent.sent.len() };
    let report = stage.call.play("receive", &["--count", &count.to_string()])?;
    Ok(wrong(stage.play.cell, &report, count, &blows))
}

fn wrong((_, mode): Cell, report: &Report, count: usize, blows: &Blows) -> Vec<String> {
    let mut wrong = Vec::new();
    let got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
    let mut indices = got.clone();
    indices.sort_unstable();
    if !blows.is_none() {
        indices.dedup();
    }
    if !report.ok || !indices.into_iter().eq(0..count) {
        wrong.push(format!("ok: {}, got {got:?}; {:?}", report.ok, report.errors));
    }
    let told = report.received.iter().filter_map(|delivery| Some((delivery.index, delivery.priority?)));
    wrong.extend(
        told.filter(|(index, priority)| *priority != priority_of(*index))
            .map(|(index, priority)| format!("message {index} came with priority {priority}")),
    );
    // A push consumer works on several at a time.
    let priorities: Vec<usize> = got.into_iter().map(priority_of).collect();
    if mode == Mode::Simple && !priorities.is_sorted_by(|one, next| one >= next) {
        wrong.push(format!("priorities came as {priorities:?}"));
    }
    wrong
}

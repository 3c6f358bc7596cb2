//! The state after a start from the newest checkpoint is the state after a replay of the whole log.

use std::sync::Arc;

use engine::group::{Group, GroupConfig};
use store::checkpoint;
use store::disk::sim::SimDisk;

/// Opens two copies of the disk, one without its checkpoints, and compares.
pub(crate) fn checkpoints_change_nothing(
    disk: &SimDisk,
    config: &GroupConfig,
    now_ms: u64,
) -> Result<(), String> {
    let (with, without) = (disk.fork(), disk.fork());
    with.set_capacity_bytes(None);
    without.set_capacity_bytes(None);
    let open = |disk: &SimDisk| {
        let opened = Group::open(Arc::new(disk.clone()), config.clone(), now_ms);
        let (group, mut writer) = opened.map_err(|error| error.to_string())?;
        writer.lead_alone(now_ms).map_err(|error| error.to_string())?;
        Ok::<_, String>(group)
    };
    let with = open(&with).map_err(|error| format!("start from a checkpoint: {error}"))?;
    if with.log_state().head.0 > 0 {
        // The beginning of the log was trimmed: only the checkpoint knows what it said.
        return Ok(());
    }
    checkpoint::forget(&without).map_err(|error| error.to_string())?;
    let without = open(&without).map_err(|error| format!("start from the log alone: {error}"))?;
    let (with, without) = (seen(&with, now_ms)?, seen(&without, now_ms)?);
    let differing = with.iter().zip(&without).find(|(with, without)| with != without);
    match differing {
        None if with.len() == without.len() => Ok(()),
        None => Err(format!("checkpoint tells {} facts, the log {}", with.len(), without.len())),
        Some((with, without)) => Err(format!("checkpoint and log disagree: {with} | {without}")),
    }
}

/// What can be seen of a group's state, fact by fact.
fn seen(group: &Group, now_ms: u64) -> Result<Vec<String>, String> {
    let mut facts = Vec::new();
    // Only then the number of timers is exact.
    group.flush_timers(now_ms).map_err(|error| error.to_string())?;
    facts.push(format!("{} timers", group.pending_timers()));
    facts.push(format!("{} open transactions", group.open_transactions()));
    for topic in group.topics() {
        facts.push(format!("topic {} {:?} {:?}", topic.id, topic.spec, topic.queues));
        facts.extend(
            topic.queues.iter().map(|queue| format!("queue {queue} {:?}", group.queue_range(*queue))),
        );
    }
    for consumer_group in group.consumer_groups() {
        facts.push(format!("consumer group {} {:?}", consumer_group.id, consumer_group.spec));
        facts.extend(group.progress(&consumer_group).iter().map(|progress| format!("progress {progress:?}")));
    }
    Ok(facts)
}

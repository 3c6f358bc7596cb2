mod crash;
mod damage;
mod files;
mod halfway;
mod interleaved;
mod limits;
mod model;
mod threads;

use std::sync::Arc;

use crate::disk::sim::SimDisk;
use crate::timeline::{Limits, Timeline, TimelineError, Timer};
use crate::{Position, QueueId};

/// So small that a few hundred timers meet every limit.
const SMALL: Limits =
    Limits { gathered: 100, removals: 20, memory: 300, loaded: 150, run: 250, small_run: 64 };

fn small(disk: &SimDisk, section: Option<&[u8]>) -> Result<Timeline, TimelineError> {
    Timeline::restored(Arc::new(disk.clone()), section, SMALL)
}

fn timer(due_ms: u64, position: u64) -> Timer {
    Timer {
        due_ms,
        position: Position(position),
        bytes: position as u32 ^ 7,
        queue: QueueId(1 + position as u32 % 5),
        tag_hash: due_ms as u32,
        lane: u32::MAX - position as u32,
        stored_ms: position / 3,
    }
}

/// Everything that is pending, in order.
fn all(timeline: &Timeline) -> Vec<Timer> {
    let mut timers = Vec::new();
    timeline.below(Position(u64::MAX), |timer| timers.push(timer)).unwrap();
    timers.sort_unstable_by_key(Timer::key);
    timers
}

//! The promises of the log, kept or broken on a simulated disk.

mod basics;
mod browse;
mod copies;
mod crash;
mod faults;
mod follow;
mod follow_crash;
mod model;
mod real;
mod retention;
mod story;
mod truncate;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;

/// Small segments, so that a few records cross several.
const SEGMENT_BYTES: u64 = 16 << 10;

/// What a fold saw, without borrowing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    position: Position,
    bytes: u32,
    queue: QueueId,
    offset: Offset,
    stored_ms: u64,
    epoch: Epoch,
}

impl From<&Entry<'_>> for Seen {
    fn from(entry: &Entry<'_>) -> Self {
        Self {
            kind: entry.kind,
            position: entry.position,
            bytes: entry.bytes,
            queue: entry.queue,
            offset: entry.offset,
            stored_ms: entry.stored_ms,
            epoch: entry.epoch,
        }
    }
}

fn config(flush: Flush) -> LogConfig {
    LogConfig { segment_bytes: SEGMENT_BYTES, flush, new_id: Some([7; 16]) }
}

fn message(queue: u32, body: impl Into<Bytes>) -> Draft {
    let body = body.into();
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId(queue),
        count: 1,
        attempt: 0,
        tag_hash: 5,
        lane: 6,
        due_ms: 0,
        body_crc: crc32(&body),
        head: Bytes::from_static(b"head"),
        body,
    }
}

/// Opens the log on a disk, from the start; returns what the fold saw.
fn open(disk: &SimDisk, flush: Flush) -> Result<(Log, Vec<Seen>), OpenError> {
    open_from(disk, config(flush), Replay::default())
}

fn open_from(disk: &SimDisk, config: LogConfig, from: Replay) -> Result<(Log, Vec<Seen>), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut seen = Vec::new();
    let log = lead(disk, config, from, &mut |entry| seen.push(Seen::from(entry)))?;
    Ok((log, seen))
}

/// Opens a log of a single copy: folds what is there and begins the next epoch.
fn lead(
    disk: Arc<dyn Disk>,
    config: LogConfig,
    from: Replay,
    fold: &mut dyn FnMut(&Entry<'_>),
) -> Result<Log, OpenError> {
    let covered = from.covered;
    let mut log = Log::open(disk, config, from, 1_000)?;
    log.reader().replay(covered.max(log.head()), log.written(), fold)?;
    let epoch = Epoch(log.last_epoch().0 + 1);
    let (draft, placed) = log.begin_epoch(epoch, 1_000)?;
    log.sync()?;
    fold(&Entry::of(&draft, &placed, epoch));
    Ok(log)
}

/// Where the folds stand once everything that is written is synced.
fn checkpoint(log: &mut Log) -> Replay {
    Replay { covered: log.sync().unwrap(), tails: log.tails(), epochs: log.epochs() }
}

/// The messages among what was seen.
fn messages(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.kind == Kind::Message).collect()
}

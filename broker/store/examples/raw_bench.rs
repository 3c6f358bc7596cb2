//! Prints how fast a copy takes its leader's log: 1 KiB messages, in spans of 1 MiB, with a sync now and then.
//!
//! `cargo run --release -p store --example raw_bench -- FOLDER` (a new folder on the disk in question)
#![allow(clippy::disallowed_methods, reason = "a measurement needs the time")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::disk::Disk;
use store::disk::real::RealDisk;
use store::log::{Draft, Flush, Kind, Log, LogConfig, Replay, crc32};
use store::{Epoch, QueueId};

const BATCHES: usize = 8_000;
const BATCH_MESSAGES: usize = 64;
const SPAN_BYTES: usize = 1 << 20;
const SYNC_SPANS: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("no folder was named")?;
    let leader = written(Arc::new(RealDisk::open(format!("{folder}/leader"))?))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(format!("{folder}/follower"))?);
    let segment_bytes = LogConfig::default().segment_bytes;
    Log::create(&*disk, leader.id(), leader.head(), segment_bytes, 0)?;
    let mut follower = Log::open(disk, LogConfig::default(), Replay::default(), 0)?;
    let (reader, to) = (leader.reader(), leader.written());
    let mut bytes = Vec::new();
    let mut spans = 0;
    let start = Instant::now();
    let (mut read, mut appended) = (Duration::ZERO, Duration::ZERO);
    loop {
        let before = cpu_time();
        let Some(head) = reader.read_raw(follower.written(), to, SPAN_BYTES, &mut bytes)? else { break };
        read += cpu_time().saturating_sub(before);
        let before = cpu_time();
        follower.append_raw(head.of(&bytes))?;
        appended += cpu_time().saturating_sub(before);
        spans += 1;
        if spans % SYNC_SPANS == 0 {
            follower.sync()?;
        }
    }
    follower.sync()?;
    let mb = to.0 as f64 / 1e6;
    let rate = |took: Duration| mb / took.as_secs_f64();
    println!("{spans} spans, {mb:.0} MB: {:.0} MB/s with syncs", rate(start.elapsed()));
    println!("of a CPU second: read_raw {:.0} MB, append_raw {:.0} MB", rate(read), rate(appended));
    let before = cpu_time();
    let mut records = 0;
    follower.reader().replay(follower.head(), to, &mut |_| records += 1)?;
    println!("replay of {records} records: {:.0} MB", rate(cpu_time().saturating_sub(before)));
    Ok(())
}

/// Of this thread: other load on the machine changes it less than wall time.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// A log that was synced often: to a copy that catches up its headers say so, and it has to cope.
fn written(disk: Arc<dyn Disk>) -> Result<Log, Box<dyn Error>> {
    let config = LogConfig { flush: Flush::Async, ..LogConfig::default() };
    let mut log = Log::open(disk, config, Replay::default(), 0)?;
    log.begin_epoch(Epoch(log.last_epoch().0 + 1), 0)?;
    let body = Bytes::from(vec![b'x'; 1024]);
    let message = Draft { kind: Kind::Message, queue: QueueId(1), ..Draft::control(Kind::Message, body) };
    assert_eq!(message.body_crc, crc32(&message.body));
    let drafts = vec![message; BATCH_MESSAGES];
    for number in 0..BATCHES {
        log.append(&drafts, 0)?;
        if number % 4 == 0 {
            log.sync()?;
        }
    }
    log.sync()?;
    Ok(log)
}

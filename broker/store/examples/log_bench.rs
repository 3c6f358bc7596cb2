//! Prints what the log costs on a disk: appends, syncs, reads and recovery.
//!
//! `cargo run --release -p store --example log_bench -- FOLDER` (a new folder on the disk in question)
#![allow(clippy::disallowed_methods, reason = "a measurement needs the time")]

use std::error::Error;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::disk::real::RealDisk;
use store::disk::{Disk, File};
use store::log::{Draft, Encoding, Flush, Kind, Log, LogConfig, Replay, crc32};
use store::{Epoch, QueueId};

const SEGMENT_BYTES: u64 = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder that does not exist yet")?;
    if std::path::Path::new(&folder).exists() {
        return Err(format!("`{folder}` exists already").into());
    }
    println!("append, 1 KiB bodies                  records/s   us/record   CPU us/record");
    for batch in [1, 16, 64] {
        append("  no disk", Arc::new(Void), batch, 2_000_000 / (1 + 15 / batch))?;
        append("  written", Arc::new(RealDisk::open(format!("{folder}/append-{batch}"))?), batch, 400_000)?;
    }
    println!("append and sync                        p50 us    p99 us");
    for batch in [1, 16, 64] {
        sync(Arc::new(RealDisk::open(format!("{folder}/sync-{batch}"))?), batch)?;
    }
    reads_and_recovery(&format!("{folder}/append-64"))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn append(name: &str, disk: Arc<dyn Disk>, batch: usize, records: usize) -> Result<(), Box<dyn Error>> {
    let mut log = open(disk, Flush::Async)?;
    let drafts = drafts(batch);
    let start = Stopwatch::start();
    for number in 0..records / batch {
        log.append(&drafts, number as u64)?;
    }
    let (took, cpu) = start.read();
    let (each_us, cpu_us) = (us_each(took, records), us_each(cpu, records));
    let rate = 1e6 / each_us;
    println!("{name}, {batch:>2} in a batch               {rate:>10.0}  {each_us:>10.3}  {cpu_us:>10.3}");
    Ok(())
}

fn sync(disk: Arc<dyn Disk>, batch: usize) -> Result<(), Box<dyn Error>> {
    let mut log = open(disk, Flush::Sync)?;
    let drafts = drafts(batch);
    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        log.append(&drafts, 0)?;
        log.sync()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let us = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    println!("  {batch:>2} in a batch                      {:>8.0}  {:>8.0}", us(50), us(99));
    Ok(())
}

fn reads_and_recovery(folder: &str) -> Result<(), Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder)?);
    let mut all = Vec::new();
    let config = LogConfig { segment_bytes: SEGMENT_BYTES, flush: Flush::Async, new_id: None };
    let start = Stopwatch::start();
    let log = Log::open(disk, config, Replay::default(), 0)?;
    log.reader().replay(log.head(), log.written(), &mut |entry| {
        if entry.kind == Kind::Message {
            all.push((entry.position, entry.bytes));
        }
    })?;
    let (took, cpu) = start.read();
    let gib = log.written().0 as f64 / f64::from(1 << 30);
    let (took, cpu) = (took.as_secs_f64() / gib, cpu.as_secs_f64() / gib);
    println!("recovery of {} records, {gib:.2} GiB: {took:.2} s/GiB, {cpu:.2} CPU s/GiB", all.len());
    let reader = log.reader();
    let start = Stopwatch::start();
    for number in 0..all.len() {
        let (position, bytes) = all[number * 7919 % all.len()];
        reader.read_cached(position, bytes)?;
    }
    report("read one, anywhere, cached", start, all.len());
    let start = Stopwatch::start();
    for span in all.chunks(32) {
        for record in reader.read_span_cached(span) {
            record?;
        }
    }
    report("read 32 neighbours, cached", start, all.len());
    Ok(())
}

fn report(name: &str, start: Stopwatch, records: usize) {
    let (took, cpu) = start.read();
    println!("{name}: {:.3} us/record, {:.3} CPU us/record", us_each(took, records), us_each(cpu, records));
}

fn us_each(took: Duration, records: usize) -> f64 {
    took.as_secs_f64() * 1e6 / records as f64
}

/// Wall time and this thread's CPU time, which other load on the machine changes less.
#[derive(Clone, Copy)]
struct Stopwatch {
    start: Instant,
    cpu: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { start: Instant::now(), cpu: cpu_time() }
    }

    fn read(self) -> (Duration, Duration) {
        (self.start.elapsed(), cpu_time().saturating_sub(self.cpu))
    }
}

fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

fn open(disk: Arc<dyn Disk>, flush: Flush) -> Result<Log, Box<dyn Error>> {
    let config = LogConfig { segment_bytes: SEGMENT_BYTES, flush, new_id: None };
    let mut log = Log::open(disk, config, Replay::default(), 0)?;
    log.begin_epoch(Epoch(log.last_epoch().0 + 1), 0)?;
    log.sync()?;
    Ok(log)
}

fn drafts(count: usize) -> Vec<Draft> {
    vec![draft(1024); count]
}

fn draft(bytes: usize) -> Draft {
    let body = Bytes::from(vec![b'x'; bytes]);
    Draft {
        kind: Kind::Message,
        encoding: Encoding::RocketmqV2,
        queue: QueueId(1),
        count: 1,
        attempt: 0,
        tag_hash: 0,
        lane: 0,
        due_ms: 0,
        body_crc: crc32(&body),
        head: Bytes::from(vec![b'h'; 150]),
        body,
    }
}

/// Takes everything and keeps nothing: shows what the log itself costs.
struct Void;

impl Disk for Void {
    fn open(&self, _: &str) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn create(&self, _: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Self))
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn sync_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 50)
    }
}

impl File for Void {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn read_at(&self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
        buffer.fill(0);
        Ok(buffer.len())
    }
    fn read_cached_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.read_at(buffer, at)
    }
    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn release_cached(&self, _: u64, _: u64) {}
    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

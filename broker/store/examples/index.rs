//! Cost of the queue index: `cargo run --release -p store --example index [entries]`.
//!
//! Appends to queues picked at random, flushes as a broker would, then reads near the tail and anywhere.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures real time and may fail loudly"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::disk::real::RealDisk;
use store::index::{Index, IndexEntry};
use store::{Offset, Position, QueueId};

fn main() {
    let entries: u64 = std::env::args().nth(1).map_or(4_000_000, |argument| argument.parse().unwrap());
    println!("{entries} entries of 1 KiB messages; ns per entry");
    println!(
        "{:>9} {:>8} {:>8} {:>6} {:>10} {:>10} {:>9} {:>9} {:>9} {:>8}",
        "queues",
        "append",
        "flush",
        "files",
        "B/entry",
        "read tail",
        "read any",
        "snapshot",
        "reopen",
        "RSS MB"
    );
    for queues in [1_000, 100_000, 1_000_000] {
        measure(queues, entries);
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn measure(queues: u64, entries: u64) {
    let folder = std::env::temp_dir().join(format!("millpond-index-{}-{queues}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let disk = Arc::new(RealDisk::open(&folder).unwrap());
    let index = Index::open(disk.clone(), None).unwrap();
    let mut numbers = Numbers(7);
    let mut tails = vec![0_u64; queues as usize + 1];
    let (mut appending, mut flushing) = (Duration::ZERO, Duration::ZERO);
    let mut from = Instant::now();
    for number in 0..entries {
        let queue = 1 + numbers.below(queues);
        let offset = Offset(tails[queue as usize]);
        tails[queue as usize] += 1;
        let position = Position(number * 1152);
        let entry = IndexEntry {
            offset,
            count: 1,
            position,
            bytes: 1152,
            tag_hash: 7,
            lane: 0,
            stored_ms: number / 50,
        };
        index.append(QueueId(queue as u32), entry);
        if number % 4096 == 0 && index.wants_flush() {
            appending += from.elapsed();
            from = Instant::now();
            index.flush().unwrap();
            flushing += from.elapsed();
            from = Instant::now();
        }
    }
    appending += from.elapsed();
    let (files, bytes) = folder_size(&folder);
    let near = read(&index, &tails, &mut numbers, |tail, _| tail.saturating_sub(1));
    let any = read(&index, &tails, &mut numbers, |tail, numbers| numbers.below(tail.max(1)));
    let from = Instant::now();
    let section = index.snapshot();
    let snapshot = from.elapsed();
    drop(index);
    let from = Instant::now();
    let index = Index::open(disk, Some(&section)).unwrap();
    let reopen = from.elapsed();
    let per_entry = |time: Duration| time.as_nanos() as u64 / entries;
    println!(
        "{queues:>9} {:>8} {:>8} {files:>6} {:>10.1} {near:>10} {any:>9} {:>6} ms {:>6} ms {:>8}",
        per_entry(appending),
        per_entry(flushing),
        bytes as f64 / entries as f64,
        snapshot.as_millis(),
        reopen.as_millis(),
        resident_mb(),
    );
    drop(index);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn read(index: &Index, tails: &[u64], numbers: &mut Numbers, pick: impl Fn(u64, &mut Numbers) -> u64) -> u64 {
    const READS: u64 = 100_000;
    let mut out = Vec::with_capacity(1);
    let from = Instant::now();
    for _ in 0..READS {
        let queue = 1 + numbers.below(tails.len() as u64 - 1);
        let offset = pick(tails[queue as usize], numbers);
        out.clear();
        index.read(QueueId(queue as u32), Offset(offset), 1, &mut out).unwrap();
    }
    from.elapsed().as_nanos() as u64 / READS
}

fn folder_size(folder: &std::path::Path) -> (usize, u64) {
    let Ok(files) = std::fs::read_dir(folder.join("index")) else { return (0, 0) };
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    (sizes.len(), sizes.iter().sum())
}

fn resident_mb() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / 1_000_000
}

//! Cost of the timeline: `cargo run --release -p store --example timeline [timers]`.
//!
//! Timers due within three days: all in memory, then as a broker would hold them. Each part is a process of its own,
//! so that one does not count what another has left in memory.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures real time and may fail loudly"
)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::disk::real::RealDisk;
use store::timeline::{Timeline, Timer};
use store::{Position, QueueId};

const DAYS_MS: u64 = 3 * 24 * 3600 * 1000;
/// What a broker keeps in memory: timers due within two minutes.
const NEAR_MS: u64 = 120_000;
/// A small machine has no room for more.
const IN_MEMORY_MAX: u64 = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let timers: u64 = arguments.get(1).map_or(1_000_000, |argument| argument.parse().unwrap());
    match arguments.get(2).map(String::as_str) {
        Some("random") => in_memory("random dues", timers, |number, numbers| numbers.below(DAYS_MS) + number),
        Some("rising") => in_memory("rising dues", timers, |number, _| DAYS_MS + number),
        Some("same") => in_memory("one due", timers, |_, _| DAYS_MS),
        Some("busy") => busy(timers),
        Some(_) => on_disk(timers),
        None => {
            for part in ["random", "rising", "same", "disk", "busy"] {
                let is_on_disk = matches!(part, "disk" | "busy");
                let count = if is_on_disk { timers } else { timers.min(IN_MEMORY_MAX) };
                let mut child = Command::new(&arguments[0]);
                assert!(child.args([&count.to_string(), part]).status().unwrap().success());
            }
        }
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }
}

fn timer(number: u64, due_ms: u64) -> Timer {
    let queue = QueueId(1 + (number % 1000) as u32);
    Timer {
        due_ms,
        position: Position(number * 1152),
        bytes: 1152,
        queue,
        tag_hash: 7,
        lane: 0,
        stored_ms: number / 50,
    }
}

fn open(name: &str) -> (std::path::PathBuf, Arc<RealDisk>, Timeline) {
    let folder = std::env::temp_dir().join(format!("millpond-timeline-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let disk = Arc::new(RealDisk::open(&folder).unwrap());
    let timeline = Timeline::open(disk.clone(), None).unwrap();
    (folder, disk, timeline)
}

fn in_memory(name: &str, timers: u64, due_ms: impl Fn(u64, &mut Numbers) -> u64) {
    let (folder, _, timeline) = open("memory");
    let mut numbers = Numbers(7);
    let before = resident_bytes();
    let from = Instant::now();
    for number in 0..timers {
        timeline.insert(timer(number, due_ms(number, &mut numbers)));
    }
    let inserting = from.elapsed();
    let grown = resident_bytes() - before;
    let told = timeline.memory_bytes();
    let mut due = Vec::new();
    let from = Instant::now();
    while timeline.due(u64::MAX, None, 1000, &mut due).is_some() || !due.is_empty() {
        for timer in due.drain(..) {
            timeline.remove(timer.due_ms, timer.position);
        }
    }
    println!(
        "{timers} in memory, {name}: {:.1} B RSS each, told {:.1} B; insert {} ns, due and remove {} ns",
        grown as f64 / timers as f64,
        told as f64 / timers as f64,
        inserting.as_nanos() as u64 / timers,
        from.elapsed().as_nanos() as u64 / timers,
    );
    std::fs::remove_dir_all(folder).unwrap();
}

fn on_disk(timers: u64) {
    let (folder, disk, timeline) = open("disk");
    let mut numbers = Numbers(7);
    let (mut flushing, mut longest) = (Duration::ZERO, Duration::ZERO);
    let from = Instant::now();
    for number in 0..timers {
        timeline.insert(timer(number, numbers.below(DAYS_MS)));
        if number % 1024 == 0 && timeline.wants_flush() {
            let took = flush(&timeline);
            flushing += took;
            longest = longest.max(took);
        }
    }
    let inserting = from.elapsed().saturating_sub(flushing);
    let last = flush(&timeline);
    println!(
        "{timers} spread over 3 days: insert {} ns, flush and merge {} ns each, longest flush {} ms, last {} ms",
        inserting.as_nanos() as u64 / timers,
        flushing.as_nanos() as u64 / timers,
        longest.as_millis(),
        last.as_millis(),
    );
    tell_size(&timeline, &folder);
    remove_some(&timeline, timers);
    let from = Instant::now();
    let section = timeline.snapshot();
    let snapshot = from.elapsed();
    let len = timeline.len();
    drop(timeline);
    let from = Instant::now();
    let timeline = Timeline::open(disk, Some(&section)).unwrap();
    assert_eq!(timeline.len(), len);
    println!(
        "snapshot {} us, {} KB; reopen {} us",
        snapshot.as_micros(),
        section.len() / 1000,
        from.elapsed().as_micros()
    );
    let mut count = 0_u64;
    let from = Instant::now();
    timeline.below(Position(timers / 10 * 1152), |_| count += 1).unwrap();
    println!("below a tenth of the log: {count} timers in {} ms", from.elapsed().as_millis());
    fire(&timeline, len);
    tell_size(&timeline, &folder);
    std::fs::remove_dir_all(folder).unwrap();
}

/// How long the log thread waits when another flushes and merges: it inserts 100 000 a second.
fn busy(timers: u64) {
    const PERIOD: Duration = Duration::from_micros(10);
    let (folder, _, timeline) = open("busy");
    let mut numbers = Numbers(7);
    let is_over = AtomicBool::new(false);
    let mut waits = Vec::with_capacity(timers as usize);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if timeline.wants_flush() {
                    flush(&timeline);
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let from = Instant::now();
        for number in 0..timers {
            while from.elapsed() < PERIOD * number as u32 {
                std::hint::spin_loop();
            }
            let timer = timer(number, numbers.below(DAYS_MS));
            let from = Instant::now();
            timeline.insert(timer);
            waits.push(from.elapsed().as_nanos() as u64);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    waits.sort_unstable();
    let part = |of_ten_thousand| waits[(waits.len() - 1) * of_ten_thousand / 10_000] / 1000;
    println!(
        "insert at 100 000 a second beside flushes: p50 {} us, p99 {} us, p99.9 {} us, p99.99 {} us, longest {} us",
        part(5000),
        part(9900),
        part(9990),
        part(9999),
        part(10_000),
    );
    std::fs::remove_dir_all(folder).unwrap();
}

fn flush(timeline: &Timeline) -> Duration {
    let from = Instant::now();
    timeline.flush(NEAR_MS).unwrap();
    from.elapsed()
}

/// Recalls 64 Ki timers anywhere.
fn remove_some(timeline: &Timeline, timers: u64) {
    const RECALLED: usize = 64 << 10;
    let mut numbers = Numbers(7);
    let keys: Vec<_> = (0..timers).map(|number| (numbers.below(DAYS_MS), Position(number * 1152))).collect();
    let from = Instant::now();
    for (due_ms, position) in keys.iter().step_by((keys.len() / RECALLED).max(1)) {
        timeline.remove(*due_ms, *position);
    }
    let removing = from.elapsed();
    let looking_up = flush(timeline);
    let from = Instant::now();
    for (due_ms, position) in keys.iter().skip(1).step_by(keys.len() / 10_000) {
        assert!(timeline.find(*due_ms, *position).unwrap().is_some());
    }
    println!(
        "64 Ki removals: {} ns each, looked up in {} ms; find {} ns",
        removing.as_nanos() as usize / RECALLED,
        looking_up.as_millis(),
        from.elapsed().as_nanos() / 10_000,
    );
}

/// Three days go by, a minute at a time.
fn fire(timeline: &Timeline, timers: u64) {
    let (mut loading, mut longest, mut fired) = (Duration::ZERO, Duration::ZERO, 0);
    let mut due = Vec::new();
    let from = Instant::now();
    for now_ms in (0..DAYS_MS + NEAR_MS).step_by(60_000) {
        loop {
            let from = Instant::now();
            timeline.load_ahead(now_ms + NEAR_MS).unwrap();
            let took = from.elapsed();
            loading += took;
            longest = longest.max(took);
            let on_disk = timeline.due(now_ms, None, 100_000, &mut due);
            fired += due.len() as u64;
            if due.is_empty() && on_disk.is_none() {
                break;
            }
            for timer in due.drain(..) {
                timeline.remove(timer.due_ms, timer.position);
            }
        }
    }
    assert_eq!((fired, timeline.len()), (timers, 0));
    println!(
        "load ahead {} ns each, longest {} us; due and remove {} ns each",
        loading.as_nanos() as u64 / timers,
        longest.as_micros(),
        from.elapsed().saturating_sub(loading).as_nanos() as u64 / timers,
    );
}

fn tell_size(timeline: &Timeline, folder: &std::path::Path) {
    let files = std::fs::read_dir(folder.join("timeline")).unwrap();
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    println!(
        "{} pending; RSS {} MB, told {} MB; {} files of {} MB (merged ones stay for the checkpoints)",
        timeline.len(),
        resident_bytes() / 1_000_000,
        timeline.memory_bytes() / 1_000_000,
        sizes.len(),
        sizes.iter().sum::<u64>() / 1_000_000,
    );
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

//! What copies cost, and how fast a log is copied and opened again: `make bench-copies`.
//!
//! All members of a group share the cores and the disk of one machine, which no cluster does: the figures are a floor.

use std::path::Path;
use std::time::Duration;

use client::{Endpoint, Message, Producer};
use e2e::bench::Load;
use e2e::members::Members;
use e2e::wait::{self, Stopwatch};

const TOPIC: &str = "bench";
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Filling a log, copying it and opening it take no longer, or something is wrong.
const LONG: Duration = Duration::from_mins(15);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Large requests until the log of the leader has this many bytes.
fn fill(members: &Members, bytes: u64) {
    let load = Load { batch: 256, callers: 8, duration: Duration::from_secs(2), ..Load::default() };
    while log_bytes(&members.data(members.leader())) < bytes {
        assert_eq!(load.run(members).errors, 0);
    }
}

fn log_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => log_bytes(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |metadata| metadata.len()),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[test]
#[ignore = "takes minutes: `make bench-copies`"]
fn three_copies_beside_one() {
    let (one, three) = (Members::start(1, ""), Members::start(3, ""));
    let rounds = number("E2E_BENCH_ROUNDS", 3);
    let cases = [(1, 1, 1), (32, 1, 1), (64, 8, 1), (256, 8, 1), (32, 4, 32)];
    println!(
        "\n| Callers × messages a request (connections) | 1 copy: msg/s | 3 copies: msg/s | share | 1 copy: CPU s | 3 copies: CPU s | p99 ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (callers, connections, batch) in cases {
        let load = Load { callers, connections, batch, ..Load::default() };
        let mut shares = Vec::new();
        let [mut rates, mut costs, mut slowest] = [const { [Vec::new(), Vec::new()] }; 3];
        for _ in 0..rounds {
            for (number, members) in [&one, &three].into_iter().enumerate() {
                let figures = load.run(members);
                assert_eq!(figures.errors, 0);
                rates[number].push(figures.messages_per_s);
                costs[number].push(figures.server_cpu_s_per_100k);
                slowest[number].push(figures.latency.p99_ms);
            }
            shares.push(rates[1].last().expect("a rate") / rates[0].last().expect("a rate") * 100.0);
        }
        let [one_rate, three_rate] = rates.map(median);
        let [one_cost, three_cost] = costs.map(median);
        let [one_slow, three_slow] = slowest.map(median);
        println!(
            "| {callers} × {batch} ({connections}) | {one_rate:.0} | {three_rate:.0} | {:.0} % | {one_cost:.2} | {three_cost:.2} | {one_slow:.2} / {three_slow:.2} |",
            median(shares)
        );
    }
}

#[test]
#[ignore = "takes minutes: `make bench-copies`"]
fn a_new_copy_of_a_large_log() {
    let mut pair = Members::start(2, "");
    let bytes = number("E2E_COPY_GIB", 3) * GIB;
    let copy = pair.followers()[0];
    let rounds = number("E2E_BENCH_ROUNDS", 3);
    println!(
        "\n| A new copy of a log | MB/s, medians of {rounds} | sends meanwhile: p50, p99, max ms |\n|---|--:|--:|"
    );
    for rate in [None, Some(5_000)] {
        let (mut rates, mut meanwhile) = (Vec::new(), String::from("-"));
        for _ in 0..rounds {
            pair.kill(copy);
            pair.wipe(copy);
            fill(&pair, bytes);
            let size = log_bytes(&pair.data(pair.leader()));
            let load = rate.map(|rate| Load { rate: Some(rate), ..Load::default() }.start(&pair));
            let watch = Stopwatch::start();
            pair.launch(copy);
            wait::until("the copy is in sync", LONG, || pair.is_ready(copy).then_some(()));
            rates.push(size as f64 / watch.elapsed().as_secs_f64() / 1e6);
            if let Some(load) = load {
                let figures = load.finish();
                assert_eq!(figures.errors, 0);
                let latency = figures.latency;
                meanwhile = format!("{:.2}, {:.2}, {:.0}", latency.p50_ms, latency.p99_ms, latency.max_ms);
            }
        }
        let while_serving = rate.map_or(String::new(), |rate| format!(", {rate} sends a second meanwhile"));
        println!("| {} MiB{while_serving} | {:.0} | {meanwhile} |", bytes / MIB, median(rates));
    }
}

#[test]
#[ignore = "takes minutes: `make bench-copies`"]
fn a_start_with_a_large_log() {
    let mut members = Members::start(1, "");
    let bytes = number("E2E_RESTART_GIB", 10) * GIB;
    fill(&members, bytes);
    println!(
        "\n| Start with {} MiB of log | pages in memory | first send acknowledged after, ms |\n|---|---|--:|",
        bytes / MIB
    );
    for (how, is_cold) in
        [("stopped", false), ("stopped", true), ("killed under load", false), ("killed under load", true)]
    {
        let mut times_ms = Vec::new();
        for _ in 0..number("E2E_BENCH_ROUNDS", 3) {
            if how == "stopped" {
                members.terminate(0);
            } else {
                let load = Load { duration: Duration::from_secs(5), ..Load::default() }.start(&members);
                let before = log_bytes(&members.data(0));
                wait::until("the load is on", LONG, || {
                    (log_bytes(&members.data(0)) > before + 64 * MIB).then_some(())
                });
                members.kill(0);
                load.abandon();
            }
            if is_cold {
                drop_pages();
            }
            times_ms.push(start_and_send(&mut members));
        }
        let memory = if is_cold { "no" } else { "yes" };
        println!("| {how} | {memory} | {:.0} |", median(times_ms));
    }
}

/// Nothing of any file is in memory after this; needs root.
fn drop_pages() {
    let synced = std::process::Command::new("sync").status().expect("`sync` is installed");
    assert!(synced.success());
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop the page cache");
}

fn start_and_send(members: &mut Members) -> f64 {
    let endpoint: Endpoint = members.endpoint(0).parse().expect("an endpoint");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let watch = Stopwatch::start();
    members.launch(0);
    runtime.block_on(async {
        while watch.elapsed() < LONG {
            let producer = Producer::builder(endpoint.clone()).attempts_max(1);
            if let Ok(producer) = producer.start().await
                && producer.send(Message::new(TOPIC, "first")).await.is_ok()
            {
                return watch.elapsed().as_secs_f64() * 1e3;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no send is acknowledged");
    })
}

//! Plays stories: `cargo run -p sim -- --seeds 200`; a failing seed is printed and can be played alone.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;

/// Plays a broker group through crashes, full disks and lost power, by seed.
#[derive(Parser)]
#[command(after_help = "Examples:\n  sim --seeds 200\n  sim --from 1000 --seeds 50\n  sim --seed 42")]
struct Arguments {
    /// How many stories.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Seed of the first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Play this one only.
    #[arg(long)]
    seed: Option<u64>,
}

static PLAYING: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let default_hook = std::panic::take_hook();
    // A panic ends the program: tell which seed it was.
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("seed {} panicked", PLAYING.load(Ordering::Relaxed));
        default_hook(panic);
    }));
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let mut total = sim::Figures::default();
    let mut failed = 0;
    for seed in from..from + seeds {
        PLAYING.store(seed, Ordering::Relaxed);
        match sim::run(seed, if arguments.seed.is_some() { usize::MAX } else { 1 }) {
            Ok(figures) => {
                total.messages += figures.messages;
                total.restarts += figures.restarts;
                total.events += figures.events;
            }
            Err(failure) => {
                failed += 1;
                if arguments.seed.is_some() {
                    failure.last_lines.iter().for_each(|line| println!("  {line}"));
                }
                println!("seed {} failed: {}", failure.seed, failure.why);
            }
        }
    }
    let sim::Figures { messages, restarts, events, .. } = total;
    println!("seeds {from} to {}: {failed} failed", from + seeds - 1);
    println!("{messages} messages, {restarts} restarts, {events} events in those that passed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

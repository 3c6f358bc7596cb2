//! Plays stories: `cargo run -p sim -- --seeds 200`; a failing seed is printed and can be played alone.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
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
    /// Stories of a whole group of brokers instead of one alone.
    #[arg(long)]
    cluster: bool,
    /// Where the whole stories of seeds that fail are written to.
    #[arg(long, default_value = "target/sim")]
    traces: PathBuf,
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
        match play(&arguments, seed) {
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
                if arguments.cluster && arguments.seed.is_none() {
                    tell(&arguments.traces, seed);
                }
            }
        }
    }
    let sim::Figures { messages, restarts, events, .. } = total;
    println!("seeds {from} to {}: {failed} failed", from + seeds - 1);
    println!("{messages} messages, {restarts} restarts, {events} events in those that passed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(arguments: &Arguments, seed: u64) -> Result<sim::Figures, Box<sim::Failure>> {
    match (arguments.cluster, arguments.seed) {
        (true, Some(_)) => sim::cluster::run(seed, usize::MAX),
        (true, None) => sim::cluster::run(seed, 0),
        (false, Some(_)) => sim::run(seed, usize::MAX),
        (false, None) => sim::run(seed, 1),
    }
}

/// Writes the whole story of a seed that failed.
fn tell(folder: &Path, seed: u64) {
    let Err(failure) = sim::cluster::run(seed, usize::MAX) else {
        println!("seed {seed} does not fail again");
        return;
    };
    let path = folder.join(format!("cluster-{seed}.txt"));
    let lines = failure.last_lines.join("\n");
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, lines));
    match written {
        Ok(()) => println!("  its story: {}", path.display()),
        Err(error) => println!("  its story cannot be written: {error}"),
    }
}

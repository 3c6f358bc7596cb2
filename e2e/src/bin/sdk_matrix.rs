//! Runs the official SDKs against any RocketMQ 5 endpoint and prints what each was seen to do.

use std::process::ExitCode;

use clap::Parser;
use e2e::matrix::{self, Outcome};
use e2e::sdk::{Mode, Scenario, Sdk};

/// The official SDKs, unmodified, against any RocketMQ 5 endpoint.
///
/// Each cell uses a topic and a group named after it, for example `java-push-roundtrip`. For Millpond print them
/// with `--manifests` and apply them; elsewhere create them by its own tools, or give one `--topic` and `--group`.
#[derive(Debug, Parser)]
struct Args {
    /// host:port
    #[arg(long, default_value = "127.0.0.1:8081")]
    endpoint: String,
    /// Only these SDKs
    #[arg(long, value_enum)]
    sdk: Vec<Sdk>,
    /// Only this kind of consumer
    #[arg(long, value_enum)]
    mode: Vec<Mode>,
    /// Only these scenarios
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// One topic for all cells
    #[arg(long)]
    topic: Option<String>,
    /// One group for all cells, which then run one after the other
    #[arg(long)]
    group: Option<String>,
    /// Cells at a time
    #[arg(long, default_value_t = 4)]
    width: usize,
    /// Print the topics and groups as YAML for this cluster, and do nothing else
    #[arg(long, value_name = "CLUSTER")]
    manifests: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all = |given: &[Sdk]| if given.is_empty() { Sdk::ALL.to_vec() } else { given.to_vec() };
    let modes = if args.mode.is_empty() { Mode::ALL.to_vec() } else { args.mode.clone() };
    let scenarios = if args.scenario.is_empty() { Scenario::MATRIX.to_vec() } else { args.scenario.clone() };
    let mut cells = matrix::cells(&args.endpoint, &all(&args.sdk), &modes, &scenarios);
    if let Some(cluster) = &args.manifests {
        print!("{}", matrix::manifests(&cells, cluster));
        return ExitCode::SUCCESS;
    }
    for cell in &mut cells {
        if let Some(topic) = &args.topic {
            cell.call.topic.clone_from(topic);
        }
        if let Some(group) = &args.group {
            cell.call.group.clone_from(group);
        }
    }
    let width = if args.group.is_some() { 1 } else { args.width };
    let outcomes = matrix::run(cells, width, &say);
    println!("\n{}", matrix::table(&outcomes));
    if outcomes.iter().all(|outcome| outcome.problems.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(outcome: &Outcome) {
    let word = if outcome.problems.is_empty() { "ok" } else { "FAILED" };
    println!("{word:<7}{:<36}{:.1} s", outcome.cell.call.topic, outcome.seconds);
    for problem in &outcome.problems {
        println!("       {problem}");
    }
}

//! The matrix: every SDK, both kinds of consumer, every scenario, each with a topic and a group of its own.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::sdk::report::Report;
use crate::sdk::{Call, Mode, Scenario, Sdk};
use crate::verify;
use crate::wait::Stopwatch;

/// Deliveries that the matrix's `dlq` groups allow.
pub const DLQ_ATTEMPTS: u32 = 2;
/// Messages per cell.
pub const COUNT: usize = 8;

/// One cell: what is run, and on which topic and group.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The call.
    pub call: Call,
    /// Its scenario.
    pub scenario: Scenario,
}

/// What became of a cell.
#[derive(Debug)]
pub struct Outcome {
    /// The cell.
    pub cell: Cell,
    /// What is wrong; empty: nothing.
    pub problems: Vec<String>,
    /// Seconds it took.
    pub seconds: f64,
    /// What the program said, if it came that far.
    pub report: Option<Report>,
}

/// The cells of these SDKs; `change-invisible` exists for simple consumers only.
pub fn cells(endpoint: &str, sdks: &[Sdk], modes: &[Mode], scenarios: &[Scenario]) -> Vec<Cell> {
    let mut cells = Vec::new();
    // the slow ones first, so that the quick ones fill the gaps
    for &scenario in scenarios.iter().rev() {
        for &sdk in sdks {
            for &mode in modes {
                if scenario != Scenario::ChangeInvisible || mode == Mode::Simple {
                    let name = format!("{}-{}-{}", sdk.word(), mode.word(), scenario.word());
                    cells.push(Cell { call: Call::new(sdk, mode, endpoint, &name, &name), scenario });
                }
            }
        }
    }
    cells
}

/// The topics and groups that the cells need, as YAML for a cluster.
pub fn manifests(cells: &[Cell], cluster: &str) -> String {
    let mut yaml = String::new();
    for cell in cells {
        let retry = format!("{{maxAttempts: {DLQ_ATTEMPTS}, backoff: {{custom: [1s]}}}}");
        object(&mut yaml, "Topic", &cell.call.topic, cluster, "queues: {perGroup: 4}");
        let retry =
            if cell.scenario == Scenario::Dlq { retry } else { "{backoff: {custom: [2s]}}".to_owned() };
        object(&mut yaml, "ConsumerGroup", &cell.call.group, cluster, &format!("retry: {retry}"));
        if cell.scenario == Scenario::Dlq {
            object(
                &mut yaml,
                "ConsumerGroup",
                &format!("{}-dlq", cell.call.group),
                cluster,
                "consumeFrom: Earliest",
            );
        }
    }
    yaml
}

/// Appends one object of ours as YAML.
pub fn object(yaml: &mut String, kind: &str, name: &str, cluster: &str, rest: &str) {
    let _ = write!(
        yaml,
        "---\napiVersion: millpond.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
         spec:\n  clusterRef: {{name: {cluster}}}\n  {rest}\n"
    );
}

/// Runs the cells, `width` at a time: most of their time is waiting.
pub fn run(cells: Vec<Cell>, width: usize, say: &(dyn Fn(&Outcome) + Sync)) -> Vec<Outcome> {
    let todo = Mutex::new(VecDeque::from(cells));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(cell) = next else { return };
                    let outcome = play(cell);
                    say(&outcome);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| (outcome.cell.scenario, outcome.cell.call.sdk, outcome.cell.call.mode));
    outcomes
}

fn play(cell: Cell) -> Outcome {
    let watch = Stopwatch::start();
    let (problems, report) = match cell.call.run(cell.scenario, COUNT) {
        Ok(report) => (verify::problems(&cell.call, cell.scenario, COUNT, &report), Some(report)),
        Err(error) => (vec![format!("{error:#}")], None),
    };
    Outcome { cell, problems, seconds: watch.elapsed().as_secs_f64(), report }
}

/// The outcomes as a table: one line per scenario and kind of consumer, one column per SDK.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<28}", "");
    for sdk in Sdk::ALL {
        let version = outcomes
            .iter()
            .filter(|outcome| outcome.cell.call.sdk == sdk)
            .find_map(|outcome| outcome.report.as_ref().map(|report| report.version.clone()));
        let _ = write!(text, "{:<16}", format!("{} {}", sdk.word(), version.unwrap_or_default()));
    }
    for scenario in Scenario::MATRIX {
        for mode in Mode::ALL {
            let line: Vec<&Outcome> = outcomes
                .iter()
                .filter(|outcome| outcome.cell.scenario == scenario && outcome.cell.call.mode == mode)
                .collect();
            if line.is_empty() {
                continue;
            }
            let _ = write!(text, "\n{:<28}", format!("{} ({})", scenario.word(), mode.word()));
            for sdk in Sdk::ALL {
                let cell = line.iter().find(|outcome| outcome.cell.call.sdk == sdk).map_or_else(
                    String::new,
                    |outcome| {
                        let word = if outcome.problems.is_empty() { "ok" } else { "FAILED" };
                        format!("{word} {:.0} s", outcome.seconds)
                    },
                );
                let _ = write!(text, "{cell:<16}");
            }
        }
    }
    text
}

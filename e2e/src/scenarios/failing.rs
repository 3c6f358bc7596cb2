//! The parts of the matrix that leaders may die in: wanted tags, deliveries that fail once, and those that always fail.

use anyhow::Result;

use crate::matrix::{self, Cell};
use crate::scenarios::{Play, Stage};
use crate::sdk::Scenario;
use crate::verify;

pub(super) fn objects(play: Play, scenario: Scenario, yaml: &mut String, cluster: &str) {
    let cell = Cell { call: play.call(""), scenario };
    yaml.push_str(&matrix::manifests(&[cell], cluster));
}

pub(super) fn play(stage: &Stage<'_>, scenario: Scenario) -> Result<Vec<String>> {
    let (count, attempts) = (matrix::COUNT.to_string(), matrix::DLQ_ATTEMPTS.to_string());
    let options = ["--count", &count, "--attempts", &attempts];
    let (report, blows) = stage.run(scenario.word(), &options, "150")?;
    Ok(verify::disturbed_problems(&stage.call, scenario, matrix::COUNT, &report, &blows))
}

//! Writes the custom resource definitions: `crdgen crds/generated charts/millpond/templates/crds`.
//!
//! The first folder gets plain YAML for `kubectl apply`, the second one Helm templates.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [generated, chart] = folders.as_slice() else {
        eprintln!("usage: crdgen FOLDER-FOR-YAML FOLDER-FOR-HELM-TEMPLATES");
        return ExitCode::from(2);
    };
    match write_all(generated, chart) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(generated: &Path, chart: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(generated)?;
    fs::create_dir_all(chart)?;
    for file in crds::generate::files()? {
        fs::write(generated.join(file.name), &file.yaml)?;
        fs::write(chart.join(file.name), &file.template)?;
    }
    Ok(())
}

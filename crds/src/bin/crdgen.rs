//! Writes the custom resource definitions: `crdgen crds/generated charts/millpond/templates/crds docs/reference`.
//!
//! The first folder gets plain YAML for `kubectl apply`, the second one Helm templates, the third one pages of every field
//! and reason.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [generated, chart, docs] = folders.as_slice() else {
        eprintln!("usage: crdgen FOLDER-FOR-YAML FOLDER-FOR-HELM-TEMPLATES FOLDER-FOR-PAGES");
        return ExitCode::from(2);
    };
    match write_all(generated, chart, docs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(generated: &Path, chart: &Path, docs: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(generated)?;
    fs::create_dir_all(chart)?;
    fs::create_dir_all(docs)?;
    for file in crds::generate::files()? {
        fs::write(generated.join(file.name), &file.yaml)?;
        fs::write(chart.join(file.name), &file.template)?;
    }
    for page in crds::reference::pages()? {
        fs::write(docs.join(page.name), &page.text)?;
    }
    Ok(())
}

//! `kubectl millpond`: what kubectl alone does not say about a cluster, or takes many commands to say.
//!
//! ```text
//!   status, explain ──► status of the custom resources, as the operator wrote it
//!   run, topics, tail, promote, export ──► `millpond` in a broker's pod (exec) ──► admin API of the brokers
//!   support-bundle ──► objects, events and logs ──► one .tar.gz
//! ```
//!
//! Promise: results go to standard output and everything else to standard error; the exit code is 0, 1 when it did not work
//! out, 2 for wrong usage, or that of the `millpond` in the pod. Nothing in Kubernetes is ever changed from here, except that
//! `promote` and `run` do what the `millpond` in the pod does.
#![forbid(unsafe_code)]

mod bundle;
mod cli;
mod condition;
mod error;
mod exec;
mod explain;
mod export;
mod kubernetes;
mod pods;
mod run;
mod status;
mod table;
#[cfg(test)]
mod testing;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Args, Command};
use crate::error::Failure;
use crate::kubernetes::Kubernetes;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(Box::pin(act(args)));
    // A read of standard input that nobody will ever answer must not keep the program.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| failed(&failure))
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("kubectl millpond: {failure}");
    ExitCode::FAILURE
}

async fn act(args: Args) -> Result<ExitCode, Failure> {
    let kubernetes = Kubernetes::connect(&args.place).await?;
    match args.command {
        Command::Status(args) => show(&status::report(&kubernetes, &args).await?),
        Command::Explain(args) => show(&explain::report(&kubernetes, &args).await?),
        Command::Topics(args) => run::topics(&kubernetes, args).await,
        Command::Tail(args) => run::tail(&kubernetes, args).await,
        Command::Promote(args) => run::promote(&kubernetes, &args).await,
        Command::Run(args) => run::any(&kubernetes, args).await,
        Command::Export(args) => {
            let export = export::report(&kubernetes, &args).await?;
            export.remarks.iter().for_each(|remark| eprintln!("{remark}"));
            show(&export.manifests)
        }
        Command::SupportBundle(args) => show(&bundle::report(&kubernetes, &args).await?),
    }
}

/// Prints a result. Whoever reads it may stop in the middle, as `head` does.
fn show(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

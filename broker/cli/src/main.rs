//! `millpond`: the command line of a broker. Sends, receives, administers and measures.
//!
//! Promise: results go to standard output, as a table or as JSON; progress and errors go to standard error; the exit code says
//! what kind of end it was (`Failure`).
#![forbid(unsafe_code)]

mod bench;
mod connect;
mod dead_letters;
mod failure;
mod groups;
mod messages;
mod output;
mod progress;
mod promote;
mod recall;
mod receive;
mod send;
mod status;
mod tail;
mod topics;
mod trace;
mod values;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::Format;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  millpond topics apply orders --queues 8        make a topic
  millpond send orders 'hello' --tag new         send one message
  millpond receive orders --group billing        take one message and acknowledge it
  millpond tail orders                           watch what arrives, without taking it from anybody
  millpond groups describe billing               how far a consumer group is
  millpond dead-letters list billing             what it gave up on
  millpond messages find --key 4711              where a message is
  millpond trace ID                              what happened to it
  millpond status                                is my data safe?
  millpond promote 1                             let member 1 of the group lead
  millpond bench send bench --callers 32         measure

Exit codes: 0 done, 1 refused or partly failed, 2 wrong usage, 3 no answer from the broker, 4 not found;
`millpond status` has its own, see `millpond status --help`";

/// Command line of the Millpond message broker
#[derive(Debug, Parser)]
#[command(name = "millpond", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    connect: Connect,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Send(send::Args),
    Recall(recall::Args),
    Receive(receive::Args),
    Tail(tail::Args),
    #[command(subcommand)]
    Topics(topics::Command),
    #[command(subcommand)]
    Groups(groups::Command),
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    #[command(subcommand)]
    Messages(messages::Command),
    Trace(trace::Args),
    Status(status::Args),
    Promote(promote::Args),
    #[command(subcommand)]
    Bench(bench::Command),
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("MILLPOND_LOG"))
        .init();
    let outcome = runtime(&args.command).and_then(|runtime| runtime.block_on(Box::pin(run(args))));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("millpond: {failure}");
            failure.exit_code()
        }
    }
}

/// One thread unless a benchmark asks for more: it shares the machine with what it measures.
fn runtime(command: &Command) -> Result<Runtime, Failure> {
    let threads = match command {
        Command::Bench(bench) => bench.threads(),
        Command::Send(_)
        | Command::Recall(_)
        | Command::Receive(_)
        | Command::Tail(_)
        | Command::Topics(_)
        | Command::Groups(_)
        | Command::DeadLetters(_)
        | Command::Messages(_)
        | Command::Trace(_)
        | Command::Status(_)
        | Command::Promote(_) => 1,
    };
    let mut builder = if threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    Ok(builder.worker_threads(threads).enable_all().build()?)
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (connect, format) = (&args.connect, args.output);
    match args.command {
        Command::Send(args) => send::run(args, connect, format).await?,
        Command::Recall(args) => recall::run(args, connect, format).await?,
        Command::Receive(args) => receive::run(args, connect, format).await?,
        Command::Tail(args) => tail::run(args, connect, format).await?,
        Command::Topics(command) => topics::run(command, connect, format).await?,
        Command::Groups(command) => groups::run(command, connect, format).await?,
        Command::DeadLetters(command) => dead_letters::run(command, connect, format).await?,
        Command::Messages(command) => messages::run(command, connect, format).await?,
        Command::Trace(args) => trace::run(args, connect, format).await?,
        Command::Status(args) => return status::run(args, connect, format).await,
        Command::Promote(args) => promote::run(args, connect, format).await?,
        Command::Bench(command) => bench::run(command, connect, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        super::Args::command().debug_assert();
    }
}

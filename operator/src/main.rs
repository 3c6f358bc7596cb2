//! The program: reads the command line, connects, waits for its turn, works.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use jiff::Timestamp;
use kube::{Client, Config};
use operator::admin::Brokers;
use operator::backoff::Backoff;
use operator::cli::Args;
use operator::context::{Context, Scope};
use operator::events::Events;
use operator::fleet::Fleet;
use operator::holding::Holding;
use operator::leadership::Candidate;
use operator::metrics::Metrics;
use operator::written::Written;
use operator::{cluster, http, nodes, objects};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// How long work under way may go on after a signal. Below the time that Kubernetes gives a pod.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = log(&args).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(args))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!("{problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn log(args: &Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log).context("--log")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if args.log_json {
        builder.json().init();
    } else {
        builder.init();
    }
    Ok(())
}

async fn run(args: Args) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let metrics = Arc::new(Metrics::default());
    let listener =
        http::bind(args.http_listen).await.with_context(|| format!("listen on {}", args.http_listen))?;
    let http = tokio::spawn(http::serve(listener, metrics.clone(), stop.clone()));
    let client = connect().await?;
    let context = Arc::new(Context {
        client: client.clone(),
        admin: Brokers::default(),
        settings: args.settings(),
        events: Events::new(client.clone(), &args.identity),
        metrics,
        nodes: Arc::default(),
        holding: Holding::default(),
        fleet: args.rollouts_max.map(|max| {
            let name = format!("{}-rollouts", args.lease_name);
            Fleet::new(client.clone(), &args.namespace, &name, max.into())
        }),
        written: Written::default(),
        backoff: Backoff::default(),
        clock: Timestamp::now,
    });
    let outcome = if args.no_leader_election {
        work(context, &args, stop.clone()).await;
        Ok(())
    } else {
        lead(context, &args, stop.clone()).await
    };
    stop.cancel();
    http.await?;
    outcome
}

/// Without retries of its own: a call that hangs for minutes and then happens after all is worse than an error, and
/// every caller knows when to try again.
async fn connect() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("find out where Kubernetes is")?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).context("make a client of the Kubernetes API")
}

async fn lead(context: Arc<Context<Brokers>>, args: &Args, stop: CancellationToken) -> anyhow::Result<()> {
    let candidate = Candidate::new(
        context.client.clone(),
        &args.namespace,
        &args.lease_name,
        &args.identity,
        context.clock,
    );
    let Some(lease) = candidate.acquire(&stop).await else { return Ok(()) };
    context.metrics.set_leading(true);
    // The lease is let go only after the work has ended, so it hears of the end and not of the signal.
    let done = CancellationToken::new();
    let hold = candidate.hold(lease, &done);
    let worked = async {
        work(context.clone(), args, stop.child_token()).await;
        done.cancel();
    };
    tokio::pin!(hold);
    tokio::select! {
        () = &mut hold => anyhow::bail!("lost the lease; ending so that a new start begins from nothing"),
        () = worked => {}
    }
    hold.await;
    context.metrics.set_leading(false);
    Ok(())
}

/// Works until told to stop, and then until what is under way has come to its end.
async fn work(context: Arc<Context<Brokers>>, args: &Args, stop: CancellationToken) {
    let scopes = Scope::list(&args.watch_namespaces);
    info!(?scopes, image = args.broker_image, "working");
    let mut tasks = JoinSet::new();
    let watched = context.clone();
    let until = stop.clone();
    tasks.spawn(async move { nodes::run(&watched.nodes, &watched.client, until).await });
    for scope in &scopes {
        tasks.spawn(cluster::controller::run(context.clone(), scope.clone(), stop.clone()));
        tasks.spawn(cluster::release::run(context.clone(), scope.clone(), stop.clone()));
    }
    tasks.spawn(objects::run(context, scopes, stop.clone()));
    stop.cancelled().await;
    let finished = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME_MAX, finished).await.is_err() {
        info!("work under way was cut off");
    }
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        token.cancel();
    });
    Ok(stop)
}

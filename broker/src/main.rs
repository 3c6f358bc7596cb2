//! `millpond-broker`: one broker group's log, its gateway, its admin API; wiring only.
//!
//! ```text
//!   listener -> runtimes (one per core) -> Leadership -> Gateway -> engine::Group <- log thread, background thread
//!   control runtime: accept, admin API, health and metrics, the manifest folder, signals
//! ```

mod args;
mod http;
mod kept;
mod logging;
mod member;
mod metrics;
mod ports;
mod reload;
mod runtimes;
mod spans;
mod standalone;
mod tls;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use crds::broker_config::BrokerConfig;
use engine::mailbox::Mailbox;
use gateway_grpc::admin::AdminService;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::Leadership;
use gateway_grpc::rocketmq_admin::LogLevel;
use gateway_grpc::serve::Connections;
use kept::Kept;
use logging::start_logging;
use metrics::Figures;
use peer::clock::Clock;
use peer::copy::PenSlot;
use reload::Live;
use runtimes::Runtimes;
use spans::Exporter;
use standalone::Folder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::info;

/// How often sessions and renewed leases are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args = Args::parse();
    let log_level = start_logging(args.log_json);
    let config = args.broker_config()?;
    let clock = Arc::new(Clock::default());
    let slot = PenSlot::default();
    let live = Live::new(&config.hot());
    let kept = Kept::open(&config, &live, &args.pod_ips, &clock, &slot)?;
    let at_turn_end = {
        let clock = Arc::clone(&clock);
        move || slot.write_here(&clock)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(&args, &config, &live, &kept, log_level, clock, at_turn_end));
    kept.stop();
    served
}

async fn serve(
    args: &Args,
    config: &BrokerConfig,
    live: &Live,
    kept: &Kept,
    log_level: LogLevel,
    clock: Arc<Clock>,
    at_turn_end: impl Fn() + Clone + Send + 'static,
) -> Result<()> {
    let stop = CancellationToken::new();
    let now_ms: Arc<dyn Fn() -> u64 + Send + Sync> = Arc::new(move || clock.now_ms());
    let spans = spans::spans();
    let exporter = Exporter::new(Arc::clone(&spans), live.otlp_endpoint.clone(), config);
    let gateway_config =
        GatewayConfig { spans: Some(Arc::clone(&spans)), ..gateway_config(config, live, kept, log_level) };
    let leadership = Leadership::new(gateway_config, Arc::clone(&now_ms));
    kept.announce(config, &leadership);
    let tls = tls::acceptor(&config.tls)?;
    let listener = listen("listen", config.listen).await?;
    let admin_listener = listen("adminListen", config.admin_listen).await?;
    let http_listener = listen("httpListen", config.http_listen).await?;

    let mailbox = Mailbox::new();
    tokio::spawn(Arc::clone(&mailbox).drain(at_turn_end.clone()));
    let threads = args.threads.map_or_else(cores, usize::from);
    let runtimes = Runtimes::start(threads, at_turn_end, |mailbox| Connections {
        leadership: Arc::clone(&leadership),
        relay: Arc::default(),
        mailbox,
        tls: Some(tls.clone()),
        now_ms: Arc::clone(&now_ms),
        listener: None,
        stop: stop.clone(),
    })?;
    let figures =
        Arc::new(Figures::new(config, Arc::clone(&leadership), kept.status(), runtimes.connections(), spans));
    tokio::spawn(http::serve(http_listener, Arc::clone(&figures), stop.clone()));
    let admin = AdminService::new(Arc::clone(&leadership), Arc::clone(&mailbox), figures.open_connections())
        .among(kept.membership(config));
    let admin = Server::builder()
        .add_service(admin.server(Arc::default()))
        .serve_with_incoming_shutdown(TcpListenerStream::new(admin_listener), stop.clone().cancelled_owned());
    tokio::spawn(admin);
    if let Some(folder) = &args.apply {
        let mut folder = Folder::new(folder.clone(), Arc::clone(&leadership), Arc::clone(&mailbox));
        folder.apply_if_changed().await;
        tokio::spawn(folder.watch(stop.clone()));
    }
    tokio::spawn(sweep(Arc::clone(&leadership), stop.clone()));
    tokio::spawn(reload::watch(args.clone(), config.clone(), live.clone(), stop.clone()));
    let answered = CancellationToken::new();
    let exporting = tokio::spawn(exporter.run(answered.clone()));
    figures.serving();
    info!(clients = %config.listen, admin = %config.admin_listen, http = %config.http_listen, threads, "serving");
    let accepting = async {
        tokio::select! {
            () = runtimes.accept(listener, None, stop.clone()) => {}
            () = ports::keep(&runtimes, live.listeners.subscribe(), stop.clone()) => {}
        }
    };
    until_stopped(accepting, &figures, kept, Duration::from_millis(args.linger_ms)).await;
    info!("stopping: answering what is under way");
    kept.retire().await;
    stop.cancel();
    tokio::task::spawn_blocking(move || runtimes.join()).await.context("runtimes")?;
    answered.cancel();
    exporting.await.context("spans")
}

/// Until the broker shall stop. One among others hands over at once, and then serves `linger` longer, by way of whoever leads:
/// Services still lead here for a moment, the leader's because its new address has just been written.
async fn until_stopped(
    accepting: impl Future<Output = ()>,
    figures: &Figures,
    kept: &Kept,
    linger: Duration,
) {
    let mut accepting = pin!(accepting);
    tokio::select! {
        () = &mut accepting => return figures.stopping(),
        () = stop_asked() => figures.stopping(),
    }
    if linger.is_zero() || !kept.has_others() {
        return;
    }
    info!(?linger, "stopping: handing over, and serving on while clients are sent elsewhere");
    let leave = async {
        kept.retire().await;
        tokio::time::sleep(linger).await;
    };
    tokio::select! {
        () = accepting => {}
        () = leave => {}
        () = stop_asked() => {}
    }
}

async fn listen(key: &str, address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Ends silent clients' sessions, renews the others' leases, asks about transactions: may wait for the disk.
async fn sweep(leadership: Arc<Leadership>, stop: CancellationToken) {
    let mut turns = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = turns.tick() => {
                let leadership = Arc::clone(&leadership);
                let swept = tokio::task::spawn_blocking(move || leadership.sweep()).await;
                if let Err(error) = swept {
                    tracing::error!(%error, "the sweep of a second failed");
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn stop_asked() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn gateway_config(config: &BrokerConfig, live: &Live, kept: &Kept, log_level: LogLevel) -> GatewayConfig {
    GatewayConfig {
        cluster: config.cluster.clone(),
        group: config.group.clone(),
        groups: live.groups.clone(),
        listeners: live.ways.clone(),
        members: kept.members(config),
        host: own_address(config),
        flush: format!("{:?}", config.log.flush.unwrap_or_default()),
        check_after_ms: live.check_after_ms.clone(),
        log_level: Some(log_level),
        delay_ms_max: live.delay_ms_max.clone(),
        ..GatewayConfig::default()
    }
}

/// What deliveries show as the storing host, and what clients are told that named no address.
fn own_address(config: &BrokerConfig) -> String {
    let own = config.groups.iter().find(|group| group.name == config.group);
    match own {
        Some(own) => own.endpoint.clone(),
        None if config.listen.ip().is_unspecified() => format!("127.0.0.1:{}", config.listen.port()),
        None => config.listen.to_string(),
    }
}

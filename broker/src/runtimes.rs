//! One single-threaded runtime per core; one acceptor deals the connections out.
//!
//! ```text
//!   listener --accept--> least loaded runtime --> Connections::serve
//! ```
//!
//! A client holds one long connection, so dealing by load keeps all cores busy where the kernel's hash would not.
//! A multi-threaded runtime would move tasks between cores and costs a third more per call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use engine::mailbox::Mailbox;
use gateway_grpc::serve::Connections;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::ports::Port;

/// Connections dealt to a runtime and not picked up yet; the acceptor waits when it is full.
const HANDED_MAX: usize = 1024;
/// After a failed accept (no descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// The runtimes that serve clients.
pub(crate) struct Runtimes {
    runtimes: Vec<Runtime>,
}

/// A connection, where it comes from, and the port it came by if that is not the usual one.
type Handed = (std::net::TcpStream, SocketAddr, Option<Port>);

struct Runtime {
    handed: mpsc::Sender<Handed>,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Runtimes {
    /// Starts `count` threads; `template` makes what the connections of one runtime share, `at_turn_end` writes what
    /// they submitted.
    pub(crate) fn start(
        count: usize,
        at_turn_end: impl Fn() + Clone + Send + 'static,
        template: impl Fn(Arc<Mailbox>) -> Connections,
    ) -> Result<Self> {
        let start = |number| Runtime::start(number, at_turn_end.clone(), &template);
        let runtimes = (0..count).map(start).collect::<Result<_>>()?;
        Ok(Self { runtimes })
    }

    /// Accepts and deals until `stop`.
    pub(crate) async fn accept(&self, listener: TcpListener, port: Option<Port>, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted.and_then(|(stream, remote)| Ok((stream.into_std()?, remote, port.clone()))) {
                Ok(connection) => {
                    let Some(runtime) = self.least_loaded() else { return };
                    runtime.connections.fetch_add(1, Ordering::Relaxed);
                    if runtime.handed.send(connection).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!(%error, "accepting a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Open connections of all runtimes.
    pub(crate) fn connections(&self) -> Vec<Arc<AtomicUsize>> {
        self.runtimes.iter().map(|runtime| Arc::clone(&runtime.connections)).collect()
    }

    /// Waits until every connection has ended; call it after `stop` was cancelled.
    pub(crate) fn join(self) {
        for runtime in self.runtimes {
            drop(runtime.handed);
            if runtime.thread.join().is_err() {
                warn!("a runtime ended with a panic");
            }
        }
    }

    fn least_loaded(&self) -> Option<&Runtime> {
        self.runtimes.iter().min_by_key(|runtime| runtime.connections.load(Ordering::Relaxed))
    }
}

impl Runtime {
    fn start(
        number: usize,
        at_turn_end: impl Fn() + Send + 'static,
        template: &impl Fn(Arc<Mailbox>) -> Connections,
    ) -> Result<Self> {
        let (handed, inbox) = mpsc::channel(HANDED_MAX);
        let connections = Arc::new(AtomicUsize::new(0));
        let mailbox = Mailbox::new();
        let shared = template(Arc::clone(&mailbox));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let count = Arc::clone(&connections);
        let thread = std::thread::Builder::new()
            .name(format!("grpc-{number}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(mailbox.drain(at_turn_end));
                    serve_handed(inbox, shared, count).await;
                });
            })
            .context("starting a runtime thread")?;
        Ok(Self { handed, connections, thread })
    }
}

async fn serve_handed(mut inbox: mpsc::Receiver<Handed>, shared: Connections, count: Arc<AtomicUsize>) {
    let tasks = TaskTracker::new();
    while let Some((stream, remote, port)) = inbox.recv().await {
        let mut shared = shared.clone();
        if let Some(Port { listener, stop }) = port {
            shared.listener = Some(listener);
            shared.stop = stop;
        }
        let count = Arc::clone(&count);
        tasks.spawn(async move {
            match stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) {
                Ok(stream) => shared.serve(stream, remote).await,
                Err(error) => info!(%remote, %error, "connection ended before it began"),
            }
            count.fetch_sub(1, Ordering::Relaxed);
        });
    }
    tasks.close();
    tasks.wait().await;
}

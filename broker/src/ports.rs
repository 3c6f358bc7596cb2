//! Ports of listeners, opened and closed while the broker runs.
//!
//! Promise: within two seconds of a change of the configuration its listeners take connections and others do not; those that
//! came by a listener that is gone are told to leave, and are cut off when they stay. One whose port cannot be had is tried
//! again every second, and the others serve.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crds::broker_config::ListenerConfig;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runtimes::Runtimes;

/// Time until a port that could not be had is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How connections came that did not come by the port of clients in Kubernetes.
#[derive(Clone)]
pub(crate) struct Port {
    /// Name of the listener.
    pub(crate) listener: HeaderValue,
    /// Cancelled when the listener is gone, or the broker stops.
    pub(crate) stop: CancellationToken,
}

struct Open {
    name: String,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Open {
    fn is(&self, listener: &ListenerConfig) -> bool {
        self.name == listener.name && self.address == listener.listen
    }
}

/// Has the wanted ports open until `stop`.
pub(crate) async fn keep(
    runtimes: &Runtimes,
    mut wanted: watch::Receiver<Vec<ListenerConfig>>,
    stop: CancellationToken,
) {
    let mut open: Vec<Open> = Vec::new();
    let mut failed = BTreeSet::new();
    let mut accepting = FuturesUnordered::new();
    loop {
        let listeners = wanted.borrow_and_update().clone();
        open.retain(|port| {
            let is_kept = listeners.iter().any(|listener| port.is(listener));
            if !is_kept {
                info!(listener = port.name, address = %port.address, "closing the listener");
                port.stop.cancel();
            }
            is_kept
        });
        let mut is_missing = false;
        for listener in &listeners {
            if open.iter().any(|port| port.is(listener)) {
                continue;
            }
            match bind(listener).await {
                Ok((socket, name)) => {
                    let port = Open {
                        name: listener.name.clone(),
                        address: listener.listen,
                        stop: stop.child_token(),
                    };
                    let way = Port { listener: name, stop: port.stop.clone() };
                    accepting.push(runtimes.accept(socket, Some(way), port.stop.clone()));
                    open.push(port);
                    failed.remove(&listener.name);
                    info!(listener = listener.name, address = %listener.listen, "listening");
                }
                Err(error) => {
                    is_missing = true;
                    if failed.insert(listener.name.clone()) {
                        warn!(listener = listener.name, address = %listener.listen, %error, "cannot listen; trying on");
                    }
                }
            }
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return stop.cancelled().await;
            },
            Some(()) = accepting.next() => {}
            () = sleep(TRY_EVERY), if is_missing => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn bind(listener: &ListenerConfig) -> std::io::Result<(TcpListener, HeaderValue)> {
    let name = HeaderValue::from_str(&listener.name).map_err(std::io::Error::other)?;
    Ok((TcpListener::bind(listener.listen).await?, name))
}

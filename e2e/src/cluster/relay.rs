//! An address on this machine that leads to a pod, whatever address the pod has at the moment.
//!
//! ```text
//!   client ── 127.0.0.1:<port> ── relay ── 10.244.1.7:8081      the pod goes: its connections are ended
//!                                      └── 10.244.3.9:8081      it is back elsewhere: new ones lead there
//! ```
//!
//! Promise: nothing is answered here; who cannot be reached looks like a connection that ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// A pod that takes longer to answer a connection is not there.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The address, as long as the runtime that it was started in lives.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Relay {
    /// Listens; leads nowhere yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its number");
        let (target, seen) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, seen.clone()));
            }
        });
        Self { address, target }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads to at the moment.
    pub fn target(&self) -> Option<SocketAddr> {
        *self.target.borrow()
    }

    /// Leads there from now on; whoever is connected to another place is cut off.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        self.target.send_if_modified(|old| std::mem::replace(old, target) != target);
    }
}

async fn carry(mut client: TcpStream, mut target: watch::Receiver<Option<SocketAddr>>) {
    let Some(to) = *target.borrow_and_update() else { return };
    let Ok(Ok(mut pod)) = timeout(CONNECT_MAX, TcpStream::connect(to)).await else { return };
    // A failure on either side is the end of both, which the client sees.
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut pod) => {}
        _ = target.changed() => {}
    }
}

//! What other members send.

use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::{Inbound, LinkError, Mesh, read_frame};

const BUFFER_BYTES: usize = 256 << 10;
/// After a failed accept (no descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the mesh stops.
pub(super) async fn accept(mesh: Mesh, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = mesh.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let mesh = mesh.clone();
                tokio::spawn(async move {
                    let ended = tokio::select! {
                        ended = receive(&mesh, stream) => ended,
                        () = mesh.stop.cancelled() => return,
                    };
                    if let Err(error) = ended {
                        debug!(%remote, %error, "a member's connection ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "accepting a member's connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn receive(mesh: &Mesh, mut stream: TcpStream) -> Result<(), LinkError> {
    let from = mesh.greet(&mut stream).await?;
    // The connection before it may have died without a word, and with it what was on the way.
    mesh.tell(Inbound::Down { member: from }).await?;
    let mut stream = BufReader::with_capacity(BUFFER_BYTES, stream);
    let error = loop {
        match read_frame(&mut stream).await {
            Ok(frame) => mesh.tell(Inbound::Frame { from, frame }).await?,
            Err(error) => break error,
        }
    };
    mesh.tell(Inbound::Down { member: from }).await?;
    Err(error)
}

//! Connections between the members of a group.
//!
//! ```text
//!   driver ──Outbox──► writer task ──TCP──► reader task of the peer ──Inbound──► its driver
//!                      └ ships the log by itself while told to stream
//! ```
//!
//! Every member dials every other one and sends on that connection only; what it accepts it only reads. So each
//! direction is one ordered stream, and a break of either is told to both ends.
//! Promise: frames of one connection arrive in order or not at all; memory is bounded. Frames may be lost with their
//! connection, which the protocol expects.

mod incoming;
mod outgoing;
mod ship;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::group_record::MemberId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::codec::{Body, Frame, FrameError, Greeting, PREFIX_BYTES};

pub(crate) use outgoing::Outbox;
pub(crate) use ship::{Freight, Ship};

/// A peer that does not say who it is in this time is cut off.
const GREETING_WAIT: Duration = Duration::from_secs(2);
/// Frames that wait for the driver; a reader stops when there are more.
const INBOUND_MAX: usize = 16;

/// What the connections tell the driver.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A member can be sent to.
    Up { member: MemberId, outbox: Outbox },
    /// What was sent to a member, or what it sent, may be lost.
    Down { member: MemberId },
    /// Nobody listens there.
    Refused { ordinal: u32 },
    /// Something came.
    Frame { from: MemberId, frame: Frame },
}

/// What all connections of a member share.
#[derive(Clone)]
pub(crate) struct Mesh {
    pub(crate) own: Greeting,
    /// Silence after which the kernel gives a connection up, in milliseconds.
    pub(crate) give_up_ms: u32,
    pub(crate) inbound: mpsc::Sender<Inbound>,
    pub(crate) stop: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the peer is `{found}` of {member}, expected a member of `{expected}`")]
    Stranger { found: String, member: MemberId, expected: String },
    #[error("the peer did not say who it is")]
    NoGreeting,
    #[error("the driver has stopped")]
    Stopped,
}

impl Mesh {
    /// A mesh and what it will tell.
    pub(crate) fn new(
        own: Greeting,
        peer_timeout_ms: u64,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Inbound>) {
        let (inbound, receiver) = mpsc::channel(INBOUND_MAX);
        let give_up_ms = (2 * peer_timeout_ms).min(u64::from(u32::MAX)) as u32;
        (Self { own, give_up_ms, inbound, stop }, receiver)
    }

    /// Accepts and dials until `stop`; `addresses` by ordinal.
    pub(crate) fn start(&self, listener: TcpListener, addresses: &[String], freight: &Arc<Freight>) {
        tokio::spawn(incoming::accept(self.clone(), listener));
        for (ordinal, address) in (0..).zip(addresses) {
            if ordinal != self.own.from.ordinal {
                tokio::spawn(outgoing::dial(self.clone(), ordinal, address.clone(), Arc::clone(freight)));
            }
        }
    }

    async fn tell(&self, inbound: Inbound) -> Result<(), LinkError> {
        self.inbound.send(inbound).await.map_err(|_| LinkError::Stopped)
    }

    /// Says who this is and hears who the other one is.
    async fn greet(&self, stream: &mut TcpStream) -> Result<MemberId, LinkError> {
        tune(stream, self.give_up_ms)?;
        write_frame(stream, &Frame::Greeting(self.own.clone())).await?;
        let frame = tokio::time::timeout(GREETING_WAIT, read_frame(stream)).await;
        let Ok(Frame::Greeting(greeting)) = frame.map_err(|_| LinkError::NoGreeting)? else {
            return Err(LinkError::NoGreeting);
        };
        if greeting.group != self.own.group || greeting.from.ordinal == self.own.from.ordinal {
            let expected = self.own.group.clone();
            return Err(LinkError::Stranger { found: greeting.group, member: greeting.from, expected });
        }
        Ok(greeting.from)
    }
}

/// Small frames go out at once, and a peer that vanished is noticed.
fn tune(stream: &TcpStream, give_up_ms: u32) -> Result<(), LinkError> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(stream, give_up_ms).map_err(std::io::Error::from)?;
    Ok(())
}

pub(crate) async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> std::io::Result<()> {
    let (head, body) = frame.encode();
    write_parts(stream, head, &body).await
}

/// One packet for small frames, no copy for large ones.
pub(crate) async fn write_parts(
    stream: &mut (impl AsyncWrite + Unpin),
    mut head: bytes::BytesMut,
    body: &[u8],
) -> std::io::Result<()> {
    const COPIED_BYTES_MAX: usize = 64 << 10;
    if body.len() <= COPIED_BYTES_MAX {
        head.extend_from_slice(body);
        return stream.write_all(&head).await;
    }
    stream.write_all(&head).await?;
    stream.write_all(body).await
}

pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Frame, LinkError> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let (head_bytes, body_bytes) = Frame::lengths(&prefix)?;
    let mut head = vec![0; head_bytes];
    stream.read_exact(&mut head).await?;
    let mut body = Vec::with_capacity(body_bytes.min(1 << 20));
    let read = (&mut *stream).take(body_bytes as u64).read_to_end(&mut body).await?;
    if read < body_bytes {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Frame::decode(&prefix, &head, body.into())?)
}

/// Where a member's address leads now.
pub(crate) async fn resolve(address: &str) -> std::io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address).await?;
    found.next().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))
}

impl From<replica::event::Message> for Frame {
    fn from(message: replica::event::Message) -> Self {
        Self::Message { message, body: Body::None }
    }
}

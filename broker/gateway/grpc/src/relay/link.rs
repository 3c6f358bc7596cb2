//! One HTTP/2 connection to the leader.
//!
//! Promise: calls that need it at the same time connect once, and all learn how it went. A leader that falls silent is
//! noticed after 1 to 1.5 s, by pings: its calls end then, before the group has another leader, so that a client has time
//! to try again elsewhere before it gives up.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tracing::debug;

use crate::call::GrpcError;
use crate::relay::Outgoing;

const CONNECT_WAIT: Duration = Duration::from_secs(1);
const PING_EVERY: Duration = Duration::from_millis(400);
const PING_WAIT: Duration = Duration::from_secs(1);
/// Half of what the leader's port takes; long polls and telemetry streams of many clients share a link.
const CALLS_MAX: usize = 5000;
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Clients that do not read hold up the others only when there are a thousand of them.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// Calls given up whose late replies are still expected.
const RESETS_KNOWN: usize = 1000;

type Connecting = Shared<BoxFuture<'static, Result<SendRequest<Outgoing>, Unreachable>>>;

/// A connection, or the attempt to make it. Each call keeps a clone as long as it lasts.
#[derive(Clone)]
pub(crate) struct Link {
    address: Arc<str>,
    connecting: Connecting,
}

/// The leader cannot be connected to; nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("leader at {address} cannot be reached: {why}")]
pub(crate) struct Unreachable {
    address: Arc<str>,
    why: String,
}

/// The connection ended before the request went out; it may go another way.
pub(crate) struct Unsent(pub(crate) Request<Outgoing>);

impl Link {
    /// A link that connects as soon as somebody waits for it.
    pub(crate) fn begin(address: String) -> Self {
        let address: Arc<str> = address.into();
        let to = Arc::clone(&address);
        let connecting = async move {
            let connected = tokio::time::timeout(CONNECT_WAIT, connect(&to)).await;
            let why = match connected {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} ms", CONNECT_WAIT.as_millis()),
            };
            Err(Unreachable { address: to, why })
        };
        Self { address, connecting: connecting.boxed().shared() }
    }

    pub(crate) fn is_to(&self, address: &str) -> bool {
        *self.address == *address
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.connecting.peek().is_some_and(|ended| ended.as_ref().map_or(true, SendRequest::is_closed))
    }

    /// Whether a request can be sent now.
    pub(crate) fn is_connected(&self) -> bool {
        self.connecting.peek().is_some_and(|ended| ended.as_ref().is_ok_and(|client| !client.is_closed()))
    }

    /// Whether the leader takes another call on this connection.
    pub(crate) fn has_room(&self) -> bool {
        Arc::strong_count(&self.address) <= CALLS_MAX
    }

    /// Waits until it is connected.
    pub(crate) async fn ready(&self) -> Result<(), Unreachable> {
        self.connecting.clone().await.map(drop)
    }

    /// Sends a request over a link that is ready.
    pub(crate) async fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Result<Response<Incoming>, GrpcError>, Unsent> {
        let Some(Ok(client)) = self.connecting.peek() else { return Err(Unsent(request)) };
        match client.clone().try_send_request(request).await {
            Ok(response) => Ok(Ok(response)),
            Err(mut error) => match error.take_message() {
                Some(request) => Err(Unsent(request)),
                None => Ok(Err(lost(error.error()))),
            },
        }
    }
}

async fn connect(address: &str) -> io::Result<SendRequest<Outgoing>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .keep_alive_while_idle(true)
        // Clients that leave reset their calls; over the life of a link those are many, and the leader is no enemy.
        .max_concurrent_reset_streams(RESETS_KNOWN)
        .max_local_error_reset_streams(None)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let address = address.to_owned();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(address, %error, "link to the leader ended");
        }
    });
    Ok(client)
}

/// What a client is told whose call left and did not come back.
pub(crate) fn lost(error: &dyn fmt::Display) -> GrpcError {
    GrpcError::unavailable(format!("outcome unknown: the connection to the leader ended: {error}"))
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

//! One connection of a client: plaintext or TLS by its first byte, then HTTP/2, then a task per call.
//!
//! ```text
//!   TcpStream --peek--> 0x16: TLS ┐
//!                       else:     ┴-> HTTP/2 -> Method -> Gateway -> one reply buffer
//! ```
//!
//! Promise: whatever arrives on the port ends in a gRPC status or a closed connection, and every wait has a limit.
//! A call that this broker cannot serve because another one leads is steered there, before it is decoded.
//! Not here: which connection goes to which runtime (`broker`), what a call does (`Gateway`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::mailbox::Mailbox;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::call::GrpcError;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::frame::{Reply, status};
use crate::leader::Leadership;
use crate::method::Method;
use crate::relay::Relay;

/// The first byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// A client that says nothing for so long after connecting is cut off.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(10);
/// An idle or dead peer is asked this often, and given that long to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
/// Calls that finish after the broker was asked to stop get this long.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
const FRAME_BYTES_MAX: u32 = 64 << 10;
/// A push consumer opens one receive stream per assignment; Netty's default is unlimited.
const STREAMS_MAX: u32 = 10_000;
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// What every connection of a runtime shares.
#[derive(Clone)]
pub struct Connections {
    /// Who answers the calls.
    pub leadership: Arc<Leadership>,
    /// The way to the leader when this broker is not; one for each runtime.
    pub relay: Arc<Relay>,
    /// Wakes tasks of this runtime.
    pub mailbox: Arc<Mailbox>,
    /// Serves clients that begin with a TLS handshake; without it they are closed.
    pub tls: Option<TlsAcceptor>,
    /// Unix time in milliseconds.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The name of the listener that these connections come by; none: that of clients in Kubernetes.
    pub listener: Option<HeaderValue>,
    /// Cancelled when the broker stops, or closes the listener.
    pub stop: CancellationToken,
}

impl Connections {
    /// Serves one connection until the client leaves or the broker stops.
    pub async fn serve(self, stream: TcpStream, remote: SocketAddr) {
        let leadership = Arc::clone(&self.leadership);
        let _connected = leadership.counters().connected();
        let mut first = [0];
        match tokio::time::timeout(FIRST_BYTES_WAIT, stream.peek(&mut first)).await {
            Ok(Ok(1)) => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
        if first[0] != TLS_HANDSHAKE {
            return self.http2(TokioIo::new(stream), remote).await;
        }
        let Some(tls) = self.tls.clone() else { return };
        match tokio::time::timeout(FIRST_BYTES_WAIT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http2(TokioIo::new(stream), remote).await,
            Ok(Err(error)) => debug!(%remote, %error, "refused TLS handshake"),
            Err(_) => debug!(%remote, "TLS handshake took too long"),
        }
    }

    async fn http2<IO: Read + Write + Unpin>(self, io: IO, remote: SocketAddr) {
        let stop = self.stop.clone();
        let shared = Arc::new(self);
        let open = Open { connection: Arc::default(), now_ms: Arc::clone(&shared.now_ms) };
        let carried = Arc::clone(&open.connection);
        let service = service_fn(move |request| answer(&shared, request, remote, &carried));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .auto_date_header(false)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stop.cancelled() => None,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN_WAIT, connection).await.unwrap_or(Ok(()))
        };
        if let Err(error) = ended {
            debug!(%remote, %error, "connection ended");
        }
    }
}

/// A connection that is served; it has ended when this is dropped.
struct Open {
    connection: Arc<Connection>,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.end((self.now_ms)());
    }
}

/// The task of a call is moved several times before it runs, so all but sends, which are many, wait in a box.
fn answer(
    connections: &Arc<Connections>,
    request: Request<Incoming>,
    remote: SocketAddr,
    connection: &Arc<Connection>,
) -> impl Future<Output = Result<Response<Reply>, Infallible>> + use<> {
    let kind = request.headers().get("content-type");
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let method = Method::from_path(request.uri().path())
        .ok_or_else(|| GrpcError::unimplemented(format!("no method {}", request.uri().path())));
    let exchange = Exchange::new(connections, request, remote, connection);
    async move {
        if !is_grpc {
            let mut response = Response::new(Reply::End);
            *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Ok(response);
        }
        let answered = match method {
            Ok(Method::SendMessage) => exchange.send().await,
            Ok(method) => Box::pin(exchange.serve(method)).await,
            Err(unknown) => Err(unknown),
        };
        Ok(answered.unwrap_or_else(|error| {
            let mut response = response(Reply::End);
            response.headers_mut().extend(status(Some(&error)));
            response
        }))
    }
}

/// A reply of this broker.
pub(crate) fn response(reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

//! One call under way: served here by the gateway of this moment, or steered to the leader.
//!
//! ```text
//!   leads? ─yes─▶ read the message ─▶ still leads? ─yes─▶ Gateway ─▶ reply
//!     └─no──────────────┴───────────────────no──▶ steer ─▶ Gateway, the leader's reply, or a refusal
//! ```
//!
//! Promise: a call uses one gateway from its first decision on; a client that is slow to send keeps none.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, GrpcError};
use crate::frame::{Inbound, Reply};
use crate::gateway::Gateway;
use crate::leader::LeaderAddress;
use crate::method::Method;
use crate::refusal::Refusal;
use crate::relay::{self, Outgoing};
use crate::serve::{Connections, response};
use crate::steer::{Steered, Steering};
use crate::unary::refused;

/// One call of a connection.
pub(crate) struct Exchange {
    connections: Arc<Connections>,
    call: Call,
    path: Option<PathAndQuery>,
    inbound: Inbound,
}

type Answered = Result<Response<Reply>, GrpcError>;

impl Exchange {
    pub(crate) fn new(
        connections: &Arc<Connections>,
        request: Request<Incoming>,
        remote: SocketAddr,
    ) -> Self {
        let (head, body) = request.into_parts();
        let uri = head.uri.into_parts();
        let call = Call {
            remote: relay::remote(&head.headers, remote),
            headers: head.headers,
            authority: uri.authority,
            arrived_ms: (connections.now_ms)(),
            mailbox: Arc::clone(&connections.mailbox),
        };
        let connections = Arc::clone(connections);
        Self { connections, call, path: uri.path_and_query, inbound: Inbound::new(body) }
    }

    /// Serves a send.
    pub(crate) async fn send(mut self) -> Answered {
        if !self.connections.leadership.is_here() {
            return Box::pin(self.steer(Method::SendMessage, None)).await;
        }
        let request = self.inbound.only().await?;
        let Some(gateway) = self.connections.leadership.gateway() else {
            return Box::pin(self.steer(Method::SendMessage, Some(request))).await;
        };
        Ok(response(send(&gateway, &self.call, request).await?))
    }

    /// Serves any other call.
    pub(crate) async fn serve(mut self, method: Method) -> Answered {
        if !self.connections.leadership.is_here() {
            return self.steer(method, None).await;
        }
        if method == Method::Telemetry {
            let Some(gateway) = self.connections.leadership.gateway() else {
                return self.steer(method, None).await;
            };
            return Ok(response(self.telemetry(&gateway)));
        }
        let request = self.inbound.only().await?;
        let Some(gateway) = self.connections.leadership.gateway() else {
            return self.steer(method, Some(request)).await;
        };
        Ok(response(serve_here(&self.connections, &gateway, method, &self.call, request).await?))
    }

    /// Serves a call elsewhere, or here after all; `taken` is the message that was already read.
    async fn steer(self, method: Method, taken: Option<Bytes>) -> Answered {
        let Self { connections, call, path, inbound } = self;
        let mut request = Request::new(inbound.into_body(taken.as_ref()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri(call.authority.clone(), path.clone(), &connections.leadership.config().host);
        request.headers_mut().clone_from(&call.headers);
        let is_forwarded = relay::is_forwarded(&call.headers);
        let lasts = matches!(method, Method::Telemetry | Method::ReceiveMessage | Method::PullMessage);
        let steering = Steering {
            leadership: &connections.leadership,
            relay: &connections.relay,
            address: client_address,
            remote: Some(call.remote),
            is_forwarded,
            arrived_ms: call.arrived_ms,
            deadline_ms: call.deadline_ms(),
            stop_head: lasts.then(|| connections.stop.clone()),
            stop_body: (method == Method::Telemetry).then(|| connections.stop.clone()),
            outlives_leader: false,
        };
        match steering.run(request).await {
            Steered::Relayed(relayed) => Ok(relayed.map(|body| Reply::Relayed(Box::new(body)))),
            Steered::Lost(error) => Err(error),
            Steered::Refused(refusal, request) => {
                refuse(&connections, method, refusal, request.into_body()).await.map(response)
            }
            Steered::Here(gateway, request) => {
                let mut inbound = Inbound::of(request.into_body());
                if method == Method::Telemetry {
                    return Ok(response(Self { connections, call, path, inbound }.telemetry(&gateway)));
                }
                let request = inbound.only().await?;
                Ok(response(serve_here(&connections, &gateway, method, &call, request).await?))
            }
        }
    }

    fn telemetry(self, gateway: &Arc<Gateway>) -> Reply {
        let frames = gateway.telemetry(self.call, self.inbound.into_stream());
        Reply::Stream(Box::pin(until(frames, self.connections.stop.clone())))
    }
}

/// Serves any call but telemetry.
async fn serve_here(
    connections: &Connections,
    gateway: &Gateway,
    method: Method,
    call: &Call,
    request: Bytes,
) -> Result<Reply, GrpcError> {
    let mut out = BytesMut::new();
    let mut handout = None;
    match method {
        Method::Telemetry => return Err(GrpcError::internal("telemetry has a way of its own")),
        Method::ReceiveMessage => {
            tokio::select! {
                received = gateway.receive_message(call, request, &mut out) => handout = Some(received?),
                () = connections.stop.cancelled() => {
                    return Err(GrpcError::unavailable("the broker is stopping"));
                }
            }
        }
        Method::SendMessage => return send(gateway, call, request).await,
        Method::AckMessage => gateway.ack_message(call, request, &mut out).await?,
        Method::QueryRoute
        | Method::Heartbeat
        | Method::QueryAssignment
        | Method::ForwardMessageToDeadLetterQueue
        | Method::PullMessage
        | Method::UpdateOffset
        | Method::GetOffset
        | Method::QueryOffset
        | Method::EndTransaction
        | Method::NotifyClientTermination
        | Method::ChangeInvisibleDuration
        | Method::RecallMessage
        | Method::SyncLiteSubscription => {
            gateway.unary(method, call, request, &mut out).await?;
        }
    }
    Ok(Reply::Whole(out.freeze(), handout))
}

async fn send(gateway: &Gateway, call: &Call, request: Bytes) -> Result<Reply, GrpcError> {
    let mut out = BytesMut::new();
    gateway.send_message(call, request, &mut out).await?;
    Ok(Reply::Whole(out.freeze(), None))
}

/// In the shape that any other refusal of this method has; a stream ends, so that the client opens another.
async fn refuse(
    connections: &Connections,
    method: Method,
    refusal: Refusal,
    body: Outgoing,
) -> Result<Reply, GrpcError> {
    let leadership = &connections.leadership;
    leadership.counters().refused(1);
    // The reply to a send has an entry for each message.
    let request = if method == Method::SendMessage { Inbound::of(body).only().await? } else { Bytes::new() };
    let mut out = BytesMut::new();
    refused(method, refusal, &request, leadership.now_ms(), &mut out)?;
    Ok(Reply::Whole(out.freeze(), None))
}

fn client_address(leader: &LeaderAddress) -> &str {
    &leader.client
}

/// What the client dialled, so that routes can name it; a client that did not say dialled this broker.
fn uri(authority: Option<Authority>, path: Option<PathAndQuery>, own: &str) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority.or_else(|| own.parse().ok());
    parts.path_and_query = path;
    Uri::from_parts(parts).unwrap_or_default()
}

/// The stream, ended when `stop` is cancelled: an open telemetry stream must not hold up a stop.
fn until<S: Stream + Send>(stream: S, stop: CancellationToken) -> impl Stream<Item = S::Item> + Send
where
    S::Item: Send,
{
    stream.take_until(stop.cancelled_owned())
}

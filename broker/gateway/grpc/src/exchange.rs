//! One call under way: served here by the gateway of this moment, or steered to the leader.
//!
//! ```text
//!   leads? ─yes─▶ read the message ─▶ still leads? ─yes─▶ Gateway ─▶ reply
//!     │                                    │                 │ nothing done, another member will lead
//!     └─no─────────────────────────────────┴─no──────────────┴─▶ steer ─▶ Gateway, the leader's reply, or a refusal
//! ```
//!
//! Promise: each try uses one gateway from its first decision on; a client that is slow to send keeps none.
//! Cost: a call that is relayed keeps its message until the reply begins, telemetry excepted.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, GrpcError, Unanswered};
use crate::connection::Connection;
use crate::frame::{Framed, Inbound, Reply, status};
use crate::gateway::Gateway;
use crate::leader::LeaderAddress;
use crate::listener;
use crate::method::Method;
use crate::relay::taken::Taking;
use crate::relay::{self, Outgoing, RelayedBody, Sent, boxed};
use crate::rocketmq_admin::{self, Rpc};
use crate::serve::{Connections, response};
use crate::steer::{Steering, Stranded, Terms, Way};
use crate::unary::refused;

/// One call of a connection.
pub(crate) struct Exchange {
    asked: Asked,
    inbound: Inbound,
}

/// A call without its message.
struct Asked {
    connections: Arc<Connections>,
    call: Call,
    path: Option<PathAndQuery>,
}

/// How far a call came before it is steered.
enum Begun {
    /// Its message was not read.
    Unread,
    /// This broker did not lead any more when it was read.
    Read(Framed),
    /// It was served in vain: nothing was done.
    Undone(Framed),
}

type Answered = Result<Response<Reply>, GrpcError>;

impl Exchange {
    pub(crate) fn new(
        connections: &Arc<Connections>,
        request: Request<Incoming>,
        remote: SocketAddr,
        connection: &Arc<Connection>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        if let Some(name) = &connections.listener {
            head.headers.insert(listener::HEADER, name.clone());
        }
        let uri = head.uri.into_parts();
        let call = Call {
            remote: relay::remote(&head.headers, remote),
            connection: Arc::clone(connection),
            headers: head.headers,
            authority: uri.authority,
            arrived_ms: (connections.now_ms)(),
            mailbox: Arc::clone(&connections.mailbox),
        };
        let asked = Asked { connections: Arc::clone(connections), call, path: uri.path_and_query };
        Self { asked, inbound: Inbound::new(body) }
    }

    /// Serves a send.
    pub(crate) async fn send(mut self) -> Answered {
        if !self.asked.connections.leadership.is_here() {
            return Box::pin(self.steer(Method::SendMessage, Begun::Unread)).await;
        }
        let framed = self.inbound.only().await?;
        let Some(gateway) = self.asked.connections.leadership.gateway() else {
            return Box::pin(self.steer(Method::SendMessage, Begun::Read(framed))).await;
        };
        match send(&gateway, &self.asked.call, framed.message()).await {
            Ok(reply) => Ok(response(reply)),
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::NotLeading(_)) => {
                drop(gateway);
                Box::pin(self.steer(Method::SendMessage, Begun::Undone(framed))).await
            }
        }
    }

    /// Serves any other call.
    pub(crate) async fn serve(mut self, method: Method) -> Answered {
        if method == Method::Telemetry {
            return self.telemetry().await;
        }
        if method == Method::Admin(Rpc::ChangeLogLevel) {
            return self.change_log_level().await;
        }
        if !self.asked.connections.leadership.is_here() {
            return self.steer(method, Begun::Unread).await;
        }
        let framed = self.inbound.only().await?;
        let Some(gateway) = self.asked.connections.leadership.gateway() else {
            return self.steer(method, Begun::Read(framed)).await;
        };
        match serve_here(&self.asked.connections, &gateway, method, &self.asked.call, framed.message()).await
        {
            Ok(reply) => Ok(self.until_taken(response(reply))),
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::NotLeading(_)) => {
                drop(gateway);
                self.steer(method, Begun::Undone(framed)).await
            }
        }
    }

    /// About this very broker, whoever leads.
    async fn change_log_level(mut self) -> Answered {
        let framed = self.inbound.only().await?;
        let mut out = BytesMut::new();
        rocketmq_admin::change_log_level(
            self.asked.connections.leadership.config(),
            framed.message(),
            &mut out,
        )?;
        Ok(response(Reply::Whole(out.freeze(), None)))
    }

    /// Serves a call elsewhere, or here after all, and again as long as nothing is done. Its message is read once there is
    /// somebody to serve it, and kept.
    async fn steer(mut self, method: Method, begun: Begun) -> Answered {
        let mut steering = self.asked.steering(method);
        let mut kept = match begun {
            Begun::Unread => None,
            Begun::Read(framed) => Some(framed),
            Begun::Undone(framed) => {
                steering.undone();
                Some(framed)
            }
        };
        loop {
            let way = match steering.way().await {
                Ok(way) => way,
                Err(stranded) => return self.told(method, stranded, kept).await,
            };
            let Some(framed) = &kept else {
                // A client that is slow to send keeps no gateway.
                drop(way);
                kept = Some(self.inbound.only().await?);
                continue;
            };
            match self.asked.tried(&steering, method, way, framed).await? {
                Some(response) => return Ok(self.until_taken(response)),
                None => steering.undone(),
            }
        }
    }

    /// Messages that go to another member are the client's once that member says so.
    fn until_taken(self, mut response: Response<Reply>) -> Response<Reply> {
        if let Reply::Whole(bytes, Some(handout)) = response.body_mut()
            && relay::is_forwarded(&self.asked.call.headers)
            && !handout.is_empty()
        {
            let bytes = bytes.len();
            handout.is_theirs_when(Box::pin(self.inbound.ends()));
            relay::taken::announce(response.headers_mut(), bytes);
        }
        response
    }

    /// What comes over a stream is not kept, so that it is relayed once at most; clients open another one.
    async fn telemetry(mut self) -> Answered {
        let mut steering = self.asked.steering(Method::Telemetry);
        loop {
            let road = match steering.way().await {
                Ok(Way::Here(gateway)) => {
                    let frames = gateway.telemetry(self.asked.call, self.inbound.into_stream());
                    return Ok(response(Reply::Stream(Box::pin(until(
                        frames,
                        self.asked.connections.stop.clone(),
                    )))));
                }
                Ok(Way::There(road)) => road,
                Err(stranded) => return self.told(Method::Telemetry, stranded, None).await,
            };
            let inbound = std::mem::replace(&mut self.inbound, Inbound::of(boxed(Empty::new())));
            match steering.send(road, self.asked.outgoing(inbound.into_body())).await {
                Sent::Reply(relayed) => return Ok(handed_on(relayed, None)),
                Sent::Lost(error) => return Err(error),
                Sent::Undone => return Err(relay::not_leading()),
                Sent::Unsent(request) => self.inbound = Inbound::of(request.into_body()),
            }
            steering.undone();
        }
    }

    /// A refusal has the shape that any other one of this method has; a stream ends, so that the client opens another.
    async fn told(mut self, method: Method, stranded: Stranded, kept: Option<Framed>) -> Answered {
        let refusal = match stranded {
            Stranded::Refused(refusal) => refusal,
            Stranded::NotLeading => {
                let mut undone = response(Reply::End);
                undone.headers_mut().extend(status(Some(&relay::not_leading())));
                relay::mark_undone(undone.headers_mut());
                return Ok(undone);
            }
        };
        let leadership = &self.asked.connections.leadership;
        leadership.counters().refused(1);
        // The reply to a send has an entry for each message.
        let request = match kept {
            Some(framed) => framed.message(),
            None if method == Method::SendMessage => self.inbound.only().await?.message(),
            None => Bytes::new(),
        };
        let mut out = BytesMut::new();
        refused(method, refusal, &request, leadership.now_ms(), &mut out)?;
        Ok(response(Reply::Whole(out.freeze(), None)))
    }
}

impl Asked {
    fn steering(&self, method: Method) -> Steering {
        let Connections { leadership, relay, stop, .. } = &*self.connections;
        let lasts = matches!(method, Method::Telemetry | Method::ReceiveMessage | Method::PullMessage);
        let terms = Terms {
            address: client_address,
            is_forwarded: relay::is_forwarded(&self.call.headers),
            arrived_ms: self.call.arrived_ms,
            deadline_ms: self.call.deadline_ms(),
            stop_head: lasts.then(|| stop.clone()),
            stop_body: (method == Method::Telemetry).then(|| stop.clone()),
            outlives_leader: false,
        };
        Steering::new(leadership, relay, terms)
    }

    /// Nothing if nothing was done.
    async fn tried(
        &self,
        steering: &Steering,
        method: Method,
        way: Way,
        framed: &Framed,
    ) -> Result<Option<Response<Reply>>, GrpcError> {
        match way {
            Way::Here(gateway) => {
                match serve_here(&self.connections, &gateway, method, &self.call, framed.message()).await {
                    Ok(reply) => Ok(Some(response(reply))),
                    Err(Unanswered::Failed(error)) => Err(error),
                    Err(Unanswered::NotLeading(_)) => Ok(None),
                }
            }
            Way::There(road) => {
                let (body, taking) = if method == Method::ReceiveMessage {
                    let (body, taking) = framed.open_body();
                    (body, Some(taking))
                } else {
                    (framed.body(), None)
                };
                match steering.send(road, self.outgoing(body)).await {
                    Sent::Reply(relayed) => Ok(Some(handed_on(relayed, taking))),
                    Sent::Lost(error) => Err(error),
                    Sent::Undone | Sent::Unsent(_) => Ok(None),
                }
            }
        }
    }

    /// The call as it goes to the leader.
    fn outgoing(&self, body: Outgoing) -> Request<Outgoing> {
        let own = &self.connections.leadership.config().host;
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri(self.call.authority.clone(), self.path.clone(), own);
        request.headers_mut().clone_from(&self.call.headers);
        relay::mark(request.headers_mut(), Some(self.call.remote));
        request
    }
}

fn handed_on(mut relayed: Response<RelayedBody>, taking: Option<Taking>) -> Response<Reply> {
    if let Some(mut taking) = taking {
        taking.begun(relayed.headers());
        relayed.body_mut().confirm(taking);
    }
    relayed.map(|body| Reply::Relayed(Box::new(body)))
}

/// Serves any call but telemetry.
async fn serve_here(
    connections: &Connections,
    gateway: &Gateway,
    method: Method,
    call: &Call,
    request: Bytes,
) -> Result<Reply, Unanswered> {
    let mut out = BytesMut::new();
    let mut handout = None;
    match method {
        Method::Telemetry => return Err(GrpcError::internal("telemetry has a way of its own").into()),
        Method::ReceiveMessage => {
            tokio::select! {
                received = gateway.receive_message(call, request, &mut out) => handout = Some(received?),
                () = connections.stop.cancelled() => {
                    return Err(GrpcError::unavailable("the broker is stopping").into());
                }
            }
        }
        Method::PullMessage => {
            tokio::select! {
                pulled = gateway.pull_message(call, request, &mut out) => pulled?,
                () = connections.stop.cancelled() => {
                    return Err(GrpcError::unavailable("the broker is stopping").into());
                }
            }
        }
        Method::SendMessage => return send(gateway, call, request).await,
        Method::AckMessage => gateway.ack_message(call, request, &mut out).await?,
        Method::QueryRoute
        | Method::Heartbeat
        | Method::QueryAssignment
        | Method::ForwardMessageToDeadLetterQueue
        | Method::UpdateOffset
        | Method::GetOffset
        | Method::QueryOffset
        | Method::EndTransaction
        | Method::NotifyClientTermination
        | Method::ChangeInvisibleDuration
        | Method::RecallMessage
        | Method::SyncLiteSubscription
        | Method::Admin(_) => {
            gateway.unary(method, call, request, &mut out).await?;
        }
    }
    Ok(Reply::Whole(out.freeze(), handout))
}

async fn send(gateway: &Gateway, call: &Call, request: Bytes) -> Result<Reply, Unanswered> {
    let mut out = BytesMut::new();
    gateway.send_message(call, request, &mut out).await?;
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

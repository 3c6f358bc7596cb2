//! Relaying: a whole call, as it is, to the member that leads.
//!
//! ```text
//!   client ──HTTP/2──▶ this broker ──HTTP/2, one link per runtime──▶ leader
//!            headers, frames both ways as they come, trailers
//! ```
//!
//! | header | meaning |
//! |---|---|
//! | `x-millpond-forwarded: 1` | came from a member: never relayed again, and sent back if this broker does not lead |
//! | `x-millpond-remote: address:port` | the client's own address; counts only beside the header above |
//! | `x-millpond-not-leading: 1` | of a reply: nothing was done, the call may go to another member |
//! | `x-millpond-bytes: count` | of a reply: it waits until the client took so many bytes (`taken`) |
//!
//! Promise: nothing is decoded; the leader sees the address that the client dialled (`:authority`) and the client's own.
//! A call that did not leave is handed back, one that came back undone is told as such; one that left and got lost ends as
//! gRPC `UNAVAILABLE`.
//! Limit: the port takes these headers from anybody. A client that makes them up gets another address into logs and
//! `born_host`, which it may state by itself anyway, and has its own calls refused where they would have been relayed.
//! Not here: whether a call is relayed, and what happens to those that cannot be (`steer`).

mod body;
mod link;
pub(crate) mod taken;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::call::GrpcError;

pub(crate) use body::RelayedBody;
pub(crate) use link::Link;
use link::Unsent;

const FORWARDED: HeaderName = HeaderName::from_static("x-millpond-forwarded");
const NOT_LEADING: HeaderName = HeaderName::from_static("x-millpond-not-leading");
const REMOTE: HeaderName = HeaderName::from_static("x-millpond-remote");
/// A former leader that lives ends its calls by itself; one that does not is given so long.
const GRACE: Duration = Duration::from_secs(2);

/// A request body on its way to the leader, or to a handler after all.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The links of one runtime to the leader.
#[derive(Debug, Default)]
pub struct Relay {
    links: Mutex<Vec<Link>>,
}

/// When a call that was relayed is given up.
pub(crate) struct Until {
    /// The leader that it went to is another one now.
    pub(crate) ended: CancellationToken,
    /// This broker stops, and the call could otherwise last.
    pub(crate) stop: Option<CancellationToken>,
}

/// What became of a call that was relayed.
pub(crate) enum Sent {
    /// The leader answers.
    Reply(Response<RelayedBody>),
    /// It reached a member that does not lead, or stopped to; nothing was done.
    Undone,
    /// It did not leave.
    Unsent(Request<Outgoing>),
    /// It left, and what became of it is not known.
    Lost(GrpcError),
}

impl Relay {
    /// No link yet; one is made with the first call.
    pub fn new() -> Self {
        Self::default()
    }

    /// A link to this address, perhaps still to be connected. Links elsewhere are let go; calls on them go on.
    pub(crate) fn link(&self, address: &str) -> Link {
        let mut links = self.links.lock();
        links.retain(|link| link.is_to(address) && !link.is_broken());
        if let Some(link) = links.iter().find(|link| link.has_room()) {
            return link.clone();
        }
        let link = Link::begin(address.to_owned());
        links.push(link.clone());
        link
    }
}

impl Until {
    /// Completes when the call is to be given up, with what the client is told.
    async fn reached(self) -> GrpcError {
        let moved = async {
            self.ended.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let stopped = async {
            match &self.stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = moved => GrpcError::unavailable("outcome unknown: the group has another leader now"),
            () = stopped => GrpcError::unavailable("the broker is stopping"),
        }
    }
}

/// The leader's reply as it comes. `head` is until when its headers are waited for, `body` the same for what follows.
pub(crate) async fn send(link: Link, request: Request<Outgoing>, head: Until, body: Until) -> Sent {
    let sent = tokio::select! {
        biased;
        error = head.reached() => return Sent::Lost(error),
        sent = link.send(request) => sent,
    };
    match sent {
        Ok(Ok(response)) if response.headers().contains_key(NOT_LEADING) => Sent::Undone,
        Ok(Ok(response)) => {
            let (parts, incoming) = response.into_parts();
            let told = parts.headers.contains_key("grpc-status");
            let body = RelayedBody::new(incoming, told, Box::pin(body.reached()), link);
            Sent::Reply(Response::from_parts(parts, body))
        }
        Ok(Err(error)) => Sent::Lost(error),
        Err(Unsent(request)) => Sent::Unsent(request),
    }
}

/// Tells the member that relayed a call that nothing was done. To be sent without a body.
pub(crate) fn mark_undone(headers: &mut HeaderMap) {
    headers.insert(NOT_LEADING, HeaderValue::from_static("1"));
}

/// The status beside that mark; clients see it of streams, which cannot be sent again.
pub(crate) fn not_leading() -> GrpcError {
    GrpcError::unavailable("this broker does not lead its group")
}

/// Whether a call came from another member.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// The client's address if a member relayed the call, and else the connection's.
pub(crate) fn remote(headers: &HeaderMap, connection: SocketAddr) -> SocketAddr {
    if !is_forwarded(headers) {
        return connection;
    }
    let told = headers.get(REMOTE).and_then(|value| value.to_str().ok()?.parse().ok());
    told.unwrap_or(connection)
}

/// Marks a call as relayed for this client.
pub(crate) fn mark(headers: &mut HeaderMap, remote: Option<SocketAddr>) {
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    let told = remote.and_then(|remote| HeaderValue::from_str(&remote.to_string()).ok());
    match told {
        Some(told) => headers.insert(REMOTE, told),
        None => headers.remove(REMOTE),
    };
}

/// Any body in a box.
pub(crate) fn boxed<B>(body: B) -> Outgoing
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

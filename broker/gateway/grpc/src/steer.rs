//! Steering: what becomes of a call that this broker cannot serve right now.
//!
//! ```text
//!             ┌── leader elsewhere, connected ───────────▶ relayed
//!   call ──▶ wait ── this broker leads ──────────────────▶ served here
//!             └── 200 ms before the deadline, or 10 s ───▶ refused: HA_NOT_AVAILABLE, clients try again
//! ```
//!
//! Promise: a call is sent to one leader once. It is tried elsewhere only if it did not leave this broker.
//! A call that another member relayed is not relayed again, so two members that point at each other pass nothing around.
//! Limit: `held_max` calls wait; one more is told `TOO_MANY_REQUESTS`, which clients answer with a growing delay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::call::GrpcError;
use crate::gateway::Gateway;
use crate::leader::{LeaderAddress, Leadership, Post, Seat};
use crate::refusal::Refusal;
use crate::relay::{self, Link, Outgoing, Relay, RelayedBody, Unsent, Until};

/// The answer leaves this long before the client's deadline.
const RESERVE_MS: u64 = 200;
/// A leader that cannot be connected to is tried again after this time, or when another one is known.
const AGAIN_MS: u64 = 200;

/// A call to be steered.
pub(crate) struct Steering<'a> {
    pub(crate) leadership: &'a Leadership,
    pub(crate) relay: &'a Relay,
    /// Which port of the leader it is for.
    pub(crate) address: fn(&LeaderAddress) -> &str,
    /// The client's address, if it is to be known to the leader.
    pub(crate) remote: Option<SocketAddr>,
    /// The call came from another member.
    pub(crate) is_forwarded: bool,
    pub(crate) arrived_ms: u64,
    pub(crate) deadline_ms: Option<u64>,
    /// Ends the wait for the reply's headers; for calls that may last.
    pub(crate) stop_head: Option<CancellationToken>,
    /// Ends the reply; for streams without an end.
    pub(crate) stop_body: Option<CancellationToken>,
}

/// What became of it.
pub(crate) enum Steered {
    /// This broker leads now.
    Here(Arc<Gateway>, Request<Outgoing>),
    /// The leader answered.
    Relayed(Response<RelayedBody>),
    /// It left, and what became of it is not known.
    Lost(GrpcError),
    /// It did not leave.
    Refused(Refusal, Request<Outgoing>),
}

impl Steering<'_> {
    /// Finds out who serves the call; the request comes back unless it was relayed.
    pub(crate) async fn run(self, mut request: Request<Outgoing>) -> Steered {
        if !self.is_forwarded {
            relay::mark(request.headers_mut(), self.remote);
        }
        let until_ms = self.until_ms();
        let mut changes = self.leadership.changes();
        let mut tried = false;
        loop {
            let seat = self.leadership.seat();
            if let Post::Here(gateway) = &seat.post {
                return Steered::Here(Arc::clone(gateway), request);
            }
            if tried && self.leadership.now_ms() >= until_ms {
                return Steered::Refused(self.leadership.nobody(), request);
            }
            tried = true;
            let mut link = self.link(&seat.post);
            if !link.as_ref().is_some_and(Link::is_connected) {
                let _held = match self.leadership.hold() {
                    Ok(held) => held,
                    Err(refusal) => return Steered::Refused(refusal, request),
                };
                link = self.wait(link, &seat, &mut changes, until_ms).await;
            }
            let Some(link) = link else { continue };
            match self.send(link, request, seat.ended.clone()).await {
                Ok(Ok(response)) => return Steered::Relayed(response),
                Ok(Err(error)) => return Steered::Lost(error),
                Err(Unsent(back)) => request = back,
            }
        }
    }

    /// The way to the leader, if there is one that this call may take.
    fn link(&self, post: &Post) -> Option<Link> {
        match post {
            Post::There(leader) if !self.is_forwarded => Some(self.relay.link((self.address)(leader))),
            Post::Here(_) | Post::There(_) | Post::Nowhere(_) => None,
        }
    }

    /// Waits until the link is connected, or something has changed, or it is time to try again or to give up.
    async fn wait(
        &self,
        link: Option<Link>,
        seat: &Seat,
        changes: &mut watch::Receiver<()>,
        until_ms: u64,
    ) -> Option<Link> {
        if let Some(link) = link {
            let ready = tokio::select! {
                ready = link.ready() => ready,
                () = seat.ended.cancelled() => return None,
            };
            match ready {
                Ok(()) => return Some(link),
                Err(unreachable) => debug!(%unreachable, "holding a call"),
            }
            self.changed(changes, until_ms, AGAIN_MS).await;
        } else {
            self.changed(changes, until_ms, u64::MAX).await;
        }
        None
    }

    /// Waits for a change of leadership; one that came since the last wait is told at once.
    async fn changed(&self, changes: &mut watch::Receiver<()>, until_ms: u64, longest_ms: u64) {
        let left_ms = until_ms.saturating_sub(self.leadership.now_ms());
        let _ = tokio::time::timeout(Duration::from_millis(left_ms.min(longest_ms)), changes.changed()).await;
    }

    async fn send(
        &self,
        link: Link,
        mut request: Request<Outgoing>,
        ended: CancellationToken,
    ) -> Result<Result<Response<RelayedBody>, GrpcError>, Unsent> {
        self.leadership.counters().relayed();
        self.shorten_timeout(&mut request);
        let head = Until { ended: ended.clone(), stop: self.stop_head.clone() };
        let body = Until { ended, stop: self.stop_body.clone() };
        relay::send(link, request, head, body).await
    }

    fn until_ms(&self) -> u64 {
        let longest_ms = self.arrived_ms.saturating_add(self.leadership.config().hold_ms_max);
        self.deadline_ms.map_or(longest_ms, |at_ms| at_ms.saturating_sub(RESERVE_MS).min(longest_ms))
    }

    /// The time that a call was held is gone for the leader too.
    fn shorten_timeout(&self, request: &mut Request<Outgoing>) {
        let (Some(at_ms), now_ms) = (self.deadline_ms, self.leadership.now_ms()) else { return };
        let left_ms = at_ms.saturating_sub(now_ms);
        // Eight digits are all that the header may have; more than a day is as good as none.
        if now_ms > self.arrived_ms && left_ms < 100_000_000 {
            let left = HeaderValue::from_str(&format!("{left_ms}m"));
            if let Ok(left) = left {
                request.headers_mut().insert("grpc-timeout", left);
            }
        }
    }
}

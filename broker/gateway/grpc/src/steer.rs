//! Steering: what becomes of a call that this broker cannot serve right now.
//!
//! ```text
//!             ┌── leader elsewhere, connected ────▶ relayed ──────┐ nothing was done: again after a change of
//!   call ──▶ wait ── this broker leads ───────────▶ served here ──┘ leadership, or 10 ms, 20 ms, … 200 ms
//!     │       └── 200 ms before the deadline, or 10 s ──▶ refused: HA_NOT_AVAILABLE, clients try again
//!     └── from another member ── this broker leads ──▶ served here
//!                  └── it does not, or stops to ──▶ sent back: nothing was done
//! ```
//!
//! Promise: a call is tried again only if nothing of it was done: it did not leave this broker, or whoever got it says so.
//! A call that another member relayed never waits and is never relayed again: that member knows what to do with it.
//! Limit: `held_max` calls wait; one more is told `TOO_MANY_REQUESTS`, which clients answer with a growing delay.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::gateway::Gateway;
use crate::leader::{LeaderAddress, Leadership, Post, Seat};
use crate::refusal::Refusal;
use crate::relay::{self, Link, Outgoing, Relay, Sent, Until};

/// The answer leaves this long before the client's deadline.
const RESERVE_MS: u64 = 200;
/// A call that nobody served is tried again after this time, then after twice as long, and so on.
const AGAIN_MS: u64 = 10;
/// The longest of these times; a leader that cannot be connected to is tried again after it.
const AGAIN_MS_MAX: u64 = 200;

/// What is to be known of a call to steer it.
pub(crate) struct Terms {
    /// Which port of the leader it is for.
    pub(crate) address: fn(&LeaderAddress) -> &str,
    /// The call came from another member.
    pub(crate) is_forwarded: bool,
    pub(crate) arrived_ms: u64,
    pub(crate) deadline_ms: Option<u64>,
    /// Ends the wait for the reply's headers; for calls that may last.
    pub(crate) stop_head: Option<CancellationToken>,
    /// Ends the reply; for streams without an end.
    pub(crate) stop_body: Option<CancellationToken>,
    /// The answer is waited for although another member leads meanwhile.
    pub(crate) outlives_leader: bool,
}

/// A call that is steered.
pub(crate) struct Steering {
    leadership: Arc<Leadership>,
    relay: Arc<Relay>,
    terms: Terms,
    changes: watch::Receiver<()>,
    /// Where it was sent last, nothing was done.
    is_undone: bool,
    again_ms: u64,
}

/// Where a call goes.
pub(crate) enum Way {
    /// This broker leads.
    Here(Arc<Gateway>),
    /// Another one leads and is connected.
    There(Road),
}

/// The way to a leader.
pub(crate) struct Road {
    link: Link,
    /// Cancelled when another member leads.
    ended: CancellationToken,
}

/// Why a call goes nowhere.
pub(crate) enum Stranded {
    /// It goes back to the member that it came from.
    NotLeading,
    /// The client is told.
    Refused(Refusal),
}

impl Steering {
    pub(crate) fn new(leadership: &Arc<Leadership>, relay: &Arc<Relay>, terms: Terms) -> Self {
        let changes = leadership.changes();
        let (leadership, relay) = (Arc::clone(leadership), Arc::clone(relay));
        Self { leadership, relay, terms, changes, is_undone: false, again_ms: AGAIN_MS }
    }

    /// Who is to serve the call; waits until there is somebody.
    pub(crate) async fn way(&mut self) -> Result<Way, Stranded> {
        if std::mem::take(&mut self.is_undone) {
            self.pause().await?;
        }
        let leadership = Arc::clone(&self.leadership);
        let mut tried = false;
        loop {
            let seat = leadership.seat();
            if let Post::Here(gateway) = &seat.post {
                return Ok(Way::Here(Arc::clone(gateway)));
            }
            if self.terms.is_forwarded {
                return Err(Stranded::NotLeading);
            }
            if tried {
                self.in_time()?;
            }
            tried = true;
            let mut link = self.link(&seat.post);
            if !link.as_ref().is_some_and(Link::is_connected) {
                let _held = leadership.hold().map_err(Stranded::Refused)?;
                link = self.wait(link, &seat).await;
            }
            if let Some(link) = link {
                return Ok(Way::There(Road { link, ended: seat.ended.clone() }));
            }
        }
    }

    /// The way led nowhere, so that there is a pause before the next one.
    pub(crate) fn undone(&mut self) {
        self.is_undone = true;
    }

    /// Relays the call.
    pub(crate) async fn send(&self, road: Road, mut request: Request<Outgoing>) -> Sent {
        self.leadership.counters().relayed();
        self.shorten_timeout(&mut request);
        let Road { link, ended } = road;
        let ended = if self.terms.outlives_leader { CancellationToken::new() } else { ended };
        let head = Until { ended: ended.clone(), stop: self.terms.stop_head.clone() };
        let body = Until { ended, stop: self.terms.stop_body.clone() };
        relay::send(link, request, head, body).await
    }

    /// Until something has changed, or a moment.
    async fn pause(&mut self) -> Result<(), Stranded> {
        if self.terms.is_forwarded {
            return Err(Stranded::NotLeading);
        }
        self.in_time()?;
        let leadership = Arc::clone(&self.leadership);
        let _held = leadership.hold().map_err(Stranded::Refused)?;
        let again_ms = self.again_ms;
        self.again_ms = (2 * again_ms).min(AGAIN_MS_MAX);
        self.changed(again_ms).await;
        Ok(())
    }

    /// The way to the leader, if there is one.
    fn link(&self, post: &Post) -> Option<Link> {
        match post {
            Post::There(leader) => Some(self.relay.link((self.terms.address)(leader))),
            Post::Here(_) | Post::Nowhere(_) => None,
        }
    }

    /// Waits until the link is connected, or something has changed, or it is time to try again or to give up.
    async fn wait(&mut self, link: Option<Link>, seat: &Seat) -> Option<Link> {
        if let Some(link) = link {
            let ready = tokio::select! {
                ready = link.ready() => ready,
                () = seat.ended.cancelled() => return None,
            };
            match ready {
                Ok(()) => return Some(link),
                Err(unreachable) => debug!(%unreachable, "holding a call"),
            }
            self.changed(AGAIN_MS_MAX).await;
        } else {
            self.changed(u64::MAX).await;
        }
        None
    }

    /// Waits for a change of leadership; one that came since the last wait is told at once.
    async fn changed(&mut self, longest_ms: u64) {
        let left_ms = self.until_ms().saturating_sub(self.leadership.now_ms());
        let waiting = Duration::from_millis(left_ms.min(longest_ms));
        let _ = tokio::time::timeout(waiting, self.changes.changed()).await;
    }

    fn in_time(&self) -> Result<(), Stranded> {
        if self.leadership.now_ms() >= self.until_ms() {
            return Err(Stranded::Refused(self.leadership.nobody()));
        }
        Ok(())
    }

    fn until_ms(&self) -> u64 {
        let longest_ms = self.terms.arrived_ms.saturating_add(self.leadership.config().hold_ms_max);
        self.terms.deadline_ms.map_or(longest_ms, |at_ms| at_ms.saturating_sub(RESERVE_MS).min(longest_ms))
    }

    /// The time that a call was held is gone for the leader too.
    fn shorten_timeout(&self, request: &mut Request<Outgoing>) {
        let (Some(at_ms), now_ms) = (self.terms.deadline_ms, self.leadership.now_ms()) else { return };
        let left_ms = at_ms.saturating_sub(now_ms);
        // Eight digits are all that the header may have; more than a day is as good as none.
        if now_ms > self.terms.arrived_ms && left_ms < 100_000_000 {
            let left = HeaderValue::from_str(&format!("{left_ms}m"));
            if let Ok(left) = left {
                request.headers_mut().insert("grpc-timeout", left);
            }
        }
    }
}

//! Messages between the lease and the network: given back when their consumer is gone.
//!
//! ```text
//!   Group::receive ──▶ Handout ──▶ reply written, and taken from the member that relays ──▶ the client's
//!                         └── dropped: the client left, or the reply could not be written ──▶ free in 1 s (3 s)
//! ```
//!
//! Limit: the last 64 KiB of a reply count as written when HTTP/2 takes them; what a client loses of those comes back when the
//! lease runs out.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use engine::group::Group;
use engine::lease::Receipt;
use futures::future::BoxFuture;

use crate::renew::GIVE_BACK_MS;
use crate::spans::OnTheWay;

/// As `GIVE_BACK_MS`, for a client that may ask again under the same name: it pauses for about a second before it does.
const REENTRY_MS: u64 = 3000;

/// Leases whose messages are on their way to a client. Dropping it gives them back.
#[must_use = "dropping a handout gives its messages back; call `delivered` once they are written"]
pub struct Handout {
    /// Weak: a client that reads slowly must not keep a group open that this broker no longer leads.
    group: Weak<Group>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    receipts: Vec<Receipt>,
    free_in_ms: u64,
    taken: Option<BoxFuture<'static, bool>>,
    /// When the messages were leased, in nanoseconds since 1970; 0 if nobody wants to know.
    begin_ns: u64,
    told: Option<OnTheWay>,
}

impl Handout {
    pub(crate) fn new(group: &Arc<Group>, clock: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self {
            group: Arc::downgrade(group),
            clock,
            receipts: Vec::new(),
            free_in_ms: GIVE_BACK_MS,
            taken: None,
            begin_ns: 0,
            told: None,
        }
    }

    /// The reply was handed to the network: the messages are the client's now.
    pub fn delivered(mut self) {
        self.receipts.clear();
        if let Some(told) = self.told.take() {
            told.end(true);
        }
    }

    /// Whether whoever relays the reply got rid of it.
    pub(crate) fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match &mut self.taken {
            Some(taken) => taken.as_mut().poll(context),
            None => Poll::Ready(true),
        }
    }

    /// That the reply was handed to the network is not enough: this must come true, too.
    pub(crate) fn is_theirs_when(&mut self, taken: BoxFuture<'static, bool>) {
        self.taken = Some(taken);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// The client may ask again under the same name.
    pub(crate) fn may_reenter(&mut self) {
        self.free_in_ms = REENTRY_MS;
    }

    pub(crate) fn begin_ns(&self) -> u64 {
        self.begin_ns
    }

    /// Messages were leased at this time.
    pub(crate) fn begin(&mut self, begin_ns: u64) {
        self.begin_ns = begin_ns;
    }

    /// Spans that end with the delivery.
    pub(crate) fn tell(&mut self, told: Option<OnTheWay>) {
        self.told = told;
    }

    pub(crate) fn add(&mut self, receipts: impl IntoIterator<Item = Receipt>) {
        self.receipts.extend(receipts);
    }
}

impl Drop for Handout {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            told.end(false);
        }
        if !self.receipts.is_empty()
            && let Some(group) = self.group.upgrade()
        {
            let now_ms = (self.clock)();
            group.abandon(&self.receipts, now_ms.saturating_add(self.free_in_ms), now_ms);
        }
    }
}

impl fmt::Debug for Handout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handout").field("receipts", &self.receipts).finish_non_exhaustive()
    }
}

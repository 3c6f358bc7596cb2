//! Messages between the lease and the network: given back when their consumer is gone.
//!
//! ```text
//!   Group::receive ──▶ Handout ──▶ reply written ──▶ delivered()
//!                         └── dropped: the client left, or the reply could not be written ──▶ free in 1 s
//! ```
//!
//! Limit: the last 64 KiB of a reply count as written when HTTP/2 takes them; what a client loses of those comes back when the
//! lease runs out.

use std::fmt;
use std::sync::{Arc, Weak};

use engine::group::Group;
use engine::lease::Receipt;

use crate::renew::give_back;

/// Leases whose messages are on their way to a client. Dropping it gives them back.
#[must_use = "dropping a handout gives its messages back; call `delivered` once they are written"]
pub struct Handout {
    /// Weak: a client that reads slowly must not keep a group open that this broker no longer leads.
    group: Weak<Group>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    receipts: Vec<Receipt>,
}

impl Handout {
    pub(crate) fn new(group: &Arc<Group>, clock: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { group: Arc::downgrade(group), clock, receipts: Vec::new() }
    }

    /// The reply was handed to the network: the messages are the client's now.
    pub fn delivered(mut self) {
        self.receipts.clear();
    }

    pub(crate) fn add(&mut self, receipts: impl IntoIterator<Item = Receipt>) {
        self.receipts.extend(receipts);
    }
}

impl Drop for Handout {
    fn drop(&mut self) {
        if !self.receipts.is_empty()
            && let Some(group) = self.group.upgrade()
        {
            give_back(&group, &self.receipts, (self.clock)());
        }
    }
}

impl fmt::Debug for Handout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handout").field("receipts", &self.receipts).finish_non_exhaustive()
    }
}

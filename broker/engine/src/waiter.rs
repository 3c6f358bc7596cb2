//! A receive that found nothing waits here for something to read.

use std::future::Future;
use std::sync::Arc;

use crate::mailbox::Mailbox;

/// One long poll; register it with `Group::receive`, await `woken`, receive again.
pub struct Waiter {
    mailbox: Arc<Mailbox>,
}

impl Waiter {
    /// A waiter whose task runs on the runtime that drains `mailbox`.
    pub fn new(mailbox: &Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self { mailbox: Arc::clone(mailbox) })
    }

    /// Completes when there may be something to read; may be awaited again after the next receive.
    pub fn woken(&self) -> impl Future<Output = ()> + Send + '_ {
        async { todo!() }
    }
}

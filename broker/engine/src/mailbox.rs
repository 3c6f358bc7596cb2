//! How the log thread wakes the tasks of one runtime: all of a batch with a single wake.
//!
//! ```text
//!   log thread --post(wakers)--> Mailbox --one wake--> drain task of the runtime --> wakes each task locally
//! ```
//!
//! A wake from another thread costs a system call; with a mailbox it is one per runtime and batch.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// Wakers that belong to one runtime; its drain task wakes them on its own thread.
#[derive(Debug, Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    due: Vec<Waker>,
    drain: Option<Waker>,
}

impl Mailbox {
    /// A mailbox that nobody drains yet; until `drain` runs, posts wake directly.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes what has been posted, for ever; spawn it once on the runtime that owns the mailbox.
    pub async fn drain(self: Arc<Self>) {
        let mut due = Vec::new();
        loop {
            poll_fn(|context| {
                let mut slot = self.slot.lock();
                if slot.due.is_empty() {
                    slot.drain = Some(context.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut slot.due, &mut due);
                Poll::Ready(())
            })
            .await;
            for waker in due.drain(..) {
                waker.wake();
            }
        }
    }

    fn post(&self, wakers: &mut Vec<Waker>) {
        let mut slot = self.slot.lock();
        if let Some(drain) = slot.drain.take() {
            slot.due.append(wakers);
            drop(slot);
            drain.wake();
        } else if slot.due.is_empty() {
            // The drain task is running or was never spawned: it may not look again, so wake directly.
            drop(slot);
            for waker in wakers.drain(..) {
                waker.wake();
            }
        } else {
            slot.due.append(wakers);
        }
    }
}

/// Wakers gathered during one batch, posted together at its end.
#[derive(Debug, Default)]
pub struct Wakes {
    by_mailbox: Vec<(Arc<Mailbox>, Vec<Waker>)>,
}

impl Wakes {
    /// Remembers a waker; nothing is woken yet.
    pub fn push(&mut self, mailbox: &Arc<Mailbox>, waker: Waker) {
        match self.by_mailbox.iter_mut().find(|(known, _)| Arc::ptr_eq(known, mailbox)) {
            Some((_, wakers)) => wakers.push(waker),
            None => self.by_mailbox.push((Arc::clone(mailbox), vec![waker])),
        }
    }

    /// Wakes everything gathered: one wake per mailbox.
    pub fn post(&mut self) {
        for (mailbox, wakers) in &mut self.by_mailbox {
            if !wakers.is_empty() {
                mailbox.post(wakers);
            }
        }
    }
}

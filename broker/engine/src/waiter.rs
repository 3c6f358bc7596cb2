//! A receive that found nothing waits here for something to read.
//!
//! ```text
//!   receive: nothing --registers--> waiting --taken by a publish--> owes a look --receive--> owes nothing
//!                                      |                                |
//!                                      +--------- dropped --------------+--> the wake passes to the next waiter
//! ```
//!
//! Promise: a wake is never lost: whoever was woken and goes away without looking passes it on; a dropped waiter
//! leaves nothing behind.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::mailbox::{Mailbox, Wakes};
use crate::topic::Queues;

/// One long poll; register it with `Group::receive`, await `woken`, receive again.
#[derive(Debug)]
pub struct Waiter {
    mailbox: Arc<Mailbox>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Where it is registered.
    place: Option<(Weak<Queues>, u32)>,
    /// It stands in the queue of waiters there.
    is_waiting: bool,
    /// It was taken out of that queue for messages that it has not looked at yet.
    owes_look: bool,
    /// Messages it would take.
    wanted: usize,
    is_woken: bool,
    waker: Option<Waker>,
}

impl Waiter {
    /// A waiter whose task runs on the runtime that drains `mailbox`.
    pub fn new(mailbox: &Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self { mailbox: Arc::clone(mailbox), slot: Mutex::default() })
    }

    /// Completes when there may be something to read; may be awaited again after the next receive.
    pub fn woken(&self) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(|context| {
            let mut slot = self.slot.lock();
            if std::mem::take(&mut slot.is_woken) {
                return Poll::Ready(());
            }
            slot.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// Its task looks at the topic now: an earlier wake is used up. Returns what it was woken for.
    pub(crate) fn look(&self, place: &Weak<Queues>, group: u32) -> u64 {
        let mut slot = self.slot.lock();
        slot.is_woken = false;
        if slot.owes_look && slot.is_at(place, group) {
            slot.owes_look = false;
            return slot.wanted.max(1) as u64;
        }
        0
    }

    /// Notes where it waits; true if it has to be put into the queue there.
    pub(crate) fn register(&self, place: &Weak<Queues>, group: u32, wanted: usize) -> bool {
        let mut slot = self.slot.lock();
        slot.wanted = wanted;
        let is_there = slot.is_waiting && slot.is_at(place, group);
        if !is_there {
            slot.place = Some((Weak::clone(place), group));
            slot.is_waiting = true;
        }
        !is_there
    }

    /// Whether it stands in the queue of waiters of that topic and group; it does not any more.
    pub(crate) fn leave(&self, place: &Weak<Queues>, group: u32) -> bool {
        let mut slot = self.slot.lock();
        let is_there = slot.is_waiting && slot.is_at(place, group);
        if is_there {
            slot.is_waiting = false;
        }
        is_there
    }

    /// It was taken out of the queue; returns how many messages it would take. The topic's lock is held.
    pub(crate) fn take(&self) -> u64 {
        let mut slot = self.slot.lock();
        slot.is_waiting = false;
        slot.owes_look = true;
        slot.wanted.max(1) as u64
    }

    /// Wakes its task once `wakes` are posted. The topic's lock is not held.
    pub(crate) fn wake(&self, wakes: &mut Wakes) {
        let task = {
            let mut slot = self.slot.lock();
            slot.is_woken = true;
            slot.waker.take()
        };
        if let Some(task) = task {
            wakes.push(&self.mailbox, task);
        }
    }
}

impl Slot {
    fn is_at(&self, place: &Weak<Queues>, group: u32) -> bool {
        self.place.as_ref().is_some_and(|(known, of)| known.ptr_eq(place) && *of == group)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let this = &raw const *self;
        let slot = self.slot.get_mut();
        let Some((place, group)) = slot.place.take() else { return };
        if !slot.is_waiting && !slot.owes_look {
            return;
        }
        let Some(queues) = place.upgrade() else { return };
        let mut woken = Vec::new();
        {
            let mut reading = queues.lock();
            let Some(subscription) = reading.subscription(group) else { return };
            if slot.is_waiting {
                subscription.unregister(this);
            }
            if slot.owes_look {
                subscription.looked(slot.wanted.max(1) as u64);
                // Leases that ended since are found by the one who is woken; time 0 asks for none of them.
                reading.pass_on(group, 0, &mut woken);
            }
        }
        let mut wakes = Wakes::default();
        for waiter in woken {
            waiter.wake(&mut wakes);
        }
        wakes.post();
    }
}

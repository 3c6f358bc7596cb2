//! How the writer and the tasks of one runtime wake each other: once per batch, not once per task.
//!
//! ```text
//!   writer --post(wakers)--> Mailbox --one wake--> drain task of the runtime --> wakes each task locally
//!   tasks --call_after_turn--> Mailbox --> drain task, last in the runtime's queue --> writes, or wakes the log thread
//! ```
//!
//! A wake of another thread costs a system call and two switches, several times what it costs to store a message.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Wakers that belong to one runtime; its drain task wakes them on its own thread.
#[derive(Debug, Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    due: Vec<Waker>,
    /// Somebody asked for `at_turn_end`.
    is_turn_called: bool,
    drain: Drain,
}

/// What the drain task does.
#[derive(Debug, Default)]
enum Drain {
    /// There is none: whoever posts has to wake.
    #[default]
    Absent,
    /// It looks again before it sleeps.
    Awake,
    /// It has to be woken.
    Asleep(Waker),
}

impl Mailbox {
    /// A mailbox that nobody drains yet; until `drain` runs, posts wake directly.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes what has been posted, for ever; spawn it once on the runtime that owns the mailbox.
    ///
    /// `at_turn_end` is called when a task has submitted something and all tasks that were ready then have had their
    /// turn: it sees to it that what they submitted is written.
    pub async fn drain(self: Arc<Self>, at_turn_end: impl Fn()) {
        let attached = Attached(&self);
        let mut due = Vec::new();
        loop {
            let is_turn_called = poll_fn(|context| attached.0.poll_due(&mut due, context)).await;
            if is_turn_called {
                at_turn_end();
            }
            for waker in due.drain(..) {
                waker.wake();
            }
            // Those tasks run first; what they cause is due in the next round.
            yield_once().await;
        }
    }

    /// Has `at_turn_end` called; false if there is no drain task to do it. To be called on the runtime's own thread:
    /// there it costs no system call.
    pub(crate) fn call_after_turn(&self) -> bool {
        let mut slot = self.slot.lock();
        match std::mem::replace(&mut slot.drain, Drain::Awake) {
            Drain::Asleep(drain) => {
                slot.is_turn_called = true;
                drop(slot);
                drain.wake();
                true
            }
            Drain::Awake => {
                slot.is_turn_called = true;
                true
            }
            Drain::Absent => {
                slot.drain = Drain::Absent;
                false
            }
        }
    }

    /// Takes what is due; whether `at_turn_end` is to be called.
    fn poll_due(&self, due: &mut Vec<Waker>, context: &mut Context<'_>) -> Poll<bool> {
        let mut slot = self.slot.lock();
        let is_turn_called = std::mem::take(&mut slot.is_turn_called);
        if slot.due.is_empty() && !is_turn_called {
            slot.drain = Drain::Asleep(context.waker().clone());
            return Poll::Pending;
        }
        slot.drain = Drain::Awake;
        std::mem::swap(&mut slot.due, due);
        Poll::Ready(is_turn_called)
    }

    fn post(&self, wakers: &mut Vec<Waker>) {
        let mut slot = self.slot.lock();
        match std::mem::replace(&mut slot.drain, Drain::Awake) {
            Drain::Asleep(drain) => {
                slot.due.append(wakers);
                drop(slot);
                drain.wake();
            }
            Drain::Awake => slot.due.append(wakers),
            Drain::Absent => {
                slot.drain = Drain::Absent;
                drop(slot);
                for waker in wakers.drain(..) {
                    waker.wake();
                }
            }
        }
    }
}

/// The drain task, as long as it lives.
struct Attached<'a>(&'a Mailbox);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        let due = {
            let mut slot = self.0.slot.lock();
            slot.drain = Drain::Absent;
            std::mem::take(&mut slot.due)
        };
        for waker in due {
            waker.wake();
        }
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn post(mailbox: &Arc<Mailbox>, bells: &[&Arc<Bell>]) {
        let mut wakes = Wakes::default();
        for &bell in bells {
            wakes.push(mailbox, Waker::from(Arc::clone(bell)));
        }
        wakes.post();
    }

    fn rings(bell: &Bell) -> usize {
        bell.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_batch_costs_one_wake_of_the_drain_task_which_wakes_the_rest() {
        let (mailbox, a, b, drain_bell) =
            (Mailbox::new(), Arc::default(), Arc::default(), Arc::<Bell>::default());
        let waker = Waker::from(Arc::clone(&drain_bell));
        let mut context = Context::from_waker(&waker);
        let mut drain = pin!(Arc::clone(&mailbox).drain(|| {}));
        assert!(drain.as_mut().poll(&mut context).is_pending());
        post(&mailbox, &[&a, &b]);
        post(&mailbox, &[&a]);
        assert_eq!((rings(&drain_bell), rings(&a), rings(&b)), (1, 0, 0));
        assert!(drain.as_mut().poll(&mut context).is_pending());
        assert_eq!((rings(&a), rings(&b)), (2, 1));
    }

    #[test]
    fn what_is_posted_while_the_drain_task_is_awake_is_not_left_behind() {
        let (mailbox, a, drain_bell) = (Mailbox::new(), Arc::default(), Arc::<Bell>::default());
        let waker = Waker::from(Arc::clone(&drain_bell));
        let mut context = Context::from_waker(&waker);
        let mut drain = pin!(Arc::clone(&mailbox).drain(|| {}));
        assert!(drain.as_mut().poll(&mut context).is_pending());
        post(&mailbox, &[&a]);
        // It has yielded after the first round, and asked to be polled again.
        assert!(drain.as_mut().poll(&mut context).is_pending());
        post(&mailbox, &[&a]);
        assert_eq!((rings(&drain_bell), rings(&a)), (2, 1));
        assert!(drain.as_mut().poll(&mut context).is_pending());
        assert_eq!(rings(&a), 2);
    }

    #[test]
    fn the_end_of_a_turn_is_told_once_to_all_who_asked_for_it() {
        let (mailbox, drain_bell, ends) = (Mailbox::new(), Arc::<Bell>::default(), Cell::new(0));
        let waker = Waker::from(Arc::clone(&drain_bell));
        let mut context = Context::from_waker(&waker);
        let mut drain = Box::pin(Arc::clone(&mailbox).drain(|| ends.set(ends.get() + 1)));
        assert!(!mailbox.call_after_turn(), "there is nobody to do it");
        assert!(drain.as_mut().poll(&mut context).is_pending());
        assert!(mailbox.call_after_turn() && mailbox.call_after_turn());
        assert_eq!((rings(&drain_bell), ends.get()), (1, 0), "only at the end");
        assert!(drain.as_mut().poll(&mut context).is_pending());
        assert_eq!(ends.get(), 1);
        // It has yielded, and asks again before it sleeps.
        assert!(mailbox.call_after_turn());
        assert!(drain.as_mut().poll(&mut context).is_pending());
        assert_eq!(ends.get(), 2);
        drop(drain);
        assert!(!mailbox.call_after_turn());
    }

    #[test]
    fn without_a_drain_task_posts_wake_directly() {
        let (mailbox, a) = (Mailbox::new(), Arc::default());
        post(&mailbox, &[&a]);
        assert_eq!(rings(&a), 1);
        let mut drain = Box::pin(Arc::clone(&mailbox).drain(|| {}));
        assert!(drain.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        post(&mailbox, &[&a]);
        assert_eq!(rings(&a), 1);
        drop(drain);
        assert_eq!(rings(&a), 2, "what was due when it went away");
        post(&mailbox, &[&a]);
        assert_eq!(rings(&a), 3);
    }
}

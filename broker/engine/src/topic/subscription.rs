//! A consumer group on a topic.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use store::Offset;

use super::Queues;
use super::levels::{Levels, NO_LIMIT, PerLevel};
use super::reading::{Ask, Granted};
use super::reentry::Reentry;
use super::search::Search;
use crate::catalog::PriorityPolicy;
use crate::lease::{Deliveries, Wish};
use crate::traffic::Outflow;
use crate::waiter::Waiter;

/// Where a consumer group stands in each queue, and who of it waits.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// By number of the queue.
    pub(crate) deliveries: Vec<Deliveries>,
    /// What it was handed.
    pub(crate) outflow: Outflow,
    turn: usize,
    /// Of a PRIORITY topic.
    levels: Option<Box<Levels>>,
    waiters: VecDeque<Weak<Waiter>>,
    /// Messages that woken waiters would take who have not looked yet.
    owed: u64,
    /// The earliest time at which the log thread will look for ended leases on behalf of the waiters.
    alarm_ms: Option<u64>,
    reentry: Reentry,
}

impl Subscription {
    pub(super) fn new(deliveries: Vec<Deliveries>) -> Self {
        Self {
            deliveries,
            outflow: Outflow::default(),
            turn: 0,
            levels: None,
            waiters: VecDeque::new(),
            owed: 0,
            alarm_ms: None,
            reentry: Reentry::default(),
        }
    }

    /// When the first lease ends.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.deliveries.iter().filter_map(Deliveries::next_due_ms).min()
    }

    /// Messages that a grant would find now.
    pub(crate) fn available(&mut self, tails: &[Offset], now_ms: u64) -> u64 {
        let queues = self.deliveries.iter_mut().zip(tails);
        queues.map(|(deliveries, &tail)| deliveries.available(tail, now_ms)).sum()
    }

    pub(crate) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// The time to ring the alarm at, if it is earlier than the one that is set.
    pub(crate) fn new_alarm_ms(&mut self) -> Option<u64> {
        if self.waiters.is_empty() {
            return None;
        }
        let due_ms = self.next_due_ms()?;
        if self.alarm_ms.is_some_and(|alarm_ms| alarm_ms <= due_ms) {
            return None;
        }
        self.alarm_ms = Some(due_ms);
        Some(due_ms)
    }

    /// The alarm rang.
    pub(crate) fn clear_alarm(&mut self, at_ms: u64) {
        if self.alarm_ms == Some(at_ms) {
            self.alarm_ms = None;
        }
    }

    /// Takes waiters in order until what they want adds up to `count`.
    pub(super) fn take_waiters(&mut self, mut count: u64, woken: &mut Vec<Arc<Waiter>>) {
        while count > 0
            && let Some(waiter) = self.waiters.pop_front()
        {
            if let Some(waiter) = waiter.upgrade() {
                let wanted = waiter.take();
                self.owed += wanted;
                count = count.saturating_sub(wanted);
                woken.push(waiter);
            }
        }
    }

    /// Takes waiters for what is available and not yet promised to others.
    pub(super) fn take_waiters_for(&mut self, available: u64, woken: &mut Vec<Arc<Waiter>>) {
        self.take_waiters(available.saturating_sub(self.owed), woken);
    }

    /// A waiter that was woken looks now, or never will.
    pub(crate) fn looked(&mut self, wanted: u64) {
        self.owed = self.owed.saturating_sub(wanted);
    }

    /// Registers a waiter; the caller holds the lock since it found nothing.
    pub(crate) fn register(&mut self, place: &Weak<Queues>, group: u32, waiter: &Arc<Waiter>, wanted: usize) {
        if waiter.register(place, group, wanted) {
            self.waiters.push_back(Arc::downgrade(waiter));
        }
    }

    /// Forgets a waiter that found something or has gone, and others that have gone.
    pub(crate) fn unregister(&mut self, gone: *const Waiter) {
        self.waiters.retain(|waiter| waiter.as_ptr() != gone && waiter.strong_count() > 0);
    }

    /// What the client's last try of the same name still holds did not arrive there: it is ready again, as it was.
    pub(super) fn take_back(&mut self, ask: &Ask<'_>) {
        let is_due = ask.is_ordered && ask.is_first;
        let Some(attempt_id) = ask.attempt_id.filter(|_| is_due) else { return };
        for (queue, serial) in self.reentry.take(attempt_id) {
            if let Some(deliveries) = self.deliveries.get_mut(queue as usize) {
                deliveries.take_back_lease(serial, ask.wish.now_ms);
            }
        }
    }

    /// The reply may get lost: what was handed out for it is remembered under its name.
    pub(super) fn remember(&mut self, ask: &Ask<'_>, granted: &[Granted]) {
        if let Some(attempt_id) = ask.attempt_id.filter(|_| ask.is_ordered && !granted.is_empty()) {
            self.reentry
                .note(attempt_id, granted.iter().map(|granted| (granted.queue, granted.grant.serial)));
        }
    }

    /// Each look begins with another queue.
    pub(super) fn take_in_turn(&mut self, search: &mut Search<'_>) {
        let queues = self.deliveries.len();
        self.turn = (self.turn + 1) % queues.max(1);
        for turn in 0..queues {
            let number = (self.turn + turn) % queues;
            search.take(number, &mut self.deliveries[number], usize::MAX);
            if search.is_over() {
                return;
            }
        }
    }

    /// The highest level first, each as much as the policy lets it have.
    pub(super) fn take_by_level(
        &mut self,
        policy: PriorityPolicy,
        wish: &Wish,
        tails: &[Offset],
        search: &mut Search<'_>,
    ) {
        let Self { deliveries, levels, .. } = self;
        let shares = levels.get_or_insert_default().shares(policy, wish, || {
            let mut has = PerLevel::default();
            for ((has, deliveries), &tail) in has.iter_mut().zip(deliveries.iter_mut()).zip(tails) {
                *has = deliveries.available(tail, wish.now_ms) as usize;
            }
            has
        });
        // The count may be too low, or promise what others hold: then the highest that has something fills up.
        for limits in [shares, NO_LIMIT] {
            for (level, deliveries) in deliveries.iter_mut().enumerate().rev() {
                search.take(level, deliveries, limits.get(level).copied().unwrap_or(usize::MAX));
                // What nobody has looked at may be next: no lower level goes before it.
                if search.is_over() || search.is_stuck() {
                    return;
                }
            }
        }
    }
}

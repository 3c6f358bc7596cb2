//! What the lock of a topic guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::index::IndexEntry;
use store::{Epoch, Offset, QueueId};

use super::pullers::Pullers;
use super::search::Search;
use super::subscription::Subscription;
use crate::catalog::PriorityPolicy;
use crate::lease::{Deliveries, Grant, Standing, State, Wish};
use crate::waiter::Waiter;

/// Tails and subscriptions of one topic.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    queues: Vec<QueueId>,
    tails: Vec<Offset>,
    subscriptions: BTreeMap<u32, Subscription>,
    pullers: Pullers,
    /// Serials up to here are of leases of groups that do not read any more: their receipts are no good for what a group
    /// holds that reads again.
    used_serial: u32,
    /// The epoch in which a group stopped to read last. Receipts of it and earlier ones are no good in later epochs for
    /// groups that began since.
    stopped_in: Epoch,
    /// Who waited for a group that does not read any more; to be woken, so that it begins anew.
    orphans: Vec<Arc<Waiter>>,
    is_closed: bool,
}

/// What a receive wants from one look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) group: u32,
    /// Messages are handed out in line.
    pub(crate) is_ordered: bool,
    /// The queues are the levels of a PRIORITY topic, and the group reads them like this.
    pub(crate) levels: Option<PriorityPolicy>,
    /// The client's name for this try, if it has one: what an earlier one of the same name still holds, it never got.
    pub(crate) attempt_id: Option<&'a str>,
    /// It is the try's first look: what is held under its name is from an earlier try.
    pub(crate) is_first: bool,
    pub(crate) wish: Wish,
}

/// What one look found.
#[derive(Debug)]
pub(crate) enum Look {
    /// What was handed out, if anything.
    Done,
    /// Nothing, before somebody tells the lanes of these offsets; see `Reading::see`.
    Unseen(Vec<Unseen>),
    /// The group does not read the topic yet.
    NotSubscribed,
}

/// Offsets whose lanes are to be looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unseen {
    pub(crate) id: QueueId,
    /// Number in the topic.
    pub(crate) queue: u32,
    pub(crate) from: Offset,
}

/// A grant and its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) id: QueueId,
    /// Number in the topic.
    pub(crate) queue: u32,
    pub(crate) grant: Grant,
}

impl Reading {
    pub(crate) fn tail(&self, queue: usize) -> Offset {
        self.tails.get(queue).copied().unwrap_or_default()
    }

    pub(crate) fn subscription(&mut self, group: u32) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(&group)
    }

    /// A consumer group's deliveries from one queue, and the queue's tail.
    pub(crate) fn deliveries(&mut self, group: u32, queue: u32) -> Option<(&mut Deliveries, Offset)> {
        let tail = self.tail(queue as usize);
        Some((self.subscriptions.get_mut(&group)?.deliveries.get_mut(queue as usize)?, tail))
    }

    /// The consumer groups that read the topic, members of broadcasts among them, by id.
    pub(crate) fn readers(&self) -> Vec<u32> {
        self.subscriptions.keys().copied().collect()
    }

    /// How each consumer group stands to a message.
    pub(crate) fn standings(&self, queue: u32, offset: Offset, now_ms: u64) -> Vec<(u32, Standing)> {
        let of = |subscription: &Subscription| {
            Some(subscription.deliveries.get(queue as usize)?.standing(offset, now_ms))
        };
        self.subscriptions
            .iter()
            .filter_map(|(&group, subscription)| Some((group, of(subscription)?)))
            .collect()
    }

    /// Up to where a consumer group is done, by number of the queue; `None`: it does not read the topic.
    pub(crate) fn floors(&self, group: u32) -> Option<Vec<u64>> {
        let subscription = self.subscriptions.get(&group)?;
        Some(subscription.deliveries.iter().map(|deliveries| deliveries.floor().0).collect())
    }

    /// What each consumer group would keep over a restart.
    pub(crate) fn states(&self) -> BTreeMap<u32, Vec<State>> {
        let states =
            |subscription: &Subscription| subscription.deliveries.iter().map(Deliveries::state).collect();
        self.subscriptions.iter().map(|(&group, subscription)| (group, states(subscription))).collect()
    }

    /// A consumer group begins to read; false if it did before.
    pub(crate) fn start(&mut self, group: u32, offsets: &[u64]) -> bool {
        let (used_serial, stopped_in) = (self.used_serial, self.stopped_in);
        let starting_at =
            |&offset: &u64| Deliveries::starting_at(Offset(offset)).after(used_serial, stopped_in);
        self.subscribe(group, || offsets.iter().map(starting_at).collect())
    }

    /// A consumer group goes on where a checkpoint left it.
    pub(crate) fn restore(&mut self, group: u32, states: &[State]) {
        let restored = |state| Deliveries::restore(state, Offset(u64::MAX));
        self.subscribe(group, || states.iter().map(restored).collect());
    }

    /// Sets the epoch of the last stop, as a checkpoint has it.
    pub(crate) fn set_stopped_in(&mut self, epoch: Epoch) {
        self.stopped_in = epoch;
    }

    /// Sets tails after a start.
    pub(crate) fn set_tails(&mut self, tails: &[Offset]) {
        self.tails[..tails.len()].copy_from_slice(tails);
    }

    /// Deliveries never reach beyond the tails. A follower's may: a seed knows of messages that are still to come.
    pub(crate) fn clamp_deliveries(&mut self) {
        for subscription in self.subscriptions.values_mut() {
            for (deliveries, &tail) in subscription.deliveries.iter_mut().zip(&self.tails) {
                if deliveries.next() > tail {
                    *deliveries = Deliveries::restore(&deliveries.state(), tail);
                }
            }
        }
    }

    /// Takes everybody who waits: nothing will come here any more.
    pub(crate) fn take_all_waiters(&mut self, woken: &mut Vec<Arc<Waiter>>) {
        for subscription in self.subscriptions.values_mut() {
            subscription.take_waiters(u64::MAX, woken);
        }
        self.pullers.take_all(woken);
        woken.append(&mut self.orphans);
    }

    /// The waiter is woken when the queue goes on; the caller holds the lock since it saw the tail.
    pub(crate) fn wait_for_more(&mut self, queue: u32, waiter: &Arc<Waiter>) {
        self.pullers.add(queue, waiter);
    }

    /// The topic has these queues now; there may be more of them than before.
    pub(crate) fn grow(&mut self, queues: &[QueueId]) {
        self.queues = queues.to_vec();
        self.tails.resize(queues.len(), Offset(0));
        for subscription in self.subscriptions.values_mut() {
            subscription.deliveries.resize_with(queues.len(), Deliveries::default);
        }
    }

    /// A consumer group reads the topic no more, by a record of this epoch.
    pub(crate) fn stop(&mut self, group: u32, epoch: Epoch) {
        self.unsubscribe(group);
        self.stopped_in = self.stopped_in.max(epoch);
    }

    /// The epoch in which a group stopped to read last.
    pub(crate) fn stopped_in(&self) -> Epoch {
        self.stopped_in
    }

    pub(crate) fn unsubscribe(&mut self, group: u32) {
        if let Some(mut gone) = self.subscriptions.remove(&group) {
            gone.take_waiters(u64::MAX, &mut self.orphans);
            let serials = gone.deliveries.iter().map(Deliveries::serial);
            self.used_serial = serials.fold(self.used_serial, u32::max);
        }
    }

    /// The topic is deleted: nothing is handed out any more.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.subscriptions.clear();
    }

    /// Messages were stored: moves the tail and takes the waiters that they are enough for.
    pub(crate) fn publish(&mut self, queue: usize, tail: Offset, count: u32, woken: &mut Vec<Arc<Waiter>>) {
        if let Some(known) = self.tails.get_mut(queue) {
            *known = tail.max(*known);
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.take_waiters(u64::from(count), woken);
        }
        self.pullers.take(queue as u32, woken);
        woken.append(&mut self.orphans);
    }

    /// Hands out messages, in turn over the queues or by level; one grant per lease.
    pub(crate) fn grant(&mut self, ask: &Ask<'_>, grants: &mut Vec<Granted>) -> Look {
        let Self { queues, tails, subscriptions, .. } = self;
        let Some(subscription) = subscriptions.get_mut(&ask.group) else { return Look::NotSubscribed };
        subscription.take_back(ask);
        let mut search = Search::new(ask, queues, tails, grants);
        match ask.levels {
            None => subscription.take_in_turn(&mut search),
            Some(policy) => subscription.take_by_level(policy, &ask.wish, tails, &mut search),
        }
        let unseen = search.into_unseen();
        subscription.remember(ask, grants);
        if unseen.is_empty() { Look::Done } else { Look::Unseen(unseen) }
    }

    /// The entries of a queue from `unseen` on, so that a group that reads in order knows their lines.
    pub(crate) fn see(&mut self, group: u32, unseen: &Unseen, entries: &[IndexEntry]) {
        if let Some((deliveries, _)) = self.deliveries(group, unseen.queue) {
            deliveries.see(unseen.from, entries);
        }
    }

    /// Wakes the waiters of a group that what is there is enough for.
    pub(crate) fn pass_on(&mut self, group: u32, now_ms: u64, woken: &mut Vec<Arc<Waiter>>) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        if subscription.has_waiters() {
            let available = subscription.available(&self.tails, now_ms);
            subscription.take_waiters_for(available, woken);
        }
    }

    fn subscribe(&mut self, group: u32, make: impl FnOnce() -> Vec<Deliveries>) -> bool {
        if self.is_closed || self.subscriptions.contains_key(&group) {
            return false;
        }
        let mut deliveries = make();
        deliveries.resize_with(self.tails.len().max(deliveries.len()), Deliveries::default);
        self.subscriptions.insert(group, Subscription::new(deliveries));
        true
    }
}

//! One look under way: what is still wanted, and what was found.

use store::{Offset, QueueId};

use super::reading::{Ask, Granted, Unseen};
use crate::lease::{Deliveries, Grant, Wish};

pub(super) struct Search<'a> {
    ask: &'a Ask<'a>,
    queues: &'a [QueueId],
    tails: &'a [Offset],
    /// Messages that are still wanted.
    wanted: usize,
    grants: &'a mut Vec<Granted>,
    unseen: Vec<Unseen>,
    /// Of one queue.
    found: Vec<Grant>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        ask: &'a Ask<'a>,
        queues: &'a [QueueId],
        tails: &'a [Offset],
        grants: &'a mut Vec<Granted>,
    ) -> Self {
        Self { ask, queues, tails, wanted: ask.wish.count, grants, unseen: Vec::new(), found: Vec::new() }
    }

    /// Nothing more is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.wanted == 0
    }

    /// Somebody has to look at more of a queue first.
    pub(super) fn is_stuck(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Hands out messages of one queue, at most `most`.
    pub(super) fn take(&mut self, number: usize, deliveries: &mut Deliveries, most: usize) {
        let (id, queue) = (self.queues[number], number as u32);
        let tail = self.tails.get(number).copied().unwrap_or_default();
        let is_ordered = self.ask.is_ordered;
        deliveries.set_ordered(is_ordered);
        let mut left = self.wanted.min(most);
        while left > 0 {
            let wish = Wish { count: left, ..self.ask.wish };
            if is_ordered {
                deliveries.grant_in_line(&wish, &mut self.found);
            } else {
                self.found.extend(deliveries.grant(&wish, tail));
            }
            if self.found.is_empty() {
                break;
            }
            for grant in self.found.drain(..) {
                let count = grant.mask.count_ones() as usize;
                left -= count;
                self.wanted -= count;
                self.grants.push(Granted { id, queue, grant });
            }
        }
        if left > 0 && is_ordered {
            self.unseen.extend(deliveries.unseen(tail).map(|from| Unseen { id, queue, from }));
        }
    }

    /// What has to be looked at first; nothing if something was handed out.
    pub(super) fn into_unseen(self) -> Vec<Unseen> {
        if self.grants.is_empty() { self.unseen } else { Vec::new() }
    }
}

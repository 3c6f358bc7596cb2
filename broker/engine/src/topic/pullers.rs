//! Those who read queues of a topic by offset and wait for more: whoever waits is woken by the next message of its queue.

use std::sync::{Arc, Weak};

use crate::waiter::Waiter;

/// The fewest before those that have gone are looked for.
const SWEEP_AT_MIN: usize = 64;

/// Who waits, with the number of the queue.
#[derive(Debug, Default)]
pub(super) struct Pullers {
    waiting: Vec<(u32, Weak<Waiter>)>,
    /// With so many, those that have gone are forgotten.
    sweep_at: usize,
}

impl Pullers {
    /// Who waits already is only woken once more than it needs.
    pub(super) fn add(&mut self, queue: u32, waiter: &Arc<Waiter>) {
        if self.waiting.len() >= self.sweep_at.max(SWEEP_AT_MIN) {
            self.waiting.retain(|(_, waiter)| waiter.strong_count() > 0);
            self.sweep_at = 2 * self.waiting.len();
        }
        self.waiting.push((queue, Arc::downgrade(waiter)));
    }

    /// Takes those who wait for this queue.
    pub(super) fn take(&mut self, queue: u32, woken: &mut Vec<Arc<Waiter>>) {
        if !self.waiting.is_empty() {
            let taken = self.waiting.extract_if(.., |(of, _)| *of == queue);
            woken.extend(taken.filter_map(|(_, waiter)| waiter.upgrade()));
        }
    }

    pub(super) fn take_all(&mut self, woken: &mut Vec<Arc<Waiter>>) {
        woken.extend(self.waiting.drain(..).filter_map(|(_, waiter)| waiter.upgrade()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;

    #[test]
    fn those_who_left_are_forgotten_and_those_who_stay_are_not() {
        let (mailbox, mut pullers) = (Mailbox::new(), Pullers::default());
        let stays: Vec<_> = (0..10).map(|_| Waiter::new(&mailbox)).collect();
        for waiter in &stays {
            pullers.add(7, waiter);
            for _ in 0..1000 {
                pullers.add(7, &Waiter::new(&mailbox));
            }
        }
        assert!(pullers.waiting.len() <= SWEEP_AT_MIN + 1, "{}", pullers.waiting.len());
        let mut woken = Vec::new();
        pullers.take(7, &mut woken);
        assert_eq!(woken.len(), stays.len());
    }
}

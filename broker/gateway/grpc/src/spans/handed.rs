//! The sampled messages that consumers have: an acknowledgement names a place in the log, not a trace.
//!
//! Promise: what is handed out is known until a consumer is done with it, unless 16384 others came after it, or the
//! leadership moved: then its end has no span. Cost: one look at a number while nothing is known, one short lock otherwise.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::lease::Receipt;
use parking_lot::Mutex;

use super::{About, Handed};

/// Messages that are known at most.
const KNOWN_MAX: usize = 16 * 1024;

/// Consumer group, queue and offset.
pub(crate) type Key = (u32, u32, u64);

/// The messages that are known, by where they lie.
#[derive(Debug, Default)]
pub(crate) struct HandedOut {
    count: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    messages: HashMap<Key, (u64, Arc<About>, Handed)>,
    /// In the order they came; a number that is not the message's own any more is passed over.
    order: VecDeque<(u64, Key)>,
    last: u64,
}

impl HandedOut {
    pub(crate) fn put(&self, key: Key, about: &Arc<About>, handed: &Handed) {
        let mut known = self.known.lock();
        known.last += 1;
        let number = known.last;
        known.messages.insert(key, (number, Arc::clone(about), handed.clone()));
        known.order.push_back((number, key));
        // Every message that is known has its number in the order.
        while known.order.len() > KNOWN_MAX {
            known.forget_oldest();
        }
        self.count.store(known.messages.len(), Ordering::Release);
    }

    pub(crate) fn get(&self, key: Key) -> Option<(Arc<About>, Handed)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.known.lock().messages.get(&key).map(|(_, about, handed)| (Arc::clone(about), handed.clone()))
    }

    pub(crate) fn forget(&self, key: Key) {
        let mut known = self.known.lock();
        known.messages.remove(&key);
        if known.messages.is_empty() {
            known.order.clear();
        }
        self.count.store(known.messages.len(), Ordering::Release);
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        let Some((number, key)) = self.order.pop_front() else { return };
        if self.messages.get(&key).is_some_and(|(own, ..)| *own == number) {
            self.messages.remove(&key);
        }
    }
}

pub(crate) fn key_of(receipt: &Receipt) -> Key {
    (receipt.group, receipt.queue.0, receipt.offset.0)
}

#[cfg(test)]
mod tests {
    use wire::stored::System;
    use wire::traceparent::TraceParent;

    use super::*;

    fn message(offset: u64) -> (Arc<About>, Handed) {
        let context = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
        let about = About::new(context, ("", "orders"), &System::default(), std::iter::empty(), 0);
        (Arc::new(about), Handed { consumer_group: "billing".into(), queue: 0, offset, attempt: 1 })
    }

    #[test]
    fn a_message_is_known_until_it_is_forgotten() {
        let out = HandedOut::default();
        let (about, handed) = message(7);
        out.put((1, 2, 7), &about, &handed);
        assert_eq!(out.get((1, 2, 7)), Some((about, handed)));
        assert_eq!(out.get((1, 3, 7)), None);
        out.forget((1, 2, 7));
        assert_eq!(out.get((1, 2, 7)), None);
        assert!(out.known.lock().order.is_empty());
    }

    #[test]
    fn the_oldest_make_room_and_one_that_came_again_is_young() {
        let out = HandedOut::default();
        for offset in (0..KNOWN_MAX as u64).chain([0]).chain([KNOWN_MAX as u64]) {
            let (about, handed) = message(offset);
            out.put((1, 2, offset), &about, &handed);
            let known = out.known.lock();
            assert!(known.messages.len() <= KNOWN_MAX && known.order.len() <= KNOWN_MAX);
        }
        let is_known = |offset| out.get((1, 2, offset)).is_some();
        assert!(is_known(0) && !is_known(1) && is_known(2) && is_known(KNOWN_MAX as u64));
    }
}

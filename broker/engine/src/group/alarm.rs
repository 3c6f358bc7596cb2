//! Alarms: when the log thread looks for ended leases on behalf of those who wait.
//!
//! One per consumer group and topic that has waiters and leases; a lease that was granted after they began to wait
//! would otherwise be noticed only by their next receive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Group;
use crate::mailbox::Wakes;
use crate::topic::{Queues, Reading};

/// Alarms by time.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// (time, topic, consumer group)
    set: Mutex<BTreeSet<(u64, u32, u32)>>,
    earliest_ms: AtomicU64,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { set: Mutex::default(), earliest_ms: AtomicU64::new(u64::MAX) }
    }
}

impl Alarms {
    /// The part of `wait_ms` that may pass before the next alarm.
    pub(crate) fn shorten(&self, wait_ms: u64, now_ms: u64) -> u64 {
        wait_ms.min(self.earliest_ms.load(Ordering::Relaxed).saturating_sub(now_ms))
    }

    /// True if it is the earliest now.
    fn add(&self, at_ms: u64, topic: u32, group: u32) -> bool {
        self.set.lock().insert((at_ms, topic, group));
        self.earliest_ms.fetch_min(at_ms, Ordering::Relaxed) > at_ms
    }

    fn due(&self, now_ms: u64) -> Vec<(u64, u32, u32)> {
        if self.earliest_ms.load(Ordering::Relaxed) > now_ms {
            return Vec::new();
        }
        let mut set = self.set.lock();
        let later = set.split_off(&(now_ms + 1, 0, 0));
        let due = std::mem::replace(&mut *set, later);
        self.earliest_ms.store(set.first().map_or(u64::MAX, |alarm| alarm.0), Ordering::Relaxed);
        due.into_iter().collect()
    }
}

impl Group {
    /// Sets the alarm of a group whose waiters do not know of its earliest lease. The topic's lock is held.
    pub(crate) fn set_alarm(&self, queues: &Queues, reading: &mut Reading, group: u32) {
        if let Some(subscription) = reading.subscription(group)
            && let Some(at_ms) = subscription.new_alarm_ms()
            && self.alarms.add(at_ms, queues.topic, group)
        {
            // The log thread may sleep for longer than that.
            self.inbox.nudge();
        }
    }

    /// Wakes waiters for leases that have ended.
    pub(crate) fn ring_alarms(&self, now_ms: u64, wakes: &mut Wakes) {
        for (at_ms, topic, group) in self.alarms.due(now_ms) {
            let found = self.state.catalog.read().topic_by_id(topic).map(|topic| Arc::clone(&topic.state));
            let Some(queues) = found else { continue };
            let mut woken = Vec::new();
            {
                let mut reading = queues.lock();
                if let Some(subscription) = reading.subscription(group) {
                    subscription.clear_alarm(at_ms);
                }
                reading.pass_on(group, now_ms, &mut woken);
                self.set_alarm(&queues, &mut reading, group);
            }
            for waiter in woken {
                waiter.wake(wakes);
            }
        }
    }
}

//! A message with a delivery time comes at that time or later, and not at all once its recall was answered.
//!
//! With `flush: Async` a power cut may take the record of a recall.

use std::collections::{BTreeMap, BTreeSet};

use store::log::Flush;

use crate::event::Event;

pub(crate) struct Times {
    flush: Flush,
    dues: BTreeMap<u64, u64>,
    recalled: BTreeSet<u64>,
}

impl Times {
    pub(crate) fn new(flush: Flush) -> Self {
        Self { flush, dues: BTreeMap::new(), recalled: BTreeSet::new() }
    }

    pub(crate) fn sent(&mut self, message: u64, due_ms: u64) {
        self.dues.insert(message, due_ms);
    }

    /// What was due by then may be there already, whatever the clock shows now.
    pub(crate) fn clock_was_set(&mut self, from_ms: u64) {
        self.dues.retain(|_, due_ms| *due_ms > from_ms);
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { message, now_ms, .. } => {
                if let Some(due_ms) = self.dues.get(&message).filter(|due_ms| **due_ms > now_ms) {
                    return Err(format!("message {message} was delivered at {now_ms}, its time is {due_ms}"));
                }
                self.stays_away(message)
            }
            Event::Found { message, .. } => self.stays_away(message),
            Event::Recalled { message } => {
                self.recalled.insert(message);
                Ok(())
            }
            Event::Restarted { power_lost: true, .. } if self.flush == Flush::Async => {
                self.recalled.clear();
                Ok(())
            }
            Event::Stored { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Lost { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => Ok(()),
        }
    }

    fn stays_away(&self, message: u64) -> Result<(), String> {
        if self.recalled.contains(&message) {
            return Err(format!("message {message} was recalled and came"));
        }
        Ok(())
    }
}

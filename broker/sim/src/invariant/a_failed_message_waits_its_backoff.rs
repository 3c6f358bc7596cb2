//! A message that a consumer failed with comes again not before the wait that its group's definition has for that attempt.
//!
//! A restart ends all waits.

use std::collections::BTreeMap;

use engine::catalog::Backoff;

use crate::backoff::wait_ms;
use crate::event::Event;
use crate::world::Reader;

pub(crate) struct Waits {
    backoffs: Vec<Backoff>,
    /// By consumer group and message: the attempt that failed, and until when nobody gets it.
    failed: BTreeMap<(usize, u64), (u16, u64)>,
}

impl Waits {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        let backoffs = readers.iter().map(|reader| reader.spec.retry.backoff.clone()).collect();
        Self { backoffs, failed: BTreeMap::new() }
    }

    /// A consumer failed with this attempt, and was told that this is noted.
    pub(crate) fn failed(&mut self, reader: usize, message: u64, attempt: u16, now_ms: u64) {
        let until_ms = now_ms + wait_ms(&self.backoffs[reader], attempt);
        self.failed.insert((reader, message), (attempt, until_ms));
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { reader, message, now_ms, .. } => {
                let failed = self.failed.remove(&(reader, message));
                if let Some((attempt, until_ms)) = failed.filter(|(_, until_ms)| *until_ms > now_ms) {
                    return Err(format!(
                        "message {message} came to reader {reader} at {now_ms}, its attempt {attempt} failed and waits until {until_ms}"
                    ));
                }
            }
            Event::Restarted { .. } => self.failed.clear(),
            // Who gives it back or asks for another time ends the wait.
            Event::Released { reader, message } | Event::Held { reader, message, .. } => {
                self.failed.remove(&(reader, message));
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Acked { .. }
            | Event::Lost { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

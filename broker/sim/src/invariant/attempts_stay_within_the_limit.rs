//! No delivery has a higher number than the consumer group allows, and while the broker runs each has the next one. Only
//! what was delivered for the last time, or given up by a consumer, is a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Place};
use crate::world::Reader;

pub(crate) struct Attempts {
    limits: Vec<u32>,
    last: BTreeMap<(usize, u64), u16>,
    /// Delivered as often as is allowed, or given up.
    may_be_letters: BTreeSet<(usize, u64)>,
    is_in_doubt: bool,
}

impl Attempts {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        let limits = readers.iter().map(|reader| reader.spec.retry.max_attempts).collect();
        Self { limits, last: BTreeMap::new(), may_be_letters: BTreeSet::new(), is_in_doubt: false }
    }

    /// A consumer tries to give it up.
    pub(crate) fn given_up(&mut self, reader: usize, message: u64) {
        self.may_be_letters.insert((reader, message));
    }

    /// The disk is gone: until the next start messages may be handed out that no client gets.
    pub(crate) fn crashed(&mut self) {
        self.is_in_doubt = true;
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { reader, message, attempt, .. } => {
                let limit = self.limits[reader];
                let last = self.last.insert((reader, message), attempt);
                if u32::from(attempt) > limit || attempt == 0 {
                    return Err(format!(
                        "message {message}: attempt {attempt} for reader {reader}, limit {limit}"
                    ));
                }
                if u32::from(attempt) == limit {
                    self.may_be_letters.insert((reader, message));
                }
                let is_next = |last: u16| attempt == last + 1 || (self.is_in_doubt && attempt > last);
                if let Some(last) = last.filter(|last| !is_next(*last)) {
                    return Err(format!(
                        "message {message}: attempt {attempt} after {last} for reader {reader}"
                    ));
                }
            }
            // It comes again as it was.
            Event::Lost { reader, message } => {
                self.last.remove(&(reader, message));
            }
            // First deliveries are not recorded, later ones ride in the next batch: some are forgotten.
            Event::Restarted { .. } => {
                self.last.clear();
                self.is_in_doubt = false;
            }
            Event::Found { message, place: Place::DeadLetters(reader), .. } => {
                if !self.may_be_letters.contains(&(reader, message)) {
                    return Err(format!(
                        "message {message} is a dead letter of reader {reader} and had attempts left"
                    ));
                }
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Found { place: Place::Own | Place::Abandoned, .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

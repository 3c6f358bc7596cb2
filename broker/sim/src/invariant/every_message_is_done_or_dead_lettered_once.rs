//! In the end every message that a consumer group wants was acked by it, or lies in its dead letter topic once.
//!
//! A dead letter in turn had been delivered to the group, and only messages that were stored are delivered at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Place};
use crate::world::{Reader, tag_hash};

pub(crate) struct Fates {
    /// What each consumer group wants; `None`: everything.
    tags: Vec<Option<Vec<u32>>>,
    delivered: BTreeSet<(usize, u64)>,
    acked: BTreeSet<(usize, u64)>,
    /// Found in an ordinary topic.
    kept: BTreeSet<u64>,
    letters: BTreeMap<(usize, u64), u32>,
}

impl Fates {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        Self {
            tags: readers.iter().map(|reader| reader.tags.clone()).collect(),
            delivered: BTreeSet::new(),
            acked: BTreeSet::new(),
            kept: BTreeSet::new(),
            letters: BTreeMap::new(),
        }
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { reader, message, .. } => {
                if !self.wants(reader, message) {
                    return Err(format!(
                        "reader {reader} got message {message}, whose tag it did not ask for"
                    ));
                }
                self.delivered.insert((reader, message));
            }
            Event::Acked { reader, message } => {
                self.acked.insert((reader, message));
            }
            Event::Found { message, place: Place::Own, .. } => {
                self.kept.insert(message);
            }
            Event::Found { message, place: Place::DeadLetters(reader), .. } => {
                let count = self.letters.entry((reader, message)).or_insert(0);
                *count += 1;
                if *count > 1 || !self.delivered.contains(&(reader, message)) {
                    return Err(format!("{count} dead letters of reader {reader} for message {message}"));
                }
            }
            Event::Ended { .. } => return self.end(),
            Event::Found { place: Place::Abandoned, .. }
            | Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Lost { .. }
            | Event::Vanished { .. }
            | Event::Range { .. } => {}
        }
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        for reader in 0..self.tags.len() {
            for message in self.kept.iter().filter(|message| self.wants(reader, **message)) {
                let fate = (reader, *message);
                if !self.acked.contains(&fate) && !self.letters.contains_key(&fate) {
                    let was = if self.delivered.contains(&fate) { "delivered" } else { "never delivered" };
                    return Err(format!("reader {reader} is through, message {message} was {was}, not done"));
                }
            }
        }
        Ok(())
    }

    fn wants(&self, reader: usize, message: u64) -> bool {
        self.tags[reader].as_ref().is_none_or(|tags| tags.contains(&tag_hash(message)))
    }
}

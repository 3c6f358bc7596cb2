//! A message whose send was answered with success is in its queue, until retention takes it.
//!
//! With `flush: Sync` that holds whatever happens; with `flush: Async` a power cut may take what was not synced yet,
//! the death of the process alone may not.

use std::collections::BTreeMap;

use engine::group::Decision;
use store::Position;
use store::log::Flush;

use crate::event::Event;

pub(crate) struct Stored {
    flush: Flush,
    /// Where the message lies, and the record that makes it one of its queue.
    positions: BTreeMap<u64, (Position, Position)>,
}

impl Stored {
    pub(crate) fn new(flush: Flush) -> Self {
        Self { flush, positions: BTreeMap::new() }
    }

    /// It may have been recalled.
    pub(crate) fn may_go(&mut self, message: u64) {
        self.positions.remove(&message);
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Stored { message, placed } => {
                self.positions.insert(*message, (placed.position, placed.position));
            }
            Event::Decided { message, decision: Decision::Commit, body, record: Some(record) } => {
                self.positions.insert(*message, (*body, *record));
            }
            Event::Restarted { power_lost: true, durable } if self.flush == Flush::Async => {
                self.positions.retain(|_, (_, record)| *record < *durable);
            }
            Event::Found { message, .. } | Event::Recalled { message } => {
                self.positions.remove(message);
            }
            Event::Ended { head } => {
                self.positions.retain(|_, (body, _)| *body >= *head);
                if let Some((message, (position, _))) = self.positions.first_key_value() {
                    let count = self.positions.len();
                    return Err(format!("{count} acknowledged messages lost: {message} at {position}, .."));
                }
            }
            Event::Delivered { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Lost { .. }
            | Event::Vanished { .. }
            | Event::Range { .. } => {}
        }
        Ok(())
    }
}

//! A message that a consumer group acked comes again only if the ack was lost: it was not written when the process
//! died, or not synced when the power went.

use std::collections::BTreeMap;

use store::Position;

use crate::event::Event;

#[derive(Default)]
pub(crate) struct Done {
    /// By consumer group and message: below where its record ends; `None`: only in memory.
    acked: BTreeMap<(usize, u64), Option<Position>>,
}

impl Done {
    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Acked { reader, message } => {
                self.acked.entry((reader, message)).or_insert(None);
            }
            Event::Stepped { acks_written: true, written } => {
                for recorded in self.acked.values_mut().filter(|recorded| recorded.is_none()) {
                    *recorded = Some(written);
                }
            }
            Event::Restarted { power_lost, durable } => {
                self.acked.retain(|_, recorded| recorded.is_some_and(|end| !power_lost || end <= durable));
            }
            Event::Delivered { reader, message, attempt, .. } => {
                if let Some(recorded) = self.acked.get(&(reader, message)) {
                    return Err(format!(
                        "message {message} was acked ({recorded:?}) and came again to reader {reader}, attempt {attempt}"
                    ));
                }
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Lost { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

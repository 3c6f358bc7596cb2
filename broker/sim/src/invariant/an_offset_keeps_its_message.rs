//! An offset of a queue names one message for ever, for those who receive and for those who read by offset.
//!
//! With `flush: Async` a power cut may take what was not synced yet, and others get these offsets.

use std::collections::BTreeMap;

use store::log::Flush;
use store::{Offset, Position, QueueId};

use crate::event::Event;

pub(crate) struct Names {
    flush: Flush,
    /// The message, and where the queue's record of it lies.
    known: BTreeMap<(QueueId, Offset), (u64, Position)>,
}

impl Names {
    pub(crate) fn new(flush: Flush) -> Self {
        Self { flush, known: BTreeMap::new() }
    }

    /// Somebody got the message from there.
    pub(crate) fn read(
        &mut self,
        queue: QueueId,
        offset: Offset,
        message: u64,
        position: Position,
    ) -> Result<(), String> {
        let (known, at) = *self.known.entry((queue, offset)).or_insert((message, position));
        if (known, at) != (message, position) {
            return Err(format!(
                "offset {offset} of queue {queue} was message {known} at {at} and is {message} at {position}"
            ));
        }
        Ok(())
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { message, queue, offset, position, .. } => {
                self.read(queue, offset, message, position)
            }
            Event::Found { queue, offset, message, .. } => {
                let known = self.known.get(&(queue, offset)).map_or(message, |(known, _)| *known);
                if known == message {
                    return Ok(());
                }
                Err(format!(
                    "offset {offset} of queue {queue} was message {known} and is {message} in the end"
                ))
            }
            Event::Restarted { power_lost: true, durable } if self.flush == Flush::Async => {
                self.known.retain(|_, (_, position)| *position < durable);
                Ok(())
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Lost { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => Ok(()),
        }
    }
}

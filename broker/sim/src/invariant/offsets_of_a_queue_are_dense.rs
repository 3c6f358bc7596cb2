//! Between its oldest message and its tail a queue has one message at every offset, and no message twice.

use std::collections::{BTreeMap, BTreeSet};

use store::{Offset, QueueId};

use crate::event::{Event, Place};

#[derive(Default)]
pub(crate) struct Queues {
    found: BTreeMap<QueueId, BTreeSet<Offset>>,
    /// How many of a queue lead to messages that retention took.
    vanished: BTreeMap<QueueId, usize>,
    messages: BTreeSet<(Place, u64)>,
}

impl Queues {
    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Found { queue, offset, message, place } => {
                if !self.found.entry(*queue).or_default().insert(*offset) {
                    return Err(format!(
                        "offset {offset} of queue {queue} was delivered twice to one reader"
                    ));
                }
                if !self.messages.insert((*place, *message)) {
                    return Err(format!(
                        "message {message} is stored twice, again at {offset} of queue {queue}"
                    ));
                }
            }
            Event::Vanished { queue } => *self.vanished.entry(*queue).or_default() += 1,
            Event::Range { queue, oldest, tail } => {
                let found = self.found.remove(queue).unwrap_or_default();
                let vanished = self.vanished.remove(queue).unwrap_or_default();
                let expected: BTreeSet<_> = (oldest.0..tail.0).map(Offset).collect();
                let missing = expected.len().saturating_sub(found.len() + vanished);
                let pool = self.vanished.entry(QueueId::NONE).or_default();
                let covered = missing.min(*pool);
                *pool -= covered;
                if !found.is_subset(&expected) || found.len() + vanished + covered != expected.len() {
                    let wrong: Vec<_> = found.symmetric_difference(&expected).take(5).collect();
                    return Err(format!(
                        "queue {queue} goes from {oldest} to {tail}, but for {vanished} vanished and {wrong:?}"
                    ));
                }
            }
            Event::Ended { .. } if !self.found.is_empty() => {
                return Err(format!("messages in queues that no topic has: {:?}", self.found.keys()));
            }
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Delivered { .. }
            | Event::Held { .. }
            | Event::Lost { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Restarted { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

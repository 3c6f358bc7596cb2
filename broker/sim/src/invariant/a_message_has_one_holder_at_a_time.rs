//! While a consumer holds a message, no other consumer of the group gets it.
//!
//! A restart ends all leases.

use std::collections::BTreeMap;

use crate::event::Event;

#[derive(Default)]
pub(crate) struct Holders {
    /// End of the lease by consumer group and message.
    due_ms: BTreeMap<(usize, u64), u64>,
}

impl Holders {
    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered { reader, message, due_ms, now_ms, .. } => {
                let before = self.due_ms.insert((reader, message), due_ms);
                if let Some(held_until) = before.filter(|held_until| *held_until > now_ms) {
                    return Err(format!(
                        "message {message} was delivered to reader {reader} at {now_ms}, held until {held_until}"
                    ));
                }
            }
            Event::Held { reader, message, due_ms } => {
                self.due_ms.insert((reader, message), due_ms);
            }
            Event::Released { reader, message }
            | Event::Lost { reader, message }
            | Event::Acked { reader, message } => {
                self.due_ms.remove(&(reader, message));
            }
            Event::Restarted { .. } => self.due_ms.clear(),
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

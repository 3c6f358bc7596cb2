//! No delivery has a higher number than the consumer group allows, and while the broker runs the numbers rise.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::world::Reader;

pub(crate) struct Attempts {
    limits: Vec<u32>,
    last: BTreeMap<(usize, u64), u16>,
}

impl Attempts {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        let limits = readers.iter().map(|reader| reader.spec.retry.max_attempts).collect();
        Self { limits, last: BTreeMap::new() }
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
                if let Some(last) = last.filter(|last| *last >= attempt) {
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
            Event::Restarted { .. } => self.last.clear(),
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Acked { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }
}

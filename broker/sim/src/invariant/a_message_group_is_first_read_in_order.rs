//! Whoever leads: the first delivery of a message to an ordered consumer group comes after those of the messages before it
//! in its message group, but for those that retention had taken from the copy that led.

use std::collections::{BTreeMap, BTreeSet};

use store::{Offset, Position, QueueId};

#[derive(Default)]
pub(crate) struct Lines {
    /// By queue and message group: the furthest message that was delivered.
    furthest: BTreeMap<(QueueId, u32), (Offset, Position)>,
    delivered: BTreeSet<(QueueId, Offset, Position)>,
    /// Some leader's log began here.
    head: Position,
}

impl Lines {
    /// What lay there or beyond is lost by right.
    pub(crate) fn forget(&mut self, from: Position) {
        self.furthest.retain(|_, (_, position)| *position < from);
        self.delivered.retain(|(.., position)| *position < from);
    }

    pub(crate) fn delivered(
        &mut self,
        queue: QueueId,
        lane: u32,
        offset: Offset,
        position: Position,
        head: Position,
    ) -> Result<(), String> {
        self.head = self.head.max(head);
        let is_first = self.delivered.insert((queue, offset, position));
        let furthest = self.furthest.entry((queue, lane)).or_insert((offset, position));
        if is_first && offset < furthest.0 && position >= self.head {
            return Err(format!(
                "{offset} of queue {queue}, message group {lane}, is delivered for the first time after {}",
                furthest.0
            ));
        }
        *furthest = (*furthest).max((offset, position));
        Ok(())
    }
}

//! What a client was told or given by queue and offset is the message that is agreed to be there, for ever.

use std::collections::BTreeMap;

use store::{Offset, Position, QueueId};

use crate::cluster::Views;

#[derive(Default)]
pub(crate) struct Offsets {
    messages: BTreeMap<(QueueId, Offset, Position), u64>,
}

impl Offsets {
    /// What lay there or beyond is lost by right.
    pub(crate) fn forget(&mut self, from: Position) {
        self.messages.retain(|(.., position), _| *position < from);
    }

    /// A client heard that this message lies there.
    pub(crate) fn told(
        &mut self,
        message: u64,
        queue: QueueId,
        offset: Offset,
        position: Position,
        views: &Views,
    ) -> Result<(), String> {
        let agreed = views.queues.get(&queue).and_then(|positions| positions.get(offset.0 as usize));
        if agreed != Some(&position) {
            return Err(format!(
                "message {message} at {position} is told to be {offset} of queue {queue}, agreed is {agreed:?}"
            ));
        }
        let known = *self.messages.entry((queue, offset, position)).or_insert(message);
        if known == message {
            return Ok(());
        }
        Err(format!("{offset} of queue {queue} at {position} is message {known} and {message}"))
    }
}

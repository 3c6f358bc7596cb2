//! What clients were told and what happened to the broker: all that invariants know.

use engine::group::Decision;
use store::log::Placed;
use store::{Offset, Position, QueueId};

/// A sort of topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// One that producers send to.
    Own,
    /// The dead letters of the consumer group of that number.
    DeadLetters(usize),
    /// Messages of transactions that nobody decided.
    Abandoned,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A send was answered: stored.
    Stored {
        /// The message.
        message: u64,
        /// Where.
        placed: Placed,
    },
    /// A recall was answered: the message will not come.
    Recalled {
        /// The message.
        message: u64,
    },
    /// A decision about a message of a transaction was answered.
    Decided {
        /// The message.
        message: u64,
        /// What became of it.
        decision: Decision,
        /// Where the message itself lies.
        body: Position,
        /// Where the decision lies; none if it had been made before.
        record: Option<Position>,
    },
    /// A consumer got a message.
    Delivered {
        /// Number of the consumer group.
        reader: usize,
        /// The message.
        message: u64,
        /// Its queue.
        queue: QueueId,
        /// Its number there.
        offset: Offset,
        /// Where its record lies.
        position: Position,
        /// Where the log begins.
        head: Position,
        /// Those of one receive come together.
        receive: u64,
        /// Which delivery this is.
        attempt: u16,
        /// When the lease ends.
        due_ms: u64,
        /// Now.
        now_ms: u64,
    },
    /// A consumer never got the reply with this message, and asks again under the same name.
    Lost {
        /// Number of the consumer group.
        reader: usize,
        /// The message.
        message: u64,
    },
    /// A consumer holds a message for longer.
    Held {
        /// Number of the consumer group.
        reader: usize,
        /// The message.
        message: u64,
        /// When the lease ends.
        due_ms: u64,
    },
    /// A consumer gave a message back.
    Released {
        /// Number of the consumer group.
        reader: usize,
        /// The message.
        message: u64,
    },
    /// An ack was answered: done.
    Acked {
        /// Number of the consumer group.
        reader: usize,
        /// The message.
        message: u64,
    },
    /// The log thread did a step.
    Stepped {
        /// Acks told before are in the log, below `written`.
        acks_written: bool,
        /// End of the log.
        written: Position,
    },
    /// The broker went down and is up again.
    Restarted {
        /// The machine went down too.
        power_lost: bool,
        /// How far the log had been synced.
        durable: Position,
    },
    /// At the end, a message was found in its queue.
    Found {
        /// Its queue.
        queue: QueueId,
        /// Its number there.
        offset: Offset,
        /// The message.
        message: u64,
        /// What sort of topic that is of.
        place: Place,
    },
    /// At the end, a pointer was found whose message retention has taken.
    Vanished {
        /// The queue of the pointer; none: one of a topic with several.
        queue: QueueId,
    },
    /// At the end, what a queue says of itself.
    Range {
        /// The queue.
        queue: QueueId,
        /// Oldest offset kept.
        oldest: Offset,
        /// Next offset.
        tail: Offset,
    },
    /// Nothing comes after this.
    Ended {
        /// Where the log begins; what lay below is gone by right.
        head: Position,
    },
}

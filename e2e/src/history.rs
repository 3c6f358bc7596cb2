//! Everything that clients were told while brokers came and went, and whether it holds together.
//!
//! ```text
//!   sends       each try: acknowledged at an offset, refused, or unknown         ┐
//!   deliveries  to one consumer group, in the order of their arrival             ├──► check ──► problems, counts
//!   log         the whole topic, read at the end by a group of its own           ┘
//! ```
//!
//! Promise: `check` finds every acknowledged message that is gone or elsewhere, every place that named two messages, every
//! message out of order, everything that was shown and then taken back, and every delivery that came twice for no reason.
//! Not here: who sends and receives (`traffic`).

mod check;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub use check::Findings;

/// Names one try to send one message; the body of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who sent it.
    pub sender: usize,
    /// The how-manieth message of this sender.
    pub number: usize,
    /// The how-manieth try; each has a body of its own.
    pub attempt: usize,
}

/// What a sender knows about a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, at this place of its queue.
    Acknowledged(i64),
    /// Not stored, and never will be.
    Refused(String),
    /// Stored or not.
    Unknown(String),
}

/// One try to send one message.
#[derive(Debug, Clone)]
pub struct Send {
    /// Its name.
    pub key: Key,
    /// From the call to its end, in milliseconds since the beginning.
    pub span_ms: Range<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The client may have tried more than once within it, and so may have stored it more than once.
    pub may_repeat: bool,
}

/// One delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Number of the queue.
    pub queue: i32,
    /// Place in the queue.
    pub offset: i64,
    /// What it said.
    pub body: String,
    /// Which delivery it was, as the broker counts.
    pub attempt: i32,
    /// When it arrived, in milliseconds since the beginning.
    pub at_ms: u64,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every try.
    pub sends: Vec<Send>,
    /// To the group that read all the time, one receive after the other.
    pub deliveries: Vec<Delivery>,
    /// Receives that ended without an answer. What one would have brought comes later, and from a new leader, which
    /// does not know the leases of the one before, as if for the first time.
    pub lost_receives_ms: Vec<Range<u64>>,
    /// Everything that is stored, read at the end.
    pub log: Vec<Delivery>,
    /// When brokers were disturbed, from the first blow until all was well again.
    pub disturbed_ms: Vec<Range<u64>>,
}

impl History {
    /// Holds everything against everything else.
    pub fn check(&self) -> Findings {
        check::check(self)
    }

    /// From `from_ms` until the first acknowledgement of a message that was sent after it.
    pub fn first_acknowledged_after(&self, from_ms: u64) -> Option<u64> {
        let after = self.acknowledged().filter(|send| send.span_ms.start >= from_ms);
        after.map(|send| send.span_ms.end - from_ms).min()
    }

    /// The longest time without any acknowledgement that touches `within_ms`.
    pub fn longest_gap_ms(&self, within_ms: &Range<u64>) -> u64 {
        let mut ends: Vec<u64> = self.acknowledged().map(|send| send.span_ms.end).collect();
        ends.sort_unstable();
        let touching = ends.windows(2).filter(|pair| pair[1] >= within_ms.start && pair[0] <= within_ms.end);
        touching.map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
    }

    /// The longest that a message took from its first try until it was acknowledged, of those under way in `within_ms`.
    pub fn slowest_message_ms(&self, within_ms: &Range<u64>) -> u64 {
        let begin = |send: &Send| {
            let first = Key { attempt: 0, ..send.key };
            self.sends.iter().find(|other| other.key == first).map_or(send.span_ms.start, |s| s.span_ms.start)
        };
        let ended = self.acknowledged().filter(|send| send.span_ms.end >= within_ms.start);
        let times = ended.map(|send| (begin(send), send.span_ms.end));
        let touching = times.filter(|(began_ms, _)| *began_ms <= within_ms.end);
        touching.map(|(began_ms, ended_ms)| ended_ms - began_ms).max().unwrap_or(u64::MAX)
    }

    fn acknowledged(&self) -> impl Iterator<Item = &Send> {
        self.sends.iter().filter(|send| matches!(send.outcome, Outcome::Acknowledged(_)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sender, self.number, self.attempt)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Option<Vec<usize>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([sender, number, attempt]) => {
                Ok(Self { sender: *sender, number: *number, attempt: *attempt })
            }
            _ => Err(format!("`{text}` is no body of ours")),
        }
    }
}

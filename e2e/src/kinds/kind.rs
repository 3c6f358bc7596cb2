//! What is sent: a topic for each sort of messages, and what its messages look like.

use client::{Delivered, Message};

/// Colours of the messages that are sent in batches, in turn.
const COLOURS: [&str; 3] = ["red", "green", "blue"];
/// Weights of the messages that are sent in batches, and levels of the urgent ones, in turn.
const TENS: u64 = 10;
/// What makes bodies different in length.
const FILLER: char = '~';

/// A sort of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    InOrder,
    ForLater,
    InTransaction,
    InBatches,
    ByPriority,
}

pub(super) const KINDS: [Kind; 5] =
    [Kind::InOrder, Kind::ForLater, Kind::InTransaction, Kind::InBatches, Kind::ByPriority];

impl Kind {
    /// Also the name of the consumer group that takes everything.
    pub(super) const fn topic(self) -> &'static str {
        match self {
            Self::InOrder => "kinds-in-order",
            Self::ForLater => "kinds-for-later",
            Self::InTransaction => "kinds-in-transaction",
            Self::InBatches => "kinds-in-batches",
            Self::ByPriority => "kinds-by-priority",
        }
    }

    /// As the manifest of the topic has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::InOrder => "FIFO",
            Self::ForLater => "DELAY",
            Self::InTransaction => "TRANSACTION",
            Self::InBatches => "NORMAL",
            Self::ByPriority => "PRIORITY",
        }
    }

    /// Whether each message is sent once only, so that it lies where its receipt says and nowhere else.
    pub(super) const fn is_sent_once(self) -> bool {
        match self {
            Self::InOrder | Self::ForLater | Self::InTransaction => false,
            Self::InBatches | Self::ByPriority => true,
        }
    }

    /// Whether everything came as it was sent.
    pub(super) fn is_whole(self, delivered: &Delivered) -> bool {
        let sent = match self {
            Self::InOrder | Self::ForLater | Self::InTransaction => return delivered.is_intact(),
            Self::InBatches => batched(number(&name(&delivered.body))),
            Self::ByPriority => urgent(number(&name(&delivered.body))),
        };
        let has = |(key, value): &(String, String)| delivered.properties.get(key) == Some(value);
        delivered.is_intact()
            && delivered.body == sent.body
            && delivered.tag == sent.tag
            && delivered.priority == sent.priority.map(u32::cast_signed)
            && delivered.properties.len() == sent.properties.len()
            && sent.properties.iter().all(has)
    }
}

/// A message of a batch.
pub(super) fn batched(number: u64) -> Message {
    let body = format!("{number}{}", FILLER.to_string().repeat((number * 37 % 500) as usize));
    Message::new(Kind::InBatches.topic(), body)
        .tag(colour(number))
        .property("colour", colour(number))
        .property("weight", weight(number).to_string())
}

/// A message with a priority.
pub(super) fn urgent(number: u64) -> Message {
    Message::new(Kind::ByPriority.topic(), number.to_string()).priority(level(number))
}

pub(super) fn colour(number: u64) -> &'static str {
    COLOURS[(number % COLOURS.len() as u64) as usize]
}

pub(super) fn weight(number: u64) -> u64 {
    number % TENS
}

/// From 0 to 9, not in the order of the numbers.
pub(super) fn level(number: u64) -> u32 {
    (number * 7 % TENS) as u32
}

/// What a message is known by.
pub(super) fn name(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches(FILLER).to_owned()
}

/// The number in the name of a message of a kind that counts its messages.
pub(super) fn number(name: &str) -> u64 {
    name.parse().unwrap_or(u64::MAX)
}

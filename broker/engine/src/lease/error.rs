//! The receipt of a delivery, and why it may be refused.

use store::{Epoch, Offset, QueueId};

/// Proof of one delivery: names the message and the lease it was handed out under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The consumer group that received the message.
    pub group: u32,
    /// The queue it came from.
    pub queue: QueueId,
    /// Its number there.
    pub offset: Offset,
    /// How often it has been handed out, this time included.
    pub attempt: u16,
    /// The lease; unique per consumer group and queue within an epoch.
    pub serial: u32,
    /// When the lease runs out, as known when the receipt was made; a renewal moves the lease, not the receipt.
    pub due_ms: u64,
    /// The broker's epoch at the delivery.
    pub epoch: Epoch,
}

/// Why a receipt is not good for anything any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The lease has run out: the message will be, or was, handed out again.
    #[error("lease expired")]
    Expired,
    /// A later receipt of the same message took its place.
    #[error("receipt was superseded by a later one")]
    Superseded,
    /// The message was never handed out.
    #[error("offset {0} was not handed out")]
    NotDelivered(Offset),
    /// No topic has this queue (any more).
    #[error("queue {0} is not known")]
    UnknownQueue(QueueId),
    /// The consumer group does not read this topic (any more).
    #[error("consumer group with id {0} is not known on this topic")]
    UnknownGroup(u32),
    /// Another member leads; nothing changed.
    #[error("this member does not lead")]
    NotLeading,
}

//! How a consumer group stands to one message.

use store::Offset;

use super::deliveries::Deliveries;
use super::mask::place;

/// What a consumer group will do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never handed out, as far as is known after a restart.
    Unread,
    /// It is to be handed out again.
    Ready {
        /// Deliveries so far that are known.
        attempts: u16,
    },
    /// A consumer has it, or it is hidden after a failure.
    Held {
        /// Until then.
        until_ms: u64,
        /// Deliveries so far.
        attempts: u16,
    },
    /// Its dead letter is about to be stored.
    Leaving,
    /// The group is done with it.
    Finished,
}

impl Deliveries {
    /// How the group stands to the message now.
    pub(crate) fn standing(&self, offset: Offset, now_ms: u64) -> Standing {
        let (block, bit) = place(offset);
        if offset >= self.next {
            return Standing::Unread;
        }
        if self.open.get(&block).is_none_or(|mask| mask & bit == 0) {
            return Standing::Finished;
        }
        let Some(lease) = self.leases.values().find(|lease| lease.holds(offset)) else {
            return Standing::Ready { attempts: self.ready.attempts(offset).unwrap_or(0) };
        };
        let attempts = lease.attempt();
        if self.leaving_of(lease) & 1 << (offset.0 - lease.base().0) != 0 {
            Standing::Leaving
        } else if lease.due_ms() > now_ms {
            Standing::Held { until_ms: lease.due_ms(), attempts }
        } else {
            Standing::Ready { attempts }
        }
    }
}

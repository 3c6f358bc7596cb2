//! Transactions: deciding them, and asking about those that nobody decides.

use std::sync::Arc;

use store::log::{Draft, ReadError, Record};

use super::Group;
use crate::catalog::{ABANDONED_TRANSACTIONS_TOPIC, Topic};
use crate::halves::{Claim, Due, Half};
use crate::inbox::{SubmitError, Ticket};
use crate::mailbox::Mailbox;
use crate::records::{Link, copy_draft, decided_drafts};

pub use crate::halves::{Decision, TransactionId};
pub use crate::records::transaction_of;

/// Transactions that one round asks about.
const CHECKED_MAX: usize = 1024;
/// Transactions that may be open: about 150 MB.
const OPEN_MAX: u64 = 1_000_000;

/// When the senders of undecided messages are asked, after the first time, which each message says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionChecks {
    /// Time between two checks.
    pub every_ms: u64,
    /// After so many that somebody heard the message is given up.
    pub max: u32,
}

/// Why a transaction was not decided; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// It is not known in this topic: decided long ago, given up long ago, or never there.
    #[error("transaction is not open")]
    NotOpen,
    /// The other decision stands.
    #[error("transaction was {} before", match .0 { Decision::Commit => "committed", Decision::RollBack => "rolled back" })]
    Decided(Decision),
    /// Another decision is on its way; ask again.
    #[error("another decision is being stored")]
    Deciding,
    /// The log takes nothing now.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The message could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A sender is to be asked what became of this message.
#[derive(Debug)]
pub struct Check {
    /// The transaction.
    pub id: TransactionId,
    /// Where the message goes if it is committed.
    pub topic: Arc<Topic>,
    /// Number of its queue there.
    pub queue_index: u32,
    /// The message.
    pub record: Record,
    /// Which time it is asked about, from 1.
    pub check: u32,
}

/// What a round of checks found.
#[derive(Debug, Default)]
pub struct Checks {
    /// Those to be asked about now.
    pub due: Vec<Check>,
    /// Messages that could not be read, to be tried again.
    pub unreadable: Vec<ReadError>,
}

impl Default for TransactionChecks {
    fn default() -> Self {
        Self { every_ms: 30_000, max: 15 }
    }
}

impl Group {
    /// Decides about a message of this topic; it is so once the ticket tells that this is stored. The same decision again
    /// changes nothing.
    pub fn decide(
        &self,
        topic: &Topic,
        id: TransactionId,
        decision: Decision,
        now_ms: u64,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, DecideError> {
        if !self.is_leading() {
            return Err(SubmitError::NotLeading.into());
        }
        let decider = Arc::new(());
        let half = match self.state.halves.claim(id, &decider) {
            Claim::Yours(half) if topic.queues.contains(&half.queue) => half,
            Claim::Decided(earlier) if earlier == decision => return Ok(Ticket::stored(mailbox)),
            Claim::Decided(earlier) => return Err(DecideError::Decided(earlier)),
            Claim::Taken => return Err(DecideError::Deciding),
            Claim::Yours(_) | Claim::Unknown => return Err(DecideError::NotOpen),
        };
        let drafts = match decision {
            Decision::RollBack => decided_drafts(&[(id.position, decision)]).collect(),
            Decision::Commit => {
                let (entry, beside) = self.entry_of_half(id, &half, String::new(), decision, now_ms)?;
                std::iter::once(Draft { queue: half.queue, ..entry }).chain(beside).collect()
            }
        };
        Ok(self.inbox.submit_watched(drafts, mailbox, Some(decider))?)
    }

    /// Refuses another half where too many are open.
    pub(super) fn admit_half(&self) -> Result<(), SubmitError> {
        let open = self.open_transactions();
        if open < OPEN_MAX {
            return Ok(());
        }
        Err(SubmitError::TooManyTransactions { open, limit: OPEN_MAX })
    }

    /// Transactions that are not decided.
    pub fn open_transactions(&self) -> u64 {
        self.state.halves.len() as u64
    }

    /// Somebody was asked.
    pub fn asked(&self, check: &Check) {
        self.state.halves.note_asked(check.id);
    }

    /// Those that a sender is to be asked about now, see `asked`; gives up those that were asked about often enough, and
    /// those that would keep the log for too long. Reads the disk.
    pub fn due_checks(&self, now_ms: u64) -> Checks {
        let mut checks = Checks::default();
        if !self.is_leading() {
            return checks;
        }
        let TransactionChecks { every_ms, max } = self.config.checks.get();
        let mut given_up = Vec::new();
        for due in self.state.halves.take_due(now_ms, every_ms, CHECKED_MAX) {
            let home = self.topic_of(due.half.queue);
            let is_old = self.is_trimmed_soon(due.id.position, Some(due.half.stored_ms), now_ms);
            // After a long outage of this broker at least one question comes first.
            let is_over = due.check > max || is_old && !due.is_new;
            let Some(topic) = home.filter(|_| !is_over) else {
                given_up.push(due);
                continue;
            };
            match self.reader.read(due.id.position, due.half.bytes) {
                Ok(record) => {
                    let queue_index = topic.queues.iter().position(|&queue| queue == due.half.queue);
                    let queue_index = queue_index.unwrap_or_default() as u32;
                    checks.due.push(Check { id: due.id, topic, queue_index, record, check: due.check });
                }
                Err(error) => checks.unreadable.push(error),
            }
        }
        for due in given_up {
            // What the log or the disk refuses now is tried again after the time between two checks.
            if let Err(DecideError::Read(error)) = self.give_up(&due, now_ms) {
                checks.unreadable.push(error);
            }
        }
        checks
    }

    /// Puts the message where people find those that nobody decided; one whose topic is gone is rolled back.
    fn give_up(&self, due: &Due, now_ms: u64) -> Result<(), DecideError> {
        let decider = Arc::new(());
        let (id, decision) = (due.id, Decision::RollBack);
        let Claim::Yours(half) = self.state.halves.claim(id, &decider) else { return Ok(()) };
        let Some(topic) = self.topic_of(half.queue) else {
            let drafts = decided_drafts(&[(id.position, decision)]).collect();
            self.inbox.submit_watched(drafts, &self.own_mailbox, Some(decider))?;
            return Ok(());
        };
        let origin = topic.spec.name.clone();
        let (entry, beside) = self.entry_of_half(id, &half, origin, decision, now_ms)?;
        let (name, mailbox) = (ABANDONED_TRANSACTIONS_TOPIC.to_owned(), &self.own_mailbox);
        self.submit_letters(name, vec![entry], beside, mailbox, decider)?;
        Ok(())
    }

    /// What makes the message an entry of a queue, without the queue, and what has to be said beside it: a pointer speaks for
    /// itself, a copy does not.
    fn entry_of_half(
        &self,
        id: TransactionId,
        half: &Half,
        origin: String,
        decision: Decision,
        now_ms: u64,
    ) -> Result<(Draft, Vec<Draft>), ReadError> {
        let (entry, beside) = if self.is_trimmed_soon(id.position, Some(half.stored_ms), now_ms) {
            let record = self.reader.read(id.position, half.bytes)?;
            let beside = decided_drafts(&[(id.position, decision)]).collect();
            (copy_draft(&record, origin, half.tag_hash, 0), beside)
        } else {
            (Link::new(id.position, half.bytes, origin).draft(half.tag_hash, 0), Vec::new())
        };
        Ok((Draft { lane: half.lane, ..entry }, beside))
    }
}

//! The bounded way to the writer, and the ticket that tells when a submission is stored.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use store::Offset;
use store::log::{Draft, Placed};

use crate::mailbox::{Mailbox, Wakes};

/// Why a submission was not accepted; nothing was stored, it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log is busy: {waiting_bytes} B wait already, the limit is {limit_bytes} B")]
pub struct Busy {
    /// Bytes that wait for the log.
    pub waiting_bytes: u64,
    /// The most that may wait.
    pub limit_bytes: u64,
}

/// Why a group that leads takes nothing new for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another member is about to lead.
    #[error("leadership is being handed over")]
    HandingOver,
    /// Fewer copies are in sync than a write needs.
    #[error("{in_sync} copies are in sync, {min} are needed")]
    TooFewCopies {
        /// Copies in sync.
        in_sync: u32,
        /// Copies that must be.
        min: u32,
    },
}

/// Why a submission was not accepted; nothing was stored, it may be sent again, if need be to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much waits already.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Another member leads, or nobody yet.
    #[error("this member does not lead")]
    NotLeading,
    /// It leads and takes nothing for a while.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many transactions are open for another one.
    #[error("{open} transactions are open, the limit is {limit}")]
    TooManyTransactions {
        /// How many are.
        open: u64,
        /// How many may be.
        limit: u64,
    },
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: not stored, may be sent again later.
    #[error("disk is full, nothing was stored")]
    DiskFull,
    /// The batch is over what a segment can hold: not stored.
    #[error("submission of {bytes} B is over the limit of {limit_bytes} B")]
    TooLarge {
        /// Size of the submission.
        bytes: u64,
        /// The most one submission may hold.
        limit_bytes: u64,
    },
    /// It stopped leading before they were written: not stored, may be sent again to whoever leads now.
    #[error("this member does not lead any more, nothing was stored")]
    NotLeading,
    /// The log or the leadership ended while waiting: the records may or may not survive.
    #[error("outcome unknown: the log or the leadership has ended")]
    Unknown,
}

/// Drafts on their way to the writer.
#[derive(Debug)]
pub struct Submission {
    /// Records to be stored together, in order.
    pub drafts: Vec<Draft>,
    ticket: Arc<Slot>,
    /// Only held; let go when the outcome is known.
    waiting: Option<Arc<()>>,
}

/// The reply to come: a future that completes once the drafts are stored as the log's `flush` asks. It tells of each
/// message, also of those that share a record.
///
/// Dropping it does not take the submission back.
#[derive(Debug)]
pub struct Ticket {
    slot: Arc<Slot>,
}

#[derive(Debug)]
struct Slot {
    mailbox: Arc<Mailbox>,
    /// Messages of each draft; empty: one each.
    counts: Vec<u16>,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    outcome: Option<Result<Vec<Placed>, StoreError>>,
    waker: Option<Waker>,
}

impl Submission {
    /// A submission and the ticket its sender keeps.
    pub fn new(drafts: Vec<Draft>, mailbox: &Arc<Mailbox>) -> (Self, Ticket) {
        let is_shared = drafts.iter().any(|draft| draft.count > 1);
        let counts = if is_shared { drafts.iter().map(|draft| draft.count).collect() } else { Vec::new() };
        let slot = Arc::new(Slot { mailbox: Arc::clone(mailbox), counts, state: Mutex::default() });
        (Self { drafts, ticket: Arc::clone(&slot), waiting: None }, Ticket { slot })
    }

    /// Bytes that the drafts hold in memory.
    pub fn bytes(&self) -> u64 {
        self.drafts.iter().map(|draft| (draft.head.len() + draft.body.len() + 64) as u64).sum()
    }

    /// Answers the ticket, given where each draft was stored; its task is woken when `wakes` are posted.
    pub fn complete(self, outcome: Result<Vec<Placed>, StoreError>, wakes: &mut Wakes) {
        let outcome = outcome.map(|placed| self.ticket.of_each(placed));
        let mut state = self.ticket.state.lock();
        state.outcome = Some(outcome);
        if let Some(waker) = state.waker.take() {
            drop(state);
            wakes.push(&self.ticket.mailbox, waker);
        }
    }
}

impl Slot {
    /// Where each message was stored, given where each draft was.
    fn of_each(&self, placed: Vec<Placed>) -> Vec<Placed> {
        if self.counts.is_empty() {
            return placed;
        }
        let each = |(placed, &count): (&Placed, &u16)| {
            let (placed, first) = (*placed, placed.offset.0);
            (0..count.max(1))
                .map(move |number| Placed { offset: Offset(first + u64::from(number)), ..placed })
        };
        placed.iter().zip(&self.counts).flat_map(each).collect()
    }
}

impl Ticket {
    /// A ticket for something that did not have to be stored.
    pub(crate) fn stored(mailbox: &Arc<Mailbox>) -> Self {
        let (submission, ticket) = Submission::new(Vec::new(), mailbox);
        submission.complete(Ok(Vec::new()), &mut Wakes::default());
        ticket
    }

    /// The outcome if it is there already; for callers that drive the writer themselves.
    pub fn try_outcome(&self) -> Option<Result<Vec<Placed>, StoreError>> {
        self.slot.state.lock().outcome.take()
    }
}

impl Future for Ticket {
    type Output = Result<Vec<Placed>, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Submissions that wait for the writer, bounded by bytes.
#[derive(Debug)]
pub struct Inbox {
    limit_bytes: u64,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    submissions: Vec<Submission>,
    bytes: u64,
    /// The log thread, while it sleeps; whoever takes it has to see to it that it is woken.
    parked: Option<Thread>,
    /// Somebody asked the log thread to look again.
    nudged: bool,
    /// What waits stays here for now: nobody needs to look.
    held: bool,
    gate: Gate,
    refusal: Option<Refusal>,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Another member leads.
    Shut,
    /// The log has ended.
    Ended,
}

impl Inbox {
    /// An empty inbox that holds up to `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, queue: Mutex::default() }
    }

    /// Hands drafts to the writer, in the order of calls; they are written once the other tasks that are ready on the
    /// mailbox's runtime have had their turn, so that what those submit rides in the same batch.
    ///
    /// An over-limit submission is accepted when nothing else waits, so that no size is refused for ever.
    pub fn submit(&self, drafts: Vec<Draft>, mailbox: &Arc<Mailbox>) -> Result<Ticket, SubmitError> {
        self.submit_watched(drafts, mailbox, None)
    }

    /// As `submit`; `waiting` is let go once the outcome is known and folded.
    pub fn submit_watched(
        &self,
        drafts: Vec<Draft>,
        mailbox: &Arc<Mailbox>,
        waiting: Option<Arc<()>>,
    ) -> Result<Ticket, SubmitError> {
        let (mut submission, ticket) = Submission::new(drafts, mailbox);
        submission.waiting = waiting;
        let bytes = submission.bytes();
        let mut queue = self.queue.lock();
        if queue.bytes > 0 && queue.bytes + bytes > self.limit_bytes {
            return Err(Busy { waiting_bytes: queue.bytes, limit_bytes: self.limit_bytes }.into());
        }
        if queue.gate == Gate::Ended {
            drop(queue);
            submission.complete(Err(StoreError::Unknown), &mut Wakes::default());
            return Ok(ticket);
        }
        queue.admit()?;
        queue.bytes += bytes;
        queue.submissions.push(submission);
        drop(queue);
        self.write_after_turn(mailbox);
        Ok(ticket)
    }

    /// Has what waits written at the end of the mailbox's turn; by the log thread if nobody drains the mailbox.
    pub fn write_after_turn(&self, mailbox: &Mailbox) {
        if !mailbox.call_after_turn() {
            self.nudge();
        }
    }

    /// Makes the log thread look again.
    pub fn nudge(&self) {
        let mut queue = self.queue.lock();
        queue.nudged = true;
        if let Some(log_thread) = queue.parked.take() {
            log_thread.unpark();
        }
    }

    /// Whether a submission would be let in now, however many bytes wait.
    pub fn admit(&self) -> Result<(), SubmitError> {
        self.queue.lock().admit()
    }

    /// Nothing comes in until `open`; what waits stays.
    pub(crate) fn shut(&self) {
        self.queue.lock().gate = Gate::Shut;
    }

    /// Lets submissions in.
    pub(crate) fn open(&self) {
        self.queue.lock().gate = Gate::Open;
    }

    /// With a reason nothing comes in; what is in already goes on.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.queue.lock().refusal = refusal;
    }

    /// While held, what waits is no reason for the log thread to look.
    pub(crate) fn hold(&self, held: bool) {
        let was_held = std::mem::replace(&mut self.queue.lock().held, held);
        if was_held && !held {
            self.nudge();
        }
    }

    /// Bytes that wait to be written.
    pub fn waiting_bytes(&self) -> u64 {
        self.queue.lock().bytes
    }

    /// Takes everything that waits, up to about `bytes_max`; at least one submission if there is any.
    pub fn take(&self, bytes_max: u64, out: &mut Vec<Submission>) {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let mut count = 0;
        for submission in &queue.submissions {
            let next = submission.bytes();
            if count > 0 && bytes + next > bytes_max {
                break;
            }
            bytes += next;
            count += 1;
        }
        queue.bytes -= bytes;
        if count == queue.submissions.len() && out.is_empty() {
            std::mem::swap(&mut queue.submissions, out);
        } else {
            out.extend(queue.submissions.drain(..count));
        }
    }

    /// Blocks the log thread until something arrives, at most `wait_ms`; not at all if `has_more` says so.
    pub fn park(&self, wait_ms: u64, has_more: impl FnOnce() -> bool) {
        let mut queue = self.queue.lock();
        // Only here, by the log thread: a runtime that writes must not take what was meant for it.
        let has_work = !queue.submissions.is_empty() && !queue.held;
        if std::mem::take(&mut queue.nudged) || has_work || has_more() {
            return;
        }
        queue.parked = Some(std::thread::current());
        drop(queue);
        // Sometimes it wakes for no reason, and looks in vain.
        std::thread::park_timeout(Duration::from_millis(wait_ms));
        let mut queue = self.queue.lock();
        queue.parked = None;
        queue.nudged = false;
    }

    /// The log has ended: hands out what still waited; what comes from now on is answered `Unknown`.
    pub(crate) fn end(&self) -> Vec<Submission> {
        self.close(Gate::Ended)
    }

    /// Another member leads from now on: hands out what still waited; what comes is refused.
    pub(crate) fn leave(&self) -> Vec<Submission> {
        self.close(Gate::Shut)
    }

    fn close(&self, gate: Gate) -> Vec<Submission> {
        let mut queue = self.queue.lock();
        // An end is for good.
        if queue.gate != Gate::Ended {
            queue.gate = gate;
        }
        queue.bytes = 0;
        std::mem::take(&mut queue.submissions)
    }
}

impl Queue {
    fn admit(&self) -> Result<(), SubmitError> {
        match (self.gate, self.refusal) {
            (Gate::Shut, _) => Err(SubmitError::NotLeading),
            (Gate::Open, Some(refusal)) => Err(refusal.into()),
            (Gate::Open, None) | (Gate::Ended, _) => Ok(()),
        }
    }
}

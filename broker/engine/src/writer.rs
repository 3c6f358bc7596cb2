//! The writer's work: one batch per step; once it is agreed, it is folded and published.
//!
//! ```text
//!   inbox, pending --> drafts --append--> placed --sync--> fold: index, catalog --> tails --> tickets, waiters
//!                                           |                ^
//!                          with other copies+--> waiting ----+-- commit
//! ```
//!
//! Promise: a ticket is answered when its records are agreed, and as safe as the log's `flush` asks, after they are
//! visible; what is refused for want of room or for its size leaves the log usable. The first write or sync that fails
//! ends the log: whoever waits gets `Unknown`, and so does whoever comes later.
//! Limit: 64 MiB may be written and not agreed; what comes then waits in the inbox.
//! Not here: when something is agreed, and who leads.

mod commit;
mod error;
mod role;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::Position;
use store::log::{AppendError, Draft, Flush, Log, Placed, Poisoned};

use crate::group::{Group, GroupConfig, RetainError};
use crate::inbox::{StoreError, Submission};
use crate::mailbox::Wakes;
use crate::pending::Carried;
use crate::state::Arrival;
use crate::waiter::Waiter;

use commit::Written;
pub use error::{CommitError, CutError, FollowError, LeadError};
use role::Role;

/// Batches that are written and not agreed may come to so much; what comes then waits in the inbox.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

/// Called with the pen taken, after something was written or synced: it must not write, wait or take the pen.
pub type OnWritten = Arc<dyn Fn() + Send + Sync>;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was written, or all of it was refused.
    Wrote,
    /// Nothing waited, or what waits has to wait: for room on the disk, for the other copies, for leadership.
    Idle,
}

/// The only one who writes; whoever holds the `Pen`.
pub struct Writer {
    group: Arc<Group>,
    log: Log,
    role: Role,
    on_written: Option<OnWritten>,
    /// Submissions that are written and not agreed yet, in the order of the log.
    waiting: VecDeque<Written>,
    /// How many of them move consumer groups.
    moves: usize,
    /// The inbox was told to wait for the other copies.
    is_holding: bool,
    // Kept from step to step for their memory only.
    submissions: Vec<Submission>,
    carried: Carried,
    drafts: Vec<Draft>,
    parts: Vec<Range<usize>>,
    arrivals: Vec<Arrival>,
    woken: Vec<Arc<Waiter>>,
    wakes: Wakes,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("group", &self.group).finish_non_exhaustive()
    }
}

/// What became of each part of a batch.
type Outcomes = Vec<Result<Vec<Placed>, StoreError>>;

impl Writer {
    pub(crate) fn new(group: Arc<Group>, log: Log) -> Self {
        Self {
            group,
            log,
            role: Role::Following,
            on_written: None,
            waiting: VecDeque::new(),
            moves: 0,
            is_holding: false,
            submissions: Vec::new(),
            carried: Carried::default(),
            drafts: Vec::new(),
            parts: Vec::new(),
            arrivals: Vec::new(),
            woken: Vec::new(),
            wakes: Wakes::default(),
        }
    }

    /// Writes what waits as one batch. Alone, it is folded and answered at once; else `commit` does so. Nothing happens
    /// while the group does not serve.
    pub fn step(&mut self, now_ms: u64) -> Result<Step, Poisoned> {
        self.group.now_ms.store(now_ms, Ordering::Relaxed);
        if !self.group.is_leading() {
            return Ok(Step::Idle);
        }
        self.group.ring_alarms(now_ms, &mut self.wakes);
        if !self.group.holds_pending() {
            self.group.fire_due(now_ms);
        }
        self.gather();
        let step = if self.drafts.is_empty() && self.submissions.is_empty() {
            Step::Idle
        } else {
            match self.write_out(now_ms) {
                Ok(step) => step,
                Err(poisoned) => {
                    self.end();
                    return Err(poisoned);
                }
            }
        };
        self.wakes.post();
        self.wake_for_timers();
        Ok(step)
    }

    /// The log thread may sleep for longer than until the first timer that came in.
    fn wake_for_timers(&self) {
        if self.group.state.timers.take_sooner() {
            self.group.nudge();
        }
    }

    /// Whether the next step will not have to wait for the disk, as far as one can tell.
    pub(crate) fn is_quick(&self) -> bool {
        self.log.is_quick(2 * self.group.config.batch_bytes_max)
    }

    /// Deletes segments that are over the retention and not needed to replay the checkpoints, which know only what is
    /// agreed, nor for what waited when the last one was written. Their messages are no longer delivered;
    /// `Group::trim_index` forgets them for good.
    pub fn retain(&mut self, now_ms: u64) -> Result<(), RetainError> {
        if self.role == Role::Closed {
            return Ok(());
        }
        let keep_from = Position(self.group.keep_from.load(Ordering::Acquire));
        self.log.retain(now_ms, self.group.config.retention.get(), keep_from)?;
        Ok(())
    }

    /// Part 0 is what rides along; part n + 1 is submission n.
    fn gather(&mut self) {
        if !self.waits_for_copies() {
            self.group.inbox.take(self.group.config.batch_bytes_max, &mut self.submissions);
        }
        if !self.group.holds_pending() {
            self.group.pending.take(&mut self.carried);
        }
        // What rides along must always fit: it is tried again until it does.
        let GroupConfig { batch_bytes_max, log, .. } = &self.group.config;
        let carried_bytes_max = *batch_bytes_max.min(&(log.segment_bytes / 4)) as usize;
        let mut rest = self.carried.split_off(carried_bytes_max);
        if !rest.is_empty() {
            self.group.pending.put_back(&mut rest);
        }
        if self.moves > 0 {
            // What a group did before it is moved is not to be told after that.
            for floor in self.waiting.iter().flat_map(|written| &written.floors) {
                self.carried.forget(floor);
            }
        }
        self.parts.clear();
        self.carried.draft(&mut self.drafts);
        self.parts.push(0..self.drafts.len());
        for submission in &mut self.submissions {
            let begin = self.drafts.len();
            self.drafts.append(&mut submission.drafts);
            self.parts.push(begin..self.drafts.len());
        }
    }

    /// Whether too much is written and not agreed; then the inbox waits.
    fn waits_for_copies(&mut self) -> bool {
        let waits =
            !self.role.is_solo() && self.log.written().0 - self.group.published().0 >= UNCOMMITTED_BYTES_MAX;
        if waits != self.is_holding {
            self.is_holding = waits;
            self.group.inbox.hold(waits);
        }
        waits
    }

    fn write_out(&mut self, now_ms: u64) -> Result<Step, Poisoned> {
        let outcomes = self.append(now_ms)?;
        // Nobody waits for what rides along; the background's sync covers it.
        let is_awaited = !self.submissions.is_empty();
        let must_sync = is_awaited && self.group.flush() == Flush::Sync;
        if self.role.is_solo() {
            if must_sync {
                self.log.sync()?;
            }
            self.publish(&outcomes);
            let step = self.answer(outcomes);
            self.tell_written();
            return Ok(step);
        }
        let step = self.keep(outcomes);
        // The other copies write and sync while this one syncs.
        self.tell_written();
        if must_sync {
            self.log.sync()?;
            self.tell_written();
        }
        Ok(step)
    }

    fn tell_written(&self) {
        if let Some(on_written) = &self.on_written {
            on_written();
        }
    }

    fn append(&mut self, now_ms: u64) -> Result<Outcomes, Poisoned> {
        match self.log.append(&self.drafts, now_ms) {
            Ok(placed) => {
                self.group.needed_bytes.store(0, Ordering::Relaxed);
                let parts = self.parts.iter();
                Ok(parts.map(|part| Ok(placed[part.clone()].to_vec())).collect())
            }
            Err(AppendError::Full { .. } | AppendError::TooLarge { .. }) => self.append_apart(now_ms),
            Err(AppendError::Poisoned(poisoned)) => Err(poisoned),
        }
    }

    /// Not all of it fits: each part for itself, so that a part is refused only for its own sake.
    fn append_apart(&mut self, now_ms: u64) -> Result<Outcomes, Poisoned> {
        let mut outcomes = Vec::with_capacity(self.parts.len());
        let mut needed = 0;
        for part in &self.parts {
            let outcome = match self.log.append(&self.drafts[part.clone()], now_ms) {
                Ok(placed) => Ok(placed),
                Err(AppendError::Full { needed_bytes, .. }) => {
                    needed = needed_bytes;
                    Err(StoreError::DiskFull)
                }
                Err(AppendError::TooLarge { bytes, limit_bytes }) => {
                    Err(StoreError::TooLarge { bytes, limit_bytes })
                }
                Err(AppendError::Poisoned(poisoned)) => return Err(poisoned),
            };
            outcomes.push(outcome);
        }
        self.group.needed_bytes.store(needed, Ordering::Relaxed);
        Ok(outcomes)
    }

    fn answer(&mut self, outcomes: Outcomes) -> Step {
        let mut outcomes = outcomes.into_iter();
        let step = self.settle_carried(outcomes.next().is_none_or(|outcome| outcome.is_ok()));
        self.drafts.clear();
        for (submission, outcome) in self.submissions.drain(..).zip(outcomes) {
            submission.complete(outcome, &mut self.wakes);
        }
        step
    }

    /// What rode along was written, or waits for the next batch.
    fn settle_carried(&mut self, is_written: bool) -> Step {
        let mut step = Step::Wrote;
        if !is_written {
            self.group.pending.put_back(&mut self.carried);
            // Trying again at once would find as little room: the log thread shall sleep in between.
            if self.submissions.is_empty() {
                step = Step::Idle;
            }
        }
        self.carried.clear();
        step
    }

    /// The log has ended: nobody knows what became of what waits.
    fn end(&mut self) {
        let waiting = self.group.inbox.end();
        let written = self.waiting.drain(..).map(|written| written.submission);
        for submission in written.chain(self.submissions.drain(..)).chain(waiting) {
            submission.complete(Err(StoreError::Unknown), &mut self.wakes);
        }
        self.drafts.clear();
        self.wakes.post();
    }
}

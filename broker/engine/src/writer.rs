//! The writer's work: one batch per step, folded and published.
//!
//! ```text
//!   inbox, pending --> drafts --append--> placed --sync--> fold: index, catalog --> tails --> tickets, waiters
//! ```
//!
//! Promise: a ticket is answered when its records are as safe as the log's `flush` asks, after they are visible;
//! what is refused for want of room or for its size leaves the log usable. The first write or sync that fails ends
//! the log: whoever waits gets `Unknown`, and so does whoever comes later.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::log::{AppendError, Draft, Entry, Flush, Log, Placed, Poisoned};

use crate::group::{Group, GroupConfig, RetainError};
use crate::inbox::{StoreError, Submission};
use crate::mailbox::Wakes;
use crate::pending::Carried;
use crate::state::Arrival;
use crate::waiter::Waiter;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was written and published, or all of it was refused.
    Wrote,
    /// Nothing waited, or what waits has to wait for room on the disk.
    Idle,
}

/// The only one who writes; whoever holds the `Pen`.
pub struct Writer {
    group: Arc<Group>,
    log: Log,
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
            submissions: Vec::new(),
            carried: Carried::default(),
            drafts: Vec::new(),
            parts: Vec::new(),
            arrivals: Vec::new(),
            woken: Vec::new(),
            wakes: Wakes::default(),
        }
    }

    /// Writes what waits as one batch, folds it, answers tickets and wakes waiters.
    pub fn step(&mut self, now_ms: u64) -> Result<Step, Poisoned> {
        self.group.now_ms.store(now_ms, Ordering::Relaxed);
        self.group.ring_alarms(now_ms, &mut self.wakes);
        self.gather();
        let step = if self.drafts.is_empty() && self.submissions.is_empty() {
            Step::Idle
        } else {
            let outcomes = match self.write(now_ms) {
                Ok(outcomes) => outcomes,
                Err(poisoned) => {
                    self.end();
                    return Err(poisoned);
                }
            };
            self.answer(outcomes)
        };
        self.wakes.post();
        Ok(step)
    }

    /// Whether the next step will not have to wait for the disk, as far as one can tell.
    pub(crate) fn is_quick(&self) -> bool {
        self.log.is_quick(2 * self.group.config.batch_bytes_max)
    }

    /// Deletes segments that are over the retention and not needed to replay the checkpoints. Their messages are no
    /// longer delivered; `Group::trim_index` forgets them for good.
    pub fn retain(&mut self, now_ms: u64) -> Result<(), RetainError> {
        let keep_from = store::Position(self.group.keep_from.load(Ordering::Acquire));
        self.log.retain(now_ms, self.group.config.retention, keep_from)?;
        Ok(())
    }

    /// Part 0 is what rides along; part n + 1 is submission n.
    fn gather(&mut self) {
        self.group.inbox.take(self.group.config.batch_bytes_max, &mut self.submissions);
        self.group.pending.take(&mut self.carried);
        // What rides along must always fit: it is tried again until it does.
        let GroupConfig { batch_bytes_max, log, .. } = &self.group.config;
        let carried_bytes_max = *batch_bytes_max.min(&(log.segment_bytes / 4)) as usize;
        let mut rest = self.carried.split_off(carried_bytes_max);
        if !rest.is_empty() {
            self.group.pending.put_back(&mut rest);
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

    fn write(&mut self, now_ms: u64) -> Result<Outcomes, Poisoned> {
        let outcomes = match self.log.append(&self.drafts, now_ms) {
            Ok(placed) => {
                self.group.needed_bytes.store(0, Ordering::Relaxed);
                let parts = self.parts.iter();
                parts.map(|part| Ok(placed[part.clone()].to_vec())).collect()
            }
            Err(AppendError::Full { .. } | AppendError::TooLarge { .. }) => self.write_apart(now_ms)?,
            Err(AppendError::Poisoned(poisoned)) => return Err(poisoned),
        };
        // Nobody waits for what rides along; the background's sync covers it.
        let is_awaited = !self.submissions.is_empty();
        if is_awaited && self.group.config.log.flush == Flush::Sync {
            self.log.sync()?;
        }
        self.publish(&outcomes);
        Ok(outcomes)
    }

    /// Not all of it fits: each part for itself, so that a part is refused only for its own sake.
    fn write_apart(&mut self, now_ms: u64) -> Result<Outcomes, Poisoned> {
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

    /// Applies what was written, in the order of the log, and shows it to readers.
    fn publish(&mut self, outcomes: &Outcomes) {
        let epoch = self.group.epoch();
        // Part 0 took effect in memory before it was written.
        for (part, outcome) in self.parts.iter().zip(outcomes).skip(1) {
            let Ok(placed) = outcome else { continue };
            for (draft, placed) in self.drafts[part.clone()].iter().zip(placed) {
                let entry = Entry::of(draft, placed, epoch);
                let folded = self.group.state.fold(&entry, &mut self.arrivals);
                assert!(folded.is_ok(), "own record at {} cannot be folded: {folded:?}", entry.position);
            }
        }
        self.group.state.publish(&self.arrivals, &mut self.woken);
        self.group.published.store(self.log.written().0, Ordering::Release);
        self.arrivals.clear();
        for waiter in self.woken.drain(..) {
            waiter.wake(&mut self.wakes);
        }
    }

    fn answer(&mut self, outcomes: Outcomes) -> Step {
        let mut outcomes = outcomes.into_iter();
        let mut step = Step::Wrote;
        if let Some(Err(_)) = outcomes.next() {
            self.group.pending.put_back(&mut self.carried);
            // Trying again at once would find as little room: the log thread shall sleep in between.
            if self.submissions.is_empty() {
                step = Step::Idle;
            }
        }
        self.carried.clear();
        self.drafts.clear();
        for (submission, outcome) in self.submissions.drain(..).zip(outcomes) {
            submission.complete(outcome, &mut self.wakes);
        }
        step
    }

    /// The log has ended: nobody knows what became of what waits.
    fn end(&mut self) {
        let waiting = self.group.inbox.close();
        for submission in self.submissions.drain(..).chain(waiting) {
            submission.complete(Err(StoreError::Unknown), &mut self.wakes);
        }
        self.drafts.clear();
        self.wakes.post();
    }
}

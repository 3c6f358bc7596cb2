//! Folding what is agreed: the only way in which a record becomes visible.
//!
//! ```text
//!   published ......... opens_at ......... to ......... written
//!     replay from the log | own batches, in memory | wait
//! ```
//!
//! What a follower was sent, and what a leader found when its term began, is read from the log; what a leader wrote
//! itself is still in memory. What rode along took effect in the leader's memory before it was written.

use std::sync::atomic::Ordering;

use store::Position;
use store::log::{Draft, Entry, Kind, Placed};

use super::{CommitError, Outcomes, Role, Step, Writer};
use crate::catalog;
use crate::group::Group;
use crate::inbox::Submission;
use crate::records::{Floor, decode_floors};
use crate::state::{Arrival, Unknown};

/// Queues whose new messages are shown together when a long stretch is folded.
const ARRIVALS_MAX: usize = 4096;

/// A submission in the log that is not agreed yet.
pub(super) struct Written {
    /// With its drafts.
    pub(super) submission: Submission,
    /// One for each draft, at least one.
    placed: Vec<Placed>,
    /// The places that it moves consumer groups to.
    pub(super) floors: Vec<Floor>,
}

impl Written {
    /// Position of its first record.
    fn first(&self) -> Position {
        self.placed[0].position
    }

    /// End of its last record.
    fn end(&self) -> Position {
        let last = &self.placed[self.placed.len() - 1];
        Position(last.position.0 + u64::from(last.bytes))
    }
}

impl Writer {
    /// Everything below `to`, where a batch ends, is agreed: folds it, shows it to readers and answers its tickets, in
    /// the order of the log. To be called with what is in the log and not less than before.
    ///
    /// # Panics
    /// If `to` lies below what was committed before, beyond the end of the log, or within a batch.
    pub fn commit(&mut self, to: Position) -> Result<(), CommitError> {
        let opens_at = match self.role {
            Role::Following => None,
            Role::Leading { opens_at, .. } => Some(opens_at),
            Role::Closed => return Err(CommitError::Closed),
        };
        let (published, written) = (self.group.published(), self.log.written());
        assert!(published <= to, "commit moved back from {published} to {to}");
        assert!(to <= written, "commit to {to}, the log ends at {written}");
        let replayed = opens_at.map_or(to, |opens_at| opens_at.min(to));
        if published < replayed {
            self.replay(published, replayed)?;
        }
        self.commit_own(to);
        if opens_at.is_some_and(|opens_at| opens_at <= to) && !self.group.is_leading() {
            self.group.begin_serving();
        }
        if self.is_holding {
            self.waits_for_copies();
        }
        self.wakes.post();
        self.wake_for_timers();
        Ok(())
    }

    /// Folds a stretch of the log that others wrote, or a former term.
    pub(crate) fn replay(&mut self, from: Position, to: Position) -> Result<(), CommitError> {
        let (group, arrivals, woken) = (&self.group, &mut self.arrivals, &mut self.woken);
        let mut unknown = None;
        let replayed = self.log.reader().replay(from.max(self.log.head()), to, &mut |entry| {
            if unknown.is_none() {
                unknown = group.state.fold(entry, arrivals).err();
            }
            if arrivals.len() >= ARRIVALS_MAX {
                group.state.publish(arrivals, woken);
                arrivals.clear();
            }
        });
        group.state.publish(arrivals, woken);
        arrivals.clear();
        replayed?;
        if let Some(Unknown { what, why }) = unknown {
            return Err(CommitError::Format { what, why });
        }
        self.shown(to);
        Ok(())
    }

    /// Folds, shows and answers the leader's own batches.
    fn commit_own(&mut self, to: Position) {
        let count = self.waiting.iter().take_while(|written| written.end() <= to).count();
        if let Some(next) = self.waiting.get(count) {
            assert!(to <= next.first(), "commit to {to} is within the batch of a record at {}", next.first());
        }
        for number in 0..count {
            let Written { submission, placed, floors } = &self.waiting[number];
            fold(&self.group, &submission.drafts, placed, &mut self.arrivals);
            for floor in floors {
                self.group.pending.forget(floor);
            }
            self.moves -= usize::from(!floors.is_empty());
        }
        self.group.state.publish(&self.arrivals, &mut self.woken);
        self.arrivals.clear();
        self.shown(to);
        for Written { submission, placed, .. } in self.waiting.drain(..count) {
            submission.complete(Ok(placed), &mut self.wakes);
        }
    }

    /// Alone: applies what was written, in the order of the log, and shows it to readers.
    pub(super) fn publish(&mut self, outcomes: &Outcomes) {
        for (part, outcome) in self.parts.iter().zip(outcomes).skip(1) {
            let Ok(placed) = outcome else { continue };
            let drafts = &self.drafts[part.clone()];
            fold(&self.group, drafts, placed, &mut self.arrivals);
            for floor in floors(&self.group, drafts) {
                // It may not have been written, for want of room, while the move was.
                self.carried.forget(&floor);
                self.group.pending.forget(&floor);
            }
        }
        self.group.state.publish(&self.arrivals, &mut self.woken);
        self.arrivals.clear();
        self.shown(self.log.written());
    }

    /// Not alone: keeps what was written until it is agreed, and answers what was refused.
    pub(super) fn keep(&mut self, outcomes: Outcomes) -> Step {
        let mut outcomes = outcomes.into_iter();
        let step = self.settle_carried(outcomes.next().is_none_or(|outcome| outcome.is_ok()));
        let mut drafts = self.drafts.drain(..).skip(self.parts[0].len());
        for ((mut submission, outcome), part) in
            self.submissions.drain(..).zip(outcomes).zip(self.parts.iter().skip(1))
        {
            // Back to where they came from; there is room for them.
            submission.drafts.extend(drafts.by_ref().take(part.len()));
            match outcome {
                Ok(placed) if !placed.is_empty() => {
                    let floors = floors(&self.group, &submission.drafts);
                    self.moves += usize::from(!floors.is_empty());
                    self.waiting.push_back(Written { submission, placed, floors });
                }
                outcome => submission.complete(outcome, &mut self.wakes),
            }
        }
        step
    }

    /// Readers see everything below `to`; tells those who waited for it.
    fn shown(&mut self, to: Position) {
        self.group.published.store(to.0, Ordering::Release);
        for waiter in self.woken.drain(..) {
            waiter.wake(&mut self.wakes);
        }
    }
}

/// The places that consumer groups are moved to; who stops to read a topic goes back to its beginning.
fn floors(group: &Group, drafts: &[Draft]) -> Vec<Floor> {
    let mut floors = Vec::new();
    for draft in drafts {
        match draft.kind {
            Kind::Floors => floors.extend(decode_floors(&draft.body).into_iter().flatten()),
            Kind::Meta => {
                let whats = catalog::decode(&draft.body).into_iter().flatten();
                floors.extend(whats.flat_map(|what| group.state.stopped_floors(&what)));
            }
            Kind::Message
            | Kind::Link
            | Kind::Acks
            | Kind::Attempts
            | Kind::Handed
            | Kind::Settled
            | Kind::Decided
            | Kind::Epoch
            | Kind::Pad
            | Kind::Timed
            | Kind::Half => {}
        }
    }
    floors
}

fn fold(group: &Group, drafts: &[Draft], placed: &[Placed], arrivals: &mut Vec<Arrival>) {
    let epoch = group.epoch();
    for (draft, placed) in drafts.iter().zip(placed) {
        let entry = Entry::of(draft, placed, epoch);
        let folded = group.state.fold(&entry, arrivals);
        assert!(folded.is_ok(), "own record at {} cannot be folded: {folded:?}", entry.position);
    }
}

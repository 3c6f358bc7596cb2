//! Leading, following, and the end of both.
//!
//! ```text
//!   open --> Following --lead--> Leading, silent --commit up to its epoch--> serving --close--> Closed
//!               |   append_raw, truncate, commit           step, commit                ^
//!               +----------------------------------------------------------------------+
//! ```
//!
//! Promise: a leader serves only after everything up to the begin of its own epoch is agreed and folded, so that it
//! knows all that any leader before it told anyone; after `close` nothing of the group touches the disk again.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use store::log::{AppendError, EpochStart, Flush, RawError, RawSpan, Stamps};
use store::{Epoch, Offset, Position, QueueId};

use super::{CommitError, CutError, FollowError, LeadError, OnWritten, Writer};
use crate::inbox::StoreError;

/// What the writer is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Another member writes.
    Following,
    /// It writes; it serves once everything below `opens_at` is agreed.
    Leading { opens_at: Position, is_solo: bool },
    /// The group will be opened again.
    Closed,
}

impl Role {
    pub(super) fn is_solo(self) -> bool {
        matches!(self, Self::Leading { is_solo: true, .. })
    }
}

impl Writer {
    /// Begins a term under an epoch that was won, and syncs; returns where the epoch begins. Nothing more is visible
    /// yet: the group serves once the record of the epoch is committed too, that is all that is written now.
    ///
    /// # Panics
    /// If it leads already, or the epoch is not later than all in the log.
    pub fn lead(&mut self, epoch: Epoch, now_ms: u64) -> Result<Position, LeadError> {
        match self.role {
            Role::Following => {}
            Role::Leading { .. } => panic!("epoch {epoch} begins within a term"),
            Role::Closed => return Err(LeadError::Closed),
        }
        self.group.now_ms.store(now_ms, Ordering::Relaxed);
        self.log.begin_epoch(epoch, now_ms)?;
        // Before anything of this epoch is told to anyone: another start must not begin the same one.
        if let Err(poisoned) = self.log.sync() {
            self.end();
            return Err(AppendError::from(poisoned).into());
        }
        self.role = Role::Leading { opens_at: self.log.written(), is_solo: false };
        self.note_epoch();
        let begun = self.log.epochs().last().map(|begun| begun.start);
        Ok(begun.expect("an epoch has begun"))
    }

    /// As the only copy: begins the next epoch, commits everything that is there, and from now on whatever it writes.
    pub fn lead_alone(&mut self, now_ms: u64) -> Result<(), LeadError> {
        self.lead(Epoch(self.log.last_epoch().0 + 1), now_ms)?;
        Ok(self.set_solo(true)?)
    }

    /// Whether its own copy is enough. If so, everything that is written is committed now, and each batch as soon as it
    /// is written, with `flush: Sync` synced.
    ///
    /// # Panics
    /// If it does not lead.
    pub fn set_solo(&mut self, is_solo: bool) -> Result<(), CommitError> {
        let opens_at = match self.role {
            Role::Following => panic!("a follower is not alone"),
            Role::Leading { opens_at, .. } => opens_at,
            Role::Closed => return Err(CommitError::Closed),
        };
        // At the end of it, too: what rode along was shown before it was synced.
        if self.group.flush() == Flush::Sync
            && let Err(poisoned) = self.log.sync()
        {
            self.end();
            return Err(poisoned.into());
        }
        if is_solo {
            self.commit(self.log.written())?;
        }
        self.role = Role::Leading { opens_at, is_solo };
        if self.is_holding {
            self.waits_for_copies();
        }
        Ok(())
    }

    /// What is called after something was written or synced, until `close`.
    pub fn on_written(&mut self, on_written: OnWritten) {
        if self.role != Role::Closed {
            self.on_written = Some(on_written);
        }
    }

    /// Takes what the leader wrote; nothing of it is visible before `commit`. The caller syncs, with `Group::sync`.
    pub fn append_raw(&mut self, span: RawSpan<'_>) -> Result<(), FollowError> {
        if self.role == Role::Closed {
            return Err(FollowError::Closed);
        }
        let appended = self.log.append_raw(span);
        let needed_bytes = match &appended {
            Err(RawError::Full { needed_bytes, .. }) => *needed_bytes,
            _ => 0,
        };
        self.group.needed_bytes.store(needed_bytes, Ordering::Relaxed);
        self.note_epoch();
        Ok(appended?)
    }

    /// Gives back what was written and never agreed, from `to` on, where a batch ends.
    ///
    /// # Panics
    /// If that would take back something that was committed.
    pub fn truncate(&mut self, to: Position) -> Result<(), CutError> {
        if self.role == Role::Closed {
            return Err(CutError::Closed);
        }
        let published = self.group.published();
        assert!(published <= to, "cut at {to} takes back what was committed up to {published}");
        let mut tails: HashMap<QueueId, Offset> = self.group.state.index.tails().into_iter().collect();
        self.log.reader().replay(published.max(self.log.head()), to, &mut |entry| {
            if entry.kind.takes_offset() {
                let tail = tails.entry(entry.queue).or_default();
                *tail = (*tail).max(Offset(entry.offset.0 + u64::from(entry.count.max(1))));
            }
        })?;
        self.log.truncate(to, tails.into_iter().collect())?;
        self.note_epoch();
        Ok(())
    }

    /// What headers say of the other copies from now on.
    pub fn stamp(&mut self, stamps: Stamps) {
        self.log.stamp(stamps);
    }

    /// Where the epochs of the log began, oldest first.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.log.epochs()
    }

    /// Everything below is known to be agreed, from what this copy's leaders wrote into it.
    pub fn known_committed(&self) -> Position {
        self.log.known_committed().max(self.group.published())
    }

    /// Stops leading or following for good: the group will be opened again from the disk. Who waits for something that
    /// is written is answered `Unknown`, who waits for something that is not `NotLeading`, and everybody later too.
    pub fn close(&mut self) {
        if self.role == Role::Closed {
            return;
        }
        self.role = Role::Closed;
        self.on_written = None;
        self.group.stop_serving(&mut self.wakes);
        for submission in self.group.inbox.leave() {
            submission.complete(Err(StoreError::NotLeading), &mut self.wakes);
        }
        for written in self.waiting.drain(..) {
            written.submission.complete(Err(StoreError::Unknown), &mut self.wakes);
        }
        self.wakes.post();
    }

    fn note_epoch(&self) {
        self.group.epoch.store(self.log.last_epoch().0, Ordering::Release);
    }
}

//! Timers: firing those that are due, recalling those that are not, and their chores.

use std::sync::Arc;

use store::Position;
use store::log::{Draft, ReadError, Record};
use store::timeline::{TimelineError, Timer};

use super::Group;
use crate::catalog::Topic;
use crate::inbox::{SubmitError, Ticket};
use crate::mailbox::Mailbox;
use crate::records::{Link, copy_draft, settled_drafts};
use crate::timers::{Key, key_of};

/// Timers that one submission fires.
const FIRED_MAX: usize = 512;
/// Timers on their way at a time.
const IN_FLIGHT_MAX: usize = 8192;
/// While some are on their way, or were refused, the next look is after this time.
const AGAIN_MS: u64 = 20;
/// Timers that are due within this time are in memory.
const AHEAD_MS: u64 = 10 * 60 * 1000;
/// A flush leaves those in memory that are due within this time.
const KEEP_MS: u64 = 20 * 60 * 1000;

/// Why a message was not recalled; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// It is not pending: delivered, recalled before, on its way to be one of these, or never there.
    #[error("no message waits there: it was delivered or recalled")]
    NotPending,
    /// The log takes nothing now.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The timeline could not be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// The message could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Group {
    /// A message that waits for its time, and its topic; `None`: nothing waits there. Reads the disk.
    pub fn pending_message(
        &self,
        due_ms: u64,
        position: Position,
    ) -> Result<Option<(Arc<Topic>, Record)>, RecallError> {
        if !self.is_leading() {
            return Err(SubmitError::NotLeading.into());
        }
        let Some(timer) = self.state.timers.line.find(due_ms, position)? else { return Ok(None) };
        let Some(topic) = self.topic_of(timer.queue) else { return Ok(None) };
        Ok(Some((topic, self.reader.read(timer.position, timer.bytes)?)))
    }

    /// The message will not be delivered once the ticket tells that this is stored.
    pub fn recall(
        &self,
        due_ms: u64,
        position: Position,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Ticket, RecallError> {
        if !self.is_leading() {
            return Err(SubmitError::NotLeading.into());
        }
        let key = (due_ms, position);
        let timers = &self.state.timers;
        let waiting = Arc::new(());
        {
            let mut in_flight = timers.in_flight();
            if in_flight.has(key) {
                return Err(RecallError::NotPending);
            }
            // Nobody fires it while this looks for it, which may need the disk.
            in_flight.add(&[key], &waiting);
        }
        if timers.line.find(due_ms, position)?.is_none() {
            return Err(RecallError::NotPending);
        }
        Ok(self.inbox.submit_watched(settled_drafts(&[key]).collect(), mailbox, Some(waiting))?)
    }

    /// Messages that wait for their time.
    pub fn pending_timers(&self) -> u64 {
        self.state.timers.line.len()
    }

    /// Puts in what is due; the log thread, before it gathers what to write.
    pub(crate) fn fire_due(&self, now_ms: u64) {
        let timers = &self.state.timers;
        if !timers.may_be_due(now_ms) {
            return;
        }
        let mut in_flight = timers.in_flight();
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight.len()).min(FIRED_MAX);
        let mut due = Vec::new();
        let on_disk = timers.line.due(now_ms, None, in_flight.len() + room, &mut due);
        due.retain(|timer| !in_flight.has(key_of(timer)));
        due.truncate(room);
        let (mut drafts, mut keys) = (Vec::with_capacity(due.len() + 1), Vec::with_capacity(due.len()));
        let (mut bytes, most_bytes) = (0, self.pointers_bytes_max());
        let mut is_cut = false;
        for timer in &due {
            // What the disk refuses now is tried again.
            let Ok(entry) = self.entry_of(timer, now_ms) else { continue };
            let entry_bytes = entry.as_ref().map_or(0, Draft::bytes);
            if !keys.is_empty() && bytes + entry_bytes > most_bytes {
                is_cut = true;
                break;
            }
            bytes += entry_bytes;
            drafts.extend(entry);
            keys.push(key_of(timer));
        }
        drafts.extend(settled_drafts(&keys));
        let waiting = Arc::new(());
        let is_in = !keys.is_empty()
            && self.inbox.submit_watched(drafts, &self.own_mailbox, Some(Arc::clone(&waiting))).is_ok();
        if is_in {
            in_flight.add(&keys, &waiting);
        }
        let is_busy = in_flight.len() > 0 || !due.is_empty() || on_disk.is_some();
        let next = if is_in && (is_cut || keys.len() == room) {
            now_ms
        } else if is_busy {
            self.first_due_after(now_ms).min(now_ms.saturating_add(AGAIN_MS))
        } else {
            timers.line.next_due_ms().unwrap_or(u64::MAX)
        };
        timers.next_look(next);
    }

    /// Background work: timers that come soon are in memory, those that do not are on the disk.
    pub fn work_timers(&self, now_ms: u64) -> Result<(), TimelineError> {
        let is_closed = self.house.lock();
        if *is_closed {
            return Ok(());
        }
        let line = &self.state.timers.line;
        if line.wants_flush() {
            self.flush_timers(now_ms)?;
        }
        line.load_ahead(now_ms.saturating_add(AHEAD_MS))?;
        // Else the log would keep what only timers needed that were settled long ago.
        let oldest_kept = self.reader.head().0.saturating_add(self.config.log.segment_bytes);
        let is_low = line.oldest_position().is_some_and(|oldest| oldest.0 < oldest_kept);
        if is_low && self.state.timers.may_search(now_ms) {
            line.below(Position(oldest_kept), |_| ())?;
        }
        Ok(())
    }

    /// Moves timers that are only in memory and not due soon to the disk; `work_timers` does so by itself once there are
    /// many.
    pub fn flush_timers(&self, now_ms: u64) -> Result<(), TimelineError> {
        self.state.timers.line.flush(now_ms.saturating_add(KEEP_MS))
    }

    /// The entry that makes the message one of its queue; none if its topic is gone or it can never be read.
    fn entry_of(&self, timer: &Timer, now_ms: u64) -> Result<Option<Draft>, ReadError> {
        if self.state.catalog.read().home(timer.queue).is_none() {
            return Ok(None);
        }
        let draft = if self.is_trimmed_soon(timer.position, Some(timer.stored_ms), now_ms) {
            match self.reader.read(timer.position, timer.bytes) {
                Ok(record) => copy_draft(&record, String::new(), timer.tag_hash, 0),
                Err(error @ ReadError::Io { .. }) => return Err(error),
                Err(_) => return Ok(None),
            }
        } else {
            Link::new(timer.position, timer.bytes, String::new()).draft(timer.tag_hash, 0)
        };
        Ok(Some(Draft { queue: timer.queue, lane: timer.lane, ..draft }))
    }

    fn first_due_after(&self, now_ms: u64) -> u64 {
        let mut next = Vec::new();
        let after: Key = (now_ms, Position(u64::MAX));
        let on_disk = self.state.timers.line.due(u64::MAX, Some(after), 1, &mut next);
        let in_memory = next.first().map(|timer| timer.due_ms);
        in_memory.into_iter().chain(on_disk.map(|(due_ms, _)| due_ms)).min().unwrap_or(u64::MAX)
    }
}

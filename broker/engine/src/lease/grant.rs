//! Handing out: in any order, or in line.

use store::Offset;
use store::index::IndexEntry;

use super::deliveries::Deliveries;
use super::held::Lease;
use super::lines::Lines;
use super::mask::{WIDTH, blocks, low_bits, place};
use crate::batch::pieces;

/// Leases of one queue at a time; a group that holds so many and acks none gets nothing more.
const LEASES_MAX: usize = 1 << 20;

/// What a grant handed out: one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) base: Offset,
    /// Bit n: offset `base + n`.
    pub(crate) mask: u64,
    pub(crate) serial: u32,
    pub(crate) attempt: u16,
    pub(crate) due_ms: u64,
}

/// What a receive wants of one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) count: usize,
    pub(crate) due_ms: u64,
    pub(crate) now_ms: u64,
}

impl Deliveries {
    /// Messages that grants would find; of those that are ready again only some are counted, in lines at least one.
    pub(crate) fn available(&mut self, tail: Offset, now_ms: u64) -> u64 {
        self.expire(now_ms);
        match &self.lines {
            None => self.ready.some() + tail.0.saturating_sub(self.next.0),
            Some(lines) if lines.is_full() => lines.free() as u64,
            Some(lines) => lines.free() as u64 + tail.0.saturating_sub(lines.seen.0),
        }
    }

    /// From now on messages are handed out in line, or in any order.
    pub(crate) fn set_ordered(&mut self, is_ordered: bool) {
        if is_ordered != self.lines.is_some() {
            self.lines = is_ordered.then(|| Box::new(Lines::from(self.floor())));
        }
    }

    /// Whether a message is next in its line and nobody has it.
    pub(crate) fn has_free_line(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.free() > 0)
    }

    /// Hands out up to `count` neighbours under one lease: first what ended, then what is new below `tail`.
    pub(crate) fn grant(&mut self, wish: &Wish, tail: Offset) -> Option<Grant> {
        self.expire(wish.now_ms);
        let count = wish.count.min(64) as u32;
        if count == 0 || self.leases.len() >= LEASES_MAX {
            return None;
        }
        let (base, mask, attempts) = match self.ready.take(count) {
            Some(taken) => taken,
            None => self.take_new(u64::from(count), tail)?,
        };
        Some(self.lease_out(base, mask, attempts, wish.due_ms))
    }

    /// Hands out up to `count` messages of the line that is free and oldest, its first ones; those that have been
    /// delivered as often as the first, so that one that goes to the dead letters takes none with it.
    pub(crate) fn grant_in_line(&mut self, wish: &Wish, grants: &mut Vec<Grant>) -> bool {
        self.expire(wish.now_ms);
        if wish.count == 0 || self.leases.len() >= LEASES_MAX {
            return false;
        }
        let Some(lines) = &mut self.lines else { return false };
        let Some(standing) = lines.first_free() else { return false };
        let attempts = |offset: Offset| {
            let counted = self.ready.attempts(offset).unwrap_or(0);
            if lines.uncounted.contains(&offset) { counted.saturating_sub(1) } else { counted }
        };
        let mut run: Vec<Offset> = standing.take(wish.count).collect();
        let first = run.first().map_or(0, |&first| attempts(first));
        run.truncate(run.iter().take_while(|&&offset| attempts(offset) == first).count());
        for offset in &run {
            lines.uncounted.remove(offset);
        }
        for window in run.chunk_by(|first, next| first.0 / WIDTH == next.0 / WIDTH) {
            let (block, _) = place(window[0]);
            let mask = window.iter().fold(0, |mask, &offset| mask | place(offset).1);
            self.ready.remove(block, mask);
            let base = Offset(block * WIDTH);
            grants.push(self.lease_out(base, mask, first, wish.due_ms));
        }
        !run.is_empty()
    }

    /// The first offset below `tail` that is to be looked at, to know its line.
    pub(crate) fn unseen(&mut self, tail: Offset) -> Option<Offset> {
        let next = self.next;
        let lines = self.lines.as_mut().filter(|lines| !lines.is_full())?;
        if lines.seen < next {
            // What is done already has no line.
            let (block, bit) = place(lines.seen);
            let rest = self.open.get(&block).map_or(0, |mask| mask & !(bit - 1));
            let first = if rest == 0 {
                self.open.range(block + 1..).next().map(|(&block, &mask)| (block, mask))
            } else {
                Some((block, rest))
            };
            let first = first.map(|(block, mask)| Offset(block * WIDTH + u64::from(mask.trailing_zeros())));
            lines.seen = first.unwrap_or(next);
        }
        (lines.seen < tail).then_some(lines.seen)
    }

    /// Puts the messages from `from` on into their lines, if nobody else did; the first entry holds it.
    pub(crate) fn see(&mut self, from: Offset, entries: &[IndexEntry]) {
        let Some(last) = entries.last() else { return };
        if self.lines.as_ref().is_none_or(|lines| lines.seen != from) {
            return;
        }
        self.advance(last.end());
        let Some(lines) = &mut self.lines else { return };
        let messages = entries.iter().flat_map(pieces);
        for message in messages.skip_while(|message| message.offset() < from) {
            let offset = message.offset();
            let (block, bit) = place(offset);
            if self.open.get(&block).is_some_and(|mask| mask & bit != 0) {
                lines.join(offset, message.entry.lane, self.ready.attempts(offset).is_none());
            }
        }
        lines.seen = last.end();
    }

    fn lease_out(&mut self, base: Offset, mask: u64, attempts: u16, due_ms: u64) -> Grant {
        let attempt = attempts.saturating_add(1);
        let serial = self.hold(Lease::new(base, mask, due_ms, attempt));
        Grant { base, mask, serial, attempt, due_ms }
    }

    fn take_new(&mut self, count: u64, tail: Offset) -> Option<(Offset, u64, u16)> {
        let count = count.min(tail.0.saturating_sub(self.next.0));
        if count == 0 {
            return None;
        }
        let base = self.next;
        let mask = low_bits(count);
        for (block, mask) in blocks(base, mask) {
            *self.open.entry(block).or_insert(0) |= mask;
        }
        self.next = Offset(base.0 + count);
        Some((base, mask, 0))
    }
}

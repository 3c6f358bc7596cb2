//! Lines: the messages of one message group stand in line, and who is behind waits for those before it.
//!
//! ```text
//!   lane 7:  [12 held][15 held] 31  90      blocked: nobody gets 31 before 12 and 15 are done or ready again
//!   lane 9:  [13 ready] 77                  free: 13 can be handed out, and 77 with it
//! ```
//!
//! Promise: a line is free only while nobody holds a message of it, so its first one goes out first. Lines do not know
//! of each other: a blocked one costs the others nothing but the memory of those who wait in it, about 40 B each.
//! Message groups with the same hash share a line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use store::Offset;

/// Messages of one queue that may stand in lines; with more, the queue is not looked at any further.
const STANDING_MAX: usize = 1 << 18;

/// The lines of one queue and consumer group.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Every open offset below stands in its line.
    pub(super) seen: Offset,
    /// Ready messages whose next delivery has the number of the last one, which never arrived.
    pub(super) uncounted: BTreeSet<Offset>,
    lanes: BTreeMap<Offset, u32>,
    lines: BTreeMap<u32, Line>,
    /// Lines that nobody holds a message of, by their first one.
    free: BTreeSet<(Offset, u32)>,
}

#[derive(Debug, Default)]
struct Line {
    /// Rising.
    standing: VecDeque<Offset>,
    /// How many of them somebody holds.
    held: u32,
}

impl Lines {
    /// Nothing is known of lanes at or above `seen`.
    pub(super) fn from(seen: Offset) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Whether no more messages are taken into lines for now.
    pub(super) fn is_full(&self) -> bool {
        self.lanes.len() >= STANDING_MAX
    }

    /// Free lines.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// The message is the last of its lane so far.
    pub(super) fn join(&mut self, offset: Offset, lane: u32, is_held: bool) {
        self.lanes.insert(offset, lane);
        let line = self.lines.entry(lane).or_default();
        line.standing.push_back(offset);
        line.held += u32::from(is_held);
        if line.held > 0 {
            self.free.remove(&(line.standing[0], lane));
        } else if line.standing.len() == 1 {
            self.free.insert((offset, lane));
        }
    }

    /// Somebody holds the message now; one whose lane is not known yet is left alone.
    pub(super) fn hold(&mut self, offset: Offset) {
        let Some((lane, line)) = line_of(&self.lanes, &mut self.lines, offset) else { return };
        if line.held == 0 {
            self.free.remove(&(line.standing[0], lane));
        }
        line.held += 1;
    }

    /// Nobody holds the message any more.
    pub(super) fn let_go(&mut self, offset: Offset) {
        let Some((lane, line)) = line_of(&self.lanes, &mut self.lines, offset) else { return };
        line.held -= 1;
        if line.held == 0 {
            self.free.insert((line.standing[0], lane));
        }
    }

    /// The message is done, and nobody holds it.
    pub(super) fn leave(&mut self, offset: Offset) {
        let Some((lane, line)) = line_of(&self.lanes, &mut self.lines, offset) else { return };
        let is_free = line.held == 0;
        if is_free {
            self.free.remove(&(line.standing[0], lane));
        }
        if let Ok(at) = line.standing.binary_search(&offset) {
            line.standing.remove(at);
        }
        match line.standing.front() {
            Some(&first) if is_free => drop(self.free.insert((first, lane))),
            Some(_) => {}
            None => drop(self.lines.remove(&lane)),
        }
        self.lanes.remove(&offset);
        self.uncounted.remove(&offset);
    }

    /// The free line whose first message is the oldest: its messages in order.
    pub(super) fn first_free(&self) -> Option<impl Iterator<Item = Offset> + '_> {
        let &(_, lane) = self.free.first()?;
        Some(self.lines.get(&lane)?.standing.iter().copied())
    }
}

#[cfg(test)]
mod tests;

fn line_of<'a>(
    lanes: &BTreeMap<Offset, u32>,
    lines: &'a mut BTreeMap<u32, Line>,
    offset: Offset,
) -> Option<(u32, &'a mut Line)> {
    let &lane = lanes.get(&offset)?;
    Some((lane, lines.get_mut(&lane)?))
}

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
    lane_of: BTreeMap<Offset, u32>,
    by_lane: BTreeMap<u32, Line>,
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
        self.lane_of.len() >= STANDING_MAX
    }

    /// Free lines.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// The message is the last of its lane so far.
    pub(super) fn join(&mut self, offset: Offset, lane: u32, is_held: bool) {
        self.lane_of.insert(offset, lane);
        let row = self.by_lane.entry(lane).or_default();
        row.standing.push_back(offset);
        row.held += u32::from(is_held);
        if row.held > 0 {
            self.free.remove(&(row.standing[0], lane));
        } else if row.standing.len() == 1 {
            self.free.insert((offset, lane));
        }
    }

    /// Somebody holds the message now; one whose lane is not known yet is left alone.
    pub(super) fn hold(&mut self, offset: Offset) {
        let Some((lane, row)) = row_of(&self.lane_of, &mut self.by_lane, offset) else { return };
        if row.held == 0 {
            self.free.remove(&(row.standing[0], lane));
        }
        row.held += 1;
    }

    /// Nobody holds the message any more.
    pub(super) fn let_go(&mut self, offset: Offset) {
        let Some((lane, row)) = row_of(&self.lane_of, &mut self.by_lane, offset) else { return };
        row.held -= 1;
        if row.held == 0 {
            self.free.insert((row.standing[0], lane));
        }
    }

    /// The message is done, and nobody holds it.
    pub(super) fn leave(&mut self, offset: Offset) {
        let Some((lane, row)) = row_of(&self.lane_of, &mut self.by_lane, offset) else { return };
        let is_free = row.held == 0;
        if is_free {
            self.free.remove(&(row.standing[0], lane));
        }
        if let Ok(at) = row.standing.binary_search(&offset) {
            row.standing.remove(at);
        }
        match row.standing.front() {
            Some(&first) if is_free => drop(self.free.insert((first, lane))),
            Some(_) => {}
            None => drop(self.by_lane.remove(&lane)),
        }
        self.lane_of.remove(&offset);
        self.uncounted.remove(&offset);
    }

    /// The free line whose first message is the oldest: its messages in order.
    pub(super) fn first_free(&self) -> Option<impl Iterator<Item = Offset> + '_> {
        let &(_, lane) = self.free.first()?;
        Some(self.by_lane.get(&lane)?.standing.iter().copied())
    }
}

#[cfg(test)]
mod tests;

fn row_of<'a>(
    lane_of: &BTreeMap<Offset, u32>,
    rows: &'a mut BTreeMap<u32, Line>,
    offset: Offset,
) -> Option<(u32, &'a mut Line)> {
    let &lane = lane_of.get(&offset)?;
    Some((lane, rows.get_mut(&lane)?))
}

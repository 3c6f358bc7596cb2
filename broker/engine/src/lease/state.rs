//! Deliveries as records and checkpoints know them: what is done, and attempts from the second on.

use std::collections::BTreeMap;

use store::{Epoch, Offset};

use super::deliveries::Deliveries;
use super::mask::{WIDTH, blocks, low_bits};

/// What survives a restart: nobody holds anything, all that is not done comes again.
///
/// It is what replaying the records of the acks and attempts so far would give, so that a checkpoint and a replay agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) next: Offset,
    /// Offsets below `next` that are not done, rising.
    pub(crate) undone: Vec<Held>,
    /// The epoch of the last move.
    pub(crate) moved_in: Epoch,
}

/// Neighbours with the same number of deliveries so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) base: Offset,
    pub(crate) mask: u64,
    pub(crate) attempts: u16,
}

impl Deliveries {
    /// Deliveries as they were saved, as far as their messages lie below `tail`.
    pub(crate) fn restore(state: &State, tail: Offset) -> Self {
        let mut this = Self::starting_at(state.next.min(tail));
        this.moved_in = state.moved_in;
        for held in &state.undone {
            let mask = held.mask & low_bits(tail.0.saturating_sub(held.base.0));
            for (block, mask) in blocks(held.base, mask) {
                *this.open.entry(block).or_insert(0) |= mask;
                this.ready.insert(block, held.attempts, mask);
            }
        }
        this
    }

    /// What survives a restart.
    pub(crate) fn state(&self) -> State {
        let mut masks: BTreeMap<(u64, u16), u64> = BTreeMap::new();
        let mut add = |block, attempts: u16, mask| {
            // First attempts are not recorded, so they must not be saved either.
            let attempts = if attempts < 2 { 0 } else { attempts };
            *masks.entry((block, attempts)).or_insert(0) |= mask;
        };
        for (block, attempts, mask) in self.ready.masks() {
            add(block, attempts, mask);
        }
        for lease in self.leases.values() {
            for (block, mask) in blocks(lease.base(), lease.mask()) {
                add(block, lease.attempt(), mask);
            }
        }
        let next = lower(self.next, &mut masks);
        let undone = masks
            .into_iter()
            .map(|((block, attempts), mask)| Held { base: Offset(block * WIDTH), mask, attempts })
            .collect();
        State { next, undone, moved_in: self.moved_in }
    }

    /// Applies a record of acks; offsets that are done already stay so.
    pub(crate) fn fold_acks(&mut self, base: Offset, mask: u64) {
        self.advance(end(base, mask));
        for (block, mask) in blocks(base, mask) {
            self.finish(block, mask);
        }
    }

    /// Applies a record of attempts; does nothing to offsets that are done or held.
    pub(crate) fn fold_attempts(&mut self, base: Offset, mask: u64, attempts: u16) {
        self.advance(end(base, mask));
        for offset in super::mask::offsets(base, mask) {
            let (block, bit) = super::mask::place(offset);
            if self.ready.attempts(offset).is_some_and(|known| known < attempts) {
                self.ready.remove(block, bit);
                self.ready.insert(block, attempts, bit);
            }
        }
    }
}

/// Takes what was handed out for the first time and is not done off the upper end: no record tells of it.
fn lower(next: Offset, masks: &mut BTreeMap<(u64, u16), u64>) -> Offset {
    let mut next = next.0;
    while next > 0 {
        let block = (next - 1) / WIDTH;
        let Some(mask) = masks.get_mut(&(block, 0)) else { break };
        let width = next - block * WIDTH;
        let unused = WIDTH as u32 - width as u32;
        let run = u64::from((*mask << unused).leading_ones()).min(width);
        *mask &= low_bits(width - run);
        if *mask == 0 {
            masks.remove(&(block, 0));
        }
        next -= run;
        if run < width {
            break;
        }
    }
    Offset(next)
}

fn end(base: Offset, mask: u64) -> Offset {
    Offset(base.0 + u64::from(64 - mask.leading_zeros()))
}

//! Offsets below `next` that wait to be handed out again, with the number of times they already were.

use std::collections::BTreeMap;

use store::Offset;

use super::mask::{WIDTH, lowest_set, place};

/// Masks by (block, deliveries so far); an offset is in at most one of them.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    masks: BTreeMap<(u64, u16), u64>,
}

impl Ready {
    /// How many there are in the first few masks.
    pub(crate) fn some(&self) -> u64 {
        self.masks.values().take(64).map(|mask| u64::from(mask.count_ones())).sum()
    }

    /// Deliveries so far of an offset that is ready.
    pub(crate) fn attempts(&self, offset: Offset) -> Option<u16> {
        let (block, bit) = place(offset);
        self.in_block(block).find(|&(_, mask)| mask & bit != 0).map(|(attempts, _)| attempts)
    }

    /// All masks, rising by block and then attempts.
    pub(crate) fn masks(&self) -> impl Iterator<Item = (u64, u16, u64)> + '_ {
        self.masks.iter().map(|(&(block, attempts), &mask)| (block, attempts, mask))
    }

    /// Adds offsets of one block that are not in it yet.
    pub(crate) fn insert(&mut self, block: u64, attempts: u16, mask: u64) {
        *self.masks.entry((block, attempts)).or_insert(0) |= mask;
    }

    /// Removes what is there of `mask` in a block; returns it.
    pub(crate) fn remove(&mut self, block: u64, mask: u64) -> u64 {
        let mut removed = 0;
        let mut emptied = false;
        for (_, held) in self.masks.range_mut((block, 0)..=(block, u16::MAX)) {
            removed |= *held & mask;
            *held &= !mask;
            emptied |= *held == 0;
        }
        if emptied {
            let keys: Vec<_> =
                self.in_block(block).filter(|&(_, mask)| mask == 0).map(|(key, _)| key).collect();
            for attempts in keys {
                self.masks.remove(&(block, attempts));
            }
        }
        removed
    }

    /// Takes up to `count` offsets that share a block and a number of deliveries, the oldest block first.
    pub(crate) fn take(&mut self, count: u32) -> Option<(Offset, u64, u16)> {
        let mut first = self.masks.first_entry()?;
        let (block, attempts) = *first.key();
        let taken = lowest_set(*first.get(), count);
        *first.get_mut() &= !taken;
        if *first.get() == 0 {
            first.remove();
        }
        Some((Offset(block * WIDTH), taken, attempts))
    }

    fn in_block(&self, block: u64) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.masks.range((block, 0)..=(block, u16::MAX)).map(|(&(_, attempts), &mask)| (attempts, mask))
    }
}

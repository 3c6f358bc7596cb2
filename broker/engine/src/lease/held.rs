//! One lease.

use store::Offset;

use super::mask::WIDTH;

/// Times are kept in 48 bits: 8,900 years; later ones are as good as that.
const DUE_MS_MAX: u64 = (1 << 48) - 1;

/// Neighbours that were handed out together and end together; small, because there may be a million.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    base: Offset,
    mask: u64,
    /// Due time, attempt.
    packed: u64,
}

const _: () = assert!(size_of::<Lease>() == 24);

impl Lease {
    pub(super) fn new(base: Offset, mask: u64, due_ms: u64, attempt: u16) -> Self {
        Self { base, mask, packed: due_ms.min(DUE_MS_MAX) << 16 | u64::from(attempt) }
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    /// Bit n: offset `base + n`.
    pub(super) fn mask(&self) -> u64 {
        self.mask
    }

    pub(super) fn due_ms(&self) -> u64 {
        self.packed >> 16
    }

    pub(super) fn attempt(&self) -> u16 {
        self.packed as u16
    }

    pub(super) fn holds(&self, offset: Offset) -> bool {
        contains(self.base, self.mask, offset)
    }

    /// Takes offsets out; returns those that were in it.
    pub(super) fn remove(&mut self, mask: u64) -> u64 {
        let removed = self.mask & mask;
        self.mask &= !mask;
        removed
    }

    pub(super) fn end_at(&mut self, due_ms: u64) {
        *self = Self::new(self.base, self.mask, due_ms, self.attempt());
    }
}

/// Whether the mask that starts at `base` has the offset.
pub(crate) fn contains(base: Offset, mask: u64, offset: Offset) -> bool {
    offset.0.checked_sub(base.0).is_some_and(|bit| bit < WIDTH && mask >> bit & 1 != 0)
}

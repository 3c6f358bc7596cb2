//! Sets of up to 64 neighbouring offsets, and how they fall into aligned blocks.

use store::Offset;

/// Offsets in a block; blocks are aligned: block `b` holds `64 b .. 64 b + 64`.
pub(crate) const WIDTH: u64 = 64;

/// The block of an offset and its bit there.
pub(crate) fn place(offset: Offset) -> (u64, u64) {
    (offset.0 / WIDTH, 1 << (offset.0 % WIDTH))
}

/// The lowest `count` bits, at most 64.
pub(crate) fn low_bits(count: u64) -> u64 {
    if count >= WIDTH { u64::MAX } else { (1 << count) - 1 }
}

/// The `count` lowest bits that are set in `mask`.
pub(crate) fn lowest_set(mask: u64, count: u32) -> u64 {
    if mask.count_ones() <= count {
        return mask;
    }
    let mut rest = mask;
    for _ in 0..count {
        rest &= rest - 1;
    }
    mask & !rest
}

/// Splits a mask that starts at any offset into the one or two aligned blocks it touches; empty parts are left out.
pub(crate) fn blocks(base: Offset, mask: u64) -> impl Iterator<Item = (u64, u64)> {
    let block = base.0 / WIDTH;
    let shift = (base.0 % WIDTH) as u32;
    let high = if shift == 0 { 0 } else { mask >> (64 - shift) };
    [(block, mask << shift), (block + 1, high)].into_iter().filter(|&(_, mask)| mask != 0)
}

/// The offsets of a mask, rising.
pub(crate) fn offsets(base: Offset, mask: u64) -> impl Iterator<Item = Offset> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        if rest == 0 {
            return None;
        }
        let bit = rest.trailing_zeros();
        rest &= rest - 1;
        Some(Offset(base.0 + u64::from(bit)))
    })
}

/// The half-open range `from..to` as aligned blocks.
pub(crate) fn range_blocks(from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let shift = at % WIDTH;
        let count = (WIDTH - shift).min(to - at);
        let part = (at / WIDTH, low_bits(count) << shift);
        at += count;
        Some(part)
    })
}

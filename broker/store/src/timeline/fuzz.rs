//! Doors for the fuzz target: damage with checksums that fit, so that more than checksums is put to the test.

use crate::checksum;

use super::run::{block_at, path_of};

/// Name of a run file.
pub fn path(number: u32) -> String {
    path_of(number)
}

/// Gives a block of `len_bytes` a checksum that fits its bytes.
pub fn reseal_block(bytes: &mut [u8], number: u32, block: usize, len_bytes: usize) {
    let at = block_at(block);
    if let Some((crc, rest)) = bytes.get_mut(at as usize..).and_then(<[u8]>::split_first_chunk_mut::<4>)
        && let Some(rest) = rest.get(..len_bytes - 4)
    {
        *crc = checksum::seeded(number.into(), at, rest).to_le_bytes();
    }
}

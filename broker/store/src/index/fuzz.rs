//! Doors for the fuzz target: damage with checksums that fit, so that more than checksums is put to the test.

use crate::checksum;

use super::run::{block_bytes, path_of};

/// Name of a run file.
pub fn path(number: u32) -> String {
    path_of(number)
}

/// Gives the block header at `at` of a run file a checksum that fits its bytes.
pub fn reseal_block(bytes: &mut [u8], number: u32, at: usize) {
    let end = at + block_bytes() as usize;
    if let Some(header) = bytes.get_mut(at..end) {
        let (fields, crc) = header.split_at_mut(header.len() - 4);
        crc.copy_from_slice(&checksum::seeded(u64::from(number), at as u64, fields).to_le_bytes());
    }
}

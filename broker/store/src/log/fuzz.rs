//! Doors for the fuzz targets, which are a crate of their own.

use zerocopy::IntoBytes;

use super::codec::{BATCH_MAGIC, BatchHeader, HEADER_BYTES, RecordHeader, Seal};
use crate::units::Position;

/// Panics if bytes decode as a header that does not encode to the same bytes.
pub fn headers(bytes: &[u8]) {
    let id = [7; 16];
    let seal = Seal::new(&id);
    let mut bytes = bytes.to_vec();
    for fits in [false, true] {
        if fits {
            reseal(&mut bytes, &id);
        }
        let at =
            bytes.get(8..16).map_or(0, |at| at.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
        if let Ok((header, _)) = BatchHeader::decode(&bytes, Position(at), seal) {
            assert_eq!(header.encode(seal).0.as_bytes(), &bytes[..HEADER_BYTES as usize]);
        }
        if let Ok(header) = RecordHeader::decode(&bytes, Position(at), seal) {
            let mut again = Vec::new();
            header.encode(seal, &bytes[HEADER_BYTES as usize..header.body_at()], &mut again);
            assert_eq!(again, bytes[..header.body_at()]);
            if header.verifies(&bytes) {
                assert_eq!(header.entry_in(&bytes).position, Position(at));
            }
        }
    }
}

/// Gives the batch or record header that `bytes` begin with the checksum that fits.
pub fn reseal(bytes: &mut [u8], id: &[u8; 16]) {
    let Some(header) = bytes.get(..HEADER_BYTES as usize) else { return };
    let is_batch = header[4..8] == BATCH_MAGIC.to_le_bytes();
    let head_bytes = u32::from_le_bytes([header[48], header[49], header[50], header[51]]);
    let covered = HEADER_BYTES as usize + if is_batch { 0 } else { head_bytes as usize };
    let Some(covered) = bytes.get(4..covered) else { return };
    let crc = Seal::new(id).of(covered);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

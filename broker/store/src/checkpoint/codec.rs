//! Bytes of a checkpoint, and back.
//!
//! ```text
//!   opening 64 B: magic, version, count of sections, number, covered, end, crc
//!   per section:  tag 4 B, crc 4 B, length 8 B, bytes
//! ```
//!
//! All numbers are little-endian; checksums are seeded with the checkpoint's number and their place.

use crate::{Position, checksum};

use super::Checkpoint;

pub(crate) const OPENING_BYTES: usize = 64;
const FRAME_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"MPCHECK\n";
const VERSION: u32 = 1;

/// What is written around the sections' bytes.
pub(crate) struct Frames {
    pub(crate) opening: [u8; OPENING_BYTES],
    pub(crate) sections: Vec<[u8; FRAME_BYTES]>,
}

pub(crate) fn encode(number: u64, checkpoint: &Checkpoint) -> Frames {
    let mut at = OPENING_BYTES as u64;
    let mut sections = Vec::with_capacity(checkpoint.sections.len());
    for (tag, bytes) in &checkpoint.sections {
        let mut frame = [0; FRAME_BYTES];
        frame[..4].copy_from_slice(&tag.to_le_bytes());
        frame[4..8].copy_from_slice(&section_crc(number, at, *tag, bytes).to_le_bytes());
        frame[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        sections.push(frame);
        at += (FRAME_BYTES + bytes.len()) as u64;
    }
    let mut opening = [0; OPENING_BYTES];
    opening[..8].copy_from_slice(&MAGIC);
    opening[8..12].copy_from_slice(&VERSION.to_le_bytes());
    opening[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    opening[16..24].copy_from_slice(&number.to_le_bytes());
    opening[24..32].copy_from_slice(&checkpoint.covered.0.to_le_bytes());
    opening[32..40].copy_from_slice(&at.to_le_bytes());
    let crc = checksum::seeded(number, 0, &opening[..60]);
    opening[60..].copy_from_slice(&crc.to_le_bytes());
    Frames { opening, sections }
}

/// The checkpoint, or the place of the first byte that does not verify.
pub(crate) fn decode(number: u64, bytes: &[u8]) -> Result<Checkpoint, u64> {
    let covered = covered(number, bytes).ok_or(0_u64)?;
    let count = u32_at(bytes, 12);
    if u64_at(bytes, 32) != bytes.len() as u64 {
        return Err(bytes.len() as u64);
    }
    let mut sections = Vec::new();
    let mut at = OPENING_BYTES;
    for _ in 0..count {
        let frame = bytes.get(at..at + FRAME_BYTES).ok_or(at as u64)?;
        let (tag, crc) = (u32_at(frame, 0), u32_at(frame, 4));
        let rest = &bytes[at + FRAME_BYTES..];
        let len = usize::try_from(u64_at(frame, 8)).map_err(|_| at as u64)?;
        let section = rest.get(..len).ok_or(at as u64)?;
        if section_crc(number, at as u64, tag, section) != crc {
            return Err(at as u64);
        }
        sections.push((tag, section.to_vec()));
        at += FRAME_BYTES + len;
    }
    if at == bytes.len() { Ok(Checkpoint { covered, sections }) } else { Err(at as u64) }
}

/// What the opening says of how far the checkpoint goes; `None` if it does not verify.
pub(crate) fn covered(number: u64, bytes: &[u8]) -> Option<Position> {
    let opening = bytes.get(..OPENING_BYTES)?;
    let valid = opening[..8] == MAGIC
        && u32_at(opening, 8) == VERSION
        && u64_at(opening, 16) == number
        && u32_at(opening, 60) == checksum::seeded(number, 0, &opening[..60]);
    valid.then(|| Position(u64_at(opening, 24)))
}

fn section_crc(number: u64, at: u64, tag: u32, bytes: &[u8]) -> u32 {
    // The place is below 2^32 units of any checkpoint worth writing, so the tag has room above it.
    checksum::seeded(number, at ^ (u64::from(tag) << 32), bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode};
    use crate::Position;
    use crate::checkpoint::Checkpoint;

    fn bytes_of(number: u64, checkpoint: &Checkpoint) -> Vec<u8> {
        let frames = encode(number, checkpoint);
        let mut bytes = frames.opening.to_vec();
        for (frame, (_, section)) in frames.sections.iter().zip(&checkpoint.sections) {
            bytes.extend(frame);
            bytes.extend(section);
        }
        bytes
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let section = (any::<u32>(), prop::collection::vec(any::<u8>(), 0..100));
        (any::<u64>(), prop::collection::vec(section, 0..5))
            .prop_map(|(covered, sections)| Checkpoint { covered: Position(covered), sections })
    }

    proptest! {
        #[test]
        fn a_checkpoint_comes_back_and_any_flipped_bit_is_seen(checkpoint in checkpoint(), at: u16, bit in 0..8) {
            let mut bytes = bytes_of(7, &checkpoint);
            prop_assert_eq!(decode(7, &bytes), Ok(checkpoint));
            prop_assert!(decode(8, &bytes).is_err());
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(decode(7, &bytes).is_err());
        }

        #[test]
        fn a_cut_checkpoint_is_refused(checkpoint in checkpoint(), cut: u16) {
            let bytes = bytes_of(7, &checkpoint);
            prop_assert!(decode(7, &bytes[..usize::from(cut) % bytes.len()]).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(7, &bytes).is_err());
        }
    }
}

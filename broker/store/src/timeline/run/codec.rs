//! Bytes of a run file: opening, blocks of timers, marks, footer; and back.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum;
use crate::timeline::{Key, Timer};
use crate::{Position, QueueId};

pub(crate) const OPENING_BYTES: u64 = 64;
pub(crate) const FOOTER_BYTES: u64 = 64;
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Timers of every block but the last.
pub(crate) const BLOCK_TIMERS: usize = 102;

const HEADER_BYTES: u64 = 16;
const TIMER_BYTES: u64 = 40;
const MARK_BYTES: u64 = 24;
const MARKS_CRC_BYTES: u64 = 8;
const VERSION: u32 = 1;
const OPENING_MAGIC: [u8; 8] = *b"MPTIMER\n";
const FOOTER_MAGIC: [u8; 8] = *b"MPTIMEND";

const _: () = assert!(size_of::<RawTimer>() as u64 == TIMER_BYTES);
const _: () = assert!(size_of::<RawMark>() as u64 == MARK_BYTES);
const _: () = assert!(size_of::<RawFooter>() as u64 == FOOTER_BYTES);
const _: () = assert!(HEADER_BYTES + BLOCK_TIMERS as u64 * TIMER_BYTES == BLOCK_BYTES);

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTimer {
    due_ms: U64,
    position: U64,
    stored_ms: U64,
    bytes: U32,
    queue: U32,
    tag_hash: U32,
    lane: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMark {
    due_ms: U64,
    position: U64,
    floor: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFooter {
    magic: [u8; 8],
    timers: U64,
    first_position: U64,
    last_position: U64,
    last_due_ms: U64,
    last_due_position: U64,
    version: U32,
    digest: U32,
    reserved: U32,
    crc: U32,
}

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its first timer.
    pub(crate) key: Key,
    /// No timer of this block or a later one lies below.
    pub(crate) floor: Position,
}

/// What a run file holds as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) timers: u64,
    /// Lowest and highest position of a timer.
    pub(crate) first_position: Position,
    pub(crate) last_position: Position,
    pub(crate) last: Key,
    /// Made from the checksums of all blocks: files with the same one hold the same timers.
    pub(crate) digest: u32,
}

impl Footer {
    pub(crate) fn blocks(&self) -> u64 {
        self.timers.div_ceil(BLOCK_TIMERS as u64)
    }

    /// Timers in a block.
    pub(crate) fn count(&self, block: usize) -> usize {
        (self.timers - (block * BLOCK_TIMERS) as u64).min(BLOCK_TIMERS as u64) as usize
    }

    pub(crate) fn marks_at(&self) -> u64 {
        OPENING_BYTES + self.blocks() * HEADER_BYTES + self.timers * TIMER_BYTES
    }

    pub(crate) fn marks_bytes(&self) -> u64 {
        self.blocks() * MARK_BYTES + MARKS_CRC_BYTES
    }

    pub(crate) fn encode(&self, number: u32, at: u64) -> [u8; FOOTER_BYTES as usize] {
        let mut raw = RawFooter {
            magic: FOOTER_MAGIC,
            timers: self.timers.into(),
            first_position: self.first_position.0.into(),
            last_position: self.last_position.0.into(),
            last_due_ms: self.last.0.into(),
            last_due_position: self.last.1.0.into(),
            version: VERSION.into(),
            digest: self.digest.into(),
            reserved: 0.into(),
            crc: 0.into(),
        };
        raw.crc = raw.sum(number, at).into();
        zerocopy::transmute!(raw)
    }

    /// `None` if the bytes do not verify at this place.
    pub(crate) fn decode(number: u32, at: u64, bytes: &[u8]) -> Option<Self> {
        let raw = RawFooter::read_from_bytes(bytes).ok()?;
        let is_ours = raw.magic == FOOTER_MAGIC && raw.version.get() == VERSION;
        let footer = Self {
            timers: raw.timers.get(),
            first_position: Position(raw.first_position.get()),
            last_position: Position(raw.last_position.get()),
            last: (raw.last_due_ms.get(), Position(raw.last_due_position.get())),
            digest: raw.digest.get(),
        };
        // So few that no sum of sizes overflows.
        let is_sane = (1..=1 << 48).contains(&footer.timers);
        (is_ours && is_sane && raw.sum(number, at) == raw.crc.get()).then_some(footer)
    }
}

impl RawFooter {
    fn sum(&self, number: u32, at: u64) -> u32 {
        checksum::seeded(number.into(), at, &self.as_bytes()[..FOOTER_BYTES as usize - 4])
    }
}

/// First bytes of a run file.
pub(crate) fn opening(number: u32) -> [u8; OPENING_BYTES as usize] {
    let mut bytes = [0; OPENING_BYTES as usize];
    bytes[..8].copy_from_slice(&OPENING_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&number.to_le_bytes());
    let crc = checksum::seeded(number.into(), 0, &bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The ordinal of a block's first timer.
pub(crate) fn first_ordinal(block: usize) -> usize {
    block * BLOCK_TIMERS
}

pub(crate) fn block_at(block: usize) -> u64 {
    OPENING_BYTES + block as u64 * BLOCK_BYTES
}

pub(crate) fn block_bytes(count: usize) -> usize {
    (HEADER_BYTES + count as u64 * TIMER_BYTES) as usize
}

/// Appends a block to `out`; returns its checksum.
pub(crate) fn encode_block(number: u32, at: u64, timers: &[Timer], out: &mut Vec<u8>) -> u32 {
    let from = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(timers.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    for timer in timers {
        out.extend_from_slice(RawTimer::of(timer).as_bytes());
    }
    let crc = checksum::seeded(number.into(), at, &out[from + 4..]);
    out[from..from + 4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The timers of a block of `count`; `None` if the bytes do not verify at this place.
pub(crate) fn decode_block(number: u32, at: u64, count: usize, bytes: &[u8]) -> Option<Vec<Timer>> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    let (told, rest_of_header) = rest.split_first_chunk::<4>()?;
    let is_whole = checksum::seeded(number.into(), at, rest).to_le_bytes() == *crc;
    if !is_whole || u32::from_le_bytes(*told) as usize != count {
        return None;
    }
    let raw = <[RawTimer]>::ref_from_bytes(rest_of_header.get(8..)?).ok()?;
    (raw.len() == count).then(|| raw.iter().map(RawTimer::timer).collect())
}

impl RawTimer {
    fn of(timer: &Timer) -> Self {
        let Timer { due_ms, position, bytes, queue, tag_hash, lane, stored_ms } = *timer;
        Self {
            due_ms: due_ms.into(),
            position: position.0.into(),
            stored_ms: stored_ms.into(),
            bytes: bytes.into(),
            queue: queue.0.into(),
            tag_hash: tag_hash.into(),
            lane: lane.into(),
        }
    }

    fn timer(&self) -> Timer {
        Timer {
            due_ms: self.due_ms.get(),
            position: Position(self.position.get()),
            bytes: self.bytes.get(),
            queue: QueueId(self.queue.get()),
            tag_hash: self.tag_hash.get(),
            lane: self.lane.get(),
            stored_ms: self.stored_ms.get(),
        }
    }
}

/// Appends the marks and their checksum.
pub(crate) fn encode_marks(number: u32, at: u64, marks: &[Mark], out: &mut Vec<u8>) {
    let from = out.len();
    for Mark { key: (due_ms, position), floor } in marks {
        let raw = RawMark { due_ms: (*due_ms).into(), position: position.0.into(), floor: floor.0.into() };
        out.extend_from_slice(raw.as_bytes());
    }
    let crc = checksum::seeded(number.into(), at, &out[from..]);
    out.extend_from_slice(&u64::from(crc).to_le_bytes());
}

/// `None` if the bytes do not verify at this place.
pub(crate) fn decode_marks(number: u32, at: u64, bytes: &[u8]) -> Option<Vec<Mark>> {
    let (marks, crc) = bytes.split_last_chunk::<{ MARKS_CRC_BYTES as usize }>()?;
    if u64::from(checksum::seeded(number.into(), at, marks)).to_le_bytes() != *crc {
        return None;
    }
    let mark = |raw: &RawMark| Mark {
        key: (raw.due_ms.get(), Position(raw.position.get())),
        floor: Position(raw.floor.get()),
    };
    Some(<[RawMark]>::ref_from_bytes(marks).ok()?.iter().map(mark).collect())
}

/// The digest of a file up to and with the block at `at`, of which `crc` is the checksum.
pub(crate) fn digest(before: u32, at: u64, crc: u32) -> u32 {
    checksum::seeded(before.into(), at, &crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timer() -> impl Strategy<Value = Timer> {
        any::<([u64; 3], [u32; 4])>().prop_map(
            |([due_ms, position, stored_ms], [bytes, queue, tag_hash, lane])| {
                let (position, queue) = (Position(position), QueueId(queue));
                Timer { due_ms, position, bytes, queue, tag_hash, lane, stored_ms }
            },
        )
    }

    proptest! {
        #[test]
        fn a_block_comes_back_and_any_flipped_bit_is_seen(
            timers in prop::collection::vec(timer(), 1..=BLOCK_TIMERS),
            place: prop::sample::Index,
            bit in 0..8,
        ) {
            let mut bytes = Vec::new();
            encode_block(7, 64, &timers, &mut bytes);
            prop_assert_eq!(bytes.len(), block_bytes(timers.len()));
            prop_assert_eq!(decode_block(7, 64, timers.len(), &bytes), Some(timers.clone()));
            prop_assert_eq!(decode_block(7, 65, timers.len(), &bytes), None);
            prop_assert_eq!(decode_block(7, 64, timers.len() - 1, &bytes), None);
            let place = place.index(bytes.len());
            bytes[place] ^= 1_u8 << bit;
            prop_assert_eq!(decode_block(7, 64, timers.len(), &bytes), None);
        }

        #[test]
        fn marks_come_back(numbers in prop::collection::vec(any::<[u64; 3]>(), 0..20)) {
            let mark = |[due, position, floor]: [u64; 3]| Mark { key: (due, Position(position)), floor: Position(floor) };
            let marks: Vec<_> = numbers.into_iter().map(mark).collect();
            let mut bytes = Vec::new();
            encode_marks(7, 64, &marks, &mut bytes);
            prop_assert_eq!(decode_marks(8, 64, &bytes), None);
            prop_assert_eq!(decode_marks(7, 64, &bytes), Some(marks));
        }

        #[test]
        fn a_footer_comes_back(timers in 1..1_u64 << 48, numbers: [u64; 4], digest: u32, place in 0..64_usize, bit in 0..8) {
            let [first, last, due, position] = numbers;
            let (first_position, last_position) = (Position(first), Position(last));
            let footer = Footer { timers, first_position, last_position, last: (due, Position(position)), digest };
            let mut bytes = footer.encode(3, 64);
            prop_assert_eq!(Footer::decode(3, 64, &bytes), Some(footer));
            prop_assert_eq!(Footer::decode(4, 64, &bytes), None);
            bytes[place] ^= 1_u8 << bit;
            prop_assert_eq!(Footer::decode(3, 64, &bytes), None);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Footer::decode(1, 0, &bytes), None);
            prop_assert_eq!(decode_block(1, 64, 3, &bytes), None);
            prop_assert_eq!(decode_marks(1, 64, &bytes), None);
        }
    }
}

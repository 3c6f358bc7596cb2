//! Bytes of a run file: opening, block headers, groups of entries, footer; and back.

use crate::checksum;
use crate::index::memtable::{Cell, Size};

pub(crate) const OPENING_BYTES: u64 = 64;
pub(crate) const FOOTER_BYTES: u64 = 64;
pub(crate) const BLOCK_BYTES: u64 = 60;
pub(crate) const ENTRY_BYTES: u64 = 20;
pub(crate) const GROUP_ENTRIES: u64 = 256;
pub(crate) const GROUP_HEADER_BYTES: u64 = 8;
/// Entries per block; bounds what a writer holds at once.
pub(crate) const BLOCK_ENTRIES_MAX: usize = 1 << 16;
/// Every so many blocks of a queue one is a landmark that later blocks point to.
pub(crate) const SKIP_BLOCKS: u32 = 16;

/// Positions in the log are multiples of this.
const POSITION_UNIT_BYTES: u64 = 8;
/// Places in a run file are multiples of this.
const PLACE_UNIT_BYTES: u64 = 4;
const VERSION: u32 = 3;
const OPENING_MAGIC: [u8; 8] = *b"MPRUN\r\n\x1a";
const FOOTER_MAGIC: [u8; 8] = *b"MPRUNEND";

/// Place of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// Number of the run file; 0 is none.
    pub(crate) file: u32,
    /// Place in it, in units of 4 bytes.
    pub(crate) unit: u32,
}

impl Pointer {
    pub(crate) const NONE: Self = Self { file: 0, unit: 0 };

    pub(crate) fn new(file: u32, at: u64) -> Self {
        let unit = u32::try_from(at / PLACE_UNIT_BYTES);
        Self { file, unit: unit.expect("a run file is far below 16 GiB") }
    }

    pub(crate) fn at(self) -> u64 {
        u64::from(self.unit) * PLACE_UNIT_BYTES
    }

    pub(crate) fn is_none(self) -> bool {
        self.file == 0
    }
}

/// Some entries of a block, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Messages of the block's entries before them.
    pub(crate) before: u64,
    pub(crate) cells: Vec<Cell>,
}

/// Header of a block, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) place: Pointer,
    pub(crate) queue: u32,
    /// Entries.
    pub(crate) count: u32,
    /// Messages of all entries.
    pub(crate) messages: u32,
    pub(crate) base_offset: u64,
    pub(crate) base_position: u64,
    pub(crate) base_ms: u64,
    pub(crate) previous: Pointer,
    pub(crate) skip: Pointer,
    pub(crate) depth: u32,
}

impl Block {
    /// First offset after the block.
    pub(crate) fn end(&self) -> u64 {
        self.base_offset + u64::from(self.messages)
    }

    /// Bytes of header and entries.
    pub(crate) fn len_bytes(&self) -> u64 {
        let count = u64::from(self.count);
        BLOCK_BYTES + count.div_ceil(GROUP_ENTRIES) * GROUP_HEADER_BYTES + count * ENTRY_BYTES
    }

    /// Place of a group in the file and the entries in it.
    pub(crate) fn group(&self, group: u64) -> (u64, u64) {
        let group_bytes = GROUP_HEADER_BYTES + GROUP_ENTRIES * ENTRY_BYTES;
        let at = self.place.at() + BLOCK_BYTES + group * group_bytes;
        (at, (u64::from(self.count) - group * GROUP_ENTRIES).min(GROUP_ENTRIES))
    }

    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES as usize] {
        let mut out = Fields::<{ BLOCK_BYTES as usize }>::default();
        out.u32(self.queue).u32(self.count).u64(self.base_offset).u64(self.base_position).u64(self.base_ms);
        out.pointer(self.previous).pointer(self.skip).u32(self.depth).u32(self.messages);
        out.sealed(self.place.file, self.place.at())
    }

    /// `None` if the bytes do not verify at this place.
    pub(crate) fn decode(place: Pointer, bytes: &[u8]) -> Option<Self> {
        let mut fields = Parser::verified(place.file, place.at(), bytes, BLOCK_BYTES as usize)?;
        let block = Self {
            place,
            queue: fields.u32(),
            count: fields.u32(),
            base_offset: fields.u64(),
            base_position: fields.u64(),
            base_ms: fields.u64(),
            previous: fields.pointer(),
            skip: fields.pointer(),
            depth: fields.u32(),
            messages: fields.u32(),
        };
        let sane = block.count > 0
            && block.messages >= block.count
            && block.base_offset.checked_add(u64::from(block.messages)).is_some()
            && block.previous != place
            && block.skip != place;
        sane.then_some(block)
    }

    /// Whether an entry can be told relative to the block's first.
    pub(crate) fn can_hold(&self, cell: &Cell) -> bool {
        relative(self.base_position, cell.position, POSITION_UNIT_BYTES).is_some()
            && relative(self.base_ms, cell.stored_ms, 1).is_some()
    }

    pub(crate) fn encode_entry(&self, cell: &Cell, out: &mut Vec<u8>) {
        let position = relative(self.base_position, cell.position, POSITION_UNIT_BYTES);
        let stored_ms = relative(self.base_ms, cell.stored_ms, 1);
        let (Some(position), Some(stored_ms)) = (position, stored_ms) else {
            panic!("block {self:?} cannot hold {cell:?}");
        };
        for field in [position, cell.size.0, cell.tag_hash, cell.lane, stored_ms] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// What a group's bytes say; `None` if they do not verify at this place.
    pub(crate) fn decode_group(&self, at: u64, bytes: &[u8]) -> Option<Group> {
        let (crc, covered) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*crc) != checksum::seeded(u64::from(self.place.file), at, covered) {
            return None;
        }
        let (before, entries) = covered.split_first_chunk()?;
        let (entries, []) = entries.as_chunks::<{ ENTRY_BYTES as usize }>() else {
            return None;
        };
        let cells = entries.iter().map(|entry| self.decode_entry(entry)).collect();
        Some(Group { before: u32::from_le_bytes(*before).into(), cells })
    }

    fn decode_entry(&self, entry: &[u8; ENTRY_BYTES as usize]) -> Cell {
        let mut fields = Parser { bytes: entry };
        let position = self.base_position.wrapping_add(u64::from(fields.u32()) * POSITION_UNIT_BYTES);
        let (size, tag_hash, lane) = (Size(fields.u32()), fields.u32(), fields.u32());
        let stored_ms = self.base_ms.wrapping_add(u64::from(fields.u32()));
        Cell { position, stored_ms, size, tag_hash, lane }
    }
}

/// Completes a group whose first bytes are left free: checksum, and the messages of the block before it.
pub(crate) fn seal_group(file: u32, at: u64, before: u32, group: &mut [u8]) {
    group[4..GROUP_HEADER_BYTES as usize].copy_from_slice(&before.to_le_bytes());
    let crc = checksum::seeded(u64::from(file), at, &group[4..]);
    group[..4].copy_from_slice(&crc.to_le_bytes());
}

fn relative(base: u64, value: u64, unit: u64) -> Option<u32> {
    let difference = value.checked_sub(base)?;
    if difference % unit > 0 { None } else { u32::try_from(difference / unit).ok() }
}

/// First bytes of a run file.
pub(crate) fn opening(number: u32) -> [u8; OPENING_BYTES as usize] {
    let mut out = Fields::<{ OPENING_BYTES as usize }>::default();
    out.bytes(OPENING_MAGIC).u32(VERSION).u32(number);
    out.sealed(number, 0)
}

/// Whether these are the first bytes of run file `number`, of a version we read.
pub(crate) fn is_opening(number: u32, bytes: &[u8]) -> bool {
    bytes == opening(number)
}

/// What a run file holds as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Smallest position of an entry.
    pub(crate) first_position: u64,
    /// One above the largest.
    pub(crate) end_position: u64,
    pub(crate) entries: u64,
    pub(crate) blocks: u32,
    /// Place of sections to come; 0 is none.
    pub(crate) more: u64,
}

impl Footer {
    pub(crate) fn encode(&self, number: u32, at: u64) -> [u8; FOOTER_BYTES as usize] {
        let mut out = Fields::<{ FOOTER_BYTES as usize }>::default();
        out.bytes(FOOTER_MAGIC).u64(self.first_position).u64(self.end_position).u64(self.entries);
        out.u64(self.more).u32(self.blocks);
        out.sealed(number, at)
    }

    pub(crate) fn decode(number: u32, at: u64, bytes: &[u8]) -> Option<Self> {
        let mut fields = Parser::verified(number, at, bytes, FOOTER_BYTES as usize)?;
        if fields.u64().to_le_bytes() != FOOTER_MAGIC {
            return None;
        }
        let (first_position, end_position, entries) = (fields.u64(), fields.u64(), fields.u64());
        let more = fields.u64();
        let blocks = fields.u32();
        Some(Self { first_position, end_position, entries, blocks, more })
    }
}

/// A fixed block of bytes being filled; the last four are its checksum.
struct Fields<const LEN: usize> {
    bytes: [u8; LEN],
    filled: usize,
}

impl<const LEN: usize> Default for Fields<LEN> {
    fn default() -> Self {
        Self { bytes: [0; LEN], filled: 0 }
    }
}

impl<const LEN: usize> Fields<LEN> {
    fn bytes<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.bytes[self.filled..self.filled + N].copy_from_slice(&bytes);
        self.filled += N;
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(value.to_le_bytes())
    }

    fn pointer(&mut self, pointer: Pointer) -> &mut Self {
        self.u32(pointer.file).u32(pointer.unit)
    }

    fn sealed(&mut self, number: u32, at: u64) -> [u8; LEN] {
        let crc = checksum::seeded(u64::from(number), at, &self.bytes[..LEN - 4]);
        self.filled = LEN - 4;
        self.u32(crc);
        self.bytes
    }
}

/// Verified bytes being read.
struct Parser<'a> {
    bytes: &'a [u8],
}

impl<'a> Parser<'a> {
    fn verified(number: u32, at: u64, bytes: &'a [u8], len: usize) -> Option<Self> {
        let (fields, crc) = bytes.get(..len)?.split_at(len - 4);
        let valid = checksum::seeded(u64::from(number), at, fields).to_le_bytes() == crc;
        valid.then_some(Self { bytes: fields })
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.bytes.split_first_chunk().expect("lengths are fixed by the format");
        self.bytes = rest;
        *taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn pointer(&mut self) -> Pointer {
        Pointer { file: self.u32(), unit: self.u32() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Block, Cell, Footer, GROUP_HEADER_BYTES, Group, Pointer, Size, seal_group};

    fn block() -> impl Strategy<Value = Block> {
        let numbers = (1..u32::MAX, 1..u32::MAX >> 8, 0..u64::MAX >> 1, 0..u64::MAX >> 8, 0..u64::MAX >> 1);
        (numbers, any::<[u32; 3]>()).prop_map(|((queue, count, base_offset, position, base_ms), other)| {
            Block {
                place: Pointer { file: 9, unit: 11 },
                queue,
                count,
                messages: count + other[2] % 1000,
                base_offset,
                base_position: position * 8,
                base_ms,
                previous: Pointer { file: 1, unit: other[0] },
                skip: Pointer { file: 2, unit: other[1] },
                depth: other[2],
            }
        })
    }

    proptest! {
        #[test]
        fn a_block_comes_back_and_any_flipped_bit_is_seen(block in block(), at in 0..60_usize, bit in 0..8) {
            let mut bytes = block.encode();
            prop_assert_eq!(Block::decode(block.place, &bytes), Some(block));
            prop_assert_eq!(Block::decode(Pointer { file: 9, unit: 12 }, &bytes), None);
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Block::decode(block.place, &bytes), None);
        }

        #[test]
        fn entries_come_back(block in block(), cells in prop::collection::vec(any::<[u32; 5]>(), 1..300)) {
            let cells: Vec<_> = cells.into_iter().map(|[position, size, tag_hash, lane, ms]| Cell {
                position: block.base_position + u64::from(position) * 8,
                size: Size(size),
                tag_hash,
                lane,
                stored_ms: block.base_ms + u64::from(ms),
            }).collect();
            let mut bytes = vec![0; GROUP_HEADER_BYTES as usize];
            for cell in &cells {
                block.encode_entry(cell, &mut bytes);
            }
            seal_group(9, 80, 77, &mut bytes);
            prop_assert_eq!(block.decode_group(80, &bytes), Some(Group { before: 77, cells }));
            prop_assert_eq!(block.decode_group(88, &bytes), None);
            bytes[4] ^= 1;
            prop_assert_eq!(block.decode_group(80, &bytes), None);
        }

        #[test]
        fn a_footer_comes_back(numbers in any::<[u64; 4]>(), blocks: u32) {
            let [first_position, end_position, entries, more] = numbers;
            let footer = Footer { first_position, end_position, entries, blocks, more };
            prop_assert_eq!(Footer::decode(3, 64, &footer.encode(3, 64)), Some(footer));
            prop_assert_eq!(Footer::decode(4, 64, &footer.encode(3, 64)), None);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let place = Pointer { file: 1, unit: 8 };
            prop_assert_eq!(Block::decode(place, &bytes), None);
            prop_assert_eq!(Footer::decode(1, 0, &bytes), None);
        }
    }
}

//! Reads blocks of a run file; everything is verified.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::index::IndexError;
use crate::index::memtable::{Cell, find, messages_of};

use super::codec::{
    self, BLOCK_BYTES, Block, FOOTER_BYTES, Footer, GROUP_ENTRIES, Group, OPENING_BYTES, Pointer,
};
use super::{corrupt, path_of, refused};

/// A complete run file.
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) footer: Footer,
    file: Arc<dyn File>,
    /// Where the blocks end and the footer begins.
    end: u64,
}

impl Run {
    /// Opens a file; `None` if there is none of this number.
    pub(crate) fn open(disk: &dyn Disk, number: u32) -> Result<Option<Self>, IndexError> {
        let file = match disk.open(&path_of(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(number)(error)),
        };
        let opening: Option<[u8; OPENING_BYTES as usize]> = read(&*file, 0).map_err(refused(number))?;
        if !opening.is_some_and(|bytes| codec::is_opening(number, &bytes)) {
            return Err(corrupt(number, 0));
        }
        let len_bytes = file.len_bytes().map_err(refused(number))?;
        let end = len_bytes.saturating_sub(FOOTER_BYTES);
        let footer: Option<[u8; FOOTER_BYTES as usize]> = read(&*file, end).map_err(refused(number))?;
        let footer = footer.and_then(|bytes| Footer::decode(number, end, &bytes));
        let footer = footer.ok_or_else(|| corrupt(number, end))?;
        Ok(Some(Self { number, footer, file, end }))
    }

    /// The run that a writer has just finished.
    pub(crate) fn finished(number: u32, file: Arc<dyn File>, footer: Footer) -> Result<Self, IndexError> {
        let len_bytes = file.len_bytes().map_err(refused(number))?;
        Ok(Self { number, footer, file, end: len_bytes - FOOTER_BYTES })
    }

    /// The block at a place.
    pub(crate) fn block(&self, place: Pointer) -> Result<Block, IndexError> {
        let bytes: Option<[u8; BLOCK_BYTES as usize]> =
            read(&*self.file, place.at()).map_err(refused(self.number))?;
        let block = bytes.and_then(|bytes| Block::decode(place, &bytes));
        match block {
            Some(block) if place.at() + block.len_bytes() <= self.end => Ok(block),
            Some(_) | None => Err(corrupt(self.number, place.at())),
        }
    }

    /// Calls `seen` for each block of the file, in order.
    pub(crate) fn scan(
        &self,
        mut seen: impl FnMut(&Block) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut at = OPENING_BYTES;
        for _ in 0..self.footer.blocks {
            let block = self.block(Pointer::new(self.number, at))?;
            seen(&block)?;
            at += block.len_bytes();
        }
        Ok(())
    }

    /// Calls `seen` with the entries of a block from the one that holds `offset` on, and the offset of the first message of
    /// each, until it returns false or the block ends.
    pub(crate) fn entries(
        &self,
        block: &Block,
        offset: u64,
        mut seen: impl FnMut(u64, &Cell) -> bool,
    ) -> Result<(), IndexError> {
        // A damaged section may lead to a block that ends before it.
        if offset >= block.end() {
            return Ok(());
        }
        let wanted = offset - block.base_offset;
        let (mut number, mut group) = self.group_of(block, wanted)?;
        let (mut index, first) = find(&group.cells, wanted.saturating_sub(group.before));
        let mut next = block.base_offset + group.before + first;
        loop {
            for cell in &group.cells[index..] {
                if next >= block.end() || !seen(next, cell) {
                    return Ok(());
                }
                next += cell.messages();
            }
            number += 1;
            if number >= groups(block) {
                return Ok(());
            }
            group = self.group(block, number)?;
            index = 0;
        }
    }

    /// How many messages of a block lie in entries that are, from its first on, as `is_before` says.
    pub(crate) fn partition_point(
        &self,
        block: &Block,
        is_before: impl Fn(&Cell) -> bool,
    ) -> Result<u64, IndexError> {
        let (mut low, mut high, mut messages) = (0, groups(block), 0);
        while low < high {
            let middle = low.midpoint(high);
            let Group { before, cells } = self.group(block, middle)?;
            let count = cells.partition_point(&is_before);
            if count == 0 {
                high = middle;
                continue;
            }
            messages = before + messages_of(&cells[..count]);
            if count < cells.len() {
                break;
            }
            low = middle + 1;
        }
        Ok(messages.min(u64::from(block.messages)))
    }

    /// The group of a block with the entry that holds the message of this number.
    fn group_of(&self, block: &Block, wanted: u64) -> Result<(u64, Group), IndexError> {
        let (mut low, mut high) = (0, groups(block));
        // If all entries hold equally many, this is the one.
        let mut middle = (wanted * high / u64::from(block.messages)).min(high - 1);
        if block.messages == block.count {
            middle = wanted / GROUP_ENTRIES;
        }
        loop {
            let group = self.group(block, middle)?;
            if wanted < group.before {
                high = middle;
            } else if low + 1 == high || wanted < group.before + messages_of(&group.cells) {
                return Ok((middle, group));
            } else {
                low = middle + 1;
            }
            if low >= high {
                return Err(corrupt(self.number, block.place.at()));
            }
            middle = low.midpoint(high);
        }
    }

    fn group(&self, block: &Block, group: u64) -> Result<Group, IndexError> {
        let (at, count) = block.group(group);
        let mut bytes = vec![0; (codec::GROUP_HEADER_BYTES + count * codec::ENTRY_BYTES) as usize];
        let read = self.file.read_at(&mut bytes, at).map_err(refused(self.number))?;
        let group = if read == bytes.len() { block.decode_group(at, &bytes) } else { None };
        group.ok_or_else(|| corrupt(self.number, at))
    }
}

/// Groups of a block.
fn groups(block: &Block) -> u64 {
    u64::from(block.count).div_ceil(GROUP_ENTRIES)
}

fn read<const LEN: usize>(file: &dyn File, at: u64) -> io::Result<Option<[u8; LEN]>> {
    let mut bytes = [0; LEN];
    let read = file.read_at(&mut bytes, at)?;
    Ok((read == LEN).then_some(bytes))
}

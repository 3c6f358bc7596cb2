//! Reads blocks of a run file; everything is verified.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::index::IndexError;
use crate::index::memtable::Cell;

use super::codec::{self, BLOCK_BYTES, Block, FOOTER_BYTES, Footer, GROUP_ENTRIES, OPENING_BYTES, Pointer};
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

    /// Calls `seen` with the entries of a block from `offset` on, until it returns false or the block ends.
    pub(crate) fn entries(
        &self,
        block: &Block,
        offset: u64,
        mut seen: impl FnMut(u64, &Cell) -> bool,
    ) -> Result<(), IndexError> {
        let mut index = offset - block.base_offset;
        while index < u64::from(block.count) {
            let group = index / GROUP_ENTRIES;
            let cells = self.group(block, group)?;
            for cell in &cells[(index % GROUP_ENTRIES) as usize..] {
                if !seen(block.base_offset + index, cell) {
                    return Ok(());
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// How many entries of a block, from its first on, are as `is_before` says.
    pub(crate) fn partition_point(
        &self,
        block: &Block,
        is_before: impl Fn(&Cell) -> bool,
    ) -> Result<u64, IndexError> {
        let (mut low, mut high) = (0, u64::from(block.count).div_ceil(GROUP_ENTRIES));
        while low < high {
            let middle = low.midpoint(high);
            let cells = self.group(block, middle)?;
            let before = cells.partition_point(&is_before);
            match before {
                0 => high = middle,
                before if before == cells.len() => low = middle + 1,
                before => return Ok(middle * GROUP_ENTRIES + before as u64),
            }
        }
        Ok((low * GROUP_ENTRIES).min(u64::from(block.count)))
    }

    fn group(&self, block: &Block, group: u64) -> Result<Vec<Cell>, IndexError> {
        let (at, count) = block.group(group);
        let mut bytes = vec![0; (codec::GROUP_HEADER_BYTES + count * codec::ENTRY_BYTES) as usize];
        let read = self.file.read_at(&mut bytes, at).map_err(refused(self.number))?;
        let cells = if read == bytes.len() { block.decode_group(at, &bytes) } else { None };
        cells.ok_or_else(|| corrupt(self.number, at))
    }
}

fn read<const LEN: usize>(file: &dyn File, at: u64) -> io::Result<Option<[u8; LEN]>> {
    let mut bytes = [0; LEN];
    let read = file.read_at(&mut bytes, at)?;
    Ok((read == LEN).then_some(bytes))
}

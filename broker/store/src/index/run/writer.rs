//! Writes a run file block by block.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::index::memtable::{Cell, messages_of};

use super::codec::{
    self, BLOCK_ENTRIES_MAX, Block, Footer, GROUP_ENTRIES, GROUP_HEADER_BYTES, Pointer, SKIP_BLOCKS,
};
use super::{FOLDER, path_of};

const BUFFER_BYTES: usize = 256 << 10;

/// What a queue's next block points to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    /// The block before; none if there is none.
    pub(crate) newest: Pointer,
    /// The last block whose depth is a multiple of `SKIP_BLOCKS`.
    pub(crate) skip: Pointer,
    /// Blocks before `newest`.
    pub(crate) depth: u32,
}

/// A run file being written; it is not there for anyone before `finish`.
pub(crate) struct RunWriter {
    number: u32,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// Bytes written before the buffer.
    written: u64,
    footer: Footer,
}

impl RunWriter {
    pub(crate) fn create(disk: &dyn Disk, number: u32) -> io::Result<Self> {
        disk.create_dir(FOLDER)?;
        let file = disk.create(&path_of(number))?;
        let footer = Footer { first_position: u64::MAX, ..Footer::default() };
        let buffer = codec::opening(number).to_vec();
        Ok(Self { number, file, buffer, written: 0, footer })
    }

    /// Writes a queue's cells, oldest first, as one block or a few.
    pub(crate) fn put(
        &mut self,
        queue: u32,
        base_offset: u64,
        cells: &[Cell],
        links: &mut Links,
    ) -> io::Result<()> {
        let mut base_offset = base_offset;
        let mut rest = cells;
        while let Some(first) = rest.first() {
            let depth = if links.newest.is_none() { 0 } else { links.depth + 1 };
            let mut block = Block {
                place: Pointer::new(self.number, self.at()),
                queue,
                count: 0,
                messages: 0,
                base_offset,
                base_position: first.position,
                base_ms: first.stored_ms,
                previous: links.newest,
                skip: links.skip,
                depth,
            };
            let most = &rest[..rest.len().min(BLOCK_ENTRIES_MAX)];
            let count = most.iter().take_while(|cell| block.can_hold(cell)).count();
            block.count = count as u32;
            block.messages = messages_of(&rest[..count]) as u32;
            self.put_block(&block, &rest[..count])?;
            links.newest = block.place;
            links.depth = depth;
            if depth.is_multiple_of(SKIP_BLOCKS) {
                links.skip = block.place;
            }
            base_offset = block.end();
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Completes the file and syncs it and its name; returns its footer.
    pub(crate) fn finish(mut self, disk: &dyn Disk) -> io::Result<(Arc<dyn File>, Footer)> {
        // All of it may have been trimmed in the meantime: an empty run lies below everything.
        self.footer.first_position = self.footer.first_position.min(self.footer.end_position);
        let footer = self.footer.encode(self.number, self.at());
        self.buffer.extend_from_slice(&footer);
        self.write_out()?;
        self.file.sync()?;
        disk.sync_dir(FOLDER)?;
        Ok((self.file, self.footer))
    }

    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put_block(&mut self, block: &Block, cells: &[Cell]) -> io::Result<()> {
        self.buffer.extend_from_slice(&block.encode());
        let mut before = 0;
        for group in cells.chunks(GROUP_ENTRIES as usize) {
            let (group_at, from) = (self.at(), self.buffer.len());
            self.buffer.resize(from + GROUP_HEADER_BYTES as usize, 0);
            for cell in group {
                block.encode_entry(cell, &mut self.buffer);
                self.footer.first_position = self.footer.first_position.min(cell.position);
                self.footer.end_position = self.footer.end_position.max(cell.position + 1);
            }
            codec::seal_group(self.number, group_at, before, &mut self.buffer[from..]);
            before += messages_of(group) as u32;
            if self.buffer.len() >= BUFFER_BYTES {
                self.write_out()?;
            }
        }
        self.footer.blocks += 1;
        self.footer.entries += cells.len() as u64;
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_at(&[IoSlice::new(&self.buffer)], self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
